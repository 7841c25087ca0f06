/** A file that is on the device: how long the event loop stands still while it is paged in. */
import { execFileSync } from 'node:child_process'
import { closeSync, fsyncSync, openSync, readSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import type { Mapping } from 'mmap-native'
import { type Answer, type Contender, MiB, type Measure, PAGE, ours } from '../measure'

/** Takes a file that nobody has mapped out of the page cache: POSIX_FADV_DONTNEED, which dd(1) calls for us. */
function evict(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none'])
  const { Mapping, mincore } = ours()
  using mapping = Mapping.open(path)
  const pages = mincore(mapping.address, mapping.length)
  const resident = pages.reduce((count, page) => count + (page & 1), 0)
  if (resident > pages.length / 100)
    throw new Error('the file stays in memory: on this file system, or on this system')
}

/** How long the event loop was away from a timer of 1 ms, each time. */
class Delays {
  readonly #all: number[] = []
  #last = performance.now()
  #timer: NodeJS.Timeout

  constructor() {
    this.#timer = setTimeout(() => this.#tick(), 1)
  }

  #tick(): void {
    const now = performance.now()
    this.#all.push(Math.max(0, now - this.#last - 1))
    this.#last = now
    this.#timer = setTimeout(() => this.#tick(), 1)
  }

  end(): { p99: number; max: number } {
    clearTimeout(this.#timer)
    this.#all.push(Math.max(0, performance.now() - this.#last - 1))
    const sorted = this.#all.toSorted((a, b) => a - b)
    const ns = (at: number) => (sorted[Math.min(at, sorted.length - 1)] ?? 0) * 1e6
    return { p99: ns(Math.floor(sorted.length * 0.99)), max: ns(sorted.length - 1) }
  }
}

/** The file in memory, and what gives it back when the clock has stopped. */
interface Warm {
  /** The last byte. */
  byte: number
  release?: () => void
}

/** `work` gets the file into memory; it is cold when the clock starts. */
const cold =
  (work: (path: string, size: number) => Promise<Warm>): NonNullable<Contender['start']> =>
  ({ files, size }) => {
    const path = files['file'] as string
    return async (): Promise<Answer> => {
      evict(path)
      // What happens once is not the file's: the turn of the loop before is over.
      await new Promise((resolve) => setTimeout(resolve, 20))
      const delays = new Delays()
      const start = process.hrtime.bigint()
      const { byte, release } = await work(path, size)
      const ns = Number(process.hrtime.bigint() - start)
      const figures = { ns, ...delays.end() }
      release?.()
      return { result: byte, figures }
    }
  }

const CHUNK = MiB

const lastByte = (bytes: Uint8Array): Warm => ({ byte: bytes.at(-1) as number })

const lastMapped = (mapping: Mapping): Warm => ({
  ...lastByte(mapping.bytes),
  release: () => mapping.unmap(),
})

const contenders: Contender[] = [
  {
    name: 'fs.readSync, 1 MiB at a time',
    runtime: 'node',
    start: cold(async (path, size) => {
      const [fd, chunk] = [openSync(path, 'r'), Buffer.alloc(CHUNK)]
      let length = 0
      for (let at = 0; at < size; at += CHUNK) length = readSync(fd, chunk, 0, CHUNK, at)
      closeSync(fd)
      return lastByte(chunk.subarray(0, length))
    }),
  },
  {
    name: 'FileHandle.read, 1 MiB at a time',
    runtime: 'node',
    start: cold(async (path, size) => {
      const [file, chunk] = [await open(path), Buffer.alloc(CHUNK)]
      let length = 0
      for (let at = 0; at < size; at += CHUNK) length = (await file.read(chunk, 0, CHUNK, at)).bytesRead
      await file.close()
      return lastByte(chunk.subarray(0, length))
    }),
  },
  {
    name: 'prefetch()',
    ours: true,
    runtime: 'node',
    start: cold(async (path) => {
      const mapping = ours().Mapping.open(path)
      await mapping.prefetch()
      return lastMapped(mapping)
    }),
  },
  {
    name: 'a mapping, touched',
    ours: true,
    runtime: 'node',
    start: cold(async (path) => {
      const mapping = ours().Mapping.open(path)
      const { bytes } = mapping
      let sum = 0
      for (let at = 0; at < bytes.length; at += PAGE) sum += bytes[at] as number
      if (sum === 0) throw new Error('the file is empty')
      return lastMapped(mapping)
    }),
  },
  {
    name: 'fs.promises.readFile',
    runtime: 'node',
    start: cold(async (path) => lastByte(await readFile(path))),
  },
]

export const coldFile: Measure = {
  name: 'cold-file',
  title: 'Paging in a cold file of 2 GiB',
  about:
    'The page cache is dropped before each turn. Beside the total: by how much a timer of 1 ms was late meanwhile, at the 99th ' +
    'percentile and at most. (2 GiB less one page: more is too much for `readFile`.)',
  figures: [
    { name: 'ns', unit: 'ns', title: 'in all' },
    { name: 'p99', unit: 'ns', title: 'delay, p99' },
    { name: 'max', unit: 'ns', title: 'delay, max' },
  ],
  turns: 5,
  contenders,
  targets: [
    {
      text: 'longest delay with prefetch(), in ms',
      value: ({ figure }) => {
        const ns = figure('prefetch()', 'max')
        return ns === undefined ? undefined : ns / 1e6
      },
      atMost: 10,
    },
    {
      text: 'time of prefetch() to sequential read',
      value: ({ ratio }) => ratio('fs.readSync, 1 MiB at a time', 'prefetch()'),
      atMost: 1.1,
    },
  ],
  missing: () => (process.platform === 'linux' ? undefined : 'files are made cold with dd(1) of Linux'),
  prepare: ({ pick, file }) => {
    const size = pick(2048, 256, 2) * MiB - PAGE
    return { count: 1, size, files: { file: file('cold', size) } }
  },
}
