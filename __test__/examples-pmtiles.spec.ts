/** examples/pmtiles: pmtiles finds in a mapping what it finds in the bytes read. */
import test from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Mapping } from 'mmap-native'
import { PMTiles, type Source, zxyToTileId } from 'pmtiles'
import { MappedArchive } from '../examples/pmtiles'
import { tile, writeTiles } from '../examples/support/tiles'
import { scratchFile, scratchFolder } from './support/files'

function readArchive(path: string): Source {
  const { buffer } = new Uint8Array(readFileSync(path))
  return {
    getKey: () => path,
    getBytes: async (start, length) => ({ data: buffer.slice(start, start + length) }),
  }
}

for (const [zoom, size] of [
  [3, 100],
  [5, 700],
] as const) {
  test(`every tile of zoom level ${zoom}, and what is said of them, is that of the file`, async (t) => {
    const path = join(scratchFolder(t), 'world.pmtiles')
    writeTiles(path, zoom, size)
    using mapping = Mapping.open(path)
    const mapped = new PMTiles(new MappedArchive(mapping, path))
    const read = new PMTiles(readArchive(path))
    t.deepEqual(await mapped.getHeader(), await read.getHeader())
    t.deepEqual(await mapped.getMetadata(), await read.getMetadata())
    for (let x = 0; x < 2 ** zoom; x++) {
      for (let y = 0; y < 2 ** zoom; y++) {
        const bytes = (await mapped.getZxy(zoom, x, y))?.data
        t.deepEqual(bytes, (await read.getZxy(zoom, x, y))?.data)
        t.deepEqual(Buffer.from(bytes!), tile(zxyToTileId(zoom, x, y), size))
      }
    }
    t.is(await mapped.getZxy(zoom + 1, 0, 0), undefined)
  })
}

test('a range that goes past the end is cut there', async (t) => {
  using mapping = Mapping.open(scratchFile(t, 'a short file'))
  const archive = new MappedArchive(mapping, 'short')
  t.is(archive.getKey(), 'short')
  t.is(Buffer.from((await archive.getBytes(0, 16384)).data).toString(), 'a short file')
  t.is(Buffer.from((await archive.getBytes(8, 3)).data).toString(), 'fil')
  await t.throwsAsync(archive.getBytes(100, 10), { code: 'ERR_OUT_OF_RANGE' })
})

test('the library takes no view: what it is given has to be one whole ArrayBuffer', async (t) => {
  const path = join(scratchFolder(t), 'world.pmtiles')
  writeTiles(path, 2, 100)
  using mapping = Mapping.open(path)
  const views = {
    getKey: () => path,
    getBytes: async (start: number, length: number) => ({
      data: mapping.bytes.subarray(start, start + length),
    }),
  } as unknown as Source
  await t.throwsAsync(new PMTiles(views).getHeader())
})
