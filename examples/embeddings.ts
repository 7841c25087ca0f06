/** The rows of a matrix in a file that are most like a vector, found by four workers over one mapping. */
import { once } from 'node:events'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Mapping, type MappingToken } from 'mmap-native'
import { COLUMNS, type Hit, makeMatrix, nearest } from './support/matrix'
import { inScratchFolder } from './support/scratch'

const WORKERS = 4
type Part = Readonly<{ matrix: MappingToken | Float32Array; start: number; end: number }>

if (!isMainThread) {
  const { matrix: shared, start, end } = workerData as Part
  const matrix = 'buffer' in shared ? shared : Mapping.attach(shared).view(Float32Array)
  parentPort?.on('message', ([query, count]: [Float32Array, number]) => {
    parentPort?.postMessage(nearest(matrix, query, count, start, end))
  })
}

/** Starts the workers: each has its part of the rows, of a mapping or of memory that the threads share. */
export function startWorkers(matrix: Part['matrix'], rows: number): Worker[] {
  const bounds = Array.from({ length: WORKERS + 1 }, (_, index) => Math.floor((rows * index) / WORKERS))
  const parts = bounds.slice(1).map((end, index): Part => ({ matrix, start: bounds[index]!, end }))
  return parts.map((workerData) => new Worker(__filename, { workerData }))
}

/** Asks all of them: one question at a time. */
export async function ask(workers: readonly Worker[], query: Float32Array, count: number): Promise<Hit[]> {
  const answers = workers.map((worker) => once(worker, 'message') as Promise<[Hit[]]>)
  for (const worker of workers) worker.postMessage([query, count])
  const hits = (await Promise.all(answers)).flatMap(([hits]) => hits)
  return hits.toSorted(([, one], [, other]) => other - one).slice(0, count)
}

async function main(folder: string): Promise<void> {
  const path = join(folder, 'embeddings.f32')
  makeMatrix(path, 10_000)
  using mapping = Mapping.open(path)
  const workers = startWorkers(mapping.share(), 10_000)
  console.log(
    'most like row 4321:',
    await ask(workers, mapping.view(Float32Array, 4321 * COLUMNS * 4, COLUMNS).slice(), 3),
  )
  await Promise.all(workers.map((worker) => worker.terminate()))
}

if (isMainThread && require.main === module) void inScratchFolder(main)
