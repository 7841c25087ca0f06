/** A matrix of embeddings in a file: rows of 256 numbers (Float32), one after the other. */
import { closeSync, openSync, writeSync } from 'node:fs'

export const COLUMNS = 256
const BLOCK = 4096

/** A row, and its dot product with the vector that was asked for. */
export type Hit = readonly [row: number, score: number]

/** The `count` best of the rows from `start` to `end`, the best one first. */
export function nearest(
  matrix: Float32Array,
  query: Float32Array,
  count: number,
  start: number,
  end: number,
): Hit[] {
  const best: Hit[] = []
  for (let row = start; row < end; row++) {
    let score = 0
    for (let column = 0, at = row * COLUMNS; column < COLUMNS; column++) {
      score += matrix[at++]! * query[column]!
    }
    if (best.length === count && score <= best[count - 1]![1]) continue
    best.splice(best.findLastIndex(([, other]) => other >= score) + 1, 0, [row, score])
    if (best.length > count) best.pop()
  }
  return best
}

/** Writes a matrix of numbers that look random, each row about 1 long: as embeddings are. */
export function makeMatrix(path: string, rows: number): void {
  const fd = openSync(path, 'w')
  try {
    const block = new Float32Array(Math.min(BLOCK, rows) * COLUMNS)
    const scale = Math.sqrt(3 / COLUMNS)
    let state = 12345
    for (let row = 0; row < rows; row += BLOCK) {
      const part = block.subarray(0, Math.min(BLOCK, rows - row) * COLUMNS)
      for (let at = 0; at < part.length; at++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        part[at] = (state / 2 ** 31 - 1) * scale
      }
      writeSync(fd, part)
    }
  } finally {
    closeSync(fd)
  }
}
