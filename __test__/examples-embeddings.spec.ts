/** examples/embeddings: four workers over one mapping find what a loop over the numbers read finds. */
import test, { type ExecutionContext } from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { Mapping } from 'mmap-native'
import { ask, startWorkers } from '../examples/embeddings'
import { COLUMNS, type Hit, makeMatrix } from '../examples/support/matrix'
import { scratchFolder } from './support/files'

const ROWS = 2003 // the parts are not equal

function matrixFile(t: ExecutionContext): string {
  const path = join(scratchFolder(t), 'embeddings.f32')
  makeMatrix(path, ROWS)
  return path
}

const load = (path: string) => new Float32Array(new Uint8Array(readFileSync(path)).buffer)
const rowOf = (matrix: Float32Array, row: number) => matrix.slice(row * COLUMNS, (row + 1) * COLUMNS)

/** All scores, sorted. */
function expectedHits(matrix: Float32Array, query: Float32Array, count: number): Hit[] {
  const score = (row: number) =>
    rowOf(matrix, row).reduce((sum, value, column) => sum + value * query[column]!, 0)
  const hits = Array.from({ length: ROWS }, (_, row): Hit => [row, score(row)])
  return hits.toSorted(([, one], [, other]) => other - one).slice(0, count)
}

const end = (workers: readonly Worker[]) => Promise.all(workers.map((worker) => worker.terminate()))

test('the rows that are nearest are those of a matrix that was read', async (t) => {
  const path = matrixFile(t)
  const matrix = load(path)
  t.is(matrix.length, ROWS * COLUMNS)
  using mapping = Mapping.open(path)
  const workers = startWorkers(mapping.share(), ROWS)
  for (const row of [0, 500, 501, 1002, ROWS - 1]) {
    const query = rowOf(matrix, row)
    const hits = await ask(workers, query, 7)
    t.deepEqual(hits, expectedHits(matrix, query, 7))
    t.is(hits[0]?.[0], row)
  }
  t.is((await ask(workers, rowOf(matrix, 3), ROWS + 10)).length, ROWS)
  await end(workers)
})

test('memory that threads share gives the same', async (t) => {
  const path = matrixFile(t)
  const matrix = load(path)
  const shared = new Float32Array(new SharedArrayBuffer(matrix.byteLength))
  shared.set(matrix)
  const workers = startWorkers(shared, ROWS)
  const query = rowOf(matrix, 77)
  t.deepEqual(await ask(workers, query, 5), expectedHits(matrix, query, 5))
  await end(workers)
})

test('workers look at the mapping itself: a row that is written is found', async (t) => {
  const path = matrixFile(t)
  using mapping = Mapping.open(path, { access: 'write' })
  const workers = startWorkers(mapping.share(), ROWS)
  const query = new Float32Array(COLUMNS).fill(1)
  mapping.view(Float32Array, 1500 * COLUMNS * 4, COLUMNS).set(query)
  t.deepEqual((await ask(workers, query, 1))[0], [1500, COLUMNS])
  await end(workers)
})

test('a worker that cannot attach makes the question fail', async (t) => {
  const mapping = Mapping.open(matrixFile(t))
  const token = mapping.share()
  mapping.unmap()
  const workers = startWorkers(token, ROWS)
  // An error of another thread is a copy, and of no class of this one.
  await t.throwsAsync(ask(workers, new Float32Array(COLUMNS), 1), { code: 'ERR_MAPPING_CLOSED', any: true })
  await end(workers)
})
