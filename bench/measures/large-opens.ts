/** Large mappings one after the other, in a process with much on its heap: what they cost the garbage collector. */
import { PerformanceObserver, constants } from 'node:perf_hooks'
import { type Answer, type Contender, GiB, type Measure, ours, type Setup } from '../measure'
import { type Way, peerContenders, toBestPeer } from '../peers'

/** Bytes that one element of the live heap takes. */
const ELEMENT = 40

/** Objects that live as long as the process. */
let live: { index: number; next: object | null }[] = []

function fillHeap(bytes: number): void {
  const count = Math.floor(bytes / ELEMENT)
  live = Array.from({ length: count }, (_, index) => ({ index, next: null }))
}

/** Counts full collections, where the runtime tells of them. */
class FullCollections {
  #count = 0
  readonly #observer: PerformanceObserver | undefined

  constructor() {
    const { supportedEntryTypes } = PerformanceObserver as unknown as { supportedEntryTypes: string[] }
    if (!supportedEntryTypes.includes('gc')) return
    this.#observer = new PerformanceObserver((list) => this.#add(list.getEntries()))
    this.#observer.observe({ entryTypes: ['gc'] })
  }

  #add(entries: object[]): void {
    const isFull = ({ detail }: { detail?: { kind?: number } }) =>
      detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR
    this.#count += entries.filter(isFull).length
  }

  /** How many there were until now. */
  async count(): Promise<number | undefined> {
    if (this.#observer === undefined) return undefined
    await new Promise((resolve) => setTimeout(resolve, 10))
    this.#add(this.#observer.takeRecords())
    return this.#count
  }
}

/** `open` maps, touches and unmaps, and returns the byte. */
async function turn(
  count: number,
  seconds: number,
  collections: FullCollections,
  open: () => number,
): Promise<Answer> {
  const before = await collections.count()
  const start = performance.now()
  let done = 0
  let sum = 0
  while (done < count && performance.now() - start < seconds * 1000) {
    sum += open()
    done++
  }
  const ms = performance.now() - start
  const after = await collections.count()
  const figures: Answer['figures'] = { ns: (ms * 1e6) / done }
  if (before !== undefined && after !== undefined) figures['collections'] = ((after - before) / done) * 1000
  return { result: sum / done, figures }
}

function start(open: (setup: Setup) => () => number): NonNullable<Contender['start']> {
  return async (setup) => {
    const once = open(setup)
    const { heap, seconds } = setup as LargeSetup
    fillHeap(heap)
    const collections = new FullCollections()
    return async (check) => {
      const answer = await turn(check ? 3 : setup.count, seconds, collections, once)
      if (live.length === 0) throw new Error('the heap is empty')
      return answer
    }
  }
}

interface LargeSetup extends Setup {
  /** Bytes of the live heap. */
  heap: number
  /** So long a turn of a slow contender takes; its figures are for one mapping all the same. */
  seconds: number
}

const mine = (setup: Setup) => {
  const { Mapping } = ours()
  const path = setup.files['file'] as string
  return () => {
    const mapping = Mapping.open(path)
    const byte = mapping.bytes[0] as number
    mapping.unmap()
    return byte
  }
}

const theirs = (way: Way) => (setup: Setup) => {
  const { fromPath } = way.load(setup)
  const path = setup.files['file'] as string
  return () => {
    const { bytes, unmap } = fromPath(path, setup.size)
    const byte = bytes[0] as number
    unmap()
    return byte
  }
}

export const largeOpens: Measure = {
  name: 'large-opens',
  title: 'Open, touch and unmap 1 GiB, with 300 MB on the heap',
  about:
    'A file of 1 GiB is opened and mapped, a Buffer made over it, one byte read, and the mapping given back, 1,000 times or for 3 seconds. ' +
    'The two that cannot unmap leave that to the collector.',
  figures: [
    { name: 'ns', unit: 'ns', title: 'each' },
    { name: 'collections', unit: 'times', title: 'full collections in 1,000' },
  ],
  turns: 3,
  contenders: [
    { name: 'mmap-native', ours: true, runtime: 'node', start: start(mine) },
    ...peerContenders((way) => start(theirs(way))),
  ],
  targets: [
    {
      text: 'full collections',
      value: ({ figure }) => figure('mmap-native', 'collections'),
      atMost: 0,
    },
    { text: 'speed of the nearest peer', value: toBestPeer('mmap-native', 'all'), atLeast: 20 },
  ],
  prepare: ({ pick, file }) => {
    const setup: Partial<LargeSetup> & { count: number } = {
      count: pick(1000, 200, 5),
      size: GiB,
      files: { file: file('sparse', GiB) },
      heap: pick(300e6, 300e6, 10e6),
      seconds: pick(3, 0.5, 0.1),
    }
    return setup
  },
}
