/**
 * What a mapping costs, against a C loop, `fs.readSync` and memory of the heap, in one run.
 *
 *   npm run bench
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAP_SHARED, Mapping, PROT_READ, bufferFromPointer, mmap, munmap } from 'mmap-native'
import { compileLoops } from './c-loop'
import { compare } from './harness'

const PAGE = 4096
const GiB = 1024 ** 3
const folder = mkdtempSync(join(tmpdir(), 'mmap-native-bench-'))
const small = join(folder, 'small')
writeFileSync(small, Buffer.alloc(PAGE, 1))

const { version, arch } = process
console.log(`Node ${version} ${arch}, ${cpus().length} cores, ${cpus()[0]?.model}`)
console.log('The last column is the speed, with that of the first of each kind as 1.\n')
try {
  mapTouchUnmap()
  randomReads()
  sequentialSum()
} finally {
  rmSync(folder, { recursive: true })
}

/** A page is mapped, its first byte read, and unmapped again: from an open file, and with opening and closing it. */
function mapTouchUnmap(): void {
  const fd = openSync(small, 'r')
  const page = Buffer.alloc(PAGE)
  const loop = compileLoops(folder, small)
  if (loop === undefined) console.log('skipped: the loops in C (no C compiler)')

  const sum = (touch: () => number) => (count: number) => {
    let total = 0
    for (let i = 0; i < count; i++) total += touch()
    return total
  }
  compare('map, touch, unmap 4 KiB', 20_000, [
    ...(loop ? [loop('C', 'fd')] : []),
    {
      name: 'mmap, bufferFromPointer, munmap',
      run: sum(() => {
        const pointer = mmap(null, PAGE, PROT_READ, MAP_SHARED, fd, 0)
        const byte = bufferFromPointer(pointer, 1)[0] as number
        munmap(pointer, PAGE)
        return byte
      }),
    },
    {
      name: 'mmap, munmap (no touch)',
      run: sum(() => {
        munmap(mmap(null, PAGE, PROT_READ, MAP_SHARED, fd, 0), PAGE)
        return 1
      }),
    },
    {
      name: 'Mapping of an open file, bytes',
      run: sum(() => {
        const mapping = Mapping.open(fd)
        const byte = mapping.bytes[0] as number
        mapping.unmap()
        return byte
      }),
    },
    {
      name: 'Mapping of an open file, read()',
      run: sum(() => {
        const mapping = Mapping.open(fd)
        mapping.read(0, page)
        mapping.unmap()
        return page[0] as number
      }),
    },
    {
      name: 'fs.readSync (no mapping)',
      run: sum(() => {
        readSync(fd, page, 0, PAGE, 0)
        return page[0] as number
      }),
    },
  ])
  compare('open, touch, close 4 KiB', 20_000, [
    ...(loop ? [loop('C', 'path')] : []),
    {
      name: 'Mapping.open, bytes, unmap',
      run: sum(() => {
        const mapping = Mapping.open(small)
        const byte = mapping.bytes[0] as number
        mapping.unmap()
        return byte
      }),
    },
    {
      name: 'Mapping.open, read(), unmap',
      run: sum(() => {
        const mapping = Mapping.open(small)
        mapping.read(0, page)
        mapping.unmap()
        return page[0] as number
      }),
    },
    {
      name: 'fs.openSync, readSync, closeSync',
      run: sum(() => {
        const file = openSync(small, 'r')
        readSync(file, page, 0, PAGE, 0)
        closeSync(file)
        return page[0] as number
      }),
    },
  ])
  closeSync(fd)
}

/** A GiB of doubles, all of it in memory before the clock starts. */
function doubles(): { heap: Float64Array; mapped: Float64Array } {
  const path = join(folder, 'doubles')
  writeFileSync(path, '')
  truncateSync(path, GiB)
  const mapped = Mapping.open(path, { access: 'write' }).view(Float64Array)
  const heap = new Float64Array(GiB / 8)
  for (let i = 0; i < heap.length; i++) heap[i] = mapped[i] = i % 1000
  return { heap, mapped }
}

function randomReads(): void {
  const { heap, mapped } = doubles()
  // A function each, so that each loop is compiled for its own kind of buffer, as in a program that uses one.
  const reader = () =>
    new Function(
      'values',
      'count',
      `let sum = 0, state = 12345
       for (let i = 0; i < count; i++) {
         state = (Math.imul(state, 1664525) + 1013904223) >>> 0
         sum += values[state >>> 5]
       }
       return sum`,
    ) as (values: Float64Array, count: number) => number
  const [readHeap, readMapped] = [reader(), reader()]
  compare('random 8-byte reads in 1 GiB', 5_000_000, [
    { name: 'Float64Array of the heap', run: (count) => readHeap(heap, count) },
    { name: 'Float64Array of a Mapping', run: (count) => readMapped(mapped, count) },
  ])
}

function sequentialSum(): void {
  const { heap, mapped } = doubles()
  const path = join(folder, 'doubles')
  const fd = openSync(path, 'r')
  const chunk = new Float64Array(8192)
  const summer = () =>
    new Function(
      'values',
      'count',
      'let sum = 0; for (let i = 0; i < count; i++) sum += values[i]; return sum',
    ) as (values: Float64Array, count: number) => number
  const [sumHeap, sumMapped, sumChunk] = [summer(), summer(), summer()]
  compare('sum of 1 GiB, each double', heap.length, [
    { name: 'Float64Array of the heap', run: (count) => sumHeap(heap, count) },
    { name: 'Float64Array of a Mapping', run: (count) => sumMapped(mapped, count) },
    {
      name: 'fs.readSync, 64 KiB at a time',
      run: (count) => {
        let sum = 0
        for (let done = 0; done < count; done += chunk.length) {
          readSync(fd, chunk, 0, chunk.byteLength, done * 8)
          sum += sumChunk(chunk, Math.min(chunk.length, count - done))
        }
        return sum
      },
    },
  ])
  closeSync(fd)
}
