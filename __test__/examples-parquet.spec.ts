/** examples/parquet: hyparquet reads of a mapping what it reads of the file, and no more of it than it asks for. */
import test, { type ExecutionContext } from 'ava'
import { readFileSync } from 'node:fs'
import type { AsyncBuffer } from 'hyparquet' with { 'resolution-mode': 'import' }
import { Mapping } from 'mmap-native'
import { asyncBuffer } from '../examples/parquet'
import { scratchFile } from './support/files'

const ROWS = 5000
const rows = Array.from({ length: ROWS }, (_, row) => row)

async function writeTable(t: ExecutionContext, codec: 'SNAPPY' | 'UNCOMPRESSED') {
  const { parquetWriteBuffer } = await import('hyparquet-writer')
  const columnData = [
    { name: 'id', data: rows, type: 'INT32' as const },
    { name: 'root', data: rows.map(Math.sqrt), type: 'DOUBLE' as const },
    { name: 'name', data: rows.map((row) => `n\u00e4me ${row % 100}`), type: 'STRING' as const },
    {
      name: 'maybe',
      data: rows.map((row) => (row % 3 === 0 ? null : row % 2 === 0)),
      type: 'BOOLEAN' as const,
    },
  ]
  return scratchFile(t, Buffer.from(parquetWriteBuffer({ columnData, codec, rowGroupSize: 1000 })))
}

for (const codec of ['SNAPPY', 'UNCOMPRESSED'] as const) {
  test(`all rows are what they are when the file is read: ${codec}`, async (t) => {
    const { parquetReadObjects } = await import('hyparquet')
    const path = await writeTable(t, codec)
    using mapping = Mapping.open(path)
    const { buffer } = new Uint8Array(readFileSync(path))
    const mapped = await parquetReadObjects({ file: asyncBuffer(mapping) })
    t.is(mapped.length, ROWS)
    t.deepEqual(mapped, await parquetReadObjects({ file: buffer }))
    t.like(mapped[49], { id: 49, root: 7, name: 'n\u00e4me 49', maybe: false })
  })
}

test('rows and columns are chosen, and only their ranges are copied out of the file', async (t) => {
  const { parquetReadObjects } = await import('hyparquet')
  const path = await writeTable(t, 'UNCOMPRESSED')
  using mapping = Mapping.open(path)
  const file = asyncBuffer(mapping)
  let copied = 0
  const counting: AsyncBuffer = {
    byteLength: file.byteLength,
    async slice(start, end) {
      const bytes = await file.slice(start, end)
      copied += bytes.byteLength
      return bytes
    },
  }
  const { parquetMetadataAsync } = await import('hyparquet')
  const metadata = await parquetMetadataAsync(counting, { initialFetchSize: 4096 })
  const found = await parquetReadObjects({
    file: counting,
    metadata,
    columns: ['root'],
    rowStart: 2500,
    rowEnd: 2502,
  })
  t.deepEqual(found, [{ root: 50 }, { root: Math.sqrt(2501) }])
  // One column of one group of rows, and what is in the footer.
  t.true(copied < mapping.length / 4, `${copied} of ${mapping.length}`)
})

test('the ranges are those of the file, in ArrayBuffers of their own', async (t) => {
  const content = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251))
  using mapping = Mapping.open(scratchFile(t, content))
  const file = asyncBuffer(mapping)
  t.is(file.byteLength, 1000)
  for (const [start, end] of [
    [0, 1000],
    [3, 17],
    [999, 1000],
    [5, 5],
    [990, undefined],
  ] as const) {
    const bytes = await file.slice(start, end)
    t.true(bytes instanceof ArrayBuffer)
    t.deepEqual(Buffer.from(bytes), content.subarray(start, end))
  }
})

test('the library takes no view: what it is given has to be one whole ArrayBuffer', async (t) => {
  const { parquetReadObjects } = await import('hyparquet')
  using mapping = Mapping.open(await writeTable(t, 'UNCOMPRESSED'))
  const views = {
    byteLength: mapping.length,
    slice: (start: number, end?: number) => mapping.bytes.subarray(start, end),
  } as unknown as AsyncBuffer
  await t.throwsAsync(parquetReadObjects({ file: views }))
})
