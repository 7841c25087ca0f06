/**
 * Mappings in worker threads, which end at any time. In a child, the main thread does not load the package before the
 * workers have: then the addon is loaded, and perhaps unloaded, by them.
 */
import * as assert from 'node:assert/strict'
import { once } from 'node:events'
import { isMainThread, parentPort, workerData, Worker } from 'node:worker_threads'
import { deflate } from 'node:zlib'
import { inChild } from './support/child'
import { newFile, pattern, patternAt } from './support/files'
import { chosen } from './support/harness'
import { census, collected, mapped, noProc } from './support/memory'
import type * as Package from 'mmap-native'

const SIZE = 1 << 17
const WORKERS = 20
const FEW = 16

const load = (): typeof Package => require('mmap-native') as typeof Package

// What workers do

function openSome(path: string): Buffer[] {
  const { Mapping } = load()
  const mappings = Array.from({ length: 10 }, () => Mapping.open(path, { access: 'write' }))
  const all = mappings.map((mapping) => mapping.bytes)
  for (const mapping of mappings.slice(0, 5)) mapping.unmap()
  return all
}

let kept: unknown

const jobs = {
  /** Ends by itself with live mappings. */
  ends(path: string) {
    kept = openSome(path)
    parentPort?.postMessage('mapped')
  },

  /** Says that it has mapped, and waits for its end. */
  waits(path: string) {
    kept = openSome(path)
    setInterval(() => kept, 1000)
    parentPort?.postMessage('mapped')
  },

  /** Maps and unmaps until it is terminated. */
  loops(path: string) {
    parentPort?.postMessage('mapped')
    const { Mapping } = load()
    for (let i = 0; ; i++) {
      const mapping = Mapping.open(path)
      kept = mapping.bytes[i % SIZE]
      // The rest is for the collector, which a loop without an end leaves no time in some runtimes.
      if (i % 3 > 0 || i > 100) mapping.unmap()
    }
  },

  /** Has its mappings at work in the thread pool. */
  works(path: string) {
    const { Mapping } = load()
    for (let i = 0; i < 4; i++) {
      const mapping = Mapping.open(path, { access: 'write' })
      deflate(mapping.bytes, () => {})
      void mapping.flush()
    }
    parentPort?.postMessage('mapped')
  },

  /** Gives its memory to the main thread, and ends. */
  gives(path: string) {
    parentPort?.postMessage(load().Mapping.open(path, { views: 'shared' }).buffer)
  },

  /** Gives its memory to the main thread, unmaps it, and ends. */
  givesAndUnmaps(path: string) {
    const mapping = load().Mapping.open(path, { views: 'shared' })
    parentPort?.postMessage(mapping.buffer)
    mapping.unmap()
  },

  /** Gives a view of the kind that is copied to the main thread. */
  givesCopy(path: string) {
    parentPort?.postMessage(load().Mapping.open(path, { views: 'detachable' }).bytes)
  },

  /** Reads what the main thread maps, until that reads zeros. */
  reads(buffer: unknown) {
    const bytes = new Uint8Array(buffer as ArrayBuffer)
    parentPort?.postMessage(`reading ${bytes[0]}`)
    let reads = 0
    while (bytes[(reads * 4096) % SIZE] !== 0) reads++
    parentPort?.postMessage('zeros')
  },
}

if (!isMainThread) {
  const { job, input } = workerData as { job: keyof typeof jobs; input: never }
  jobs[job](input)
}

// What the main thread sees

const started = (job: keyof typeof jobs, input: unknown): Worker =>
  new Worker(__filename, { workerData: { job, input } })

async function messageOf(worker: Worker): Promise<unknown> {
  const [message] = (await once(worker, 'message')) as [unknown]
  return message
}

async function endOf(worker: Worker): Promise<unknown> {
  const [code] = (await once(worker, 'exit')) as [unknown]
  return code
}

const isPattern = (array: Uint8Array): boolean => array.every((byte, i) => byte === patternAt(i))

/** Waits until the package holds next to nothing in the process, of any thread. */
async function freed(): Promise<void> {
  await collected(() => census().live <= FEW && census().retired <= FEW, census)
  console.log('nothing left')
}

/** Why mappings of workers are not freed before the process ends. */
const { bun, deno } = process.versions
const neverFreed =
  bun === undefined && deno === undefined
    ? undefined
    : 'this runtime does not run all finalizers of a worker that has ended'

/** Ways of ending workers. */
const endings: Record<string, (path: string, count: number) => Promise<void>> = {
  async 'terminated before they have begun'(path, count) {
    const workers = Array.from({ length: count }, () => started('waits', path))
    await Promise.all(workers.map((worker) => worker.terminate()))
  },
}
for (const job of ['waits', 'loops', 'works'] as const) {
  endings[`terminated all at once (${job})`] = async (path, count) => {
    const workers = Array.from({ length: count }, () => started(job, path))
    await Promise.all(workers.map(messageOf))
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
  endings[`terminated as soon as each has mapped (${job})`] = async (path, count) => {
    const end = async () => {
      const worker = started(job, path)
      await messageOf(worker)
      await worker.terminate()
    }
    await Promise.all(Array.from({ length: count }, end))
  }
}
for (const job of ['ends', 'works'] as const) {
  endings[`left to end by themselves (${job})`] = async (path, count) => {
    // One after the other first: the addon is loaded, and perhaps unloaded, by each of them.
    for (let i = 0; i < 3; i++) assert.equal(await endOf(started(job, path)), 0)
    await Promise.all(Array.from({ length: count }, () => endOf(started(job, path))))
  }
}

for (const [name, run] of Object.entries(endings)) {
  inChild(
    `workers with mappings are ${name}`,
    async () => {
      const path = newFile(pattern(SIZE))
      await run(path, WORKERS)
      // Again, beside a mapping of this thread.
      const { bytes } = load().Mapping.open(path)
      await run(path, 5)
      console.log(isPattern(bytes), isPattern(load().Mapping.open(path).bytes))
    },
    { prints: ['true true'] },
  )

  inChild(
    `nothing is left of the mappings of workers that are ${name}`,
    async () => {
      await run(newFile(pattern(SIZE)), WORKERS)
      load()
      await freed()
    },
    { prints: ['nothing left'], skip: neverFreed },
  )
}

/** Looked up where there is nothing to test: see above. */
const noShared =
  isMainThread && chosen === undefined
    ? (require('./support/kinds') as typeof import('./support/kinds')).noShared
    : undefined

async function takeFromWorkers(path: string): Promise<SharedArrayBuffer[]> {
  const given: SharedArrayBuffer[] = []
  for (let i = 0; i < 5; i++) {
    const worker = started('gives', path)
    const end = endOf(worker)
    given.push((await messageOf(worker)) as SharedArrayBuffer)
    await end
  }
  return given
}

inChild(
  'memory that a worker gave to the main thread outlives the worker, where the package was never loaded',
  async () => {
    const path = newFile(pattern(SIZE))
    const given = await takeFromWorkers(path)
    await collected(() => true)
    console.log(...given.map((buffer) => isPattern(new Uint8Array(buffer))))
  },
  { prints: ['true true true true true'], skip: noShared },
)

inChild(
  'memory that a worker gave to the main thread is freed when that drops it, where the package was never loaded',
  async () => {
    const path = newFile(pattern(SIZE))
    let given: SharedArrayBuffer[] | undefined = await takeFromWorkers(path)
    console.log(mapped(path) > 0, given.length)
    given = undefined
    await collected(
      () => mapped(path) <= 1,
      () => mapped(path),
    )
    console.log('nothing left')
  },
  { prints: ['true 5', 'nothing left'], skip: noShared ?? neverFreed ?? noProc },
)

inChild(
  'memory that a worker gave to the main thread and unmapped reads zeros',
  async () => {
    const path = newFile(pattern(SIZE))
    const worker = started('givesAndUnmaps', path)
    const end = endOf(worker)
    const bytes = new Uint8Array((await messageOf(worker)) as SharedArrayBuffer)
    await end
    console.log(bytes.length, bytes[0], bytes[SIZE - 1])
    bytes.fill(9)
    console.log(isPattern(load().Mapping.open(path).bytes))
  },
  { prints: [`${SIZE} 0 0`, 'true'], skip: noShared },
)

inChild(
  'an ArrayBuffer view that a worker posts arrives as a copy',
  async () => {
    const worker = started('givesCopy', newFile(pattern(SIZE)))
    const end = endOf(worker)
    const bytes = (await messageOf(worker)) as Uint8Array
    await end
    console.log(isPattern(bytes))
    await freed()
  },
  { prints: ['true', 'nothing left'] },
)

inChild(
  'unmap() in the main thread while a worker reads the memory',
  async () => {
    const mapping = load().Mapping.open(newFile(pattern(SIZE)), { views: 'shared' })
    const worker = started('reads', mapping.buffer)
    console.log(await messageOf(worker))
    const last = messageOf(worker)
    const end = endOf(worker)
    mapping.unmap()
    console.log(await last, await end)
    await freed()
  },
  { prints: [`reading ${patternAt(0)}`, 'zeros 0', 'nothing left'], skip: noShared },
)

inChild(
  'process.exit() while workers have live mappings',
  async () => {
    const path = newFile(pattern(SIZE))
    const names = ['waits', 'loops', 'works', 'ends'] as const
    const workers = names.map((job) => started(job, path))
    await Promise.all(workers.map(messageOf))
    kept = openSome(path)
    console.log('mapped')
    process.exit(5)
  },
  { prints: ['mapped'], code: 5 },
)
