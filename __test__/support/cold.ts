/** Files that are on the device and not in memory. */
import { spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Mapping, mincore, pageSize } from 'mmap-native'

/** Takes a file that nobody has mapped out of the page cache: posix_fadvise(2), POSIX_FADV_DONTNEED, which dd(1) calls for us. */
export function evict(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
  spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none'])
}

/** For each page of a range, in bytes from the start of the mapping, whether it is in memory. */
export function residency(mapping: Mapping, offset = 0, length = mapping.length - offset): boolean[] {
  const address = mapping.address + BigInt(offset)
  const start = address - (address % BigInt(pageSize))
  return [...mincore(start, length + Number(address - start))].map((page) => (page & 1) === 1)
}

function tryOut(): string | undefined {
  const { Mapping } = require('mmap-native') as typeof import('mmap-native')
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-test-'))
  try {
    const path = join(folder, 'file')
    writeFileSync(path, Buffer.alloc(64 * pageSize, 1))
    evict(path)
    const mapping = Mapping.open(path)
    const isCold = residency(mapping).every((page) => !page)
    mapping.unmap()
    return isCold ? undefined : 'the file system or the system keeps files in memory'
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Why files cannot be made cold here; `undefined` if they can. */
export const noCold = tryOut()
