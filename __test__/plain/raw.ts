/** The raw functions on a real file, with the names, argument order and meaning of POSIX. */
import * as assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync } from 'node:fs'
import * as raw from 'mmap-native'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_SYNC,
  PROT_READ,
  PROT_WRITE,
  bufferFromPointer,
  mmap,
  msync,
  munmap,
  pageSize,
} from 'mmap-native'
import { newFile, pattern, patternAt } from './support/files'
import { check } from './support/harness'
import { noProc } from './support/memory'
import { noFixed, noParts, offsetUnit } from './support/platform'

const SIZE = 3 * pageSize + 100
const contents = pattern(SIZE)

/** Maps a new file, whose descriptor is closed again. */
function mapped(prot: number, flags: number): { pointer: bigint; path: string } {
  const path = newFile(contents)
  const fd = openSync(path, 'r+')
  try {
    return { pointer: mmap(null, SIZE, prot, flags, fd, 0), path }
  } finally {
    closeSync(fd)
  }
}

check('pageSize is a power of two, of 4096 at least', () => {
  assert.ok(pageSize >= 4096 && Number.isInteger(Math.log2(pageSize)))
})

check('constants have their values by name, alone and together', () => {
  assert.equal(PROT_READ, 1)
  assert.equal(raw.constants['PROT_READ'], PROT_READ)
  assert.equal(raw.constants['MAP_SHARED'], MAP_SHARED)
})

check('a mapping stands when the descriptor is closed, and munmap() returns 0', () => {
  const { pointer } = mapped(PROT_READ, MAP_PRIVATE)
  assert.equal(typeof pointer, 'bigint')
  assert.equal(pointer % BigInt(pageSize), 0n)
  const bytes = bufferFromPointer(pointer, SIZE)
  assert.ok(Buffer.isBuffer(bytes))
  assert.ok(bytes.equals(contents))
  assert.equal(munmap(pointer, SIZE), 0)
})

check('the rest of the last page reads zeros', () => {
  const { pointer } = mapped(PROT_READ, MAP_SHARED)
  const rest = bufferFromPointer(pointer + BigInt(SIZE), pageSize - 100)
  assert.ok(rest.equals(Buffer.alloc(pageSize - 100)))
  munmap(pointer, SIZE)
})

check('a mapping starts at its offset', () => {
  const offset = 2 * offsetUnit(pageSize)
  const fd = openSync(newFile(pattern(offset + 100)), 'r')
  const pointer = mmap(null, 100, PROT_READ, MAP_SHARED, fd, offset)
  closeSync(fd)
  assert.equal(bufferFromPointer(pointer, 1)[0], patternAt(offset))
  munmap(pointer, 100)
})

check('what is written to a shared mapping is in the file', () => {
  const { pointer, path } = mapped(PROT_READ | PROT_WRITE, MAP_SHARED)
  bufferFromPointer(pointer + 10n, 5).write('hello')
  assert.equal(msync(pointer, SIZE, MS_SYNC), 0)
  assert.equal(readFileSync(path).toString('latin1', 10, 15), 'hello')
  munmap(pointer, SIZE)
})

check('what is written to a private mapping is not', () => {
  const { pointer, path } = mapped(PROT_READ | PROT_WRITE, MAP_PRIVATE)
  bufferFromPointer(pointer, 5).write('hello')
  assert.equal(bufferFromPointer(pointer, 5).toString(), 'hello')
  assert.ok(readFileSync(path).equals(contents))
  munmap(pointer, SIZE)
})

check('a pointer need be no page multiple, nor of 8, to become a Buffer', () => {
  const { pointer } = mapped(PROT_READ, MAP_SHARED)
  for (const at of [0, 1, 7, 8, 9, pageSize - 1, pageSize + 1]) {
    assert.ok(bufferFromPointer(pointer + BigInt(at), 50).equals(contents.subarray(at, at + 50)), `${at}`)
  }
  munmap(pointer, SIZE)
})

check(
  'a part in the middle can be unmapped, and the rest still reads',
  () => {
    const { pointer } = mapped(PROT_READ, MAP_SHARED)
    assert.equal(munmap(pointer + BigInt(pageSize), 1), 0) // the page that holds the byte
    const page = BigInt(pageSize)
    assert.equal(bufferFromPointer(pointer, 1)[0], patternAt(0))
    assert.equal(bufferFromPointer(pointer + 2n * page, 1)[0], patternAt(2 * pageSize))
    assert.throws(() => bufferFromPointer(pointer, SIZE), { code: 'ENOMEM' })
    assert.equal(munmap(pointer, SIZE), 0)
    assert.equal(munmap(pointer, SIZE), 0)
  },
  noParts,
)

check(
  'MAP_FIXED replaces pages of this package',
  () => {
    const { pointer } = mapped(PROT_READ, MAP_SHARED)
    const second = pointer + BigInt(pageSize)
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    assert.equal(mmap(second, pageSize, PROT_READ, flags, -1, 0), second)
    assert.equal(bufferFromPointer(second, 1)[0], 0)
    assert.equal(bufferFromPointer(pointer, 1)[0], patternAt(0))
    munmap(pointer, SIZE)
  },
  noFixed,
)

check('failure is a system error as those of fs', () => {
  const fd = openSync(newFile(contents), 'r')
  const write = PROT_READ | PROT_WRITE
  const failures: [string, string, () => unknown][] = [
    ['EACCES', 'mmap', () => mmap(null, 10, write, MAP_SHARED, fd, 0)],
    ['EINVAL', 'mmap', () => mmap(null, 0, PROT_READ, MAP_SHARED, fd, 0)],
    ['EINVAL', 'mmap', () => mmap(null, 10, PROT_READ, MAP_SHARED, fd, 1)],
    ['EBADF', 'mmap', () => mmap(null, 10, PROT_READ, MAP_SHARED, 99_999, 0)],
    ['EINVAL', 'munmap', () => munmap(pageSize + 1, 10)],
    ['EINVAL', 'munmap', () => munmap(pageSize, 0)],
  ]
  for (const [code, syscall, call] of failures) {
    assert.throws(call, (error: raw.SystemError) => {
      assert.ok(error instanceof Error)
      assert.deepEqual([error.code, error.syscall], [code, syscall])
      assert.ok(error.errno < 0 && error.message.startsWith(`${code}: `), error.message)
      return true
    })
  }
  closeSync(fd)
})

check(
  'pages that this package did not map are EPERM',
  () => {
    const maps = readFileSync('/proc/self/maps', 'latin1').split('\n')
    const stack = maps.find((line) => line.endsWith('[stack]')) ?? ''
    const start = BigInt(`0x${stack.split('-')[0]}`)
    assert.throws(() => munmap(start, pageSize), { code: 'EPERM', syscall: 'munmap' })
    const fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    assert.throws(() => mmap(start, pageSize, PROT_READ, fixed, -1, 0), { code: 'EPERM', syscall: 'mmap' })
  },
  noProc,
)

check('bad arguments are TypeErrors and RangeErrors with a code', () => {
  const bad = (value: unknown) => value as number
  assert.throws(() => mmap(null, bad('1'), 1, 2, -1, 0), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  for (const length of [Number.NaN, 1.5, -1, 2 ** 53, Infinity]) {
    assert.throws(() => mmap(null, length, 1, 2, -1, 0), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' })
  }
  assert.throws(() => munmap(bad(Symbol('1')), 1), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => bufferFromPointer(-1n, 1), { code: 'ERR_OUT_OF_RANGE' })
})
