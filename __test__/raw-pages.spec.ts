import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import test from 'ava'
import * as m from 'mmap-native'
import {
  bufferFromPointer,
  madvise,
  mincore,
  mlock,
  mprotect,
  msync,
  munlock,
  munmap,
  pageSize,
} from 'mmap-native'
import { runScript } from './support/child'
import { freeAddress, mappedIn, maps, mapsUnchanged, smapsField } from './support/maps'
import { QUIET, READ_WRITE, TestFile, after, fails, firstBytes, linux, mapMemory, pages } from './support/raw'

/** Every call on a range of pages, with arguments that are right. */
const CALLS: Record<string, (addr: bigint, length: number) => unknown> = {
  mprotect: (addr, length) => mprotect(addr, length, m.PROT_READ),
  msync: (addr, length) => msync(addr, length, m.MS_ASYNC),
  madvise: (addr, length) => madvise(addr, length, m.MADV_NORMAL),
  mlock,
  munlock,
  mincore,
}
const NEED_A_PAGE_ADDRESS = new Set(['mprotect', 'msync', 'madvise', 'mincore'])

for (const [name, call] of Object.entries(CALLS)) {
  linux(`${name}() of pages of the runtime is EPERM, and nothing changes`, (t) => {
    const program = maps().find(({ path, perms }) => path.startsWith('/') && perms === 'r-xp')
    if (program === undefined) throw new Error('the program is not in /proc/self/maps')
    const length = Number(program.end - program.start)
    mapsUnchanged(t, [[program.start, length]], () => {
      fails(t, 'EPERM', name, () => call(program.start, pageSize))
      fails(t, 'EPERM', name, () => call(program.start, length))
    })
  })

  linux(`${name}() of a range that is not all mapped is ENOMEM, and nothing changes`, (t) => {
    const addr = freeAddress()
    mapMemory(t, 1, { addr })
    mapsUnchanged(t, [[addr, pages(4)]], () => {
      fails(t, 'ENOMEM', name, () => call(after(addr, 2), pageSize))
      fails(t, 'ENOMEM', name, () => call(addr, pages(2)))
      fails(t, 'ENOMEM', name, () => call(addr, pageSize + 1))
    })
  })

  linux(`${name}() of a range with a hole is ENOMEM`, (t) => {
    const addr = mapMemory(t, 3, { addr: freeAddress() })
    munmap(after(addr, 1), pageSize)
    mapsUnchanged(t, [[addr, pages(3)]], () => fails(t, 'ENOMEM', name, () => call(addr, pages(3))))
  })

  test(`${name}() of an unmapped range that a Buffer still holds is ENOMEM`, (t) => {
    const addr = mapMemory(t, 1)
    const bytes = bufferFromPointer(addr, pageSize)
    munmap(addr, pageSize)
    fails(t, 'ENOMEM', name, () => call(addr, pageSize))
    t.is(bytes[0], 0)
  })

  test(`${name}() of a length that no address space has fails`, (t) => {
    const addr = mapMemory(t, 1)
    for (const length of [2 ** 32 + 4096, 2 ** 46, Number.MAX_SAFE_INTEGER]) {
      const message = new RegExp(`^(ENOMEM|EPERM): .*, ${name}|"length" is out of range`)
      t.throws(() => call(addr, length), { message })
    }
  })

  if (NEED_A_PAGE_ADDRESS.has(name)) {
    test(`${name}() at an address within a page is EINVAL`, (t) => {
      const addr = mapMemory(t, 2)
      for (const bytes of [1n, BigInt(pageSize - 1)]) {
        fails(t, 'EINVAL', name, () => call(addr + bytes, pageSize))
        fails(t, 'EINVAL', name, () => call(addr + bytes, 0))
      }
    })
  }
}

// mprotect

linux('mprotect() changes what the kernel allows, for whole pages only', (t) => {
  const file = new TestFile(t, 3)
  const addr = file.map(t, { count: 3 })
  t.is(mprotect(after(addr, 1), 1, m.PROT_READ), 0)
  t.deepEqual(mappedIn(addr, pages(3)), [
    [0, pageSize, 'rw-s', file.path],
    [pageSize, pageSize, 'r--s', file.path],
    [pages(2), pageSize, 'rw-s', file.path],
  ])
  t.is(mprotect(addr, pageSize + 1, m.PROT_READ), 0)
  t.deepEqual(
    mappedIn(addr, pages(3)).map(([, length, perms]) => [length, perms]),
    [
      [pages(2), 'r--s'],
      [pageSize, 'rw-s'],
    ],
  )
})

linux('mprotect() to PROT_NONE and back keeps the contents', (t) => {
  const addr = mapMemory(t, 2, { addr: freeAddress() })
  const bytes = bufferFromPointer(addr, pages(2))
  bytes.fill(64)
  t.is(mprotect(addr, pages(2), m.PROT_NONE), 0)
  t.deepEqual(mappedIn(addr, pages(2)), [[0, pages(2), '---p', '']])
  t.is(mprotect(addr, pages(2), READ_WRITE), 0)
  t.deepEqual(mappedIn(addr, pages(2)), [[0, pages(2), 'rw-p', '']])
  t.deepEqual(firstBytes(bytes), [64, 64])
  bytes[0] = 65
  t.is(bytes[0], 65)
})

test('mprotect() makes a read-only mapping of a file opened for writing writable', (t) => {
  const file = new TestFile(t, 1)
  const addr = file.map(t, { prot: m.PROT_READ })
  const bytes = bufferFromPointer(addr, pageSize)
  t.is(mprotect(addr, pageSize, READ_WRITE), 0)
  bytes[3] = 33
  t.is(file.read()[3], 33)
})

linux(
  'mprotect() to PROT_WRITE is EACCES on a shared mapping of a file opened read-only, and nothing changes',
  (t) => {
    const addr = new TestFile(t, 1).map(t, { mode: 'r', prot: m.PROT_READ })
    mapsUnchanged(t, [[addr, pageSize]], () =>
      fails(t, 'EACCES', 'mprotect', () => mprotect(addr, pageSize, READ_WRITE)),
    )
  },
)

linux('mprotect() with bits that the kernel does not know is EINVAL, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () => {
    fails(t, 'EINVAL', 'mprotect', () => mprotect(addr, pageSize, 0x8000))
    fails(t, 'EINVAL', 'mprotect', () => mprotect(addr, pageSize, -1))
  })
})

linux('mprotect() of 0 bytes returns 0, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () => t.is(mprotect(addr, 0, m.PROT_NONE), 0))
})

test('a Buffer over pages under PROT_NONE reads zeros once they are unmapped', async (t) => {
  const ending = await runScript(
    `const m = require('mmap-native')
    const flags = m.MAP_PRIVATE | m.MAP_ANONYMOUS
    const addr = m.mmap(null, 2 * m.pageSize, m.PROT_READ | m.PROT_WRITE, flags, -1, 0)
    const bytes = m.bufferFromPointer(addr, 2 * m.pageSize)
    bytes.fill(1)
    m.mprotect(addr, m.pageSize, m.PROT_NONE)
    console.log(m.munmap(addr, 2 * m.pageSize), bytes.every((byte) => byte === 0))`,
    { nodeArgs: QUIET },
  )
  t.deepEqual(ending, { code: 0, signal: null, stdout: '0 true\n', stderr: '' })
})

// msync

const TMPFS = 0x01021994
const isWritten = process.platform === 'linux' && statfsSync(tmpdir()).type !== TMPFS
const whyNot = isWritten ? '' : ' (skipped: no file system here that writes to a device)'

;(isWritten ? test : test.skip)(`msync() with MS_SYNC leaves no page to be written${whyNot}`, (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  const dirty = () => smapsField(addr, 'Private_Dirty') + smapsField(addr, 'Shared_Dirty')
  bufferFromPointer(addr, pages(2)).fill(123)
  t.is(dirty(), pages(2))
  t.is(msync(addr, pages(2), m.MS_SYNC), 0)
  t.is(dirty(), 0)
  t.deepEqual(firstBytes(file.read()), [123, 123])
})

test('msync() returns 0 for each kind of flag, and for a part of a mapping', (t) => {
  const addr = new TestFile(t, 3).map(t, { count: 3 })
  for (const flags of [m.MS_ASYNC, m.MS_SYNC, m.MS_ASYNC | m.MS_INVALIDATE, m.MS_SYNC | m.MS_INVALIDATE]) {
    t.is(msync(addr, pages(3), flags), 0)
    t.is(msync(after(addr, 1), 1, flags), 0)
  }
  t.is(msync(addr, 0, m.MS_SYNC), 0)
})

test('msync() with MS_SYNC and MS_ASYNC, or with flags that do not exist, is EINVAL', (t) => {
  const addr = new TestFile(t, 1).map(t)
  fails(t, 'EINVAL', 'msync', () => msync(addr, pageSize, m.MS_SYNC | m.MS_ASYNC))
  fails(t, 'EINVAL', 'msync', () => msync(addr, pageSize, 0x4000))
})

// mlock

linux('mlock() locks whole pages in memory until munlock()', (t) => {
  const addr = mapMemory(t, 4, { addr: freeAddress() })
  t.is(mlock(after(addr, 1), pages(2)), 0)
  t.is(smapsField(addr, 'Locked'), 0)
  t.is(smapsField(after(addr, 1), 'Locked'), pages(2))
  t.is(smapsField(after(addr, 1), 'Rss'), pages(2))
  t.is(munlock(after(addr, 1), pages(2)), 0)
  t.is(smapsField(after(addr, 1), 'Locked'), 0)
})

linux('mlock() and munlock() take any address and any length', (t) => {
  const addr = mapMemory(t, 2, { addr: freeAddress() })
  t.is(mlock(addr + BigInt(pageSize - 1), 2), 0)
  t.is(smapsField(addr, 'Locked'), pages(2))
  t.is(munlock(addr + 1n, 1), 0)
  t.is(smapsField(addr, 'Locked'), 0)
  t.is(smapsField(after(addr, 1), 'Locked'), pageSize)
  t.is(munlock(after(addr, 1), 0), 0)
  t.is(smapsField(after(addr, 1), 'Locked'), pageSize)
})

linux('what is locked can be unmapped', (t) => {
  const addr = mapMemory(t, 1)
  const bytes = bufferFromPointer(addr, pageSize)
  bytes[0] = 1
  mlock(addr, pageSize)
  t.is(munmap(addr, pageSize), 0)
  t.is(bytes[0], 0)
})

// mincore

linux('mincore() has one byte a page, whose lowest bit says that the page is in memory', (t) => {
  const addr = mapMemory(t, 4)
  const inMemory = (length: number) => [...mincore(addr, length)].map((byte) => byte & 1)
  t.deepEqual(inMemory(pages(4)), [0, 0, 0, 0])
  bufferFromPointer(addr, pages(4))[pageSize] = 1
  bufferFromPointer(addr, pages(4))[pages(3)] = 1
  t.deepEqual(inMemory(pages(4)), [0, 1, 0, 1])
  t.deepEqual(inMemory(pageSize + 1), [0, 1])
  t.deepEqual(inMemory(1), [0])
  t.deepEqual(inMemory(0), [])
})

test('mincore() gives a Uint8Array of its own', (t) => {
  const addr = mapMemory(t, 2)
  const [a, b] = [mincore(addr, pages(2)), mincore(addr, pages(2))]
  t.true(a instanceof Uint8Array && a.length === 2)
  t.not(a.buffer, b.buffer)
})

linux('mincore() of a file that was just written finds its pages in memory', (t) => {
  const addr = new TestFile(t, 3).map(t, { count: 3, prot: m.PROT_READ })
  t.deepEqual(
    [...mincore(addr, pages(3))].map((byte) => byte & 1),
    [1, 1, 1],
  )
})

linux(
  'mincore() of more pages than there is memory for its result is an error, and the process goes on',
  async (t) => {
    const script = `const m = require('mmap-native')
    const flags = m.MAP_PRIVATE | m.MAP_ANONYMOUS | m.MAP_NORESERVE
    const addr = m.mmap(null, 2 ** 45, m.PROT_NONE, flags, -1, 0)
    try {
      console.log(m.mincore(addr, 2 ** 45).length)
    } catch (error) {
      console.log(error.code)
    }
    console.log(m.mincore(addr, m.pageSize).length)`
    // The result would have 8 GiB: under a limit of 4 GiB no machine has memory for it.
    const ending = await runScript(
      `const { spawnSync } = require('node:child_process')
    const limited = 'ulimit -d 4194304 && exec "$0" --eval "$1"'
    const { status, signal } = spawnSync('sh', ['-c', limited, process.execPath, process.argv[1]], { stdio: 'inherit' })
    console.log(status, signal)`,
      { args: [script] },
    )
    t.like(ending, { code: 0, signal: null, stderr: '' })
    t.regex(ending.stdout, /^(ENOMEM|ERR_OUT_OF_RANGE)\n1\n0 null\n$/)
  },
)

// madvise

linux('madvise() with MADV_DONTNEED throws private contents away, of the range only', (t) => {
  const addr = mapMemory(t, 3)
  const bytes = bufferFromPointer(addr, pages(3)).fill(9)
  t.is(madvise(after(addr, 1), pageSize, m.MADV_DONTNEED), 0)
  t.deepEqual(firstBytes(bytes), [9, 0, 9])
})

linux('madvise() with advice that the kernel does not know is EINVAL', (t) => {
  const addr = mapMemory(t, 1)
  fails(t, 'EINVAL', 'madvise', () => madvise(addr, pageSize, 4242))
  fails(t, 'EINVAL', 'madvise', () => madvise(addr, pageSize, -1))
})
