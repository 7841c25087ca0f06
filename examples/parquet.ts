/** A Parquet file of which only the columns and rows that are asked for are read. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AsyncBuffer } from 'hyparquet' with { 'resolution-mode': 'import' }
import { Mapping } from 'mmap-native'
import { inScratchFolder } from './support/scratch'

/** A mapping as hyparquet reads files: it wants each range in an ArrayBuffer of its own, so a range is copied, and never more. */
export const asyncBuffer = (mapping: Mapping): AsyncBuffer => ({
  byteLength: mapping.length,
  slice: (start, end = mapping.length) => mapping.read(start, new Uint8Array(end - start)).buffer,
})

async function main(folder: string): Promise<void> {
  const [{ parquetMetadataAsync, parquetReadObjects }, { parquetWriteBuffer }] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-writer'),
  ])
  const numbers = Array.from({ length: 100_000 }, (_, index) => index)
  const columnData = [
    { name: 'id', data: numbers, type: 'INT32' as const },
    { name: 'root', data: numbers.map(Math.sqrt), type: 'DOUBLE' as const },
    { name: 'name', data: numbers.map((number) => `number ${number}`), type: 'STRING' as const },
  ]
  const path = join(folder, 'numbers.parquet')
  writeFileSync(path, Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 10_000 })))

  using mapping = Mapping.open(path)
  const file = asyncBuffer(mapping)
  const metadata = await parquetMetadataAsync(file)
  const rows = await parquetReadObjects({
    file,
    metadata,
    columns: ['root'],
    rowStart: 65_536,
    rowEnd: 65_537,
  })
  console.log(`${metadata.num_rows} rows in ${metadata.row_groups.length} groups; the root of 65536:`, rows)
}

if (require.main === module) void inScratchFolder(main)
