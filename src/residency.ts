/** What of a mapping is in memory, and what is to be: `residency()`, `lock()` and `evict()` of {@link Mapping}. */
import type * as Binding from '../native/binding'
import { unavailable } from './errors'
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
  maxRanges?: number | undefined
  /** Aborts within a few milliseconds. */
  signal?: AbortSignal | undefined
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

/** Options of {@link Mapping.lock}. */
export interface LockOptions {
  /** Keep each page from when it is first used, and bring none in now (Linux). Default: `false`. */
  onFault?: boolean | undefined
  /** Aborts within a few milliseconds: what is locked by then is locked. */
  signal?: AbortSignal | undefined
}

/** Checks the options of {@link Mapping.lock}. */
export function lockRequest(options: unknown): { onFault: boolean; signal: AbortSignal | undefined } {
  const { onFault: later = false, signal } = validate.options(options, ['onFault', 'signal'])
  const onFault = validate.boolean('options.onFault', later)
  if (onFault && process.platform !== 'linux') throw unavailable('onFault', 'there is no mlock2(2)')
  return { onFault, signal: validate.signal('options.signal', signal) }
}

/** Options of {@link Mapping.evict}. */
export interface EvictOptions {
  /** Drop pages that are stored from the page cache of the system, too (Linux). Default: `false`. */
  pageCache?: boolean | undefined
  /** Aborts within a few milliseconds: what is dropped by then is dropped. */
  signal?: AbortSignal | undefined
}

/** What {@link Mapping.evict} has dropped. */
export interface Eviction {
  /** Bytes of pages that the process had in its page tables; `undefined` elsewhere than on Linux. */
  fromProcess: number | undefined
  /**
   * Bytes of pages that have gone from the page cache; `undefined` without `pageCache`. 0 for a file that the process may not write and does
   * not own: the kernel does not tell what is in memory of it.
   */
  fromPageCache: number | undefined
}

/** Checks the options of {@link Mapping.evict}. */
export function evictRequest(options: unknown): { pageCache: boolean; signal: AbortSignal | undefined } {
  const { pageCache: all = false, signal } = validate.options(options, ['pageCache', 'signal'])
  const pageCache = validate.boolean('options.pageCache', all)
  if (pageCache && process.platform !== 'linux')
    throw unavailable('pageCache', 'there is no posix_fadvise(2)')
  return { pageCache, signal: validate.signal('options.signal', signal) }
}

/** The page cache keeps pages in units of at most so many bytes: one on the border of two slices is the later one's to drop. */
const LARGEST_UNIT = 4 * 1024 * 1024

/** @param drop drops pages from `at` on; `behind` bytes before are dropped already: see `mappingEvict` */
export async function evict(
  start: number,
  end: number,
  { pageCache, signal }: { pageCache: boolean; signal: AbortSignal | undefined },
  drop: (at: number, rest: number, behind: number) => Promise<Binding.EvictionProgress>,
): Promise<Eviction> {
  let fromProcess = 0 as number | undefined
  let fromPageCache = 0
  await inPieces(start, end, signal, async (at, rest) => {
    const slice = await drop(at, rest, Math.min(at - start, LARGEST_UNIT))
    const more = slice.fromProcess
    fromProcess = fromProcess === undefined || more === undefined ? undefined : fromProcess + more
    fromPageCache += slice.fromPageCache
    return slice.done
  })
  return { fromProcess, fromPageCache: pageCache ? fromPageCache : undefined }
}
