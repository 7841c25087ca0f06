/** stat() and statSync() against /proc/self/smaps, the file system, and what was done to the mapping. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import test from 'ava'
import {
  Mapping,
  type MappingStat,
  PROT_NONE,
  PROT_READ,
  mlock,
  mprotect,
  munlock,
  munmap,
  pageSize,
} from 'mmap-native'
import { runScript } from './support/child'
import { evict } from './support/cold'
import { borrowHugePages, hugePageSize } from './support/huge'
import { scratchFile } from './support/files'
import { smapsField } from './support/maps'
import { patternOf } from './support/random'

// One after the other: what one test leaves out, another's memory may be joined to.
const linux = process.platform === 'linux' ? test.serial : test.skip
const MiB = 1024 * 1024

/** The figures that are read from one line of smaps each. */
const FIELDS: [keyof MappingStat, string][] = [
  ['residentBytes', 'Rss'],
  ['proportionalBytes', 'Pss'],
  ['sharedDirtyBytes', 'Shared_Dirty'],
  ['privateDirtyBytes', 'Private_Dirty'],
  ['anonymousBytes', 'Anonymous'],
  ['swappedBytes', 'Swap'],
  ['lockedBytes', 'Locked'],
  ['pageSize', 'KernelPageSize'],
]

linux('stat() and statSync() tell what smaps has, for every access', async (t) => {
  const path = scratchFile(t, patternOf(40 * pageSize))
  evict(path)
  for (const access of ['read', 'write', 'copy'] as const) {
    const mapping = Mapping.open(path, { access, offset: 5 })
    mapping.read(0, 10 * pageSize)
    if (access !== 'read') mapping.fill(1, 0, 3 * pageSize)
    for (const stat of [mapping.statSync(), await mapping.stat()]) {
      for (const [name, field] of FIELDS)
        t.is(stat[name], smapsField(mapping.address, field), `${access} ${field}`)
      t.is(stat.dirtyBytes, (stat.sharedDirtyBytes ?? 0) + (stat.privateDirtyBytes ?? 0))
      t.is(stat.access, access)
      t.is(stat.length, 40 * pageSize - 5)
      t.is(stat.fileSize, 40 * pageSize)
      t.false(stat.truncated)
      t.is(stat.shared, access !== 'copy')
      t.deepEqual(stat.protection, { read: true, write: access !== 'read', execute: false })
      t.is(stat.mappings, 1)
      t.is(stat.neighbourBytes, 0)
      t.is(stat.flags?.includes('may-share'), access !== 'copy')
      t.is(stat.flags?.includes('shared'), access === 'write')
      t.is(stat.flags?.includes('writable'), access !== 'read')
      t.is(stat.anonymousBytes, access === 'copy' ? 4 * pageSize : 0)
      t.is(stat.dirtyBytes, access === 'read' ? 0 : 4 * pageSize)
      t.is(stat.name, undefined)
    }
    mapping.unmap()
    evict(path)
  }
})

linux('stat() of memory counts no more than there is, but for neighbours, of which it says how much', (t) => {
  const mapping = Mapping.anonymous(4 * MiB)
  mapping.advise('dontdump') // unlike its neighbours
  mapping.advise('nohugepage')
  mapping.fill(1, MiB, 2 * MiB)
  const stat = mapping.statSync()
  t.is(stat.neighbourBytes, 0)
  t.is(stat.residentBytes, MiB)
  t.is(stat.anonymousBytes, MiB)
  t.is(stat.dirtyBytes, MiB)
  t.is(stat.fileSize, undefined)
  t.false(stat.shared)
  t.true(stat.flags?.includes('dont-dump'))
  mapping.unmap()

  const [first, second] = [Mapping.anonymous(MiB), Mapping.anonymous(MiB)]
  const span = Number(second.address - first.address)
  const { neighbourBytes = 0, mappings } = first.statSync()
  t.is(mappings, 1)
  t.is(neighbourBytes % pageSize, 0)
  if (Math.abs(span) === MiB) t.true(neighbourBytes >= MiB)
  first.unmap()
  second.unmap()
})

linux('flags and protection are those that the pages have now', (t) => {
  const mapping = Mapping.open(scratchFile(t, patternOf(3 * pageSize)), { access: 'write' })
  mapping.advise('sequential')
  mlock(mapping.address, pageSize)
  const advised = mapping.statSync()
  t.true(advised.flags?.includes('sequential'))
  t.true(advised.flags?.includes('locked'))
  t.is(advised.lockedBytes, pageSize)
  t.is(advised.mappings, 2)
  munlock(mapping.address, pageSize)
  mprotect(mapping.address, 2 * pageSize, PROT_READ)
  t.deepEqual(mapping.statSync().protection, { read: true, write: false, execute: false })
  t.is(mapping.statSync().mappings, 2)
  mprotect(mapping.address, pageSize, PROT_NONE)
  t.deepEqual(mapping.statSync().protection, { read: false, write: false, execute: false })
  mapping.unmap()
})

test('stat() tells the size of the file now, and whether it ends before the mapping', async (t) => {
  const path = scratchFile(t, patternOf(4 * pageSize))
  const mapping = Mapping.open(path, { offset: pageSize + 1, length: pageSize })
  const truncate = (size: number) => spawnSync('truncate', ['-s', String(size), path])
  for (const [size, truncated] of [
    [10 * pageSize, false],
    [2 * pageSize + 1, false],
    [2 * pageSize, true],
    [0, true],
    [4 * pageSize, false],
  ] as const) {
    truncate(size)
    const { fileSize, truncated: isTruncated } = await mapping.stat()
    t.deepEqual([fileSize, isTruncated], [size, truncated])
  }
  t.is(mapping.faults.count, 0)
  fs.rmSync(path)
  t.is(mapping.statSync().fileSize, 4 * pageSize)
  mapping.unmap()
})

test('stat() of a mapping without bytes is of nothing', async (t) => {
  for (const mapping of [Mapping.anonymous(0), Mapping.open(scratchFile(t, 'abc'), { offset: 3 })]) {
    for (const stat of [mapping.statSync(), await mapping.stat()]) {
      t.is(stat.length, 0)
      t.is(stat.pageSize, pageSize)
      t.is(stat.residentBytes, undefined)
      t.false(stat.truncated)
    }
    mapping.unmap()
  }
})

const isUsual = hugePageSize === 2 * MiB && borrowHugePages(2, () => undefined)
const huge = isUsual ? test.serial : test.skip
huge(`stat() tells reserved huge pages${isUsual ? '' : ' (skipped: none are to be had)'}`, (t) => {
  const done = borrowHugePages(2, () => {
    const mapping = Mapping.anonymous(3 * MiB, { hugePages: { size: '2MB', fallback: true } })
    mapping.write('x')
    const stat = mapping.statSync()
    t.is(stat.pageSize, 2 * MiB)
    t.is(stat.hugeBytes, 2 * MiB)
    t.is(stat.residentBytes, 2 * MiB)
    t.true(stat.flags?.includes('hugetlb'))
    mapping.unmap()
  })
  t.true(done)
})

linux('stat() tells transparent huge pages that a mapping fell back to', (t) => {
  const mapping = Mapping.anonymous(8 * MiB, { hugePages: { size: '1GB', fallback: true }, populate: true })
  const { flags, hugeBytes = 0, pageSize: size } = mapping.statSync()
  if (!flags?.includes('hugetlb')) {
    t.is(size, pageSize)
    t.is(hugeBytes, smapsField(mapping.address, 'AnonHugePages'))
    if (Mapping.supports('hugepage')) t.true(flags?.includes('transparent-huge'))
  }
  t.is(mapping.count(0), 8 * MiB)
  mapping.unmap()
})

test('stat() after unmap(), or of a mapping that is gone in part, is ERR_MAPPING_CLOSED', async (t) => {
  const mapping = Mapping.anonymous(2 * pageSize)
  munmap(mapping.address, pageSize)
  t.throws(() => mapping.statSync(), { code: 'ERR_MAPPING_CLOSED' })
  await t.throwsAsync(mapping.stat(), { code: 'ERR_MAPPING_CLOSED' })
  mapping.unmap()
  t.throws(() => mapping.statSync(), { code: 'ERR_MAPPING_CLOSED' })
  await t.throwsAsync(mapping.stat(), { code: 'ERR_MAPPING_CLOSED' })
})

test('stat() while other threads map and unmap ends well', async (t) => {
  const { code, signal, stdout, stderr } = await runScript(`
    const { Worker } = require('node:worker_threads')
    const { Mapping, pageSize } = require('mmap-native')
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads')
      const { munmap, Mapping } = require('mmap-native')
      parentPort.on('message', ({ address, length }) => {
        for (let i = 0; i < 20; i++) Mapping.anonymous(4096).unmap()
        munmap(address, length)
        parentPort.postMessage(0)
      })
    \`, { eval: true })
    const main = async () => {
      const seen = new Set()
      for (let round = 0; round < 100; round++) {
        const length = 8 * pageSize
        const mapping = Mapping.anonymous(length, { populate: true })
        let unmapped
        if (round % 2) {
          worker.postMessage({ address: mapping.address, length })
          unmapped = new Promise((resolve) => worker.once('message', resolve))
        } else setImmediate(() => mapping.unmap())
        const calls = Array.from({ length: 5 }, () => mapping.stat())
        for (const { status, reason } of await Promise.allSettled(calls))
          seen.add(status === 'fulfilled' ? 'told' : reason.code)
        // Before the address can be another's.
        await unmapped
      }
      for (const one of seen) if (one !== 'told' && one !== 'ERR_MAPPING_CLOSED') console.log(one)
      worker.terminate()
    }
    main()
  `)
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: '', stderr: '' })
})
