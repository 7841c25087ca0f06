import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { AsyncBuffer } from 'hyparquet' with { 'resolution-mode': 'import' }
import type { Measure } from '../../bench/measure'
import { type First, type Way, firstAnswer } from './first-answer'

const GROUP = 100_000

/** Eight columns of numbers that hardly compress. */
async function writeNumbers(path: string, groups: number): Promise<void> {
  const { parquetWriteBuffer } = await import('hyparquet-writer')
  const columnData = Array.from({ length: 8 }, (_, index) => ({
    name: `c${index}`,
    data: Float64Array.from({ length: groups * GROUP }, (_, row) => Math.sin(row * (index + 1))),
    type: 'DOUBLE' as const,
  }))
  writeFileSync(path, Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: GROUP })))
}

/** A thousand rows of two columns, out of the middle. */
async function loadRows(): Promise<(file: AsyncBuffer) => Promise<First>> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
  return async (file) => {
    const metadata = await parquetMetadataAsync(file)
    const rowStart = Math.floor(Number(metadata.num_rows) / 2)
    const columns = ['c2', 'c5']
    const rows = await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd: rowStart + 1000 })
    return { result: rows.reduce((sum, { c2, c5 }) => sum + c2 * c5, 0), keep: [file, rows] }
  }
}

const ways: readonly Way[] = [
  {
    name: 'fs.readFile',
    async load() {
      const rows = await loadRows()
      return async (file) => rows((await readFile(file)).buffer)
    },
  },
  {
    name: "hyparquet's asyncBufferFromFile",
    async load() {
      const [rows, { asyncBufferFromFile }] = await Promise.all([loadRows(), import('hyparquet')])
      return async (file) => rows(await asyncBufferFromFile(file))
    },
  },
  {
    name: 'mmap-native',
    ours: true,
    async load() {
      const [rows, { asyncBuffer }, { Mapping }] = await Promise.all([
        loadRows(),
        import('../parquet.js'),
        import('mmap-native'),
      ])
      return (file) => rows(asyncBuffer(Mapping.open(file)))
    },
  },
]

export const parquet: Measure = firstAnswer(
  {
    name: 'parquet',
    title: 'Parquet (hyparquet): 1,000 rows of two columns in 230 MB',
    about: '8 columns of doubles in groups of 100,000 rows, which snappy hardly makes smaller.',
    async prepare({ pick, newFile }) {
      const file = newFile('numbers.parquet')
      await writeNumbers(file, pick(36, 3, 1))
      return { count: 1, files: { file } }
    },
  },
  ways,
)
