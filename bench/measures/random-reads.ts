/** Reads of 8 bytes all over 1 GiB that is in memory: what a view costs in a hot loop. */
import { readSync, openSync } from 'node:fs'
import type { Mapping } from 'mmap-native'
import { type Answer, type Contender, GiB, MiB, type Measure, type Setup, ours, timed } from '../measure'

/** Compiled for the one kind of buffer that its process has, as in a program that uses one. */
function readFloats(values: Float64Array, count: number): number {
  const mask = values.length - 1
  let [sum, state] = [0, 12345]
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    sum += values[(state >>> 3) & mask] as number
  }
  return sum
}

function readView(view: DataView, count: number): number {
  const mask = view.byteLength / 8 - 1
  let [sum, state] = [0, 12345]
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    sum += view.getFloat64(((state >>> 3) & mask) * 8, true)
  }
  return sum
}

const turns =
  (setup: Setup, run: (count: number) => number) =>
  (check: boolean): Answer =>
    timed(check ? 10_000 : setup.count, run)

function onHeap(setup: Setup): ArrayBuffer {
  const heap = new ArrayBuffer(setup.size)
  const fd = openSync(setup.files['file'] as string, 'r')
  const step = Math.min(64 * MiB, setup.size)
  for (let at = 0; at < setup.size; at += step) readSync(fd, new Uint8Array(heap, at, step), 0, step, at)
  return heap
}

/** All of it in memory, and in the page tables, before the clock starts. */
async function mapped(setup: Setup): Promise<Mapping> {
  const mapping = ours().Mapping.open(setup.files['file'] as string)
  await mapping.prefetch()
  return mapping
}

const contenders: Contender[] = [
  {
    name: 'Float64Array of the heap',
    runtime: 'node',
    start(setup) {
      const values = new Float64Array(onHeap(setup))
      return turns(setup, (count) => readFloats(values, count))
    },
  },
  {
    name: 'Float64Array of a Mapping',
    ours: true,
    runtime: 'node',
    async start(setup) {
      const values = (await mapped(setup)).view(Float64Array)
      return turns(setup, (count) => readFloats(values, count))
    },
  },
  {
    name: 'DataView of the heap',
    runtime: 'node',
    start(setup) {
      const view = new DataView(onHeap(setup))
      return turns(setup, (count) => readView(view, count))
    },
  },
  {
    name: 'DataView of a Mapping',
    ours: true,
    runtime: 'node',
    async start(setup) {
      const view = (await mapped(setup)).dataView
      return turns(setup, (count) => readView(view, count))
    },
  },
]

export const randomReads: Measure = {
  name: 'random-reads',
  title: 'Random 8-byte reads in 1 GiB',
  about:
    'One read anywhere in memory that is warm: a number of a view over the file, and of an array of the heap.',
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  contenders,
  targets: [
    {
      text: 'Float64Array, mapped to heap',
      value: ({ ratio }) => ratio('Float64Array of a Mapping', 'Float64Array of the heap'),
      atLeast: 0.97,
    },
    {
      text: 'DataView, mapped to heap',
      value: ({ ratio }) => ratio('DataView of a Mapping', 'DataView of the heap'),
      atLeast: 0.97,
    },
  ],
  prepare: ({ pick, file }) => {
    const size = pick(GiB, 256 * MiB, MiB)
    return { count: pick(5_000_000, 1_000_000, 10_000), size, files: { file: file('text', size) } }
  },
}
