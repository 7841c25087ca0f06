/**
 * A table in a file, one array for each column, used in place: as numpy.memmap does it.
 *
 *   node build/examples/struct-of-arrays.js
 *
 *   header | x: Float64Array(rows) | y: Float64Array(rows) | id: Uint32Array(rows)
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Mapping } from 'mmap-native'

const HEADER = 8

/** The columns of a mapped table: typed arrays over the file, without a copy. */
function columnsOf(mapping: Mapping) {
  const rows = mapping.bytes.readUInt32LE(0)
  let at = HEADER
  // Columns of larger elements come first, so that each starts at a multiple of its element's size.
  const next = <T extends NodeJS.TypedArray>(Column: {
    new (buffer: ArrayBuffer, byteOffset: number, length: number): T
    readonly BYTES_PER_ELEMENT: number
  }) => {
    const column = mapping.view(Column, at, rows)
    at += rows * Column.BYTES_PER_ELEMENT
    return column
  }
  return { rows, x: next(Float64Array), y: next(Float64Array), id: next(Uint32Array) }
}

function makeTable(path: string, rows: number): Mapping {
  const length = HEADER + rows * (8 + 8 + 4)
  const mapping = Mapping.open(path, { access: 'write', create: 'exclusive', length })
  mapping.bytes.writeUInt32LE(rows, 0)
  return mapping
}

const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
try {
  const path = join(folder, 'points.table')
  {
    using mapping = makeTable(path, 1_000_000)
    const { rows, x, y, id } = columnsOf(mapping)
    for (let row = 0; row < rows; row++) {
      x[row] = Math.cos(row)
      y[row] = Math.sin(row)
      id[row] = row
    }
  }
  using mapping = Mapping.open(path)
  const { rows, x, y, id } = columnsOf(mapping)
  let sum = 0
  for (let row = 0; row < rows; row++) sum += x[row]! ** 2 + y[row]! ** 2
  console.log(
    `${rows} rows, ${mapping.length} bytes; the squares sum up to ${sum.toFixed(3)}; the last id is ${id.at(-1)}`,
  )
} finally {
  rmSync(folder, { recursive: true })
}
