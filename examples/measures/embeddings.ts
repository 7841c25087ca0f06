import { closeSync, fstatSync, openSync, readSync, statfsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { GiB, type Measure } from '../../bench/measure'
import { COLUMNS, makeMatrix } from '../support/matrix'
import { type First, firstAnswer, type Way } from './first-answer'

type Matrix = Parameters<typeof import('../embeddings.js').startWorkers>[0]

const QUERY = Float32Array.from({ length: COLUMNS }, (_, column) => Math.sin(column))
const ROW = COLUMNS * 4

/** A whole file in memory that threads can share: no thread needs a copy of its own. */
function load(file: string): Float32Array {
  const fd = openSync(file, 'r')
  try {
    const bytes = new Uint8Array(new SharedArrayBuffer(fstatSync(fd).size))
    for (let at = 0; at < bytes.length;) at += readSync(fd, bytes, at, Math.min(GiB, bytes.length - at), at)
    return new Float32Array(bytes.buffer)
  } finally {
    closeSync(fd)
  }
}

/** The ten rows that are most like a vector. */
async function loadSearch(): Promise<(matrix: Matrix, file: string) => Promise<First>> {
  const { ask, startWorkers } = await import('../embeddings.js')
  return async (matrix, file) => {
    const workers = startWorkers(matrix, statSync(file).size / ROW)
    return { result: JSON.stringify(await ask(workers, QUERY, 10)), keep: [matrix, workers] }
  }
}

const ways: readonly Way[] = [
  {
    name: 'fs.readSync into shared memory',
    async load() {
      const search = await loadSearch()
      return (file) => search(load(file), file)
    },
  },
  {
    name: 'mmap-native',
    ours: true,
    async load() {
      const [search, { Mapping }] = await Promise.all([loadSearch(), import('mmap-native')])
      return async (file) => {
        const mapping = Mapping.open(file)
        const { result, keep } = await search(mapping.share(), file)
        return { result, keep: [keep, mapping] }
      }
    },
  },
]

export const embeddings: Measure = {
  ...firstAnswer(
    {
      name: 'embeddings',
      title: 'Embeddings: the 10 nearest of 1,000,000 rows of 256 numbers, in 4 workers',
      about:
        'A matrix of 1.02 GB (Float32). Four workers are started, and each goes through its quarter of it: every page is looked at. The workers ' +
        'are a part of the time and of the memory.',
      prepare({ pick, newFile }) {
        const file = newFile('embeddings.f32')
        makeMatrix(file, pick(1_000_000, 50_000, 1000))
        return { count: 1, files: { file } }
      },
    },
    ways,
  ),
  missing({ pick }) {
    if (process.platform !== 'linux') return '/proc/self/status is of Linux'
    const { bavail, bsize } = statfsSync(tmpdir())
    return bavail * bsize < pick(2 * GiB, GiB, GiB) ? 'there is too little room for its file' : undefined
  },
}
