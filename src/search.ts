/** The searches of {@link Mapping}: what their arguments mean, and the loops over slices. */
import { types } from 'node:util'
import { aborted, closed, invalidArgType, invalidArgValue } from './errors'
import { resizes } from './extent'
import type { Mapping } from './mapping'
import { native, type Handle } from './native'
import * as validate from './validate'

/** Options of {@link Mapping.find}. */
export interface FindOptions {
  /** Where to start, as for {@link Mapping.indexOf}. Default: 0. */
  from?: number | bigint | undefined
  /** Aborts between slices of 32 MiB. */
  signal?: AbortSignal | undefined
}

/** Options of {@link Mapping.lines}. */
export interface LinesOptions {
  /**
   * Gives strings, of this encoding, in place of Buffers. It has to be one in which a newline is the one byte 0x0A: not UTF-16.
   */
  encoding?: BufferEncoding | undefined
  /** Where the first line starts, in bytes from the start of the mapping. Default: 0. */
  start?: number | bigint | undefined
  /** Where to stop, in bytes, not included. Default: the end of the mapping. */
  end?: number | bigint | undefined
}

/** Lines that are looked up at a time. */
const LINES = 1024

/** The bytes to search for. */
export function needleOf(value: unknown): Uint8Array {
  if (typeof value === 'number') return Uint8Array.of(value) // modulo 256, as Buffer has it
  if (typeof value === 'string') return Buffer.from(value)
  if (types.isUint8Array(value)) return value
  throw invalidArgType('needle', 'of type number or string or an instance of Buffer or Uint8Array', value)
}

/**
 * An offset as Buffer's methods take one: a fraction is cut, a negative one counts from the end of `length` bytes, one past the
 * end is the end. What lies before the start is `before`; without a number it is `missing`.
 */
function offset(name: string, value: unknown, length: number, missing: number, before: number): number {
  if (value === undefined) return missing
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    throw invalidArgType(name, 'of type number or bigint', value)
  }
  const whole = Math.trunc(Number(value))
  if (Number.isNaN(whole)) return missing
  if (whole >= 0) return Math.min(whole, length)
  return length + whole >= 0 ? length + whole : before
}

/** Where a search for the first place starts. */
export function first(from: unknown, length: number): number {
  return offset('from', from, length, 0, 0)
}

/** Where a search for the last place starts; -1 before the mapping. */
export function last(from: unknown, length: number): number {
  return offset('from', from, length, length, -1)
}

/** A range as `Buffer.subarray()` takes it. */
export function range(from: unknown, to: unknown, length: number): [from: number, to: number] {
  const start = first(from, length)
  const end = offset('to', to, length, to === undefined ? length : 0, 0)
  return [start, Math.max(start, end)]
}

/** What {@link Mapping.lines} is asked for. */
export interface LinesRequest {
  encoding: BufferEncoding | undefined
  start: number
  end: number
}

/** Checks the options of {@link Mapping.lines}. */
export function linesRequest(options: unknown, length: number): LinesRequest {
  const {
    encoding,
    start: from = 0,
    end: to = length,
  } = validate.options(options, ['encoding', 'start', 'end'])
  if (encoding !== undefined && (typeof encoding !== 'string' || !Buffer.isEncoding(encoding))) {
    throw invalidArgValue('options.encoding', 'must be an encoding of Buffer', encoding)
  }
  if (encoding !== undefined && /^(utf-?16|ucs-?2)/i.test(encoding)) {
    throw invalidArgValue('options.encoding', 'must be one in which a newline is one byte', encoding)
  }
  const start = validate.integer('options.start', from, 0, length)
  return { encoding, start, end: validate.integer('options.end', to, start, length) }
}

/** Checks the options of {@link Mapping.find}. */
export function findRequest(
  options: unknown,
  length: number,
): { from: number; signal: AbortSignal | undefined } {
  const { from, signal } = validate.options(options, ['from', 'signal'])
  return {
    from: offset('options.from', from, length, 0, 0),
    signal: validate.signal('options.signal', signal),
  }
}

/** Searches slice by slice in the thread pool. */
export async function find(
  handle: Handle,
  needle: Uint8Array,
  { from, signal }: { from: number; signal: AbortSignal | undefined },
): Promise<number> {
  if (signal?.aborted) throw aborted(signal)
  // A copy: the caller's bytes may change while the search runs.
  const copy = native.needleOf(needle)
  for (let start = from; ;) {
    const { found, next } = await native.mappingFind(handle, copy, start)
    if (signal?.aborted) throw aborted(signal)
    if (found !== undefined) return found
    if (next === undefined) return -1
    start = next
  }
}

/**
 * The lines of a range of `mapping`: Buffers over it, or strings made of a copy.
 *
 * @param lookUp fills a table with lines from `start` on, and returns how many: see `mappingLines`
 */
export function* lines(
  mapping: Mapping,
  { encoding, start, end }: LinesRequest,
  lookUp: (start: number, table: Uint8Array) => number,
): Generator<Buffer | string, undefined> {
  /** Where each line ends, and where the next one starts. */
  const table = new Float64Array(2 * LINES)
  const tableBytes = new Uint8Array(table.buffer)
  let copy = Buffer.alloc(0)
  for (let from = start; from < end;) {
    const asOf = resizes()
    const count = lookUp(from, tableBytes)
    const base = from
    const length = (table[2 * count - 1] as number) - base
    if (encoding !== undefined && copy.length < length) copy = Buffer.allocUnsafeSlow(length)
    const bytes =
      encoding === undefined
        ? mapping.view(Buffer, base, length)
        : mapping.read(base, copy.subarray(0, length))
    for (let index = 0; index < 2 * count; index += 2) {
      const lineStart = from - base
      const lineEnd = (table[index] as number) - base
      from = table[index + 1] as number
      yield encoding === undefined
        ? bytes.subarray(lineStart, lineEnd)
        : bytes.toString(encoding, lineStart, lineEnd)
      if (mapping.closed) throw closed()
      // Bytes may have moved, or gone: the next line is looked up anew.
      if (resizes() !== asOf) break
    }
  }
}
