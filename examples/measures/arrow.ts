import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Measure } from '../../bench/measure'
import { firstAnswer, readOrMapped, type Way } from './first-answer'

const BATCH = 65_536
const COLUMN = 'c3'
/** Where the table starts in the file of the second measure. */
const BEFORE = 13

/** A table of the columns `c0` to `c7`, in batches of 4 MiB, behind so many other bytes. */
async function writeTable(path: string, batches: number, before: number): Promise<void> {
  const { Table, tableFromArrays, tableToIPC } = await import('apache-arrow')
  const columns = Array.from({ length: 8 }, (_, index) => [
    `c${index}`,
    Float64Array.from({ length: BATCH }, (_, row) => row % (index + 1000)),
  ])
  const table = tableFromArrays(Object.fromEntries(columns) as Record<string, Float64Array>)
  const bytes = tableToIPC(new Table(Array.from({ length: batches }, () => table.batches[0]!)), 'file')
  writeFileSync(path, Buffer.alloc(before))
  writeFileSync(path, bytes, { flag: 'a' })
}

async function loadSum(): Promise<(bytes: Uint8Array) => { result: number; keep: unknown }> {
  const [{ tableFromIPC }, { numbersOf }] = await Promise.all([import('apache-arrow'), import('../arrow.js')])
  return (bytes) => {
    const table = tableFromIPC(bytes)
    let result = 0
    for (const numbers of numbersOf(table, COLUMN)) for (const number of numbers) result += number
    return { result, keep: table }
  }
}

const misplaced: readonly Way[] = [
  {
    name: 'fs.readFile',
    async load() {
      const sum = await loadSum()
      return async (file) => sum((await readFile(file)).subarray(BEFORE))
    },
  },
  {
    name: 'mmap-native, tableFromIPC',
    ours: true,
    async load() {
      const [sum, { Mapping }] = await Promise.all([loadSum(), import('mmap-native')])
      return (file) => sum(Mapping.open(file, { offset: BEFORE }).bytes)
    },
  },
  {
    name: 'mmap-native, read() and tableFromIPC',
    ours: true,
    async load() {
      const [sum, { alignedBytes }, { Mapping }] = await Promise.all([
        loadSum(),
        import('../arrow.js'),
        import('mmap-native'),
      ])
      return (file) => sum(alignedBytes(Mapping.open(file, { offset: BEFORE })))
    },
  },
  {
    name: 'mmap-native, RecordBatchReader',
    ours: true,
    async load() {
      const [{ sumByBatches }, { Mapping }] = await Promise.all([
        import('../arrow.js'),
        import('mmap-native'),
      ])
      return (file) => {
        const { bytes } = Mapping.open(file, { offset: BEFORE })
        return { result: sumByBatches(bytes, COLUMN), keep: bytes }
      }
    },
  },
]

const prepare =
  (before: number): Measure['prepare'] =>
  async ({ pick, newFile }) => {
    const file = newFile(`columns-${before}.arrow`)
    await writeTable(file, pick(60, 4, 1), before)
    return { count: 1, files: { file } }
  }

export const arrow: readonly Measure[] = [
  firstAnswer(
    {
      name: 'arrow/aligned',
      title: 'Arrow (apache-arrow): the sum of one column of eight in 252 MB',
      about:
        '8 columns of Float64 in 60 batches. `tableFromIPC()`, and a loop over the numbers of one column.',
      prepare: prepare(0),
    },
    readOrMapped(loadSum),
  ),
  firstAnswer(
    {
      name: 'arrow/misaligned',
      title: 'Arrow, where the table starts 13 bytes into its file',
      about:
        'The same table. Arrow copies what is not aligned to 8 bytes: all batches with `tableFromIPC()`, one at a time with `RecordBatchReader`. ' +
        'What `read()` copied is aligned.',
      prepare: prepare(BEFORE),
    },
    misplaced,
  ),
]
