/** examples/flatbuffers: an archive over a mapping is that of the bytes read, and its vectors are the file's bytes. */
import test from 'ava'
import { readFileSync } from 'node:fs'
import { Mapping } from 'mmap-native'
import { openArchive } from '../examples/flatbuffers'
import { buildArchive } from '../examples/support/weather'
import { scratchFile } from './support/files'

const [STATIONS, HOURS] = [300, 48]

test('every field of every table is what it is when the file is read', (t) => {
  const path = scratchFile(t, buildArchive(STATIONS, HOURS))
  using mapping = Mapping.open(path)
  const [mapped, read] = [openArchive(mapping.bytes), openArchive(readFileSync(path))]
  t.is(mapped.length, STATIONS)
  for (let index = 0; index < STATIONS; index++) {
    const [one, other] = [mapped.at(index), read.at(index)]
    t.is(one.id, other.id)
    t.is(one.name, other.name)
    t.deepEqual([...one.temperatures], [...other.temperatures])
  }
})

test('a station is found by its key, and one that is not there is not', (t) => {
  using mapping = Mapping.open(scratchFile(t, buildArchive(STATIONS, HOURS)))
  const archive = openArchive(mapping.bytes)
  for (let index = 0; index < STATIONS; index++) {
    t.is(archive.find(index * 10)?.name, `Station ${index}`)
    t.is(archive.find(index * 10 + 1), undefined)
  }
  t.is(archive.find(20)?.temperatures[10], 12)
})

test('a vector is a view of the mapping', (t) => {
  const path = scratchFile(t, buildArchive(STATIONS, HOURS))
  using writer = Mapping.open(path, { access: 'write' })
  using mapping = Mapping.open(path)
  const temperatures = openArchive(mapping.bytes).find(70)!.temperatures
  t.is(temperatures.buffer, mapping.buffer)
  t.is(temperatures.length, HOURS)
  writer.bytes.writeFloatLE(-40, temperatures.byteOffset - mapping.bytes.byteOffset + 5 * 4)
  t.is(temperatures[5], -40)
})
