/** Buffers over mapped memory: which kind, how large, and where in them the first byte asked for lies. */
import { constants } from 'node:buffer'
import { unavailable } from './errors'
import { native } from './native'

/**
 * What a mapping hands out as its memory.
 * - `'auto'`: a SharedArrayBuffer where the runtime can make one over mapped memory, otherwise an ArrayBuffer. Views that are left
 *   over after `unmap()` keep their length and read zeros.
 * - `'shared'`: a SharedArrayBuffer, or `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`.
 * - `'detachable'`: an ArrayBuffer, which `unmap()` detaches: views that are left over have length 0.
 */
export type Views = 'auto' | 'shared' | 'detachable'

export const VIEWS = ['auto', 'shared', 'detachable'] as const

/** The largest view that this runtime makes, in bytes. */
export const LARGEST_VIEW = constants.MAX_LENGTH

const hasShared = native.hasSharedViews()

/** Whether views are SharedArrayBuffers. */
export function areShared(views: Views): boolean {
  if (views === 'shared' && !hasShared) {
    throw unavailable("views: 'shared'", 'the runtime cannot make a SharedArrayBuffer over mapped memory')
  }
  return views === 'auto' ? hasShared : views === 'shared'
}

/**
 * Buffers start at a multiple of 8, the size of the largest element, so that aligned typed arrays can be made over
 * them: how far the first byte asked for lies behind that. Pages are aligned, so the offset in the file tells as
 * well as the address.
 */
export function leadOf(offset: number): number {
  return offset % 8
}
