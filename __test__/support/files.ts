/** Files for tests, in folders that go with the test. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** An empty folder of this test's own. */
export function scratchFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A file with this content, in a folder of its own. */
export function scratchFile(t: ExecutionContext, content: string | Uint8Array = ''): string {
  const path = join(scratchFolder(t), 'file')
  writeFileSync(path, content)
  return path
}

/** A file of `size` bytes without any block. */
export function sparseFile(t: ExecutionContext, size: number): string {
  const path = scratchFile(t)
  truncateSync(path, size)
  return path
}

/** The bytes of a file from `start` on, as fs reads them. */
export function contentOf(path: string, start = 0): Buffer {
  return readFileSync(path).subarray(start)
}
