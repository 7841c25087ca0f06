import { closeSync, openSync, writeSync } from 'node:fs'
import type { Measure } from '../../bench/measure'
import { firstAnswer, readOrMapped } from './first-answer'

/** Types of the MaxMind DB format. */
const [STRING, DOUBLE, MAP, UINT16, UINT32] = [2, 3, 7, 5, 6]

const encode = (value: unknown): Buffer =>
  typeof value === 'string' ? string(value) : typeof value === 'number' ? double(value) : map(value as object)

function control(type: number, size: number): Buffer {
  if (size < 29) return Buffer.of((type << 5) | size)
  if (size < 285) return Buffer.of((type << 5) | 29, size - 29)
  throw new RangeError(`too long: ${size}`)
}

const string = (text: string) => Buffer.concat([control(STRING, Buffer.byteLength(text)), Buffer.from(text)])

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return Buffer.concat([control(DOUBLE, 8), bytes])
}

function uint(type: number, size: 2 | 4, value: number): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(value, 0, size)
  return Buffer.concat([control(type, size), bytes])
}

function map(entries: object): Buffer {
  const parts = Object.entries(entries).flatMap(([key, value]) => [
    string(key),
    Buffer.isBuffer(value) ? value : encode(value),
  ])
  return Buffer.concat([control(MAP, parts.length / 2), ...parts])
}

/** What is told of a network: as long for each. */
function city(index: number): Buffer {
  const name = `City ${String(index).padStart(8, '0')}`
  const names = { de: name, en: name, es: name, fr: name, ja: name, ru: name }
  const location = {
    latitude: (index % 180) - 90,
    longitude: (index % 360) - 180,
    time_zone: 'Europe/Berlin',
  }
  return map({ city: { names }, country: { iso_code: 'DE' }, location })
}

/**
 * A database of cities: 2 ** bits networks of equal size, each with data of its own. Its tree is complete, so that node n has the nodes
 * 2n + 1 and 2n + 2 below it, and those past the last one are the networks.
 */
export function makeDatabase(path: string, bits: number): void {
  const networks = 2 ** bits
  const nodes = networks - 1
  const dataSize = city(0).length
  const record = (node: number) => (node < nodes ? node : nodes + 16 + (node - nodes) * dataSize)
  const tree = Buffer.alloc(nodes * 8)
  for (let node = 0; node < nodes; node++) {
    tree.writeUInt32BE(record(2 * node + 1), node * 8)
    tree.writeUInt32BE(record(2 * node + 2), node * 8 + 4)
  }
  const metadata = map({
    binary_format_major_version: uint(UINT16, 2, 2),
    binary_format_minor_version: uint(UINT16, 2, 0),
    build_epoch: uint(UINT32, 4, 1_750_000_000),
    database_type: 'City',
    ip_version: uint(UINT16, 2, 4),
    node_count: uint(UINT32, 4, nodes),
    record_size: uint(UINT16, 2, 32),
  })
  const fd = openSync(path, 'w')
  try {
    writeSync(fd, tree)
    writeSync(fd, Buffer.alloc(16))
    const block = 4096
    for (let start = 0; start < networks; start += block) {
      const count = Math.min(block, networks - start)
      writeSync(fd, Buffer.concat(Array.from({ length: count }, (_, index) => city(start + index))))
    }
    writeSync(fd, Buffer.concat([Buffer.from([0xab, 0xcd, 0xef]), Buffer.from('MaxMind.com'), metadata]))
  } finally {
    closeSync(fd)
  }
}

const ways = readOrMapped(async () => {
  const { Reader } = await import('maxmind')
  return (bytes) => {
    const reader = new Reader(bytes)
    return { result: JSON.stringify(reader.get('81.2.69.142')), keep: reader }
  }
})

export const geoip: Measure = firstAnswer(
  {
    name: 'geoip',
    title: 'GeoIP (maxmind): one address in a database of 225 MB',
    about:
      '2^20 networks with data of their own, in the format of MaxMind. The city of one address is looked up.',
    prepare({ pick, newFile }) {
      const file = newFile('cities.mmdb')
      makeDatabase(file, pick(20, 16, 10))
      return { count: 1, files: { file } }
    },
  },
  ways,
)
