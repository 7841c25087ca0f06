/** `resize()`: files and mappings that grow and shrink, and what becomes of the views handed out before. */
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  closeSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { MAP_FIXED_NOREPLACE, Mapping, mmap, munmap, pageSize, setFaultGuard } from 'mmap-native'
import type { Fault, OpenOptions, SystemError } from 'mmap-native'
import { runScript } from './support/child'
import { canMountExt4, canMountHugetlbfs, canMountTmpfs, ext4, hugetlbfs, tmpfs } from './support/disks'
import { scratchFile, scratchFolder, sparseFile } from './support/files'
import { mappedIn, smapsField } from './support/maps'
import { patternOf } from './support/random'
import { PRIVATE_MEMORY, READ_WRITE, linux } from './support/raw'
import { shared } from './support/scenario'
import { said, startWorker } from './support/worker'

const PAGE = pageSize
const SIZE = 4 * PAGE
const ROOM = 64 * PAGE
const content = patternOf(SIZE)
const TIB = 2 ** 40

/** Faults are looked at, and not to be warned of. */
const quiet = { onFault: () => {} } satisfies OpenOptions

const ACCESSES = ['read', 'write', 'copy'] as const

/** What another process sees of a range of a file, in hexadecimal. */
const seenByOthers = (path: string, start: number, length: number): string =>
  execFileSync('od', ['-An', '-v', '-tx1', '-j', `${start}`, '-N', `${length}`, path], {
    encoding: 'latin1',
  }).replace(/\s/g, '')

const appendedByOthers = (path: string, bytes: Buffer): void => {
  const { status } = spawnSync('sh', ['-c', 'cat >> "$0"', path], { input: bytes })
  if (status !== 0) throw new Error(`cat: ${status}`)
}

const linuxAlone = process.platform === 'linux' ? test.serial : test.skip

const roundUp = (length: number): number => Math.ceil(length / PAGE) * PAGE

/**
 * Sees to it that nothing can be added behind a mapping that starts at a page. A test that waits meanwhile is a serial one: another
 * could let go of what stands there.
 */
function block(t: ExecutionContext, mapping: Mapping): void {
  const behind = mapping.address + BigInt(roundUp(mapping.length))
  const flags = PRIVATE_MEMORY | (MAP_FIXED_NOREPLACE as number)
  for (let attempt = 0; ; attempt++) {
    try {
      const at = mmap(behind, PAGE, READ_WRITE, flags, -1, 0)
      t.teardown(() => munmap(at, PAGE))
      return
    } catch (error) {
      if ((error as SystemError).code !== 'EEXIST') throw error
    }
    // Somebody has it already. What is left of a mapping may go at any time, when its last view has gone: it is waited for.
    const [[, , perms] = []] = mappedIn(behind, PAGE)
    if ((perms !== undefined && perms !== '---p') || attempt === 100) return
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
  }
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

const kinds = (mapping: Mapping): [string, number, number][] =>
  mapping.faults.list.map(({ kind, offset, length }) => [kind, offset, length])

test('a file grows with its mapping, in place, and has its blocks', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', maxLength: ROOM })
  const { address, bytes, buffer } = mapping
  t.is(mapping.resize(SIZE + 10 * PAGE + 5), SIZE + 10 * PAGE + 5)
  t.is(mapping.length, SIZE + 10 * PAGE + 5)
  t.is(mapping.address, address)
  const { size, blocks } = statSync(path)
  t.is(size, mapping.length)
  t.true(blocks * 512 >= size)
  t.not(mapping.bytes, bytes)
  t.not(mapping.buffer, buffer)
  t.is(mapping.bytes.length, mapping.length)
  t.is(mapping.dataView.byteLength, mapping.length)
  t.true(mapping.bytes.subarray(0, SIZE).equals(content))
  t.true(isZero(mapping.bytes.subarray(SIZE)))
  mapping.write('end', mapping.length - 3)
  t.is(seenByOthers(path, size - 3, 3), '656e64')
})

test('views handed out before see the same memory as those of the new length', (t) => {
  using mapping = Mapping.open(scratchFile(t, content), { access: 'write', maxLength: ROOM })
  const { bytes: old } = mapping
  const words = mapping.view(Uint32Array, PAGE, 4)
  mapping.resize(ROOM)
  old[1] = 77
  words[0] = 0x01020304
  t.is(mapping.bytes[1], 77)
  t.is(mapping.bytes.readUInt32LE(PAGE), 0x01020304)
  mapping.bytes[SIZE - 1] = 78
  t.is(old[SIZE - 1], 78)
  t.is(old.length, SIZE)
  t.is(mapping.faults.count, 0)
})

linux('without blocks, if so asked, a file grows and has none', (t) => {
  const path = scratchFile(t, '')
  using mapping = Mapping.open(path, { access: 'write', preallocate: false })
  mapping.resize(1 << 20)
  t.is(statSync(path).size, 1 << 20)
  t.is(statSync(path).blocks, 0)
})

linux(
  '/proc/self/maps: pages are added and taken away behind those that there are, and the rest has no access',
  (t) => {
    const path = scratchFile(t, content)
    using mapping = Mapping.open(path, { access: 'write', maxLength: 8 * PAGE })
    const { address, bytes } = mapping
    const now = () => mappedIn(address, 8 * PAGE)
    t.deepEqual(now(), [
      [0, 4 * PAGE, 'rw-s', path],
      [4 * PAGE, 4 * PAGE, '---p', ''],
    ])
    mapping.resize(6 * PAGE - 1)
    t.deepEqual(now(), [
      [0, 6 * PAGE, 'rw-s', path],
      [6 * PAGE, 2 * PAGE, '---p', ''],
    ])
    mapping.resize(PAGE + 1)
    t.deepEqual(now(), [
      [0, 2 * PAGE, 'rw-s', path],
      [2 * PAGE, 6 * PAGE, '---p', ''],
    ])
    mapping.resize(0)
    t.deepEqual(now(), [[0, 8 * PAGE, '---p', '']])
    mapping.resize(8 * PAGE)
    t.deepEqual(now(), [[0, 8 * PAGE, 'rw-s', path]])
    mapping.unmap()
    // A view exists: the addresses that it has seen stay taken.
    t.deepEqual(mappedIn(address, SIZE), [[0, SIZE, '---p', '']])
    t.is(bytes.length, SIZE)
  },
)

linux('when nobody has a view, nothing is left of a mapping and its room', (t) => {
  const mapping = Mapping.open(scratchFile(t, content), { access: 'write', maxLength: ROOM })
  const { address } = mapping
  mapping.resize(2 * PAGE)
  mapping.unmap()
  t.deepEqual(
    mappedIn(address, ROOM).filter(([, , perms]) => perms === '---p'),
    [],
  )
})

linux('a view that is left over holds the addresses that it has seen, and not the room', (t) => {
  const path = scratchFile(t, content)
  const views: Buffer[] = []
  // 200 TiB: more than there are.
  for (let round = 0; round < 200; round++) {
    const mapping = Mapping.open(path, { maxLength: TIB, ...quiet })
    views.push(mapping.bytes)
    const { address } = mapping
    mapping.unmap()
    const held = mappedIn(address, SIZE)
    t.deepEqual(held, [[0, SIZE, '---p', '']])
  }
  t.true(views.every((view) => view.length === SIZE && view[0] === 0))
})

for (const kind of ['file', 'memory'] as const) {
  test(`${kind}: where bytes were cut off older views read zeros, and the mapping tells`, (t) => {
    const path = scratchFile(t, content)
    using mapping =
      kind === 'file' ? Mapping.open(path, { access: 'write', ...quiet }) : Mapping.anonymous(SIZE)
    mapping.write(content)
    const { bytes: old, address } = mapping
    mapping.resize(PAGE + 10)
    t.is(mapping.length, PAGE + 10)
    t.is(mapping.bytes.length, PAGE + 10)
    if (kind === 'file') t.is(statSync(path).size, PAGE + 10)
    t.true(old.subarray(0, PAGE + 10).equals(content.subarray(0, PAGE + 10)))
    t.deepEqual(kinds(mapping), [])
    // The rest of the last page: zeros without a fault.
    t.true(isZero(old.subarray(PAGE + 10, 2 * PAGE)))
    t.deepEqual(kinds(mapping), [])
    t.true(isZero(old.subarray(2 * PAGE)))
    old[3 * PAGE] = 1
    t.deepEqual(kinds(mapping), [['closed', 2 * PAGE, 2 * PAGE]])
    // What was written there is lost, and not found again.
    t.is(mapping.resize(SIZE), SIZE)
    t.is(mapping.address, address)
    t.true(isZero(mapping.read(PAGE + 10, SIZE - PAGE - 10)))
    // Older views have their bytes again.
    mapping.write('again', 3 * PAGE)
    t.is(old.toString('latin1', 3 * PAGE, 3 * PAGE + 5), 'again')
    t.is(mapping.faults.count, 1)
  })
}

test('what is cut off of memory is given back, and is zeros when it returns', (t) => {
  using mapping = Mapping.anonymous(16 << 20)
  mapping.fill(1)
  const { address } = mapping
  mapping.resize(PAGE / 2)
  if (process.platform === 'linux') t.is(smapsField(address, 'Rss'), PAGE)
  mapping.resize(1 << 20)
  t.is(mapping.address, address)
  t.true(mapping.bytes.subarray(0, PAGE / 2).every((byte) => byte === 1))
  t.true(isZero(mapping.bytes.subarray(PAGE / 2)))
})

linux('memory whose new last page is a guard page shrinks, and the page stays one', async (t) => {
  const { code, signal, stdout } = await runScript(
    `const { MADV_GUARD_INSTALL, Mapping, madvise } = require('mmap-native')
    const mapping = Mapping.anonymous(${16 * PAGE}).fill(1)
    try {
      madvise(mapping.address, ${4 * PAGE}, MADV_GUARD_INSTALL)
    } catch ({ code }) {
      console.log(code)
      process.exit()
    }
    mapping.resize(${PAGE + 100})
    console.log(mapping.length, mapping.bytes[${PAGE}], mapping.faults.count)`,
    { nodeArgs: ['--no-warnings'] },
  )
  if (stdout === 'EINVAL\n') t.log('a kernel before Linux 6.13, without guard pages')
  else t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: `${PAGE + 100} 0 1\n` })
})

for (const access of ACCESSES) {
  linux(`access '${access}': without room a mapping moves, and its old views read zeros`, (t) => {
    const path = scratchFile(t, content)
    const told: Fault[] = []
    using mapping = Mapping.open(path, { access, onFault: (fault) => told.push(fault) })
    block(t, mapping)
    const { address, bytes: old } = mapping
    const expected = Buffer.from(content)
    if (access !== 'read') {
      mapping.write('mine', PAGE - 2)
      expected.write('mine', PAGE - 2)
    }
    appendFileSync(path, Buffer.alloc(PAGE, 0xee))
    mapping.resize(SIZE + PAGE)
    t.not(mapping.address, address)
    t.deepEqual(mapping.read(0, SIZE), expected)
    t.true(mapping.bytes.subarray(SIZE).every((byte) => byte === 0xee))
    t.deepEqual(mappedIn(address, SIZE), [[0, SIZE, '---p', '']])
    t.is(old.length, SIZE)
    t.true(isZero(old))
    t.deepEqual(kinds(mapping), [['closed', 0, SIZE]])
    mapping.bytes.copy(old)
    t.true(
      readFileSync(path)
        .subarray(0, SIZE)
        .equals(access === 'write' ? expected : content),
    )
    // It moved to more room than it needed.
    const { address: second, bytes } = mapping
    appendFileSync(path, Buffer.alloc(PAGE, 0xdd))
    mapping.resize(SIZE + 2 * PAGE)
    t.is(mapping.address, second)
    t.is(bytes[5], expected[5])
    t.is(mapping.bytes.at(-1), 0xdd)
  })
}

linux('memory without room moves with its contents, those of pages that were never touched included', (t) => {
  using mapping = Mapping.anonymous(1 << 20)
  block(t, mapping)
  const { address } = mapping
  for (let at = 0; at < 1 << 20; at += 7 * PAGE) mapping.write(`${at}`, at)
  mapping.resize(2 << 20)
  t.not(mapping.address, address)
  for (let at = 0; at < 1 << 20; at += 7 * PAGE)
    t.is(mapping.read(at, 4).toString('latin1').replace(/\0/g, ''), `${at}`.slice(0, 4))
  t.true(isZero(mapping.read(1 << 20, 1 << 20)))
  t.is(mapping.faults.count, 0)
})

linux('memory of several protections moves with them', (t) => {
  using mapping = Mapping.anonymous(6 * PAGE)
  mapping.fill(3)
  mapping.protect('read', PAGE, PAGE)
  mapping.protect('none', 3 * PAGE, 2 * PAGE)
  block(t, mapping)
  const { address } = mapping
  mapping.resize(8 * PAGE)
  t.not(mapping.address, address)
  t.deepEqual(
    mappedIn(mapping.address, 8 * PAGE).map(([at, length, perms]) => [at / PAGE, length / PAGE, perms]),
    [
      [0, 1, 'rw-p'],
      [1, 1, 'r--p'],
      [2, 1, 'rw-p'],
      [3, 2, '---p'],
      [5, 1, 'rw-p'],
      [6, 2, 'rw-p'],
    ],
  )
  t.throws(() => mapping.write('x', PAGE), { code: 'EACCES' })
  mapping.protect('write')
  t.true(mapping.read(0, 6 * PAGE).every((byte) => byte === 3))
  t.true(isZero(mapping.read(6 * PAGE, 2 * PAGE)))
})

linux('a file of several protections moves with them', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write' })
  mapping.protect('read', PAGE, 2 * PAGE)
  block(t, mapping)
  mapping.resize(5 * PAGE)
  t.deepEqual(
    mappedIn(mapping.address, 5 * PAGE).map(([at, length, perms]) => [at / PAGE, length / PAGE, perms]),
    [
      [0, 1, 'rw-s'],
      [1, 2, 'r--s'],
      [3, 2, 'rw-s'],
    ],
  )
  t.true(mapping.read(0, SIZE).equals(content))
})

test('a mapping that grows step by step moves seldom', (t) => {
  using mapping = Mapping.anonymous(PAGE)
  const addresses = new Set([mapping.address])
  for (let length = 2; length <= 1000; length++) {
    mapping.resize(length * PAGE)
    mapping.write(`${length}`, (length - 1) * PAGE)
    addresses.add(mapping.address)
  }
  t.true(addresses.size <= 12, `${addresses.size}`)
  for (let length = 2; length <= 1000; length++)
    t.is(
      mapping.bytes.toString('latin1', (length - 1) * PAGE, (length - 1) * PAGE + `${length}`.length),
      `${length}`,
    )
})

test("views: 'detachable': what is handed out stays when the mapping grows, and is detached when it moves or goes", (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', maxLength: ROOM, views: 'detachable' })
  const { bytes: old } = mapping
  mapping.resize(ROOM)
  const { bytes } = mapping
  t.deepEqual([old.length, bytes.length], [SIZE, ROOM])
  t.is(old[7], content[7])
  mapping.unmap()
  t.deepEqual([old.length, bytes.length], [0, 0])
  if (process.platform !== 'linux') return
  using other = Mapping.open(path, { access: 'write', views: 'detachable' })
  block(t, other)
  const { bytes: before } = other
  other.resize(ROOM + PAGE)
  t.is(before.length, 0)
  t.is(other.bytes.length, ROOM + PAGE)
  t.is(other.faults.count, 0)
})

shared('buffers are SharedArrayBuffers after a resize, too', (t) => {
  using mapping = Mapping.anonymous(PAGE, { maxLength: ROOM, views: 'shared' })
  mapping.resize(ROOM)
  t.true(mapping.buffer instanceof SharedArrayBuffer)
  t.is(mapping.buffer.byteLength, ROOM)
})

test("access 'read' follows a file that another process appends to", (t) => {
  const path = scratchFile(t, 'first\n')
  using mapping = Mapping.open(path, { maxLength: TIB })
  const { address, bytes } = mapping
  appendedByOthers(path, Buffer.from('second\n'))
  t.is(mapping.length, 6)
  t.is(mapping.resize(), 13)
  t.deepEqual([...mapping.lines({ encoding: 'utf8' })], ['first', 'second'])
  appendedByOthers(path, Buffer.alloc(10 * PAGE, 'x'))
  t.is(mapping.resize(), 13 + 10 * PAGE)
  t.is(mapping.bytes.at(-1), 120)
  t.is(mapping.resize(), 13 + 10 * PAGE)
  t.is(mapping.address, address)
  t.is(bytes.toString(), 'first\n')
  // Rotated: shorter again.
  truncateSync(path, 3)
  t.is(mapping.resize(), 3)
  t.is(mapping.read(0, 3).toString(), 'fir')
  t.is(statSync(path).size, 3)
  t.is(mapping.faults.count, 0)
})

for (const access of ['read', 'copy'] as const) {
  test(`access '${access}': the file is left alone, and the mapping goes no further`, (t) => {
    const path = scratchFile(t, content)
    using mapping = Mapping.open(path, { access, offset: PAGE, length: PAGE })
    t.is(mapping.resize(2 * PAGE + 5), 2 * PAGE + 5)
    t.true(mapping.bytes.equals(content.subarray(PAGE, 3 * PAGE + 5)))
    const { message } = t.throws(() => mapping.resize(3 * PAGE + 1), { code: 'ERR_OUT_OF_RANGE' })
    t.regex(message, new RegExp(`"length".*<= ${3 * PAGE} .*what the file has`))
    t.is(mapping.length, 2 * PAGE + 5)
    mapping.resize(1)
    t.true(readFileSync(path).equals(content))
    t.is(mapping.resize(), 3 * PAGE)
    t.true(mapping.bytes.equals(content.subarray(PAGE)))
  })
}

test("access 'copy' keeps what was written, as long as it is not cut off", (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'copy', length: 2 * PAGE, maxLength: ROOM })
  mapping.write('kept', 5)
  mapping.write('lost', PAGE + 5)
  mapping.resize(SIZE)
  t.is(mapping.read(PAGE + 5, 4).toString(), 'lost')
  mapping.resize(PAGE)
  mapping.resize(SIZE)
  t.is(mapping.read(5, 4).toString(), 'kept')
  t.true(mapping.read(PAGE, SIZE - PAGE).equals(content.subarray(PAGE)))
})

test('what a file has behind a mapping stays when the mapping shrinks', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', offset: 100, length: 2 * PAGE })
  mapping.resize(50)
  t.true(readFileSync(path).equals(content))
  mapping.resize(3 * PAGE)
  t.true(mapping.bytes.equals(content.subarray(100, 100 + 3 * PAGE)))
  // Now to the end: from there on they shrink together.
  t.is(mapping.resize(), SIZE - 100)
  mapping.resize(1)
  t.is(statSync(path).size, 101)
})

test('a file that others have truncated has the length of the mapping again', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', ...quiet })
  truncateSync(path, PAGE)
  mapping.resize(SIZE)
  t.is(statSync(path).size, SIZE)
  t.true(isZero(mapping.read(PAGE, SIZE - PAGE)))
  truncateSync(path, 10)
  mapping.resize(2 * PAGE)
  t.is(statSync(path).size, 2 * PAGE)
  truncateSync(path, 10)
  t.is(mapping.resize(), 10)
  t.is(statSync(path).size, 10)
})

for (const offset of [1, 7, 8, PAGE - 1, PAGE, PAGE + 9]) {
  test(`a mapping at offset ${offset} grows, shrinks to nothing and grows again, with room and without`, (t) => {
    for (const maxLength of [undefined, ROOM]) {
      const path = scratchFile(t, content)
      using mapping = Mapping.open(path, {
        access: 'write',
        offset,
        ...(maxLength === undefined ? {} : { maxLength }),
      })
      const expected = Buffer.concat([content.subarray(offset), Buffer.alloc(ROOM)])
      for (const length of [SIZE, 3, 0, 0, PAGE, 2 * PAGE + 1, 1, ROOM, 0, 5]) {
        // A file that ends where the mapping does loses what is cut off.
        expected.fill(0, Math.min(length, mapping.length))
        t.is(mapping.resize(length), length)
        t.is(statSync(path).size, offset + length)
        t.true(mapping.bytes.equals(expected.subarray(0, length)))
        t.true(mapping.read(0, length).equals(expected.subarray(0, length)))
        t.is(mapping.bytes.length, length)
        t.is(mapping.address === 0n, length === 0)
        if (length > 0) {
          mapping.bytes[length - 1] = 0x55
          expected[length - 1] = 0x55
        }
      }
      t.is(mapping.faults.count, 0)
    }
  })
}

test('an empty mapping grows: of a file, of memory, with room and without', (t) => {
  for (const options of [{}, { maxLength: ROOM }]) {
    const path = scratchFile(t, '')
    using mapping = Mapping.open(path, { access: 'write', ...quiet, ...options })
    using memory = Mapping.anonymous(0, options)
    for (const one of [mapping, memory]) {
      const { bytes: empty } = one
      t.is(one.resize(PAGE + 1), PAGE + 1)
      one.write('here', PAGE - 3)
      t.is(one.bytes.toString('latin1', PAGE - 3, PAGE + 1), 'here')
      t.is(empty.length, 0)
    }
    t.is(readFileSync(path, 'latin1').slice(-4), 'here')
  }
})

test('faults are told of what was added, and of empty mappings that have grown', (t) => {
  const path = scratchFile(t, '')
  const told: Fault[] = []
  using mapping = Mapping.open(path, { access: 'write', offset: 0, onFault: (fault) => told.push(fault) })
  mapping.resize(8 * PAGE)
  truncateSync(path, 5 * PAGE)
  t.is(mapping.bytes[7 * PAGE], 0)
  t.deepEqual(kinds(mapping), [['truncated', 5 * PAGE, 3 * PAGE]])
  t.throws(() => mapping.read(6 * PAGE, 1), { code: 'ERR_MAPPING_FAULT' })
  // What is cut off is not lost any more, and what is added is the file's.
  mapping.resize(5 * PAGE)
  mapping.resize(8 * PAGE)
  t.true(isZero(mapping.read(5 * PAGE, 3 * PAGE)))
  truncateSync(path, PAGE)
  t.is(mapping.bytes[2 * PAGE], 0)
  truncateSync(path, 8 * PAGE)
  mapping.resize(9 * PAGE)
  t.throws(() => mapping.read(2 * PAGE, 1), { code: 'ERR_MAPPING_FAULT' })
  mapping.refresh()
  t.true(isZero(mapping.read(0, 9 * PAGE)))
})

test('maxLength holds: more is ERR_OUT_OF_RANGE, and nothing changes', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', maxLength: SIZE + 1 })
  using memory = Mapping.anonymous(PAGE, { maxLength: SIZE + 1 })
  for (const one of [mapping, memory]) {
    const { length } = one
    const { message } = t.throws(() => one.resize(SIZE + 2), { code: 'ERR_OUT_OF_RANGE' })
    t.regex(message, new RegExp(`"length".*<= ${SIZE + 1} \\(maxLength\\)`))
    t.is(one.length, length)
    t.is(one.resize(SIZE + 1), SIZE + 1)
  }
  t.throws(() => Mapping.open(path, { maxLength: SIZE }), {
    code: 'ERR_OUT_OF_RANGE',
    message: /options\.length/,
  })
  const made = join(scratchFolder(t), 'new')
  const options = { access: 'write', create: true, length: 10, maxLength: 9 } as const
  t.throws(() => Mapping.open(made, options), { code: 'ERR_OUT_OF_RANGE' })
  t.deepEqual(readdirSync(join(made, '..')), [])
  t.throws(() => Mapping.open(path, { ...options, create: false, grow: true, length: 2 * SIZE }), {
    code: 'ERR_OUT_OF_RANGE',
  })
  t.is(statSync(path).size, SIZE + 1)
  t.throws(() => Mapping.anonymous(2, { maxLength: 1 }), { code: 'ERR_OUT_OF_RANGE' })
  using none = Mapping.anonymous(0, { maxLength: 0 })
  t.is(none.resize(0), 0)
})

linux('room for a TiB costs no memory', async (t) => {
  const { stdout } = await runScript(
    `const { Mapping } = require('mmap-native'), fs = require('fs')
    const field = (name) => Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(fs.readFileSync('/proc/self/status', 'latin1'))[1]) * 1024
    const before = field('VmRSS') + field('VmPTE')
    const mappings = Array.from({ length: 20 }, () => Mapping.anonymous(${PAGE}, { maxLength: ${TIB} }))
    for (const mapping of mappings) {
      mapping.resize(${10 * PAGE})
      mapping.bytes[${9 * PAGE}] = 1
    }
    console.log(field('VmSize') > 20 * ${TIB}, field('VmRSS') + field('VmPTE') - before < ${8 << 20})`,
  )
  t.is(stdout, 'true true\n')
})

linux('what is added is in memory at once, if the mapping was asked for so', (t) => {
  using mapping = Mapping.anonymous(16 * PAGE, { populate: true, maxLength: ROOM })
  t.is(smapsField(mapping.address, 'Rss'), 16 * PAGE)
  mapping.resize(48 * PAGE)
  t.is(smapsField(mapping.address, 'Rss'), 48 * PAGE)
})

linux('10,000 resizes leave as many mappings as before, with a view made at each', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', maxLength: 256 * PAGE, preallocate: false, ...quiet })
  using memory = Mapping.anonymous(PAGE)
  memory.resize(512 * PAGE)
  const views: Buffer[] = []
  const inside = (one: Mapping) => mappedIn(one.address, 512 * PAGE).length
  const entries = () => inside(mapping) + inside(memory)
  const before = entries()
  for (let round = 0; round < 10_000; round++) {
    const length = 1 + ((round * 7919) % (256 * PAGE))
    mapping.resize(length)
    memory.resize(length)
    mapping.bytes[length - 1] = 1
    memory.bytes[length - 1] = 1
    if (round % 50 === 0) views.push(mapping.bytes, memory.bytes)
  }
  t.true(entries() - before < 20, `${before} ${entries()}`)
  t.is(views.length, 400)
})

test('a resize to what is there changes nothing', (t) => {
  using mapping = Mapping.open(scratchFile(t, content), { access: 'write' })
  const { bytes, buffer, address } = mapping
  t.is(mapping.resize(SIZE), SIZE)
  t.is(mapping.resize(), SIZE)
  t.is(mapping.bytes, bytes)
  t.is(mapping.buffer, buffer)
  t.is(mapping.address, address)
  // Nor does one of another mapping.
  using other = Mapping.anonymous(PAGE)
  other.resize(2 * PAGE)
  t.is(mapping.bytes, bytes)
  t.is(mapping.buffer, buffer)
})

const wrong: [unknown, string][] = [
  ['1', 'ERR_INVALID_ARG_TYPE'],
  [null, 'ERR_INVALID_ARG_TYPE'],
  [{}, 'ERR_INVALID_ARG_TYPE'],
  [true, 'ERR_INVALID_ARG_TYPE'],
  [Symbol('1'), 'ERR_INVALID_ARG_TYPE'],
  [1.5, 'ERR_OUT_OF_RANGE'],
  [Number.NaN, 'ERR_OUT_OF_RANGE'],
  [Infinity, 'ERR_OUT_OF_RANGE'],
  [-1, 'ERR_OUT_OF_RANGE'],
  [-1n, 'ERR_OUT_OF_RANGE'],
  [2 ** 53, 'ERR_OUT_OF_RANGE'],
  [2n ** 64n, 'ERR_OUT_OF_RANGE'],
]

test('bad lengths are errors that name the argument, and nothing changes', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write' })
  const { bytes } = mapping
  for (const [value, code] of wrong) {
    t.regex(t.throws(() => mapping.resize(value as number), { code }).message, /"length"/)
    t.regex(
      t.throws(() => Mapping.open(path, { maxLength: value as number }), { code }).message,
      /"options.maxLength"/,
    )
    t.regex(
      t.throws(() => Mapping.anonymous(1, { maxLength: value as number }), { code }).message,
      /"options.maxLength"/,
    )
  }
  t.throws(() => mapping.resize(Number.MAX_SAFE_INTEGER), { message: /^(ENOMEM|EFBIG|ENOSPC)/ })
  t.throws(() => Mapping.anonymous(1, { maxLength: Number.MAX_SAFE_INTEGER }), { code: 'ENOMEM' })
  t.throws(() => Mapping.open(path, { maxLength: 2 ** 47 }), { code: 'ENOMEM' })
  t.is(mapping.bytes, bytes)
  t.true(readFileSync(path).equals(content))
  using memory = Mapping.anonymous(1)
  t.throws(() => memory.resize(), { code: 'EINVAL', message: /length/ })
})

test('after unmap() a resize is ERR_MAPPING_CLOSED, and the length stays', (t) => {
  const path = scratchFile(t, content)
  const mapping = Mapping.open(path, { access: 'write', maxLength: ROOM })
  mapping.resize(100)
  mapping.unmap()
  t.throws(() => mapping.resize(200), { code: 'ERR_MAPPING_CLOSED' })
  t.throws(() => mapping.resize(), { code: 'ERR_MAPPING_CLOSED' })
  t.is(mapping.length, 100)
  t.is(statSync(path).size, 100)
})

test("a mapping of a descriptor grows its file, and the descriptor stays the caller's", (t) => {
  const path = scratchFile(t, content)
  const fd = openSync(path, 'r+')
  using mapping = Mapping.open(fd, { access: 'write' })
  closeSync(fd)
  mapping.resize(2 * SIZE)
  t.is(statSync(path).size, 2 * SIZE)
})

linux('a mapping of which a raw call has unmapped a part is not resized', (t) => {
  using mapping = Mapping.anonymous(SIZE, { maxLength: ROOM })
  munmap(mapping.address + BigInt(PAGE), PAGE)
  t.throws(() => mapping.resize(2 * SIZE), { code: 'EINVAL', message: /raw call/ })
  t.throws(() => mapping.resize(0), { code: 'EINVAL', message: /raw call/ })
  t.is(mapping.length, SIZE)
})

linux('with the fault guard off views of what was cut off read zeros all the same', async (t) => {
  const { code, stdout } = await runScript(
    `const { Mapping, setFaultGuard } = require('mmap-native')
    setFaultGuard(false)
    const mapping = Mapping.anonymous(${SIZE}, { maxLength: ${ROOM} })
    const bytes = mapping.fill(1).bytes
    mapping.resize(${PAGE})
    console.log(bytes[${2 * PAGE}], bytes[5])
    mapping.resize(${ROOM})
    console.log(mapping.bytes[${ROOM} - 1])`,
  )
  t.deepEqual([code, stdout], [0, '0 1\n0\n'])
  t.notThrows(() => setFaultGuard(true))
})

// Full disks and limits.

const MIB = 1 << 20
const onTmpfs = canMountTmpfs() ? test : test.skip
const onTmpfsAlone = canMountTmpfs() ? test.serial : test.skip
const onHugetlbfs = canMountHugetlbfs() ? test : test.skip
const onExt4 = canMountExt4() ? test : test.skip

for (const [name, folderOf, add] of [
  ['a tmpfs', (t: ExecutionContext) => tmpfs(t, 4), onTmpfs],
  ['an ext4', (t: ExecutionContext) => ext4(t, 8).folder, onExt4],
] as const) {
  add(`${name} without room: ENOSPC, and file and mapping are as before`, (t) => {
    const path = join(folderOf(t), 'file')
    writeFileSync(path, content)
    for (const options of [{}, { maxLength: TIB }]) {
      using mapping = Mapping.open(path, { access: 'write', ...options })
      const { address, bytes } = mapping
      const error = t.throws(() => mapping.resize(64 * MIB), { code: 'ENOSPC' }) as SystemError
      t.deepEqual([error.syscall, error.path], ['fallocate', path])
      t.is(statSync(path).size, SIZE)
      t.deepEqual([mapping.length, mapping.address, mapping.bytes], [SIZE, address, bytes])
      t.is(mapping.resize(MIB), MIB)
      mapping.fill(7)
      mapping.flushSync()
      t.is(mapping.resize(SIZE), SIZE)
      t.is(mapping.faults.count, 0)
    }
  })
}

onExt4('a file beyond what its file system allows is EFBIG, and file and mapping are as before', (t) => {
  const path = join(ext4(t, 8).folder, 'file')
  writeFileSync(path, content)
  for (const preallocate of [true, false]) {
    using mapping = Mapping.open(path, { access: 'write', preallocate })
    t.throws(() => mapping.resize(32 * TIB), { code: 'EFBIG' })
    t.is(statSync(path).size, SIZE)
    t.is(mapping.length, SIZE)
    t.true(mapping.bytes.equals(content))
  }
})

onExt4('a file that may not shrink is EPERM, and file and mapping are as before', (t) => {
  const path = join(ext4(t, 8).folder, 'file')
  writeFileSync(path, content)
  using mapping = Mapping.open(path, { access: 'write', maxLength: ROOM })
  const { bytes, address } = mapping
  execFileSync('chattr', ['+a', path])
  try {
    const error = t.throws(() => mapping.resize(1), { code: 'EPERM' }) as SystemError
    t.is(error.syscall, 'ftruncate')
  } finally {
    execFileSync('chattr', ['-a', path])
  }
  t.deepEqual([mapping.length, mapping.address, statSync(path).size], [SIZE, address, SIZE])
  t.is(mapping.bytes, bytes)
  t.true(bytes.equals(content))
  mapping.write('x', SIZE - 1)
  t.is(readFileSync(path, 'latin1').at(-1), 'x')
  t.is(mapping.resize(1), 1)
})

linux('the limit RLIMIT_FSIZE is EFBIG, and does not end the process', (t) => {
  const path = scratchFile(t, content)
  const script = `const { Mapping } = require('mmap-native'), fs = require('fs')
    for (const preallocate of [true, false]) {
      const mapping = Mapping.open(process.argv.at(-1), { access: 'write', preallocate })
      try { mapping.resize(${1 << 20}) } catch ({ code, message }) { console.log(code, /RLIMIT_FSIZE/.test(message)) }
      console.log(mapping.length, fs.statSync(process.argv.at(-1)).size, mapping.resize(65536), mapping.resize(${SIZE}))
    }`
  const child = spawnSync('prlimit', ['--fsize=65536', process.execPath, '--eval', script, '--', path], {
    encoding: 'utf8',
  })
  const line = `${SIZE} ${SIZE} 65536 ${SIZE}\n`
  t.deepEqual(
    [child.status, child.signal, child.stdout],
    [0, null, `EFBIG true\n${line}EFBIG true\n${line}`],
    child.stderr,
  )
})

onTmpfsAlone(
  'what a full disk could not take keeps a mapping from moving, until there is room',
  async (t) => {
    const folder = tmpfs(t, 1)
    const path = join(folder, 'file')
    writeFileSync(path, '')
    truncateSync(path, 8 * PAGE)
    using mapping = Mapping.open(path, { access: 'write', preallocate: false, ...quiet })
    block(t, mapping)
    const { address } = mapping
    try {
      writeFileSync(join(folder, 'filler'), Buffer.alloc(2 << 20, 1))
      t.fail('the disk is not full')
    } catch {
      // Full, to the last page.
    }
    mapping.bytes[5 * PAGE] = 9
    t.deepEqual(kinds(mapping), [['not-stored', 5 * PAGE, PAGE]])
    t.throws(() => mapping.resize(20 * PAGE), { code: 'ERR_MAPPING_FAULT' })
    t.deepEqual([mapping.length, mapping.address, mapping.bytes[5 * PAGE]], [8 * PAGE, address, 9])
    t.is(statSync(path).size, 8 * PAGE)
    truncateSync(join(folder, 'filler'), 0)
    mapping.resize(20 * PAGE)
    t.not(mapping.address, address)
    t.is(mapping.read(5 * PAGE, 1)[0], 9)
    await mapping.flush()
  },
)

onHugetlbfs(
  'a file of huge pages takes no maxLength, and an empty mapping of it does not grow: ENOTSUP',
  (t) => {
    const path = join(hugetlbfs(t), 'file')
    writeFileSync(path, '')
    const refused = { code: 'ENOTSUP', message: /huge pages cannot be resized/ }
    t.throws(() => Mapping.open(path, { access: 'write', maxLength: TIB }), refused)
    using mapping = Mapping.open(path, { access: 'write' })
    t.throws(() => mapping.resize(4 << 20), refused)
    t.is(mapping.length, 0)
    t.is(statSync(path).size, 0)
  },
)

// Work under way.

const BIG = 8 << 20

test('work in the thread pool goes on with what there is: a result, or ERR_OUT_OF_RANGE for what was cut off', async (t) => {
  const path = sparseFile(t, BIG)
  using mapping = Mapping.open(path, { access: 'write', maxLength: 4 * BIG, ...quiet })
  const outcome = (promise: Promise<unknown>) =>
    promise.then(
      () => 'ok',
      (error: NodeJS.ErrnoException) => error.code,
    )
  for (let round = 0; round < 10; round++) {
    const work = () =>
      [mapping.flush(), mapping.prefetch(), mapping.find('needle'), mapping.flush(0, PAGE)].map(outcome)
    const before = work()
    mapping.resize(4 * BIG)
    const grown = work()
    mapping.resize(PAGE)
    const cut = work()
    t.deepEqual(await Promise.all(cut), ['ok', 'ok', 'ok', 'ok'])
    for (const result of [...(await Promise.all(before)), ...(await Promise.all(grown))])
      t.true(result === 'ok' || result === 'ERR_OUT_OF_RANGE', `${result}`)
    mapping.resize(BIG)
  }
  t.deepEqual(kinds(mapping), [])
})

linuxAlone(
  "what counts, locks and drops pages does not take another thread's resize for unmap()",
  async (t) => {
    using mapping = Mapping.memfd(64 * PAGE, { maxLength: 128 * PAGE })
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const worker = startWorker(
      `const { token, stop, PAGE } = workerData
     const mapping = Mapping.attach(token)
     say('here')
     while (Atomics.load(stop, 0) === 0) for (const pages of [1, 64, 128]) mapping.resize(pages * PAGE)
     mapping.unmap()`,
      { token: mapping.share(), stop, PAGE },
    )
    const ended = once(worker, 'exit')
    await said(worker)
    const codes = new Set<string | undefined>()
    const attempt = async (call: () => unknown) => {
      try {
        await call()
      } catch (error) {
        codes.add((error as NodeJS.ErrnoException).code)
      }
    }
    const end = performance.now() + 1000
    while (performance.now() < end) {
      await attempt(() => mapping.statSync())
      await attempt(() => mapping.stat())
      await attempt(() => mapping.residency())
      await attempt(() => mapping.evict())
      await attempt(() => mapping.lock(0, PAGE))
      await attempt(() => mapping.unlock())
      mapping.unlock(0, PAGE) // the other one may have found the length changed; what is locked is not evicted
      await attempt(() => mapping.notify(32 * PAGE))
      await attempt(() => [...mapping.chunks({ size: PAGE })])
    }
    Atomics.store(stop, 0, 1)
    await ended
    codes.delete('ERR_OUT_OF_RANGE')
    t.deepEqual([...codes], [])
  },
)

linuxAlone('work in the thread pool goes on when the mapping moves, and finds what there is', async (t) => {
  for (let round = 0; round < 5; round++) {
    const path = scratchFile(t, Buffer.alloc(BIG, 'x'))
    using mapping = Mapping.open(path, { access: 'write', ...quiet })
    mapping.write('needle', BIG - 6)
    block(t, mapping)
    const { address } = mapping
    const work = [mapping.find('needle'), mapping.flush(), mapping.prefetch()]
    mapping.resize(BIG + PAGE)
    t.not(mapping.address, address)
    t.deepEqual(await Promise.all(work), [BIG - 6, undefined, undefined])
    t.deepEqual(kinds(mapping), [])
  }
})

linux('lines() goes on when the mapping moves, and ends with ERR_OUT_OF_RANGE where it was cut off', (t) => {
  const text = Array.from({ length: 5000 }, (_, index) => `line ${index}`)
  const path = scratchFile(t, `${text.join('\n')}\n`)
  for (const encoding of [undefined, 'utf8'] as const) {
    using mapping = Mapping.open(path, { access: 'copy', ...quiet })
    block(t, mapping)
    const { address } = mapping
    const seen: string[] = []
    const lines = encoding === undefined ? mapping.lines() : mapping.lines({ encoding })
    for (const line of lines) {
      seen.push(line.toString())
      if (seen.length === 10) {
        appendFileSync(path, Buffer.alloc(40 * PAGE, 'y'))
        mapping.resize()
      }
    }
    t.not(mapping.address, address)
    t.deepEqual(seen, text)
    const rest = mapping.lines()
    rest.next()
    mapping.resize(100)
    t.throws(() => rest.next(), { code: 'ERR_OUT_OF_RANGE' })
    truncateSync(path, text.join('\n').length + 1)
  }
})

linuxAlone(
  'a stream goes on when the mapping moves, and ends with ERR_OUT_OF_RANGE where it was cut off',
  async (t) => {
    const path = scratchFile(t, patternOf(BIG))
    using mapping = Mapping.open(path, { access: 'write', ...quiet })
    const { address } = mapping
    const chunks: Buffer[] = []
    for await (const chunk of mapping.createReadStream()) {
      chunks.push(Buffer.from(chunk as Buffer))
      if (chunks.length === 3) {
        block(t, mapping)
        mapping.resize(BIG + PAGE)
      }
    }
    t.not(mapping.address, address)
    t.true(Buffer.concat(chunks).equals(patternOf(BIG)))
    // A chunk that waits while the mapping moves is none of zeros.
    using other = Mapping.open(path, { ...quiet })
    const stream = other.createReadStream()
    await new Promise((resolve) => stream.once('readable', resolve))
    block(t, other)
    appendFileSync(path, Buffer.alloc(64 * PAGE))
    other.resize()
    t.true((stream.read() as Buffer).equals(patternOf(BIG).subarray(0, 64 * 1024)))
    await new Promise((resolve) => stream.once('readable', resolve))
    other.resize(PAGE)
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => stream.once('error', resolve))
    t.is(stream.read(), null)
    t.is((await failed).code, 'ERR_OUT_OF_RANGE')
    t.deepEqual(kinds(other), [])
  },
)
