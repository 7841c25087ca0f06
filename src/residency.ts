/** What of a mapping is in memory: `Mapping.residency()`. */
import { inPieces } from './pieces'
import { native } from './native'
import * as validate from './validate'

/** A range of bytes of a mapping. */
export interface ByteRange {
  /** From the start of the mapping, in bytes. */
  offset: number
  /** Bytes. */
  length: number
}

/** What of a range is in memory. */
export interface Residency {
  /** Bytes of the range that are in memory. */
  residentBytes: number
  /** Pages that hold a part of the range and are in memory. */
  residentPages: number
  /** Pages that hold a part of the range. */
  pages: number
  /** Bytes in a page. */
  pageSize: number
  /** What is in memory, in order: the first `maxRanges` ranges. */
  ranges: ByteRange[]
  /** How many ranges there are beyond those. */
  omittedRanges: number
  /**
   * A bit for each page, 1 if it is in memory: page `i` is `(bitmap[i >> 3] >> (i & 7)) & 1`, the lowest bit of a byte first. Page 0 is the one
   * that holds the first byte of the range. The bits behind the last page are 0.
   */
  bitmap: Uint8Array
}

/** Options of {@link Mapping.residency}. */
export interface ResidencyOptions {
  /** How many ranges are listed at most. Default: 10,000. */
  maxRanges?: number
  /** Aborts within a few milliseconds. */
  signal?: AbortSignal
}

/** Where the pages lie: `lead` is the offset in the file of byte 0, of which only the place in its page counts. */
interface Extent {
  lead: number
  start: number
  end: number
}

interface Request {
  maxRanges: number
  signal: AbortSignal | undefined
}

/** Checks the options of {@link Mapping.residency}. */
export function request(options: unknown): Request {
  const { maxRanges = 10_000, signal } = validate.options(options, ['maxRanges', 'signal'])
  return {
    maxRanges: validate.integer('options.maxRanges', maxRanges),
    signal: validate.signal('options.signal', signal),
  }
}

/** @param look resolves to the bits of the first pages of what is left, eight to a byte: see `mappingResidency` */
export async function residency(
  { lead, start, end }: Extent,
  { maxRanges, signal }: Request,
  look: (at: number, rest: number) => Promise<Uint8Array>,
): Promise<Residency> {
  const pageSize = native.pageSize()
  /** Where page 0 starts: before the mapping, if that starts within a page. */
  const base = start - ((lead + start) % pageSize)
  const pages = start === end ? 0 : Math.ceil((end - base) / pageSize)
  const bitmap = new Uint8Array(Math.ceil(pages / 8))
  const found: Residency = {
    residentBytes: 0,
    residentPages: 0,
    pages,
    pageSize,
    ranges: [],
    omittedRanges: 0,
    bitmap,
  }
  const add = (from: number, to: number) => {
    const offset = Math.max(start, base + from * pageSize)
    const length = Math.min(end, base + to * pageSize) - offset
    found.residentPages += to - from
    found.residentBytes += length
    if (found.ranges.length < maxRanges) found.ranges.push({ offset, length })
    else found.omittedRanges++
  }
  /** The first page of a run of pages in memory, while there is one. */
  let run: number | undefined
  await inPieces(start, end, signal, async (at, rest) => {
    const bits = await look(at, rest)
    if (bits.length === 0) return rest
    const first = (at - ((lead + at) % pageSize) - base) / pageSize
    bitmap.set(bits, first / 8)
    for (const [index, byte] of bits.entries()) {
      // Most bytes go on as the one before.
      if (byte === (run === undefined ? 0 : 0xff)) continue
      for (let bit = 0; bit < 8; bit++) {
        const page = first + 8 * index + bit
        const isResident = ((byte >> bit) & 1) === 1
        if (isResident && run === undefined) run = page
        if (!isResident && run !== undefined) {
          add(run, page)
          run = undefined
        }
      }
    }
    return Math.min(end, base + (first + 8 * bits.length) * pageSize) - at
  })
  if (run !== undefined) add(run, pages)
  return found
}
