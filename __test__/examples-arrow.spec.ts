/** examples/arrow: tables of apache-arrow over a mapping are those of the bytes read, and their columns are the file's bytes. */
import test from 'ava'
import { readFileSync, writeFileSync } from 'node:fs'
import { Table, tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow'
import { Mapping } from 'mmap-native'
import { alignedBytes, areOfFile, numbersOf, sumByBatches } from '../examples/arrow'
import { scratchFile } from './support/files'

const ROWS = 1000
const rows = Array.from({ length: ROWS }, (_, row) => row)
const [batch] = tableFromArrays({
  id: Int32Array.from(rows),
  number: Float64Array.from(rows, Math.sqrt),
  big: BigInt64Array.from(rows, BigInt),
  small: Uint8Array.from(rows),
  text: rows.map((row) => `row ${row} \u00e4\u{1f600}`),
  maybe: rows.map((row) => (row % 3 === 0 ? null : row % 2 === 0)),
}).batches
const table = new Table([batch!, batch!, batch!])
const FIXED = ['id', 'number', 'big', 'small'] as const

const arraysOf = (table: Table, column: string) =>
  table.getChild(column)?.data.map(({ values }) => values as NodeJS.TypedArray) ?? []

for (const format of ['file', 'stream'] as const) {
  test(`a table in a ${format} is what it is when the file is read`, (t) => {
    const path = scratchFile(t, tableToIPC(table, format))
    using mapping = Mapping.open(path)
    const mapped = tableFromIPC(mapping.bytes)
    const read = tableFromIPC(readFileSync(path))
    t.is(mapped.numRows, 3 * ROWS)
    t.is(`${mapped.schema}`, `${read.schema}`)
    t.deepEqual(mapped.toArray().map(String), read.toArray().map(String))
    t.is(mapped.get(ROWS + 7)?.['text'], 'row 7 \u00e4\u{1f600}')
  })

  test(`its columns are views of the mapping: ${format}`, (t) => {
    const path = scratchFile(t, tableToIPC(table, format))
    using writer = Mapping.open(path, { access: 'write' })
    using mapping = Mapping.open(path)
    const mapped = tableFromIPC(mapping.bytes)
    for (const column of FIXED) {
      const arrays = arraysOf(mapped, column)
      t.is(arrays.length, 3)
      t.true(areOfFile(arrays, mapping), column)
    }
    // What is written to the file is in the column: there is no copy that it could come from.
    const [, second] = numbersOf(mapped, 'number')
    writer.bytes.writeDoubleLE(12.5, second!.byteOffset - mapping.bytes.byteOffset + 9 * 8)
    t.is(second![9], 12.5)
    t.is(mapped.getChild('number')?.get(ROWS + 9), 12.5)
  })
}

for (const before of [8, 64, 4096, 4104]) {
  test(`a table that starts ${before} bytes into its file is used in place`, (t) => {
    const path = scratchFile(t, Buffer.concat([Buffer.alloc(before, 1), tableToIPC(table, 'file')]))
    using mapping = Mapping.open(path, { offset: before })
    t.is(alignedBytes(mapping), mapping.bytes)
    const mapped = tableFromIPC(mapping.bytes)
    for (const column of FIXED) t.true(areOfFile(arraysOf(mapped, column), mapping), column)
    t.is(mapped.getChild('number')?.get(16), 4)
  })
}

for (const before of [1, 4, 13]) {
  test(`a table that starts ${before} bytes into its file is copied by Arrow, and is the same`, (t) => {
    const ipc = tableToIPC(table, 'file')
    const path = scratchFile(t, Buffer.concat([Buffer.alloc(before, 1), ipc]))
    const read = tableFromIPC(ipc)
    using part = Mapping.open(path, { offset: before })
    using whole = Mapping.open(path)
    for (const [mapping, bytes] of [
      [part, part.bytes],
      [whole, whole.bytes.subarray(before)],
    ] as const) {
      const mapped = tableFromIPC(bytes)
      t.deepEqual(mapped.toArray().map(String), read.toArray().map(String))
      t.false(areOfFile(arraysOf(mapped, 'number'), mapping))
      t.is(sumByBatches(bytes, 'number'), sumByBatches(ipc, 'number'))
    }
  })
}

test('a copy that is aligned is used in place', (t) => {
  const ipc = tableToIPC(table, 'file')
  using mapping = Mapping.open(scratchFile(t, Buffer.concat([Buffer.alloc(13), ipc])), { offset: 13 })
  const bytes = alignedBytes(mapping)
  t.deepEqual(bytes, ipc)
  for (const array of arraysOf(tableFromIPC(bytes), 'number')) t.is(array.buffer, bytes.buffer)
})

test('after unmap() the columns read zeros, and nothing else happens', (t) => {
  const path = scratchFile(t)
  writeFileSync(path, tableToIPC(table, 'file'))
  const mapping = Mapping.open(path, { onFault: () => {} })
  const [first] = numbersOf(tableFromIPC(mapping.bytes), 'number')
  t.is(first![16], 4)
  mapping.unmap()
  t.is(first![16], 0)
})
