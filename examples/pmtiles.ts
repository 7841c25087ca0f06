/** Map tiles out of a PMTiles archive: its directory is read once, and then each tile that is asked for. */
import { join } from 'node:path'
import { Mapping } from 'mmap-native'
import { PMTiles, type Source } from 'pmtiles'
import { inScratchFolder } from './support/scratch'
import { writeTiles } from './support/tiles'

/** A mapping as pmtiles reads archives: it wants each range in an ArrayBuffer of its own, so a range is copied. */
export class MappedArchive implements Source {
  constructor(
    readonly mapping: Mapping,
    /** By which what is read of this archive is cached. */
    readonly name: string,
  ) {}

  getKey(): string {
    return this.name
  }

  /** The first range that is asked for is 16 KiB, whatever the archive has. */
  async getBytes(start: number, length: number): Promise<{ data: ArrayBuffer }> {
    const available = Math.max(0, Math.min(length, this.mapping.length - start))
    return { data: this.mapping.read(start, new Uint8Array(available)).buffer }
  }
}

async function main(folder: string): Promise<void> {
  const path = join(folder, 'world.pmtiles')
  writeTiles(path, 5, 1000)
  using mapping = Mapping.open(path)
  const archive = new PMTiles(new MappedArchive(mapping, path))
  const { minZoom, maxZoom, numTileEntries } = await archive.getHeader()
  console.log(`${numTileEntries} tiles of zoom ${minZoom} to ${maxZoom}`, await archive.getMetadata())
  console.log('the tile 17, 11 has', (await archive.getZxy(5, 17, 11))?.data.byteLength, 'bytes')
}

if (require.main === module) void inScratchFolder(main)
