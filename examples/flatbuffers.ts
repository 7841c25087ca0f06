/** A FlatBuffers archive that is looked up in its file: only the pages on the way to the answer are read. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ByteBuffer } from 'flatbuffers'
import { Mapping } from 'mmap-native'
import { inScratchFolder } from './support/scratch'
import { Archive, buildArchive } from './support/weather'

/** An archive over the bytes of a file, read or mapped. */
export const openArchive = (bytes: Uint8Array): Archive => new Archive(new ByteBuffer(bytes))

function main(folder: string): void {
  const path = join(folder, 'weather.bin')
  writeFileSync(path, buildArchive(1000, 24))
  using mapping = Mapping.open(path)
  const station = openArchive(mapping.bytes).find(4210)
  if (station === undefined) throw new Error('there is no station 4210')
  const { name, temperatures } = station
  const isOfFile = temperatures.buffer === mapping.buffer
  console.log(`${name} at noon: ${temperatures[12]} degrees, ${isOfFile ? 'in the file' : 'a copy'}`)
}

if (require.main === module) void inScratchFolder(main)
