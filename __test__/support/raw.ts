/** Files and mappings that go away with their test, and failures by their parts. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { constants as os, tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  mmap,
  munmap,
  pageSize,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from 'mmap-native'
import type { SystemError } from 'mmap-native'

/** A test of what only Linux has, or only Linux shows. */
export const linux = process.platform === 'linux' ? test : test.skip

export const READ_WRITE = PROT_READ | PROT_WRITE
export const PRIVATE_MEMORY = MAP_PRIVATE | MAP_ANONYMOUS

/** For scripts that use a Buffer after munmap(): the warning comes when it comes, and is another test's subject. */
export const QUIET = ['--no-warnings']

/** The size of so many pages, in bytes. */
export const pages = (count: number): number => count * pageSize

/** The address so many pages further on. */
export const after = (addr: bigint, count: number): bigint => addr + BigInt(pages(count))

/** A file whose first page is full of 1, the second of 2, and so on. */
export class TestFile {
  readonly path: string

  constructor(t: ExecutionContext, pageCount: number) {
    const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    this.path = join(folder, 'file')
    const fd = openSync(this.path, 'w')
    for (let page = 1; page <= pageCount; page++) writeSync(fd, Buffer.alloc(pageSize, page))
    closeSync(fd)
  }

  /** Maps pages of the file and closes its descriptor; they are unmapped after the test. */
  map(t: ExecutionContext, options: MapOptions = {}): bigint {
    const { addr, count = 1, first = 0, prot = READ_WRITE, flags = MAP_SHARED, mode = 'r+' } = options
    const fd = openSync(this.path, mode)
    try {
      const at = mmap(addr, pages(count), prot, flags, fd, pages(first))
      t.teardown(() => munmap(at, pages(count)))
      return at
    } finally {
      closeSync(fd)
    }
  }

  read(): Buffer {
    return readFileSync(this.path)
  }

  truncate(length: number): void {
    const fd = openSync(this.path, 'r+')
    ftruncateSync(fd, length)
    closeSync(fd)
  }
}

export interface MapOptions {
  addr?: bigint
  /** Pages. */
  count?: number
  /** The first page of the file. */
  first?: number
  prot?: number
  flags?: number
  /** How the file is opened. */
  mode?: string
}

/** Maps pages of zeros; they are unmapped after the test. */
export function mapMemory(t: ExecutionContext, count: number, options: MapOptions = {}): bigint {
  const { addr, prot = READ_WRITE, flags = PRIVATE_MEMORY } = options
  const at = mmap(addr, pages(count), prot, flags, -1, 0)
  t.teardown(() => munmap(at, pages(count)))
  return at
}

/** The first byte of each page. */
export function firstBytes(buffer: Buffer): number[] {
  const bytes: number[] = []
  for (let at = 0; at < buffer.length; at += pageSize) bytes.push(buffer[at] as number)
  return bytes
}

/** Asserts that a call fails as a system call does: with this code, its number, and the name of the call. */
export function fails(
  t: ExecutionContext,
  code: keyof typeof os.errno,
  syscall: string,
  call: () => unknown,
): void {
  const error = t.throws(call as () => void, { instanceOf: Error, code }) as SystemError | undefined
  t.is(error?.errno, -(os.errno[code] as number))
  t.is(error?.syscall, syscall)
  t.regex(error?.message ?? '', new RegExp(`^${code}: .+, ${syscall}\\b`))
}
