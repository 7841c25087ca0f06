/** The kinds of views, and why a runtime has not got one of them. */
import { Mapping, type Views } from 'mmap-native'

function whyNoShared(): string | undefined {
  try {
    Mapping.anonymous(1, { views: 'shared' }).unmap()
    return undefined
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM') throw error
    return 'this runtime cannot make a SharedArrayBuffer over mapped memory'
  }
}

export const noShared = whyNoShared()

export const kinds: { views: Views; skip: string | undefined }[] = [
  // Shared views where the runtime has them.
  { views: 'auto', skip: undefined },
  { views: 'detachable', skip: undefined },
]

/** Why buffers cannot be transferred, if they cannot. */
export const noTransfer =
  'transfer' in ArrayBuffer.prototype ? undefined : 'this runtime has no ArrayBuffer.prototype.transfer()'

/** `ArrayBuffer.prototype.transfer()`, which the types of Node.js 20 do not have. */
export function transfer(buffer: ArrayBufferLike): ArrayBuffer {
  return (buffer as unknown as { transfer: () => ArrayBuffer }).transfer()
}
