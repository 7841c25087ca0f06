/**
 * A log in a file: a record for which `flush()` has resolved is there after `kill -9`, and after a loss of power.
 *
 *   node build/examples/log.js
 *
 *   size, checksum, bytes, up to a multiple of 8 | size, checksum, bytes... | zeros
 */
import { closeSync, copyFileSync, fsyncSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { Mapping } from 'mmap-native'
import { inScratchFolder } from './support/scratch'

const HEAD = 8
const SMALLEST = 1 << 16

export class Log {
  readonly #mapping
  /** Behind the last record, and behind the last one that was stored. */
  #end = 0
  #stored = 0

  /** Opens a log, or makes one. One process at a time may have it open. */
  constructor(path: string) {
    // Room to grow costs no memory.
    this.#mapping = Mapping.open(path, {
      access: 'write',
      create: true,
      length: SMALLEST,
      maxLength: 2 ** 36,
    })
    this.#mapping.resize()
    for (const { next } of this.#records(this.#mapping.length)) this.#end = next
    // Whatever follows was never whole, or the file was damaged, or is none of ours. It goes, so that it cannot follow a new record; a copy stays.
    const rest = this.#mapping.read(this.#end, Math.min(HEAD, this.#mapping.length - this.#end))
    if (rest.some((byte) => byte !== 0)) copyFileSync(path, `${path}.damaged-${Date.now()}`)
    this.#mapping.resize(this.#end)
    this.#grow(SMALLEST)
    syncFolder(dirname(path)) // which has the name of a new file
  }

  /** The records: views of the file. */
  *[Symbol.iterator](): Generator<Buffer> {
    for (const { bytes } of this.#records(this.#end)) yield bytes
  }

  /** Adds a record. `ENOSPC`, if the device has no room for it. */
  append(bytes: Uint8Array): void {
    const record = Buffer.allocUnsafe(HEAD + bytes.length)
    record.writeUInt32LE(record.length, 0)
    record.set(bytes, HEAD)
    record.writeUInt32LE(crc32(record.subarray(HEAD)), 4)
    const next = Math.ceil((this.#end + record.length) / 8) * 8
    this.#grow(next)
    this.#mapping.write(record, this.#end)
    this.#end = next
  }

  /** Resolves when all records so far are stored. Many may wait at once. */
  async flush(): Promise<void> {
    const [start, end] = [this.#stored, this.#end]
    await this.#mapping.flush(start, end - start)
    this.#stored = Math.max(this.#stored, end)
  }

  [Symbol.dispose](): void {
    this.#mapping.unmap()
  }

  #grow(length: number): void {
    if (length > this.#mapping.length) this.#mapping.resize(Math.max(length, 2 * this.#mapping.length))
  }

  /** The records up to `end`, or to the first bytes that are none. */
  *#records(end: number): Generator<{ bytes: Buffer; next: number }> {
    for (let at = 0; at + HEAD <= end;) {
      const head = this.#mapping.view(Buffer, at, HEAD)
      const size = head.readUInt32LE(0)
      if (size < HEAD || at + size > end) return
      const bytes = this.#mapping.view(Buffer, at + HEAD, size - HEAD)
      if (crc32(bytes) !== head.readUInt32LE(4)) return
      at = Math.ceil((at + size) / 8) * 8
      yield { bytes, next: at }
    }
  }
}

function syncFolder(folder: string): void {
  if (process.platform === 'win32') return // it opens no folders
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}

async function main(folder: string): Promise<void> {
  const path = join(folder, 'events.log')
  {
    using log = new Log(path)
    for (const text of ['one', 'two', 'three']) log.append(Buffer.from(text))
    await log.flush()
    log.append(Buffer.from('four'))
  }
  using log = new Log(path)
  console.log([...log].map(String))
}

if (require.main === module) void inScratchFolder(main)
