/** Files to map, in a folder that is removed at the end. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

const given = process.env['MMAP_NATIVE_TEST_FOLDER']

/** The folder of this program; a child or a worker uses that of the process or thread that started it. */
export const folder = given ?? mkdtempSync(join(tmpdir(), 'mmap-native-'))

if (given === undefined && isMainThread) process.on('exit', () => rmSync(folder, { recursive: true }))
process.env['MMAP_NATIVE_TEST_FOLDER'] = folder

let count = 0

/** Writes a new file and returns its path. */
export function newFile(contents: string | Uint8Array): string {
  const path = join(folder, `${process.pid}-${count++}.bin`)
  writeFileSync(path, contents)
  return path
}

/** A file of `size` bytes without blocks but for the given ones. */
export function sparseFile(size: number, start = ''): string {
  const path = newFile(start)
  truncateSync(path, size)
  return path
}

/** Bytes that differ from one place to the next: the byte at `i` is `patternAt(i)`. */
export function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = patternAt(i)
  return bytes
}

export function patternAt(i: number): number {
  return (i % 251) + 1
}
