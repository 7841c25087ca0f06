/** Writes a PMTiles archive (version 3): all tiles of one zoom level, as the pmtiles package has no writer. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const HEADER = 127
const [NONE, GZIP, PNG] = [1, 2, 2]
const WORLD = [-180, -85, 180, 85]

/** 7 bits a byte, the lowest first; the top bit says that there are more. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]
}

/** The bytes of the tile with this id: the id, and a byte of it over and over. */
export function tile(id: number, size: number): Buffer {
  const bytes = Buffer.alloc(size, id & 0xff)
  bytes.writeUInt32LE(id)
  return bytes
}

export function writeTiles(path: string, zoom: number, tileSize: number): void {
  const count = 4 ** zoom
  const first = (count - 1) / 3
  const ids = Array.from({ length: count }, (_, index) => first + index)
  // Differences of ids, lengths of runs, sizes, and where each starts: 0 is right behind the one before.
  const deltas = ids.flatMap((_, index) => (index === 0 ? varint(first) : [1]))
  const size = varint(tileSize)
  const directory = gzipSync(
    Buffer.from([
      ...varint(count),
      ...deltas,
      ...ids.map(() => 1),
      ...ids.flatMap(() => size),
      ...ids.map((_, index) => (index === 0 ? 1 : 0)),
    ]),
  )
  const metadata = gzipSync(JSON.stringify({ name: 'made for an example' }))

  const header = Buffer.alloc(HEADER)
  header.write('PMTiles')
  header[7] = 3
  const start = HEADER + directory.length + metadata.length
  const places = [
    [HEADER, directory.length],
    [HEADER + directory.length, metadata.length],
    [start, 0],
    [start, count * tileSize],
    [count, count, count],
  ]
  places.flat().forEach((value, index) => header.writeBigUInt64LE(BigInt(value), 8 + index * 8))
  header.set([1, GZIP, NONE, PNG, zoom, zoom], 96)
  WORLD.forEach((degrees, index) => header.writeInt32LE(degrees * 1e7, 102 + index * 4))
  header[118] = zoom

  const fd = openSync(path, 'w')
  try {
    writeSync(fd, Buffer.concat([header, directory, metadata]))
    for (const id of ids) writeSync(fd, tile(id, tileSize))
  } finally {
    closeSync(fd)
  }
}
