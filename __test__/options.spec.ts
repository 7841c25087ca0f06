/** Options of open() and anonymous() about pages, as /proc/self/smaps and maps tell. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { Mapping, pageSize } from 'mmap-native'
import type { HugePageSize, OpenOptions } from 'mmap-native'
import { runScript } from './support/child'
import { canMountTmpfs, tmpfs } from './support/disks'
import { scratchFile, scratchFolder } from './support/files'
import { borrowHugePages, hugePageSize } from './support/huge'
import { maps, smapsField, vmFlags } from './support/maps'
import { patternOf } from './support/random'

const MiB = 1024 * 1024
const linux = process.platform === 'linux' ? test.serial : test.skip

const isUsual = hugePageSize === 2 * MiB && borrowHugePages(2, () => undefined)
const huge = isUsual ? test.serial : test.skip
const whyNoHuge = isUsual ? '' : ' (skipped: this machine has no huge pages of 2 MiB and lets none be made)'

const noTransparent = Mapping.supports('hugepage') ? undefined : 'the kernel makes no huge pages'
const transparent = noTransparent === undefined ? linux : test.skip

// ---- noReserve, stack --------------------------------------------------------------------------------------------

linux('noReserve is a flag of the mapping, for memory and for copies of files', (t) => {
  const path = scratchFile(t, patternOf(pageSize))
  for (const noReserve of [true, false]) {
    const copy = Mapping.open(path, { access: 'copy', noReserve })
    const memory = Mapping.anonymous(pageSize, { noReserve })
    for (const mapping of [copy, memory]) {
      t.is(vmFlags(mapping.address).includes('nr'), noReserve)
      mapping.unmap()
    }
  }
})

linux('noReserve stays when a file that was truncated has grown back', (t) => {
  const path = scratchFile(t, patternOf(4 * pageSize))
  const mapping = Mapping.open(path, { access: 'copy', noReserve: true, onFault: () => {} })
  fs.truncateSync(path, 0)
  t.is(mapping.bytes[pageSize], 0)
  fs.writeFileSync(path, patternOf(4 * pageSize))
  mapping.refresh()
  t.true(mapping.bytes.equals(patternOf(4 * pageSize)))
  t.true(vmFlags(mapping.address).includes('nr'))
  mapping.unmap()
})

test('stack memory is memory as any', (t) => {
  const mapping = Mapping.anonymous(3 * pageSize, { stack: true, populate: true })
  mapping.fill('x')
  t.is(mapping.count('x'), 3 * pageSize)
  mapping.unmap()
})

// ---- Huge pages --------------------------------------------------------------------------------------------------

transparent('transparent huge pages are advised before memory is populated', (t) => {
  const mapping = Mapping.anonymous(8 * MiB, { hugePages: 'transparent', populate: true })
  t.true(vmFlags(mapping.address).includes('hg'))
  t.true(smapsField(mapping.address, 'Rss') >= 8 * MiB)
  mapping.fill(7)
  t.is(mapping.count(7), 8 * MiB)
  mapping.unmap()
})

const inMemory = canMountTmpfs() && noTransparent === undefined ? test : test.skip
inMemory('transparent huge pages are advised for files, whatever the access', (t) => {
  const path = join(tmpfs(t, 8), 'file')
  const content = Buffer.alloc(4 * MiB, 'abcdefg')
  fs.writeFileSync(path, content)
  for (const access of ['read', 'write', 'copy'] as const) {
    for (const hugePages of ['transparent', { size: 'transparent', fallback: true }] as const) {
      const mapping = Mapping.open(path, { access, hugePages, populate: true })
      t.true(vmFlags(mapping.address).includes('hg'))
      t.true(mapping.bytes.equals(content))
      mapping.unmap()
    }
  }
})

huge(`reserved huge pages are what the mapping consists of${whyNoHuge}`, (t) => {
  const done = borrowHugePages(2, () => {
    const mapping = Mapping.anonymous(2 * MiB + 5, { hugePages: '2MB' })
    t.is(mapping.length, 2 * MiB + 5)
    t.is(mapping.address % BigInt(2 * MiB), 0n)
    t.true(vmFlags(mapping.address).includes('ht'))
    t.is(smapsField(mapping.address, 'KernelPageSize'), 2 * MiB)
    t.is(smapsField(mapping.address, 'Size'), 4 * MiB)
    mapping.fill(3)
    t.is(mapping.count(3), mapping.length)
    t.is(smapsField(mapping.address, 'Private_Hugetlb'), 4 * MiB)
    // Whole huge pages within the range, and the ends of the mapping are ends of pages.
    t.is(mapping.advise('dontneed', 1, 2 * MiB + 4, { destructive: true }), 2 * MiB)
    t.is(mapping.count(3), 2 * MiB)
    t.is(mapping.advise('dontneed', 0, 2 * MiB - 1, { destructive: true }), 0)
    t.is(mapping.count(3), 2 * MiB)
    const view = mapping.bytes
    mapping.unmap()
    t.is(view.length, 2 * MiB + 5)
    t.false(maps().some(({ path, perms }) => path.includes('anon_hugepage') && perms !== '---p'))
  })
  t.true(done)
})

linux('without free huge pages the call fails, or takes smaller ones, as it was asked', (t) => {
  // More than the machine has.
  const length = 2 ** 46
  for (const size of ['2MB', '1GB'] as const) {
    const error = t.throws(() => Mapping.anonymous(length, { hugePages: size, noReserve: false }))
    t.regex(`${(error as NodeJS.ErrnoException).code}`, /ENOMEM|EINVAL/)
    t.regex(error.message, /huge pages of this size/)
    const mapping = Mapping.anonymous(3 * MiB, { hugePages: { size, fallback: true }, populate: true })
    mapping.fill(1)
    t.is(mapping.count(1), 3 * MiB)
    if (noTransparent === undefined && !vmFlags(mapping.address).includes('ht'))
      t.true(vmFlags(mapping.address).includes('hg'))
    mapping.unmap()
  }
  const plain = Mapping.anonymous(pageSize, { hugePages: { size: 'transparent' } })
  plain.unmap()
})

huge(`a fault on huge pages that are not there ends no process${whyNoHuge}`, async (t) => {
  const { code, signal, stdout, stderr } = await runScript(
    `
    const { Mapping } = require('mmap-native')
    const mapping = Mapping.anonymous(2 ** 40, { hugePages: '2MB', noReserve: true })
    // Nothing is reserved, so that the kernel finds out when the memory is used. It has not got that much.
    for (let at = 0; at < 64; at++) mapping.view(Buffer, at * 2 ** 30, 1)[0] = 5
    console.log(mapping.faults.count > 0)
    mapping.unmap()
  `,
    { nodeArgs: ['--no-warnings'] },
  )
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'true\n', stderr: '' })
})

// ---- MAP_SYNC ----------------------------------------------------------------------------------------------------

linux(
  'mapSync is ENOTSUP for a file that is not on persistent memory, and leaves files as they were',
  (t) => {
    const folder = scratchFolder(t)
    const path = join(folder, 'file')
    fs.writeFileSync(path, 'abc')
    const options: OpenOptions = { access: 'write', mapSync: true }
    for (const more of [{}, { grow: true, length: 5 * pageSize }]) {
      const error = t.throws(() => Mapping.open(path, { ...options, ...more })) as NodeJS.ErrnoException
      t.is(error.code, 'ENOTSUP')
      t.is(error.syscall, 'mmap')
      t.is(error.path, path)
      t.regex(error.message, /persistent memory/)
      t.is(fs.readFileSync(path, 'latin1'), 'abc')
    }
    t.throws(() => Mapping.open(join(folder, 'new'), { ...options, create: true, length: 10 }), {
      code: 'ENOTSUP',
    })
    t.deepEqual(fs.readdirSync(folder), ['file'])
  },
)

// ---- Names -------------------------------------------------------------------------------------------------------

/** Whether the kernel shows names of memory. */
const showsNames = (() => {
  if (process.platform !== 'linux') return false
  const mapping = Mapping.anonymous(pageSize, { name: 'probe' })
  const shows = maps().some(({ path }) => path === '[anon:probe]')
  mapping.unmap()
  return shows
})()

const named = showsNames ? test : test.skip
named(
  `memory has its name in /proc/self/maps${showsNames ? '' : ' (skipped: no CONFIG_ANON_VMA_NAME)'}`,
  (t) => {
    for (const name of ['cache', 'with spaces, and (more)', 'x'.repeat(79)]) {
      const mapping = Mapping.anonymous(3 * pageSize, { name })
      const entry = maps().find(({ start }) => start === mapping.address)
      t.is(entry?.path, `[anon:${name}]`)
      t.is(entry?.end, mapping.address + BigInt(3 * pageSize))
      mapping.unmap()
    }
  },
)

test('a name is taken, or of no effect, and never an error', (t) => {
  for (const name of ['cache', 'with spaces, and (more)', 'x'.repeat(79), '!"#%&\'*+']) {
    const mapping = Mapping.anonymous(3 * pageSize, { name })
    mapping.fill(1)
    t.is(mapping.count(1), 3 * pageSize)
    mapping.unmap()
  }
  Mapping.anonymous(0, { name: 'nothing' }).unmap()
})

// ---- Bad input ---------------------------------------------------------------------------------------------------

test('options that are wrong are named, and nothing is mapped or made', (t) => {
  const path = scratchFile(t, patternOf(pageSize))
  const before = fs.readdirSync(join(path, '..'))
  const open = (options: object) => () => Mapping.open(path, options)
  const anonymous = (options: object) => () => Mapping.anonymous(pageSize, options)
  for (const value of [1, 'yes', null, {}]) {
    for (const name of ['noReserve', 'stack'])
      t.throws(anonymous({ [name]: value }), {
        code: 'ERR_INVALID_ARG_TYPE',
        message: new RegExp(`options.${name}`),
      })
    for (const name of ['noReserve', 'mapSync', 'syncOnUnmap'])
      t.throws(open({ [name]: value }), {
        code: 'ERR_INVALID_ARG_TYPE',
        message: new RegExp(`options.${name}`),
      })
  }
  const sizes = /'options.hugePages' must be one of: 'transparent', '2MB', '1GB'/
  for (const value of [true, 2 * MiB, '2mb', '4KB', null])
    t.throws(anonymous({ hugePages: value }), { code: 'ERR_INVALID_ARG_VALUE', message: sizes })
  for (const value of [{}, { size: 'large' }, { fallback: true }])
    t.throws(anonymous({ hugePages: value }), { code: 'ERR_INVALID_ARG_VALUE', message: /hugePages.size/ })
  t.throws(anonymous({ hugePages: { size: '2MB', fallback: 1 } }), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /hugePages.fallback/,
  })
  t.throws(anonymous({ hugePages: { size: '2MB', fall: true } }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /hugePages.fall'/,
  })
  for (const size of ['2MB', '1GB'] satisfies HugePageSize[])
    for (const hugePages of [size, { size }])
      t.throws(open({ hugePages }), {
        code: 'ERR_INVALID_ARG_VALUE',
        message: /must be one of: 'transparent'\./,
      })
  for (const value of ['', 'x'.repeat(80), 'a[b', 'a]', 'a\\b', 'a$b', 'a`b', 'a\nb', 'a\0b', 'ä'])
    t.throws(anonymous({ name: value }), { code: 'ERR_INVALID_ARG_VALUE', message: /options.name/ }, value)
  for (const value of [1, null, Buffer.from('x')])
    t.throws(anonymous({ name: value }), { code: 'ERR_INVALID_ARG_TYPE', message: /options.name/ })
  for (const access of ['read', 'write'])
    t.throws(open({ access, noReserve: true }), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: /'copy' for noReserve/,
    })
  for (const access of ['read', 'copy'])
    for (const name of ['mapSync', 'syncOnUnmap'])
      t.throws(open({ access, [name]: true }), {
        code: 'ERR_INVALID_ARG_VALUE',
        message: /'write' for mapSync/,
      })
  for (const name of ['stack', 'name']) t.throws(open({ [name]: true }), { code: 'ERR_INVALID_ARG_VALUE' })
  for (const name of ['mapSync', 'syncOnUnmap', 'growsDown'])
    t.throws(anonymous({ [name]: true }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.deepEqual(fs.readdirSync(join(path, '..')), before)
})
