import { bufferFromPointer, munmap, pageSize } from 'mmap-native'
import * as m from 'mmap-native'
import { runScript } from './support/child'
import { freeAddress, mappedIn, maps, mapsUnchanged } from './support/maps'
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

const { mremap, MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP } = m
const TO = MREMAP_MAYMOVE | MREMAP_FIXED

linux('mremap() grows a mapping in place where there is room', (t) => {
  const file = new TestFile(t, 4)
  const addr = file.map(t, { addr: freeAddress() })
  t.is(mremap(addr, pageSize, pages(4), 0), addr)
  t.deepEqual(mappedIn(addr, pages(5)), [[0, pages(4), 'rw-s', file.path]])
  t.deepEqual(firstBytes(bufferFromPointer(addr, pages(4))), [1, 2, 3, 4])
  munmap(addr, pages(4))
})

linux('munmap() takes all of a mapping that grew', (t) => {
  const addr = new TestFile(t, 4).map(t, { addr: freeAddress() })
  mremap(addr, pageSize, pages(4), 0)
  t.is(munmap(addr, pages(4)), 0)
  t.deepEqual(mappedIn(addr, pages(5)), [])
})

linux('mremap() takes number and bigint for addresses and lengths', (t) => {
  const addr = new TestFile(t, 3).map(t, { addr: freeAddress() })
  t.is(mremap(Number(addr), BigInt(pageSize), BigInt(pages(3)), 0), addr)
  munmap(addr, pages(3))
})

linux('mremap() rounds lengths up to whole pages', (t) => {
  const addr = mapMemory(t, 1, { addr: freeAddress() })
  t.is(mremap(addr, 1, pageSize + 1, 0), addr)
  t.deepEqual(mappedIn(addr, pages(3)), [[0, pages(2), 'rw-p', '']])
  munmap(addr, pages(2))
})

linux('a mapping that grew can grow again, move and shrink', (t) => {
  const file = new TestFile(t, 8)
  const addr = file.map(t, { addr: freeAddress() })
  t.is(mremap(addr, pageSize, pages(2), 0), addr)
  t.is(mremap(addr, pages(2), pages(5), 0), addr)
  t.deepEqual(mappedIn(addr, pages(5)), [[0, pages(5), 'rw-s', file.path]])
  const moved = after(addr, 100)
  t.is(mremap(addr, pages(5), pages(8), TO, moved), moved)
  t.deepEqual(mappedIn(addr, pages(5)), [])
  t.is(mremap(moved, pages(8), pages(3), 0), moved)
  t.deepEqual(mappedIn(moved, pages(8)), [[0, pages(3), 'rw-s', file.path]])
  t.deepEqual(firstBytes(bufferFromPointer(moved, pages(3))), [1, 2, 3])
  munmap(moved, pages(3))
})

linux('a mapping whose protection was changed in a part and back can be moved whole', (t) => {
  const addr = new TestFile(t, 3).map(t, { count: 3 })
  m.mprotect(after(addr, 1), pageSize, m.PROT_READ)
  m.mprotect(after(addr, 1), pageSize, READ_WRITE)
  const moved = mremap(addr, pages(3), pages(3), TO, freeAddress())
  t.deepEqual(firstBytes(bufferFromPointer(moved, pages(3))), [1, 2, 3])
  munmap(moved, pages(3))
})

linux('mremap() that may not move is ENOMEM where there is no room, and nothing changes', (t) => {
  const addr = freeAddress()
  const file = new TestFile(t, 1)
  file.map(t, { addr })
  new TestFile(t, 1).map(t, { addr: after(addr, 1) })
  mapsUnchanged(t, [[addr, pages(3)]], () =>
    fails(t, 'ENOMEM', 'mremap', () => mremap(addr, pageSize, pages(2), 0)),
  )
  t.deepEqual(bufferFromPointer(addr, pageSize), file.read())
})

linux('mremap() with MREMAP_MAYMOVE moves where there is no room, and leaves nothing behind', (t) => {
  const addr = freeAddress()
  const file = new TestFile(t, 3)
  file.map(t, { addr, count: 2 })
  const other = new TestFile(t, 1)
  other.map(t, { addr: after(addr, 2) })
  const moved = mremap(addr, pages(2), pages(3), MREMAP_MAYMOVE)
  t.not(moved, addr)
  t.deepEqual(firstBytes(bufferFromPointer(moved, pages(3))), [1, 2, 3])
  t.deepEqual(mappedIn(addr, pages(3)), [[pages(2), pageSize, 'rw-s', other.path]])
  t.is(maps().find(({ start }) => start === moved)?.path, file.path)
  fails(t, 'ENOMEM', 'bufferFromPointer', () => bufferFromPointer(addr, 1))
  munmap(moved, pages(3))
})

linux('what was written to private memory moves with it', (t) => {
  const addr = freeAddress()
  mapMemory(t, 2, { addr })
  bufferFromPointer(addr, pages(2)).fill(88)
  const moved = mremap(addr, pages(2), pages(4), TO, after(addr, 50))
  t.deepEqual(firstBytes(bufferFromPointer(moved, pages(4))), [88, 88, 0, 0])
  munmap(moved, pages(4))
})

linux('mremap() to the same length changes nothing', (t) => {
  const addr = new TestFile(t, 2).map(t, { count: 2 })
  mapsUnchanged(t, [[addr, pages(2)]], () => {
    t.is(mremap(addr, pages(2), pages(2), 0), addr)
    t.is(mremap(addr, pages(2), pages(2), MREMAP_MAYMOVE), addr)
  })
})

linux('mremap() to a smaller length unmaps the end', (t) => {
  const file = new TestFile(t, 4)
  const addr = file.map(t, { count: 4 })
  t.is(mremap(addr, pages(4), pages(1), 0), addr)
  t.deepEqual(mappedIn(addr, pages(4)), [[0, pageSize, 'rw-s', file.path]])
  fails(t, 'ENOMEM', 'bufferFromPointer', () => bufferFromPointer(addr, pages(2)))
})

linux('mremap() moves a part of a mapping', (t) => {
  const file = new TestFile(t, 3)
  const addr = file.map(t, { count: 3 })
  const moved = mremap(after(addr, 1), pageSize, pageSize, TO, freeAddress())
  t.deepEqual(firstBytes(bufferFromPointer(moved, pageSize)), [2])
  t.deepEqual(mappedIn(addr, pages(3)), [
    [0, pageSize, 'rw-s', file.path],
    [pages(2), pageSize, 'rw-s', file.path],
  ])
  munmap(moved, pageSize)
})

// MREMAP_FIXED

linux('MREMAP_FIXED moves to where nothing is mapped', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  const target = freeAddress()
  t.is(mremap(addr, pages(2), pages(2), TO, target), target)
  t.deepEqual(mappedIn(target, pages(3)), [[0, pages(2), 'rw-s', file.path]])
  t.deepEqual(mappedIn(addr, pages(2)), [])
  munmap(target, pages(2))
})

linux('MREMAP_FIXED replaces pages of this package', (t) => {
  const target = freeAddress()
  mapMemory(t, 3, { addr: target })
  const bytes = bufferFromPointer(target, pages(3))
  bytes.fill(66)
  const addr = new TestFile(t, 1).map(t)
  t.is(mremap(addr, pageSize, pageSize, TO, Number(after(target, 1))), after(target, 1))
  t.deepEqual(firstBytes(bytes), [66, 1, 66])
})

linux('MREMAP_FIXED over pages of the runtime is EPERM, and nothing changes', (t) => {
  const program = maps().find(({ path, perms }) => path.startsWith('/') && perms === 'r-xp')
  if (program === undefined) throw new Error('the program is not in /proc/self/maps')
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  mapsUnchanged(
    t,
    [
      [addr, pages(2)],
      [program.start, pages(2)],
    ],
    () => {
      fails(t, 'EPERM', 'mremap', () => mremap(addr, pages(2), pages(2), TO, program.start))
      fails(t, 'EPERM', 'mremap', () =>
        mremap(addr, pages(2), pages(2), TO, program.start - BigInt(pageSize)),
      )
    },
  )
  t.deepEqual(bufferFromPointer(addr, pages(2)), file.read())
})

linux('MREMAP_FIXED to address 0 is EPERM, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(
    t,
    [
      [addr, pageSize],
      [0n, pages(16)],
    ],
    () => {
      fails(t, 'EPERM', 'mremap', () => mremap(addr, pageSize, pageSize, TO, 0))
      fails(t, 'EPERM', 'mremap', () => mremap(addr, pageSize, pageSize, TO))
    },
  )
})

linux('MREMAP_FIXED to an address within a page, or within the old range, is EINVAL', (t) => {
  const addr = mapMemory(t, 2)
  mapsUnchanged(t, [[addr, pages(2)]], () => {
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(2), TO, freeAddress() + 1n))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(2), TO, after(addr, 1)))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(2), TO, addr))
  })
})

for (const held of [true, false]) {
  const title = held ? 'with a Buffer over the old range' : 'without a Buffer over the old range'
  linux(`a MREMAP_FIXED that fails for want of memory leaves every Buffer readable, ${title}`, async (t) => {
    const ending = await runScript(
      `const m = require('mmap-native')
      const memory = m.MAP_PRIVATE | m.MAP_ANONYMOUS
      const length = 2 ** 44
      // The target: pages of ours, free ones, and addresses that only a Buffer holds.
      const target = m.mmap(null, length, m.PROT_READ, memory | m.MAP_NORESERVE, -1, 0)
      const views = [0, 5, 9].map((page) => m.bufferFromPointer(target + BigInt(page * m.pageSize), m.pageSize))
      m.munmap(target + BigInt(5 * m.pageSize), 2 * m.pageSize)
      const fd = require('node:fs').openSync('package.json', 'r')
      const addr = m.mmap(null, m.pageSize, m.PROT_READ | m.PROT_WRITE, m.MAP_PRIVATE, fd, 0)
      if (${held}) views.push(m.bufferFromPointer(addr, m.pageSize))
      try {
        m.mremap(addr, m.pageSize, length, m.MREMAP_MAYMOVE | m.MREMAP_FIXED, target)
        console.log('moved')
      } catch (error) {
        console.log(error.code, views.map((view) => view[0]).join())
      }
      views.forEach((view) => view.fill(8))
      console.log(m.munmap(target, m.pageSize), m.munmap(addr, m.pageSize), views.map((view) => view[0]).join())`,
      { nodeArgs: QUIET },
    )
    // Nothing has changed: a write to the target stays in its Buffer until the page is unmapped.
    const [before, after] = held ? ['0,0,0,123', '0,8,8,0'] : ['0,0,0', '0,8,8']
    t.deepEqual(ending, { code: 0, signal: null, stdout: `ENOMEM ${before}\n0 0 ${after}\n`, stderr: '' })
  })
}

// An old length of 0, and MREMAP_DONTUNMAP

linux('an old length of 0 maps the same shared pages a second time', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { count: 2 })
  const twin = mremap(addr, 0, pages(2), MREMAP_MAYMOVE)
  t.not(twin, addr)
  const [a, b] = [bufferFromPointer(addr, pages(2)), bufferFromPointer(twin, pages(2))]
  t.deepEqual(firstBytes(b), [1, 2])
  b[0] = 111
  t.is(a[0], 111)
  t.is(munmap(addr, pages(2)), 0)
  t.is(b[0], 111)
  munmap(twin, pages(2))
})

linux('an old length of 0 on a private mapping is EINVAL, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () =>
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, 0, pageSize, MREMAP_MAYMOVE)),
  )
})

linux('MREMAP_DONTUNMAP leaves the old range mapped and empty', (t) => {
  const addr = mapMemory(t, 2)
  const bytes = bufferFromPointer(addr, pages(2))
  bytes.fill(31)
  const moved = mremap(addr, pages(2), pages(2), MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
  t.deepEqual(firstBytes(bufferFromPointer(moved, pages(2))), [31, 31])
  t.deepEqual(firstBytes(bytes), [0, 0])
  t.deepEqual(mappedIn(addr, pages(2)), [[0, pages(2), 'rw-p', '']])
  munmap(moved, pages(2))
})

// Buffers

linux('a Buffer over a mapping that grows in place stays valid', (t) => {
  const file = new TestFile(t, 2)
  const addr = file.map(t, { addr: freeAddress() })
  const bytes = bufferFromPointer(addr, pageSize)
  t.is(mremap(addr, pageSize, pages(2), MREMAP_MAYMOVE), addr)
  bytes[0] = 200
  t.deepEqual(firstBytes(file.read()), [200, 2])
  munmap(addr, pages(2))
})

linux('a Buffer over the end that a smaller length cut off reads zeros there', (t) => {
  const file = new TestFile(t, 3)
  const addr = file.map(t, { count: 3 })
  const bytes = bufferFromPointer(addr, pages(3))
  t.is(mremap(addr, pages(3), pages(1), 0), addr)
  t.deepEqual(firstBytes(bytes), [1, 0, 0])
  bytes.fill(250)
  t.deepEqual(firstBytes(file.read()), [250, 2, 3])
})

linux('a Buffer over pages that moved away reads zeros, and its addresses stay taken', async (t) => {
  const file = new TestFile(t, 3)
  const ending = await runScript(
    `const { openSync } = require('node:fs')
    const m = require('mmap-native')
    const fd = openSync(process.argv[1], 'r+')
    const P = m.pageSize
    for (const flags of [m.MAP_SHARED, m.MAP_PRIVATE]) {
      const addr = m.mmap(null, 3 * P, m.PROT_READ | m.PROT_WRITE, flags, fd, 0)
      const bytes = m.bufferFromPointer(addr, 3 * P)
      const target = m.mmap(null, 8 * P, m.PROT_NONE, m.MAP_PRIVATE | m.MAP_ANONYMOUS, -1, 0)
      const moved = m.mremap(addr, 3 * P, 3 * P, m.MREMAP_MAYMOVE | m.MREMAP_FIXED, target)
      const view = m.bufferFromPointer(moved, 3 * P)
      console.log(bytes[0], bytes[P], bytes[2 * P], view[0], view[P], view[2 * P])
      bytes.fill(77)
      console.log(view[0], view[P], m.mmap(addr, P, m.PROT_READ, m.MAP_PRIVATE | m.MAP_ANONYMOUS, -1, 0) === addr)
      m.munmap(moved, 8 * P)
      console.log(view[0], bytes[0])
    }`,
    { args: [file.path], nodeArgs: QUIET },
  )
  const lines = '0 0 0 1 2 3\n1 2 false\n0 77\n'
  t.deepEqual(ending, { code: 0, signal: null, stdout: lines + lines, stderr: '' })
  t.deepEqual(firstBytes(file.read()), [1, 2, 3])
})

linux('a mapping with a Buffer over it grows by moving, and keeps its contents', (t) => {
  const addr = freeAddress()
  mapMemory(t, 1, { addr })
  mapMemory(t, 1, { addr: after(addr, 1), flags: PRIVATE_MEMORY, prot: m.PROT_READ })
  const bytes = bufferFromPointer(addr, pageSize)
  bytes.fill(12)
  const moved = mremap(addr, pageSize, pages(4), MREMAP_MAYMOVE)
  t.not(moved, addr)
  t.deepEqual(firstBytes(bufferFromPointer(moved, pages(4))), [12, 0, 0, 0])
  t.deepEqual(firstBytes(bytes), [0])
  munmap(moved, pages(4))
})

// What mremap() refuses

linux('mremap() of memory that this package did not map is EPERM, and nothing changes', (t) => {
  const program = maps().find(({ path, perms }) => path.startsWith('/') && perms === 'r-xp')
  if (program === undefined) throw new Error('the program is not in /proc/self/maps')
  mapsUnchanged(t, [[program.start, pages(2)]], () => {
    for (const [oldLength, newLength] of [
      [1, 2],
      [2, 1],
      [0, 1],
      [1, 1],
    ] as const) {
      fails(t, 'EPERM', 'mremap', () =>
        mremap(program.start, pages(oldLength), pages(newLength), MREMAP_MAYMOVE),
      )
    }
  })
})

linux('mremap() where nothing is mapped is an error, and nothing changes', (t) => {
  const addr = freeAddress()
  mapsUnchanged(t, [[addr, pages(4)]], () =>
    t.throws(() => mremap(addr, pageSize, pages(2), MREMAP_MAYMOVE), {
      message: /^(ENOMEM|EFAULT): .*, mremap/,
    }),
  )
})

linux('mremap() over two mappings is EFAULT, and nothing changes', (t) => {
  const addr = freeAddress()
  new TestFile(t, 1).map(t, { addr })
  new TestFile(t, 1).map(t, { addr: after(addr, 1) })
  mapsUnchanged(t, [[addr, pages(4)]], () =>
    fails(t, 'EFAULT', 'mremap', () => mremap(addr, pages(2), pages(3), MREMAP_MAYMOVE)),
  )
})

linux('mremap() with arguments that are wrong in themselves is EINVAL, and nothing changes', (t) => {
  const addr = mapMemory(t, 2)
  mapsUnchanged(t, [[addr, pages(2)]], () => {
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), 0, MREMAP_MAYMOVE))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr + 8n, pageSize, pageSize, MREMAP_MAYMOVE))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(2), 64))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(2), MREMAP_FIXED, freeAddress()))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(2), MREMAP_DONTUNMAP))
    fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(2), pages(3), MREMAP_MAYMOVE | MREMAP_DONTUNMAP))
  })
})

linux('mremap() to a length that no address space has fails, and nothing changes', (t) => {
  const addr = mapMemory(t, 1)
  mapsUnchanged(t, [[addr, pageSize]], () => {
    for (const length of [2 ** 50, Number.MAX_SAFE_INTEGER]) {
      t.throws(() => mremap(addr, pageSize, length, MREMAP_MAYMOVE), {
        message: /^(ENOMEM|EINVAL): .*, mremap/,
      })
    }
  })
})

linux('mremap() grows by more than 2^32 bytes in full', (t) => {
  const addr = mapMemory(t, 1, { flags: PRIVATE_MEMORY | m.MAP_NORESERVE })
  const length = 2 ** 32 + pages(1)
  const moved = mremap(addr, pageSize, length, MREMAP_MAYMOVE)
  t.deepEqual(mappedIn(moved, length), [[0, length, 'rw-p', '']])
  t.is(mremap(moved, length, pageSize, 0), moved)
  t.is(mappedIn(moved, pageSize).length, 1)
  munmap(moved, pageSize)
})

linux('a shrinking mremap() that fails has changed nothing', (t) => {
  const program = maps().find(({ path, perms }) => path.startsWith('/') && perms === 'r-xp')
  if (program === undefined) throw new Error('the program is not in /proc/self/maps')
  const file = new TestFile(t, 3)
  const addr = file.map(t, { count: 3 })
  fails(t, 'EPERM', 'mremap', () => mremap(addr, pages(3), pageSize, TO, program.start))
  fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(3), pageSize, TO, after(addr, 2)))
  fails(t, 'EINVAL', 'mremap', () => mremap(addr, pages(3), pageSize, MREMAP_MAYMOVE | MREMAP_DONTUNMAP))
  t.deepEqual(mappedIn(addr, pages(3)), [[0, pages(3), 'rw-s', file.path]])
})
