import { closeSync, openSync, readFileSync, realpathSync, writeFileSync, writeSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import * as m from 'mmap-native'
import { bufferFromPointer, mmap, munmap, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { borrowHugePages, hugePageSize } from './support/huge'
import { freeAddress, mappedIn, maps, mapsUnchanged, smapsField, type MapsEntry } from './support/maps'
import {
  PRIVATE_MEMORY,
  QUIET,
  READ_WRITE,
  TestFile,
  after,
  fails,
  firstBytes,
  linux,
  mapMemory,
  pages,
} from './support/raw'

const FIXED = m.MAP_FIXED
const SCRATCH = m.PROT_READ
const RESERVED = PRIVATE_MEMORY | m.MAP_NORESERVE

/** Pages that this package did not map: of the runtime's program. */
function foreign(): MapsEntry & { length: number } {
  const program = realpathSync(process.execPath)
  const entry = maps().find(({ path, perms }) => path === program && perms.startsWith('r-x'))
  if (entry === undefined) throw new Error(`${program} is not in /proc/self/maps`)
  return { ...entry, length: Number(entry.end - entry.start) }
}

// Where and what

test('pageSize is what the kernel says', async (t) => {
  t.true(Number.isInteger(pageSize) && pageSize >= 4096)
  t.is(pageSize & (pageSize - 1), 0)
  if (process.platform !== 'linux') return
  const memory = mapMemory(t, 1)
  t.is(smapsField(memory, 'KernelPageSize'), pageSize)
})

test('mmap() returns a pointer to the bytes of the file, as a bigint', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  t.is(typeof addr, 'bigint')
  t.is(addr % BigInt(pageSize), 0n)
  t.deepEqual(bufferFromPointer(addr, pages(2)), file.read())
})

test('mmap() starts at offset in the file', (t) => {
  const file = new TestFile(t, 4)
  const addr = file.map(t, { first: 2, count: 2 })
  t.deepEqual(bufferFromPointer(addr, pages(2)), file.read().subarray(pages(2)))
})

test('mmap() takes length and offset as bigint too', (t) => {
  const file = new TestFile(t, 3)
  const fd = openSync(file.path, 'r')
  t.teardown(() => closeSync(fd))
  const addr = mmap(null, BigInt(pages(2)), m.PROT_READ, m.MAP_SHARED, fd, BigInt(pageSize))
  t.deepEqual(firstBytes(bufferFromPointer(addr, BigInt(pages(2)))), [2, 3])
  t.is(munmap(addr, BigInt(pages(2))), 0)
})

linux('the kernel has the file, the offset and the length that mmap() was asked for', (t) => {
  const file = new TestFile(t, 4)
  const addr = file.map(t, { first: 1, count: 3, prot: m.PROT_READ })
  const entry = maps().find(({ start }) => start === addr)
  t.like(entry, { end: after(addr, 3), offset: BigInt(pageSize), perms: 'r--s', path: file.path })
})

linux('a mapping ends with the page that has its last byte', (t) => {
  const file = new TestFile(t, 3)
  const fd = openSync(file.path, 'r')
  t.teardown(() => closeSync(fd))
  const addr = mmap(null, pageSize + 1, m.PROT_READ, m.MAP_SHARED, fd, 0)
  t.deepEqual(mappedIn(addr, pages(3))[0]?.slice(0, 2), [0, pages(2)])
  munmap(addr, pages(2))
})

test('bytes between the end of the file and the end of its last page read as zeros', (t) => {
  const file = new TestFile(t, 1)
  file.truncate(100)
  const bytes = bufferFromPointer(file.map(t), pageSize)
  t.deepEqual(bytes.subarray(0, 100), Buffer.alloc(100, 1))
  t.deepEqual(bytes.subarray(100), Buffer.alloc(pageSize - 100))
})

test('a mapping stays when its descriptor is closed', (t) => {
  const file = new TestFile(t, 2)
  const fd = openSync(file.path, 'r+')
  const addr = mmap(null, pages(2), READ_WRITE, m.MAP_SHARED, fd, 0)
  closeSync(fd)
  const bytes = bufferFromPointer(addr, pages(2))
  t.deepEqual(firstBytes(bytes), [1, 2])
  bytes[pageSize] = 99
  t.deepEqual(firstBytes(file.read()), [1, 99])
  munmap(addr, pages(2))
})

linux('mmap() keeps no descriptor of its own', (t) => {
  const file = new TestFile(t, 1)
  const fd = openSync(file.path, 'r')
  const addr = mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED, fd, 0)
  closeSync(fd)
  t.throws(() => readFileSync(`/proc/self/fd/${fd}`), { code: 'ENOENT' })
  munmap(addr, pageSize)
})

test('null, undefined and 0 let the kernel choose the address', (t) => {
  const chosen = [null, undefined, 0, 0n].map((addr) =>
    mmap(addr, pageSize, READ_WRITE, PRIVATE_MEMORY, -1, 0),
  )
  t.true(chosen.every((addr) => addr > 0n))
  t.is(new Set(chosen).size, chosen.length)
  for (const addr of chosen) munmap(addr, pageSize)
})

test('MAP_ANONYMOUS maps zeros without a file', (t) => {
  const bytes = bufferFromPointer(mapMemory(t, 2), pages(2))
  t.deepEqual(bytes, Buffer.alloc(pages(2)))
  bytes.fill(7)
  t.deepEqual(firstBytes(bytes), [7, 7])
})

test('two mappings of a file are two addresses and one memory', (t) => {
  const file = new TestFile(t, 1)
  const [a, b] = [file.map(t), file.map(t)]
  t.not(a, b)
  bufferFromPointer(a, pageSize)[5] = 55
  t.is(bufferFromPointer(b, pageSize)[5], 55)
})

// Hints and orders

linux('a hint where nothing is mapped is honoured', (t) => {
  const hint = freeAddress()
  t.is(mapMemory(t, 2, { addr: hint }), hint)
  t.is(mmap(Number(hint) + pages(8), pageSize, READ_WRITE, PRIVATE_MEMORY, -1, 0), after(hint, 8))
  munmap(after(hint, 8), pageSize)
})

linux('a hint within a page is rounded down to its start', (t) => {
  const hint = freeAddress()
  t.is(mapMemory(t, 1, { addr: hint + 123n }), hint)
})

linux('a hint where something is mapped gives another address, and leaves what is there', (t) => {
  const file = new TestFile(t, 1)
  const taken = file.map(t)
  const other = mapMemory(t, 1, { addr: taken })
  t.not(other, taken)
  t.deepEqual(bufferFromPointer(taken, pageSize), file.read())
  const { start, path } = foreign()
  t.not(mapMemory(t, 1, { addr: start }), start)
  t.is(foreign().path, path)
})

linux('a hint that no address can be gives another address', (t) => {
  const addr = mapMemory(t, 1, { addr: 2n ** 64n - BigInt(pageSize) })
  t.true(addr > 0n && addr < 2n ** 53n)
})

linux('MAP_FIXED replaces pages of this package', (t) => {
  const file = new TestFile(t, 3)
  const addr = file.map(t, { count: 3 })
  const other = new TestFile(t, 5)
  t.is(other.map(t, { addr: after(addr, 1), first: 4, flags: m.MAP_SHARED | FIXED }), after(addr, 1))
  t.deepEqual(mappedIn(addr, pages(3)), [
    [0, pageSize, 'rw-s', file.path],
    [pageSize, pageSize, 'rw-s', other.path],
    [pages(2), pageSize, 'rw-s', file.path],
  ])
  t.deepEqual(firstBytes(bufferFromPointer(addr, pages(3))), [1, 5, 3])
})

linux('a Buffer over a page that MAP_FIXED replaced shows the new page', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  const bytes = bufferFromPointer(addr, pages(2))
  mapMemory(t, 1, { addr, flags: PRIVATE_MEMORY | FIXED })
  t.deepEqual(firstBytes(bytes), [0, 2])
})

linux('MAP_FIXED maps where nothing is mapped', (t) => {
  const addr = freeAddress()
  t.is(mapMemory(t, 2, { addr, flags: PRIVATE_MEMORY | FIXED }), addr)
  t.deepEqual(mappedIn(addr, pages(2)), [[0, pages(2), 'rw-p', '']])
})

linux('MAP_FIXED over pages of this package and free ones maps them all', (t) => {
  const addr = freeAddress()
  mapMemory(t, 1, { addr: after(addr, 1) })
  t.is(mapMemory(t, 3, { addr, flags: PRIVATE_MEMORY | FIXED, prot: SCRATCH }), addr)
  t.deepEqual(mappedIn(addr, pages(3)), [[0, pages(3), 'r--p', '']])
})

linux('MAP_FIXED over pages of the runtime is EPERM, and nothing changes', (t) => {
  const { start, length } = foreign()
  mapsUnchanged(t, [[start, length]], () => {
    fails(t, 'EPERM', 'mmap', () => mmap(start, pageSize, READ_WRITE, PRIVATE_MEMORY | FIXED, -1, 0))
    fails(t, 'EPERM', 'mmap', () => mmap(start, length, READ_WRITE, PRIVATE_MEMORY | FIXED, -1, 0))
  })
})

linux('MAP_FIXED over the stack and the heap is EPERM', (t) => {
  for (const name of ['[stack]', '[heap]', '[vdso]']) {
    const entry = maps().find(({ path }) => path === name)
    if (entry === undefined) t.log(`no ${name}`)
    else
      fails(t, 'EPERM', 'mmap', () => mmap(entry.start, pageSize, READ_WRITE, PRIVATE_MEMORY | FIXED, -1, 0))
  }
})

linux('MAP_FIXED over pages of this package and of the runtime is EPERM, and ours stay', (t) => {
  const { start, length, before } = besideForeign(t)
  mapsUnchanged(t, [[start, length]], () => {
    fails(t, 'EPERM', 'mmap', () => mmap(start, length, READ_WRITE, PRIVATE_MEMORY | FIXED, -1, 0))
  })
  t.deepEqual(firstBytes(bufferFromPointer(before, pageSize)), [9])
})

linux('MAP_FIXED at 0 is EPERM, and nothing changes', (t) => {
  mapsUnchanged(t, [[0n, pages(16)]], () => {
    for (const addr of [0, 0n, null, undefined]) {
      fails(t, 'EPERM', 'mmap', () => mmap(addr, pageSize, READ_WRITE, PRIVATE_MEMORY | FIXED, -1, 0))
    }
  })
})

linux('MAP_FIXED_NOREPLACE at 0 is EPERM, and nothing changes', (t) => {
  mapsUnchanged(t, [[0n, pages(16)]], () => {
    for (const addr of [0, 0n, null]) {
      const flags = PRIVATE_MEMORY | m.MAP_FIXED_NOREPLACE
      fails(t, 'EPERM', 'mmap', () => mmap(addr, pageSize, READ_WRITE, flags, -1, 0))
    }
  })
})

linux('MAP_FIXED at an address within a page is EINVAL', (t) => {
  const addr = mapMemory(t, 2)
  mapsUnchanged(t, [[addr, pages(2)]], () => {
    fails(t, 'EINVAL', 'mmap', () => mmap(addr + 1n, pageSize, SCRATCH, PRIVATE_MEMORY | FIXED, -1, 0))
  })
})

linux('a MAP_FIXED that fails leaves what it would have replaced', (t) => {
  const file = new TestFile(t, 1)
  const addr = file.map(t)
  const bytes = bufferFromPointer(addr, pageSize)
  const readOnly = openSync(file.path, 'r')
  t.teardown(() => closeSync(readOnly))
  mapsUnchanged(t, [[addr, pageSize]], () => {
    fails(t, 'EACCES', 'mmap', () => mmap(addr, pageSize, READ_WRITE, m.MAP_SHARED | FIXED, readOnly, 0))
    fails(t, 'EBADF', 'mmap', () => mmap(addr, pageSize, READ_WRITE, m.MAP_SHARED | FIXED, -1, 0))
    fails(t, 'EINVAL', 'mmap', () => mmap(addr, pageSize, READ_WRITE, FIXED | m.MAP_ANONYMOUS, -1, 0))
  })
  t.deepEqual(bytes, file.read())
})

linux('MAP_FIXED_NOREPLACE is EEXIST where anything is mapped, ours or not, and nothing changes', (t) => {
  const flags = PRIVATE_MEMORY | m.MAP_FIXED_NOREPLACE
  const addr = mapMemory(t, 2)
  const { start } = foreign()
  mapsUnchanged(
    t,
    [
      [addr, pages(2)],
      [start, pageSize],
    ],
    () => {
      fails(t, 'EEXIST', 'mmap', () => mmap(addr, pageSize, SCRATCH, flags, -1, 0))
      fails(t, 'EEXIST', 'mmap', () => mmap(after(addr, 1), pageSize, SCRATCH, flags | FIXED, -1, 0))
      fails(t, 'EEXIST', 'mmap', () => mmap(start, pageSize, SCRATCH, flags, -1, 0))
    },
  )
})

linux('MAP_FIXED_NOREPLACE maps where nothing is mapped', (t) => {
  const addr = freeAddress()
  t.is(mapMemory(t, 1, { addr, flags: PRIVATE_MEMORY | m.MAP_FIXED_NOREPLACE }), addr)
})

// What mmap() refuses

test('mmap() with a length of 0 is EINVAL', (t) => {
  const file = new TestFile(t, 1)
  const fd = openSync(file.path, 'r')
  t.teardown(() => closeSync(fd))
  fails(t, 'EINVAL', 'mmap', () => mmap(null, 0, m.PROT_READ, m.MAP_SHARED, fd, 0))
  fails(t, 'EINVAL', 'mmap', () => mmap(null, 0n, READ_WRITE, PRIVATE_MEMORY, -1, 0))
})

test('mmap() with an offset that is not a multiple of the page size is EINVAL', (t) => {
  const file = new TestFile(t, 3)
  const fd = openSync(file.path, 'r')
  t.teardown(() => closeSync(fd))
  for (const offset of [1, 512, pageSize - 1, pageSize + 1, BigInt(pageSize) + 8n]) {
    fails(t, 'EINVAL', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED, fd, offset))
  }
})

test('mmap() with neither MAP_SHARED nor MAP_PRIVATE is EINVAL', (t) => {
  fails(t, 'EINVAL', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_ANONYMOUS, -1, 0))
})

test('mmap() without a file and without MAP_ANONYMOUS is EBADF', (t) => {
  fails(t, 'EBADF', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_PRIVATE, -1, 0))
  fails(t, 'EBADF', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_PRIVATE, 2 ** 31 - 1, 0))
})

test('mmap() is EACCES when prot conflicts with how the file was opened', (t) => {
  const file = new TestFile(t, 1)
  const [readOnly, writeOnly] = [openSync(file.path, 'r'), openSync(file.path, 'a')]
  t.teardown(() => [readOnly, writeOnly].forEach(closeSync))
  fails(t, 'EACCES', 'mmap', () => mmap(null, pageSize, READ_WRITE, m.MAP_SHARED, readOnly, 0))
  fails(t, 'EACCES', 'mmap', () => mmap(null, pageSize, m.PROT_WRITE, m.MAP_SHARED, readOnly, 0))
  fails(t, 'EACCES', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED, writeOnly, 0))
  fails(t, 'EACCES', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_PRIVATE, writeOnly, 0))
})

test('MAP_PRIVATE allows PROT_WRITE over a file opened for reading', (t) => {
  const file = new TestFile(t, 1)
  const bytes = bufferFromPointer(file.map(t, { mode: 'r', flags: m.MAP_PRIVATE }), pageSize)
  bytes[0] = 42
  t.is(bytes[0], 42)
})

test('mmap() of a directory is ENODEV', (t) => {
  const fd = openSync('/', 'r')
  t.teardown(() => closeSync(fd))
  fails(t, 'ENODEV', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED, fd, 0))
})

linux('flags that the kernel does not know reach it, and MAP_SHARED_VALIDATE refuses them', (t) => {
  const file = new TestFile(t, 1)
  const fd = openSync(file.path, 'r')
  t.teardown(() => closeSync(fd))
  const unknown = 0x200_0000
  fails(t, 'ENOTSUP', 'mmap', () => mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED_VALIDATE | unknown, fd, 0))
  munmap(mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED_VALIDATE, fd, 0), pageSize)
})

// Shared and private

test('what is written to a MAP_SHARED mapping is in the file', (t) => {
  const file = new TestFile(t, 2)
  bufferFromPointer(file.map(t, { count: 2 }), pages(2)).write('written', pageSize)
  t.is(file.read().toString('latin1', pageSize, pageSize + 7), 'written')
})

test('what is written to a MAP_PRIVATE mapping is not in the file, nor in other mappings of it', (t) => {
  const file = new TestFile(t, 2)
  const shared = bufferFromPointer(file.map(t, { count: 2 }), pages(2))
  const bytes = bufferFromPointer(file.map(t, { count: 2, flags: m.MAP_PRIVATE }), pages(2))
  bytes.fill(77)
  t.deepEqual(firstBytes(bytes), [77, 77])
  t.deepEqual(firstBytes(file.read()), [1, 2])
  t.deepEqual(firstBytes(shared), [1, 2])
})

test('what fs writes to the file shows in a MAP_SHARED mapping', (t) => {
  const file = new TestFile(t, 1)
  const bytes = bufferFromPointer(file.map(t, { prot: m.PROT_READ }), pageSize)
  const fd = openSync(file.path, 'r+')
  writeSync(fd, 'news', 10)
  closeSync(fd)
  t.is(bytes.toString('latin1', 10, 14), 'news')
})

linux('prot is what the kernel has', (t) => {
  const file = new TestFile(t, 1)
  const permsOf = (prot: number) => mappedIn(file.map(t, { prot, flags: m.MAP_PRIVATE }), pageSize)[0]?.[2]
  t.is(permsOf(m.PROT_NONE), '---p')
  t.is(permsOf(m.PROT_READ), 'r--p')
  t.is(permsOf(READ_WRITE), 'rw-p')
  t.is(permsOf(m.PROT_READ | m.PROT_EXEC), 'r-xp')
})

linux('MAP_POPULATE brings the pages in, and without it they come when touched', (t) => {
  const rss = (flags: number) => smapsField(mapMemory(t, 4, { flags, addr: freeAddress() }), 'Rss')
  t.is(rss(PRIVATE_MEMORY | m.MAP_POPULATE), pages(4))
  t.is(rss(PRIVATE_MEMORY), 0)
})

// munmap

linux('munmap() returns 0, and the kernel has nothing there', (t) => {
  const addr = new TestFile(t, 3).map(t, { count: 3 })
  t.is(munmap(addr, pages(3)), 0)
  t.deepEqual(mappedIn(addr, pages(3)), [])
})

linux('munmap() takes a number for the address', (t) => {
  const addr = mapMemory(t, 1)
  t.is(munmap(Number(addr), pageSize), 0)
  t.deepEqual(mappedIn(addr, pageSize), [])
})

linux('munmap() takes every page that holds a part of the range', (t) => {
  const addr = new TestFile(t, 3).map(t, { count: 3 })
  t.is(munmap(addr, pageSize + 1), 0)
  t.deepEqual(
    mappedIn(addr, pages(3)).map(([start, length]) => [start, length]),
    [[pages(2), pageSize]],
  )
  t.is(munmap(after(addr, 2), 1), 0)
  t.deepEqual(mappedIn(addr, pages(3)), [])
})

linux('munmap() of the middle leaves a hole, and both sides can be read', (t) => {
  const file = new TestFile(t, 5)
  const addr = file.map(t, { count: 5 })
  t.is(munmap(after(addr, 2), pageSize), 0)
  t.deepEqual(mappedIn(addr, pages(5)), [
    [0, pages(2), 'rw-s', file.path],
    [pages(3), pages(2), 'rw-s', file.path],
  ])
  t.deepEqual(firstBytes(bufferFromPointer(addr, pages(2))), [1, 2])
  t.deepEqual(firstBytes(bufferFromPointer(after(addr, 3), pages(2))), [4, 5])
})

linux('munmap() over a hole takes both sides', (t) => {
  const addr = new TestFile(t, 3).map(t, { count: 3 })
  munmap(after(addr, 1), pageSize)
  t.is(munmap(addr, pages(3)), 0)
  t.deepEqual(mappedIn(addr, pages(3)), [])
})

linux('one munmap() takes several mappings', (t) => {
  const addr = freeAddress()
  new TestFile(t, 1).map(t, { addr })
  mapMemory(t, 1, { addr: after(addr, 1) })
  new TestFile(t, 1).map(t, { addr: after(addr, 3) })
  t.is(mappedIn(addr, pages(4)).length, 3)
  t.is(munmap(addr, pages(4)), 0)
  t.deepEqual(mappedIn(addr, pages(4)), [])
})

test('a second munmap() returns 0', (t) => {
  const addr = new TestFile(t, 1).map(t)
  t.is(munmap(addr, pageSize), 0)
  t.is(munmap(addr, pageSize), 0)
})

linux('munmap() of a range without mappings returns 0, and nothing changes', (t) => {
  const addr = freeAddress()
  mapsUnchanged(t, [[addr, pages(100)]], () => t.is(munmap(addr, pages(100)), 0))
})

linux('munmap() of pages of the runtime is EPERM, and nothing changes', (t) => {
  const { start, length } = foreign()
  mapsUnchanged(t, [[start, length]], () => {
    fails(t, 'EPERM', 'munmap', () => munmap(start, pageSize))
    fails(t, 'EPERM', 'munmap', () => munmap(start, length))
  })
})

linux('munmap() of pages of this package and of the runtime is EPERM, and ours stay', (t) => {
  const { start, length, before } = besideForeign(t)
  mapsUnchanged(t, [[start, length]], () => fails(t, 'EPERM', 'munmap', () => munmap(start, length)))
  t.deepEqual(firstBytes(bufferFromPointer(before, pageSize)), [9])
})

linux('munmap() of the whole address space is EPERM, and nothing changes', async (t) => {
  // In a process without mappings of this package, where all of it is one foreign range.
  const ending = await runScript(
    `const { munmap, pageSize } = require('mmap-native')
    for (const [addr, length] of [[0, 2 ** 47 - pageSize], [pageSize, 2 ** 46], [0n, Number.MAX_SAFE_INTEGER]]) {
      try {
        console.log(munmap(addr, length))
      } catch (error) {
        console.log(error.code)
      }
    }`,
  )
  t.deepEqual(ending, { code: 0, signal: null, stdout: 'EPERM\nEPERM\nEPERM\n', stderr: '' })
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () => {
    fails(t, 'EPERM', 'munmap', () => munmap(0, Number.MAX_SAFE_INTEGER))
  })
})

linux('munmap() at an address within a page is EINVAL, and nothing changes', (t) => {
  const addr = mapMemory(t, 2)
  mapsUnchanged(t, [[addr, pages(2)]], () => {
    for (const bytes of [1n, 8n, BigInt(pageSize - 1)])
      fails(t, 'EINVAL', 'munmap', () => munmap(addr + bytes, pageSize))
  })
})

linux('munmap() of 0 bytes is EINVAL, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () => {
    fails(t, 'EINVAL', 'munmap', () => munmap(addr, 0))
    fails(t, 'EINVAL', 'munmap', () => munmap(addr, 0n))
  })
})

test('exit unmaps what is still mapped, and what was written is in the file', async (t) => {
  const file = new TestFile(t, 2)
  const ending = await runScript(
    `const { openSync } = require('node:fs')
    const { mmap, bufferFromPointer, pageSize, PROT_READ, PROT_WRITE, MAP_SHARED } = require('mmap-native')
    const fd = openSync(process.argv[1], 'r+')
    const addr = mmap(null, 2 * pageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    bufferFromPointer(addr, 2 * pageSize)[pageSize] = 200
    console.log('mapped')`,
    { args: [file.path] },
  )
  t.deepEqual(ending, { code: 0, signal: null, stdout: 'mapped\n', stderr: '' })
  t.deepEqual(firstBytes(file.read()), [1, 200])
})

// Buffers

test('bufferFromPointer() gives a real Buffer over the memory, not a copy', (t) => {
  const file = new TestFile(t, 1)
  const addr = file.map(t)
  const [a, b] = [bufferFromPointer(addr, pageSize), bufferFromPointer(addr, pageSize)]
  t.true(Buffer.isBuffer(a))
  t.is(a.length, pageSize)
  a[17] = 71
  t.is(b[17], 71)
  t.is(file.read()[17], 71)
})

test('bufferFromPointer() takes any address and any length within the mapping', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  const pattern = Buffer.from(Array.from({ length: pages(2) }, (_, index) => (index * 7) % 251))
  writeFileSync(file.path, pattern)
  for (const start of [0, 1, 7, 8, 4093]) {
    for (const length of [1, 5, 4096, pages(2) - start]) {
      t.deepEqual(bufferFromPointer(addr + BigInt(start), length), pattern.subarray(start, start + length))
    }
  }
})

test('bufferFromPointer() of 0 bytes is an empty Buffer', (t) => {
  t.is(bufferFromPointer(mapMemory(t, 1), 0).length, 0)
})

linux('one Buffer may span adjacent mappings', (t) => {
  const addr = freeAddress()
  new TestFile(t, 1).map(t, { addr: after(addr, 1) })
  mapMemory(t, 1, { addr })
  t.deepEqual(firstBytes(bufferFromPointer(addr, pages(2))), [0, 1])
})

linux('bufferFromPointer() of memory that this package did not map is EPERM', (t) => {
  const { start, length } = foreign()
  fails(t, 'EPERM', 'bufferFromPointer', () => bufferFromPointer(start, 1))
  fails(t, 'EPERM', 'bufferFromPointer', () => bufferFromPointer(start, length))
  const beside = besideForeign(t)
  fails(t, 'EPERM', 'bufferFromPointer', () => bufferFromPointer(beside.start, beside.length))
})

linux('bufferFromPointer() where nothing is mapped is ENOMEM', (t) => {
  const addr = freeAddress()
  mapMemory(t, 1, { addr })
  fails(t, 'ENOMEM', 'bufferFromPointer', () => bufferFromPointer(after(addr, 1), 1))
  fails(t, 'ENOMEM', 'bufferFromPointer', () => bufferFromPointer(addr, pageSize + 1))
  fails(t, 'ENOMEM', 'bufferFromPointer', () => bufferFromPointer(0, 8))
})

test('bufferFromPointer() of memory that may not be read is EACCES', (t) => {
  const addr = mapMemory(t, 2)
  m.mprotect(after(addr, 1), pageSize, m.PROT_NONE)
  fails(t, 'EACCES', 'bufferFromPointer', () => bufferFromPointer(addr, pageSize + 1))
  t.is(bufferFromPointer(addr, pageSize).length, pageSize)
})

test('bufferFromPointer() of unmapped memory is ENOMEM even while another Buffer holds the addresses', (t) => {
  const addr = mapMemory(t, 1)
  const bytes = bufferFromPointer(addr, pageSize)
  munmap(addr, pageSize)
  fails(t, 'ENOMEM', 'bufferFromPointer', () => bufferFromPointer(addr, pageSize))
  t.is(bytes[0], 0)
})

test('a Buffer over an unmapped range keeps its length and reads zeros', async (t) => {
  const file = new TestFile(t, 3)
  const ending = await runScript(
    `const { openSync } = require('node:fs')
    const { mmap, munmap, bufferFromPointer, pageSize, PROT_READ, PROT_WRITE, MAP_SHARED } = require('mmap-native')
    const fd = openSync(process.argv[1], 'r+')
    const addr = mmap(null, 3 * pageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    const bytes = bufferFromPointer(addr, 3 * pageSize)
    const odd = bufferFromPointer(addr + 3n, 10)
    console.log(munmap(addr, 3 * pageSize), bytes.length, bytes.every((byte) => byte === 0), odd.toString('hex'))
    bytes.fill(255)
    console.log(bytes[0], bytes[3 * pageSize - 1], munmap(addr, 3 * pageSize))`,
    { args: [file.path], nodeArgs: QUIET },
  )
  t.deepEqual(ending, {
    code: 0,
    signal: null,
    stdout: `0 ${pages(3)} true 00000000000000000000\n255 255 0\n`,
    stderr: '',
  })
  t.deepEqual(firstBytes(file.read()), [1, 2, 3])
})

test('a Buffer over a range whose middle was unmapped reads zeros there and the file elsewhere', async (t) => {
  const file = new TestFile(t, 3)
  const ending = await runScript(
    `const { openSync } = require('node:fs')
    const { mmap, munmap, bufferFromPointer, pageSize, PROT_READ, MAP_SHARED } = require('mmap-native')
    const fd = openSync(process.argv[1], 'r')
    const addr = mmap(null, 3 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
    const bytes = bufferFromPointer(addr, 3 * pageSize)
    munmap(addr + BigInt(pageSize), 1)
    console.log(bytes[0], bytes[pageSize - 1], bytes[pageSize], bytes[2 * pageSize - 1], bytes[2 * pageSize])`,
    { args: [file.path], nodeArgs: QUIET },
  )
  t.deepEqual(ending, { code: 0, signal: null, stdout: '1 1 0 0 3\n', stderr: '' })
})

linux('the addresses of a Buffer that outlived its mapping are given to nobody else', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  const bytes = bufferFromPointer(addr, pages(2))
  munmap(addr, pages(2))
  t.deepEqual(
    mappedIn(addr, pages(2)).map(([start, length, , path]) => [start, length, path]),
    [[0, pages(2), '']],
  )
  t.not(mapMemory(t, 2, { addr }), addr)
  const flags = PRIVATE_MEMORY | m.MAP_FIXED_NOREPLACE
  fails(t, 'EEXIST', 'mmap', () => mmap(addr, pageSize, READ_WRITE, flags, -1, 0))
  t.deepEqual(firstBytes(bytes), [0, 0])
})

linux('addresses without a Buffer are free at once, those with one when it is collected', async (t) => {
  const ending = await runScript(
    `const { readFileSync } = require('node:fs')
    const m = require('mmap-native')
    const size = 64 * m.pageSize
    const addr = m.mmap(null, size, m.PROT_READ | m.PROT_WRITE, m.MAP_PRIVATE | m.MAP_ANONYMOUS, -1, 0)
    const free = () => {
      try {
        const flags = m.MAP_PRIVATE | m.MAP_ANONYMOUS | m.MAP_FIXED_NOREPLACE
        m.munmap(m.mmap(addr, size, m.PROT_NONE, flags, -1, 0), size)
        return true
      } catch (error) {
        if (error.code !== 'EEXIST') throw error
        return false
      }
    }
    let bytes = m.bufferFromPointer(addr, size)
    m.munmap(addr, size)
    console.log(free(), bytes[size - 1])
    bytes = undefined
    const deadline = Date.now() + 30_000
    const poll = () => {
      gc()
      if (free()) console.log('freed')
      else if (Date.now() > deadline) console.log('still taken')
      else setTimeout(poll, 5)
    }
    poll()`,
    { nodeArgs: [...QUIET, '--expose-gc'] },
  )
  t.deepEqual(ending, { code: 0, signal: null, stdout: 'false 0\nfreed\n', stderr: '' })
})

// Lengths beyond 32 bits

const BEYOND_32_BITS = 2 ** 32 + 4096

linux('a length of 2^32 + 4096 is mapped and unmapped in full', (t) => {
  const addr = mmap(null, BEYOND_32_BITS, READ_WRITE, RESERVED, -1, 0)
  t.deepEqual(mappedIn(addr, BEYOND_32_BITS), [[0, BEYOND_32_BITS, 'rw-p', '']])
  const last = bufferFromPointer(addr + 2n ** 32n, 4096)
  last[4095] = 5
  t.is(bufferFromPointer(addr + 2n ** 32n + 4095n, 1)[0], 5)
  munmap(addr, 2 ** 32)
  t.deepEqual(mappedIn(addr, BEYOND_32_BITS), [[2 ** 32, 4096, 'rw-p', '']])
  munmap(addr, BEYOND_32_BITS)
})

linux('an offset of 2^32 + a page is honoured', (t) => {
  const file = new TestFile(t, 0)
  file.truncate(2 ** 32 + pages(2))
  const fd = openSync(file.path, 'r+')
  t.teardown(() => closeSync(fd))
  writeSync(fd, 'far', 2 ** 32 + pageSize)
  const addr = mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED, fd, 2 ** 32 + pageSize)
  t.is(bufferFromPointer(addr, 3).toString(), 'far')
  t.is(maps().find(({ start }) => start === addr)?.offset, 2n ** 32n + BigInt(pageSize))
  munmap(addr, pageSize)
})

linux('a length of 2^46 is mapped in full, or ENOMEM where so much is not free in one piece', (t) => {
  try {
    const addr = mmap(null, 2 ** 46, m.PROT_NONE, RESERVED, -1, 0)
    t.deepEqual(mappedIn(addr, 2 ** 46), [[0, 2 ** 46, '---p', '']])
    t.is(munmap(addr, 2 ** 46), 0)
    t.deepEqual(
      mappedIn(addr, 2 ** 46).filter(([, length]) => length > 2 ** 40),
      [],
    )
  } catch (error) {
    t.is((error as m.SystemError).code, 'ENOMEM')
  }
})

test('a length that no address space has is ENOMEM', (t) => {
  for (const length of [Number.MAX_SAFE_INTEGER, 2n ** 53n - 1n, 2 ** 53 - pageSize, 2 ** 50]) {
    fails(t, 'ENOMEM', 'mmap', () => mmap(null, length, m.PROT_READ, RESERVED, -1, 0))
  }
})

linux('MAP_FIXED with a length that no address space has is ENOMEM, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () => {
    fails(t, 'ENOMEM', 'mmap', () => mmap(addr, Number.MAX_SAFE_INTEGER, SCRATCH, RESERVED | FIXED, -1, 0))
  })
})

linux('MAP_FIXED for more memory than there is fails, and what it would have replaced stays', async (t) => {
  const length = 2 ** 44
  const ending = await runScript(
    `const m = require('mmap-native')
    const memory = m.MAP_PRIVATE | m.MAP_ANONYMOUS
    const addr = m.mmap(null, ${length}, m.PROT_READ, memory | m.MAP_NORESERVE, -1, 0)
    const bytes = m.bufferFromPointer(addr, 100)
    try {
      m.mmap(addr, ${length}, m.PROT_READ | m.PROT_WRITE, memory | m.MAP_FIXED, -1, 0)
      console.log('mapped', bytes[0])
    } catch (error) {
      console.log(error.code, bytes[0])
    }`,
  )
  t.like(ending, { code: 0, signal: null, stderr: '' })
  t.regex(ending.stdout, /^(mapped|ENOMEM) 0\n$/)
})

linux('bufferFromPointer() of more than is mapped is an error for any length', (t) => {
  const addr = mapMemory(t, 1)
  for (const length of [BEYOND_32_BITS, 2 ** 46, 2 ** 53 - 1]) {
    t.throws(() => bufferFromPointer(addr, length), { message: /^(ENOMEM|EPERM): |"length" is out of range/ })
  }
})

const hasHugePages = borrowHugePages(1, () => undefined)
const whyNot = hasHugePages ? '' : ' (skipped: this machine has no huge pages and lets none be made)'

;(hasHugePages ? test : test.skip)(
  `pages of MAP_HUGETLB are mapped, used and unmapped whole${whyNot}`,
  (t) => {
    const done = borrowHugePages(1, () => {
      const addr = mmap(null, 1, READ_WRITE, PRIVATE_MEMORY | m.MAP_HUGETLB, -1, 0)
      t.is(addr % BigInt(hugePageSize), 0n)
      t.deepEqual(
        mappedIn(addr, hugePageSize).map(([start, length, perms]) => [start, length, perms]),
        [[0, hugePageSize, 'rw-p']],
      )
      t.is(smapsField(addr, 'KernelPageSize'), hugePageSize)
      const bytes = bufferFromPointer(addr, hugePageSize)
      bytes[hugePageSize - 1] = 3
      fails(t, 'EINVAL', 'munmap', () => munmap(addr, pageSize))
      t.is(bytes[hugePageSize - 1], 3)
      t.is(munmap(addr, hugePageSize), 0)
      t.is(bytes[hugePageSize - 1], 0)
    })
    t.true(done)
  },
)

// Without MAP_NORESERVE there would have to be free ones.
linux('parts of huge pages have no protection or view of their own, and end no process', async (t) => {
  const { code, signal, stdout, stderr } = await runScript(
    `
    const m = require('mmap-native')
    const huge = ${hugePageSize || 2 ** 21}
    const memory = m.MAP_PRIVATE | m.MAP_ANONYMOUS | m.MAP_NORESERVE
    const mapped = BigInt(huge)
    function placeOf() {
      const start = m.mmap(null, 3 * huge, m.PROT_READ | m.PROT_WRITE, memory, -1, 0)
      return (start + mapped - 1n) / mapped * mapped
    }
    function replace(start) {
      try {
        m.mmap(start, huge, m.PROT_READ | m.PROT_WRITE, memory | m.MAP_FIXED | m.MAP_HUGETLB, -1, 0)
        return 'replaced'
      } catch ({ code }) {
        return code
      }
    }
    // Where there are no huge pages of this size at all, there is nothing to see.
    const answer = replace(placeOf())
    if (answer === 'replaced') {
      const cut = placeOf()
      m.mprotect(cut + 2n * BigInt(m.pageSize), m.pageSize, m.PROT_READ)
      console.log(replace(cut))
      const bytes = m.bufferFromPointer(cut, huge)
      bytes[2 * m.pageSize] = bytes[huge - 1] = 7
      console.log(bytes[2 * m.pageSize], bytes[huge - 1], m.munmap(cut, huge))
      const same = m.mmap(null, huge, m.PROT_READ | m.PROT_WRITE, memory | m.MAP_HUGETLB, -1, 0)
      try {
        // PROT_SEM is a bit that the kernel takes and forgets.
        m.mprotect(same + BigInt(m.pageSize), m.pageSize, m.PROT_READ | m.PROT_WRITE | 8)
      } catch ({ code }) {
        console.log(code)
      }
      m.bufferFromPointer(same, huge).fill(1)
      const between = placeOf() + BigInt(m.pageSize)
      console.log(replace(between), replace(m.pageSize))
      const seen = placeOf()
      const view = m.bufferFromPointer(seen + 2n * BigInt(m.pageSize), m.pageSize)
      view.fill(5)
      console.log(replace(seen), view[9])
      const all = placeOf()
      const whole = m.bufferFromPointer(all, huge)
      console.log(replace(all))
      whole[5] = 6
      console.log(whole[5])
    } else console.log(answer)
  `,
    { nodeArgs: ['--no-warnings'] },
  )
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  if (stdout !== 'EINVAL\n') t.is(stdout, 'replaced\n7 7 0\nEINVAL\nEINVAL EINVAL\nEBUSY 5\nreplaced\n6\n')
})

/** A range with a page of this package, full of 9, at one end, and pages of the runtime at the other. */
function besideForeign(t: ExecutionContext): { start: bigint; length: number; before: bigint } {
  const entries = maps()
  const program = realpathSync(process.execPath)
  for (const { start, end, path } of entries) {
    const below = start - BigInt(pageSize)
    const isFree = entries.every((entry) => entry.end <= below || entry.start >= start)
    if (!isFree || (path !== program && !path.includes('.so'))) continue
    const at = mapMemory(t, 1, { addr: below })
    if (at !== below) continue
    bufferFromPointer(at, pageSize).fill(9)
    return { start: at, length: Number(end - at), before: at }
  }
  throw new Error('no free page before one of the runtime')
}
