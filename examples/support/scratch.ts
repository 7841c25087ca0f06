import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs an example with a folder for its files, which goes with it. */
export async function inScratchFolder(example: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
  try {
    await example(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
