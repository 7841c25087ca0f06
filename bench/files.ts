/** The files that are measured on. */
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type FileKind, MiB } from './measure'
import { NEEDLES } from './needles'

const LINE = 64

/** Makes a file. Its bytes are in memory afterwards. */
export function makeFile(folder: string, kind: FileKind, size: number): string {
  const path = join(folder, `${kind}-${size}`)
  const fd = openSync(path, 'w')
  try {
    if (kind === 'sparse') ftruncateSync(fd, size)
    else write(fd, size, kind === 'run' ? Buffer.alloc(MiB, 'A') : textBlock(), ending(kind))
  } catch (error) {
    rmSync(path)
    throw error
  } finally {
    closeSync(fd)
  }
  return path
}

function write(fd: number, size: number, block: Buffer, end: Buffer): void {
  for (let at = 0; at < size; at += block.length)
    writeSync(fd, block, 0, Math.min(block.length, size - at), at)
  writeSync(fd, end, 0, end.length, size - end.length)
}

function ending(kind: FileKind): Buffer {
  if (kind === 'run') return Buffer.from('B')
  const { rare, byte, long } = NEEDLES
  return Buffer.from(`${rare}${byte}${long}`.padStart(4 * LINE - 1, '.').concat('\n'))
}

/** A MiB of lines of lower-case letters that look random (a linear congruential generator). */
function textBlock(): Buffer {
  const block = Buffer.alloc(MiB)
  let state = 12345
  for (let at = 0; at < block.length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    block[at] = at % LINE === LINE - 1 ? 10 : 97 + ((state >>> 16) % 26)
  }
  return block
}
