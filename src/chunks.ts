/** The bytes of a mapping in chunks: `Mapping.chunks()` and iteration. */
import { closed } from './errors'
import type { Mapping } from './mapping'
import * as validate from './validate'
import { LARGEST_VIEW } from './views'

/** Options of {@link Mapping.chunks}. */
export interface ChunksOptions {
  /** Where the first chunk starts, in bytes from the start of the mapping. Default: 0. */
  start?: number | bigint | undefined
  /** Where to stop, in bytes, not included. Default: the end of the mapping. */
  end?: number | bigint | undefined
  /** Bytes in a chunk; the last one may have fewer. Default: 64 KiB. */
  size?: number | bigint | undefined
}

/** What {@link Mapping.chunks} is asked for. */
interface ChunksRequest {
  start: number
  end: number
  size: number
}

/** Checks the options of {@link Mapping.chunks}. */
export function chunksRequest(options: unknown, length: number): ChunksRequest {
  const given = validate.options(options, ['start', 'end', 'size'])
  const { start: from = 0, end: to = length, size = 64 * 1024 } = given
  const start = validate.integer('options.start', from, 0, length)
  const end = validate.integer('options.end', to, start, length)
  // A buffer may start up to seven bytes before its chunk.
  return { start, end, size: validate.integer('options.size', size, 1, LARGEST_VIEW - 7) }
}

/** The chunks of a range of `mapping`. */
export function* chunks(mapping: Mapping, { start, end, size }: ChunksRequest): Generator<Buffer, undefined> {
  for (let at = start; at < end; at += size) {
    if (mapping.closed) throw closed()
    yield mapping.view(Buffer, at, Math.min(size, end - at))
  }
}
