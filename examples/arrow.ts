/** An Arrow file whose columns are used in the file: nothing is read before it is looked at, and nothing is copied. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RecordBatchReader, type Table, tableFromArrays, tableFromIPC, tableToIPC } from 'apache-arrow'
import { Mapping } from 'mmap-native'
import { inScratchFolder } from './support/scratch'

/** The numbers of a column, in as many arrays as the table has batches. */
export function numbersOf(table: Table, column: string): Float64Array[] {
  return table.getChild(column)?.data.map(({ values }) => values as Float64Array) ?? []
}

/** Whether these are the bytes of the file, and not a copy of them. */
export function areOfFile(arrays: readonly ArrayBufferView[], mapping: Mapping): boolean {
  return arrays.every(({ buffer }) => buffer === mapping.buffer)
}

/** The bytes as Arrow uses them in place. Otherwise they are copied here, at once: Arrow would do it batch by batch, and not as fast. */
export function alignedBytes(mapping: Mapping): Uint8Array {
  const { bytes, length } = mapping
  return bytes.byteOffset % 8 === 0 ? bytes : mapping.read(0, new Uint8Array(length))
}

/** Adds up a column. If Arrow has to copy, the copies are of one batch at a time this way. */
export function sumByBatches(bytes: Uint8Array, column: string): number {
  let sum = 0
  for (const batch of RecordBatchReader.from(bytes)) {
    for (const value of (batch.getChild(column)?.toArray() ?? []) as Float64Array) sum += value
  }
  return sum
}

function main(folder: string): void {
  const hours = Array.from({ length: 8760 }, (_, hour) => hour)
  const year = tableFromArrays({
    hour: Int32Array.from(hours),
    temperature: Float64Array.from(hours, (hour) => 10 - 10 * Math.cos((hour / 8760) * 2 * Math.PI)),
    season: hours.map((hour) => ['winter', 'spring', 'summer', 'autumn'][Math.floor(hour / 2190)] as string),
  })
  const path = join(folder, 'year.arrow')
  writeFileSync(path, tableToIPC(year, 'file'))
  {
    using mapping = Mapping.open(path)
    const table = tableFromIPC(mapping.bytes)
    const isOfFile = areOfFile(numbersOf(table, 'temperature'), mapping)
    console.log(
      `${table.numRows} rows; temperatures are ${isOfFile ? 'in the file' : 'a copy'}; at noon in summer:`,
    )
    console.log(table.get(4380 + 12)?.toJSON())
  }
  // In a file of something else, behind 13 bytes: numbers of 8 bytes would not be where the processor wants them.
  writeFileSync(path, Buffer.concat([Buffer.alloc(13), tableToIPC(year, 'file')]))
  using mapping = Mapping.open(path, { offset: 13 })
  const table = tableFromIPC(alignedBytes(mapping))
  const isOfFile = areOfFile(numbersOf(table, 'temperature'), mapping)
  console.log(`behind 13 bytes they are ${isOfFile ? 'in the file' : 'a copy'}`)
}

if (require.main === module) void inScratchFolder(main)
