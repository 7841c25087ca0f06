import { readFile } from 'node:fs/promises'
import type { Source } from 'pmtiles'
import type { Measure } from '../../bench/measure'
import { type First, type Way, firstAnswer } from './first-answer'

const TILE = 14_000

/** One tile of the deepest zoom level. */
async function loadTile(): Promise<(source: Source) => Promise<First>> {
  const { PMTiles } = await import('pmtiles')
  return async (source) => {
    const archive = new PMTiles(source)
    const { maxZoom } = await archive.getHeader()
    const middle = 2 ** (maxZoom - 1)
    const tile = await archive.getZxy(maxZoom, middle, middle)
    return { result: Buffer.from(tile?.data ?? new ArrayBuffer(0)).toString('hex', 0, 8), keep: archive }
  }
}

const ways: readonly Way[] = [
  {
    name: 'fs.readFile',
    async load() {
      const tile = await loadTile()
      return async (file) => {
        const { buffer } = await readFile(file)
        return tile({
          getKey: () => file,
          getBytes: async (start, length) => ({ data: buffer.slice(start, start + length) }),
        })
      }
    },
  },
  {
    name: "fs's FileHandle.read",
    async load() {
      const [tile, { open }] = await Promise.all([loadTile(), import('node:fs/promises')])
      return async (file) => {
        const handle = await open(file)
        return tile({
          getKey: () => file,
          async getBytes(start, length) {
            const { buffer, bytesRead } = await handle.read(new Uint8Array(length), 0, length, start)
            return { data: buffer.buffer.slice(0, bytesRead) }
          },
        })
      }
    },
  },
  {
    name: 'mmap-native',
    ours: true,
    async load() {
      const [tile, { MappedArchive }, { Mapping }] = await Promise.all([
        loadTile(),
        import('../pmtiles.js'),
        import('mmap-native'),
      ])
      return (file) => tile(new MappedArchive(Mapping.open(file), file))
    },
  },
]

export const pmtiles: Measure = firstAnswer(
  {
    name: 'pmtiles',
    title: 'PMTiles: one tile in 229 MB',
    about: 'All 16,384 tiles of zoom level 7. Header and directory are read, and a tile.',
    async prepare({ pick, newFile }) {
      const { writeTiles } = await import('../support/tiles.js')
      const file = newFile('world.pmtiles')
      writeTiles(file, pick(7, 5, 3), TILE)
      return { count: 1, files: { file } }
    },
  },
  ways,
)
