/** Streams over a mapping: `Mapping.createReadStream()`. */
import { Readable } from 'node:stream'
import { closed, outOfRange } from './errors'
import { resizes } from './extent'
import type { Mapping } from './mapping'
import { inPieces } from './pieces'
import * as validate from './validate'
import { LARGEST_VIEW } from './views'

/** Options of {@link Mapping.createReadStream}. */
export interface ReadStreamOptions {
  /** The first byte, from the start of the mapping. Default: 0. */
  start?: number | bigint | undefined
  /** The last byte, included, as in `fs.createReadStream()`. Default: the last byte of the mapping. */
  end?: number | bigint | undefined
  /** Bytes in a chunk; the last one may have fewer. Default: 64 KiB, as in `fs.createReadStream()`. */
  highWaterMark?: number | undefined
  /** Destroys the stream with an `AbortError`. */
  signal?: AbortSignal | undefined
}

/** Prefetches from `at` on, and resolves to how many of `length` bytes are done. `ahead` more may be read from the device. */
type Prefetch = (at: number, length: number, ahead: number) => Promise<number>

const CHUNK = 64 * 1024
/** Small chunks are prefetched together, so many bytes at once. */
const WINDOW = 1024 * 1024

/** A stream over a mapping, after checks of the options. */
export function readStream(mapping: Mapping, prefetch: Prefetch, options: unknown): Readable {
  const given = validate.options(options, ['start', 'end', 'highWaterMark', 'signal'])
  const { start: from = 0, end: last, highWaterMark: size = CHUNK } = given
  const start = validate.integer('options.start', from, 0, mapping.length)
  if (last !== undefined && start === mapping.length) {
    validate.integer('options.end', last)
    throw outOfRange('options.end', 'left out, as the mapping has no bytes from start on', last)
  }
  const end =
    last === undefined ? mapping.length : validate.integer('options.end', last, start, mapping.length - 1) + 1
  // A buffer may start up to seven bytes before its chunk.
  const chunk = validate.integer('options.highWaterMark', size, 1, LARGEST_VIEW - 7)
  const signal = validate.signal('options.signal', given.signal)
  // A getter among the options may have unmapped it.
  if (mapping.closed) throw closed()
  return new ReadStream(mapping, prefetch, { start, end, chunk, signal })
}

interface Extent {
  start: number
  /** Not included. */
  end: number
  chunk: number
  signal: AbortSignal | undefined
}

class ReadStream extends Readable {
  readonly #mapping: Mapping
  readonly #prefetch: Prefetch
  readonly #start: number
  readonly #end: number
  readonly #chunk: number
  /** Where the next chunk starts. */
  #at: number
  /** What lies before was prefetched. */
  #ready: number
  /** Where the mapping was when the chunk that waits was made, and as of how many resizes. */
  #address = 0n
  #asOf = 0

  constructor(mapping: Mapping, prefetch: Prefetch, { start, end, chunk, signal }: Extent) {
    super({ highWaterMark: chunk, ...(signal === undefined ? {} : { signal }) })
    this.#mapping = mapping
    this.#prefetch = prefetch
    this.#start = this.#at = this.#ready = start
    this.#end = end
    this.#chunk = chunk
  }

  /** Every chunk that waits in the stream leaves it through here: after `unmap()` it would be zeros. */
  override read(size?: number): unknown {
    const [mapping, at, waiting] = [this.#mapping, this.#at, this.readableLength]
    if (mapping.closed && waiting > 0) {
      this.destroy(closed())
      return null
    }
    if (waiting === 0 || resizes() === this.#asOf || this.readableEncoding !== null) return super.read(size)
    if (mapping.length < at) {
      this.destroy(cutOff(mapping, at))
      return null
    }
    const chunk = super.read(size) as Buffer | null
    return chunk === null || mapping.address === this.#address
      ? chunk
      : bytesOf(mapping, at - waiting, chunk.length)
  }

  override _read(): void {
    const length = Math.min(this.#chunk, this.#end - this.#at)
    if (length === 0) {
      this.push(null)
      return
    }
    // Each chunk in a turn of its own. Pushed at once, two might be waiting, and `read()` would make one of them: a copy. And
    // what a listener throws is an uncaught exception so, and no rejection.
    const deliver = () => process.nextTick(() => this.#deliver(length))
    if (this.#at + length <= this.#ready) deliver()
    else this.#prepare(this.#at + length).then(deliver, (error: Error) => this.destroy(error))
  }

  async #prepare(limit: number): Promise<void> {
    const to = Math.min(this.#end, Math.max(limit, this.#ready + WINDOW))
    // Of what follows, as much is read ahead as was read before: who takes only the start of a file pays for little more.
    const ahead = Math.min(this.#end - to, to - this.#start)
    await inPieces(this.#ready, to, undefined, async (at, rest) =>
      this.destroyed ? rest : this.#prefetch(at, rest, ahead),
    )
    this.#ready = to
  }

  #deliver(length: number): void {
    if (this.destroyed) return
    let chunk: Buffer
    try {
      this.#asOf = resizes()
      this.#address = this.#mapping.address
      chunk = bytesOf(this.#mapping, this.#at, length)
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    this.#at += length
    this.push(chunk)
  }
}

/** The error for bytes that `resize()` has taken away. */
function cutOff(mapping: Mapping, end: number): Error {
  return outOfRange('end', `<= ${mapping.length}, as the mapping was resized`, end)
}

/** Bytes of the mapping itself; where the runtime allows no buffers over mapped memory, as Electron does, a copy. */
function bytesOf(mapping: Mapping, start: number, length: number): Buffer {
  try {
    return mapping.view(Buffer, start, length)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTSUP') return mapping.read(start, length)
    throw error
  }
}
