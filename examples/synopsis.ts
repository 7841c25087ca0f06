/**
 * The package at a glance: the raw POSIX functions, a mapping that is read, and one that is edited in place.
 *
 *   npm start [-- FILE]      FILE is only read; without it a file of 256 MiB is made, and removed at the end
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAP_PRIVATE, Mapping, PROT_READ, bufferFromPointer, mmap, munmap } from 'mmap-native'

const MiB = 1024 * 1024
const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))

try {
  rawFunctions('package.json')
  readAnywhere(process.argv[2] ?? makeLargeFile(join(folder, 'large.bin')))
  editInPlace(join(folder, 'notes.txt'))
} finally {
  rmSync(folder, { recursive: true })
}

/** The POSIX calls, with their names, argument order and meaning. */
function rawFunctions(path: string) {
  const length = 64
  const fd = openSync(path, 'r')
  const pointer = mmap(null, length, PROT_READ, MAP_PRIVATE, fd, 0)
  closeSync(fd) // the mapping stands without the descriptor
  console.log(`mmap: the first ${length} bytes of ${path} are at 0x${pointer.toString(16)}:`)
  console.log(bufferFromPointer(pointer, length).toString())
  console.log(`munmap: ${munmap(pointer, length)}\n`)
}

/** A file of any size, read where it is needed. */
function readAnywhere(path: string) {
  using mapping = Mapping.open(path)
  console.log(mapping)
  const middle = Math.floor(mapping.length / 2)
  const places = { start: 0, middle, end: Math.max(0, mapping.length - 16) }
  for (const [name, position] of Object.entries(places)) {
    const bytes = mapping.view(Buffer, position, Math.min(16, mapping.length - position))
    console.log(`${name.padEnd(6)} at ${position}: ${bytes.toString('hex')}`)
  }
  console.log()
}

/** What is written to the mapping is written to the file. */
function editInPlace(path: string) {
  writeFileSync(path, 'the quick brown fox\n')
  using mapping = Mapping.open(path, { access: 'write' })
  mapping.bytes.write('small', 4)
  mapping.flushSync()
  console.log(`edited in place, as fs sees it: ${readFileSync(path, 'utf8')}`)
}

function makeLargeFile(path: string): string {
  writeFileSync(path, 'the start of a large file')
  truncateSync(path, 256 * MiB)
  using mapping = Mapping.open(path, { access: 'write' })
  mapping.write('here is the middle', 128 * MiB)
  mapping.write('and here the end', mapping.length - 16)
  return path
}
