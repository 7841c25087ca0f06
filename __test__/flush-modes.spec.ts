/** The modes of flush(), and syncOnUnmap. */
import * as fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { type FlushMode, Mapping, mlock, munlock, munmap, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { breakDisk, canMountExt4, canMountTmpfs, ext4, repairDisk, tmpfs } from './support/disks'
import { contentOf, scratchFile } from './support/files'
import { smapsField } from './support/maps'
import { patternOf } from './support/random'

const linux = process.platform === 'linux' ? test : test.skip
const modes: FlushMode[] = ['sync', 'async', 'invalidate']
const MiB = 1024 * 1024

const dirty = (mapping: Mapping) =>
  smapsField(mapping.address, 'Shared_Dirty') + smapsField(mapping.address, 'Private_Dirty')

// Where files are kept on a device: a tmpfs has none.
const disk = canMountExt4() ? test : test.skip

test('every mode is taken by flush() and flushSync(), with a range or without, for every access', async (t) => {
  const path = scratchFile(t, patternOf(3 * pageSize))
  for (const mapping of [
    Mapping.open(path),
    Mapping.open(path, { access: 'write', offset: 5 }),
    Mapping.open(path, { access: 'copy' }),
    Mapping.anonymous(3 * pageSize),
    Mapping.anonymous(0),
  ]) {
    if (mapping.access === 'copy') mapping.fill(1)
    for (const mode of modes) {
      t.is(await mapping.flush({ mode }), undefined)
      t.is(await mapping.flush(0, BigInt(mapping.length), { mode }), undefined)
      t.is(mapping.flushSync({ mode }), undefined)
      t.is(mapping.flushSync(mapping.length, 0, { mode }), undefined)
    }
    if (mapping.access === 'copy') t.is(mapping.count(1), 3 * pageSize)
    mapping.unmap()
  }
  t.true(contentOf(path).equals(patternOf(3 * pageSize)))
})

disk("'sync' and 'invalidate' leave no page dirty, 'async' has them written soon", async (t) => {
  const { folder } = ext4(t, 16)
  const path = `${folder}/file`
  fs.writeFileSync(path, Buffer.alloc(2 * MiB))
  const mapping = Mapping.open(path, { access: 'write' })
  mapping.flushSync()
  for (const mode of modes) {
    for (const flush of [() => mapping.flushSync({ mode }), () => mapping.flush({ mode })]) {
      mapping.fill(7)
      t.is(dirty(mapping), 2 * MiB)
      await flush()
      // Left alone, the kernel would begin after some 30 seconds (vm.dirty_expire_centisecs).
      const deadline = Date.now() + (mode === 'async' ? 20_000 : 0)
      while (dirty(mapping) > 0 && Date.now() < deadline) await sleep(5)
      t.is(dirty(mapping), 0, mode)
    }
  }
  mapping.unmap()
})

linux("'invalidate' is EBUSY while a page is locked, and what was written is stored", async (t) => {
  const path = scratchFile(t, patternOf(2 * pageSize))
  const mapping = Mapping.open(path, { access: 'write' })
  mapping.fill(4)
  mlock(mapping.address, 1)
  const error = t.throws(() => mapping.flushSync({ mode: 'invalidate' }), { code: 'EBUSY' })
  t.regex(error.message, /locked/)
  await t.throwsAsync(mapping.flush({ mode: 'invalidate' }), { code: 'EBUSY' })
  munlock(mapping.address, 1)
  mapping.flushSync({ mode: 'invalidate' })
  t.is(contentOf(path)[0], 4)
  mapping.unmap()
})

test('a truncated file is a fault in every mode once its bytes were used', async (t) => {
  for (const mode of modes) {
    const path = scratchFile(t, patternOf(2 * pageSize))
    const mapping = Mapping.open(path, { access: 'write', onFault: () => {} })
    fs.truncateSync(path, 0)
    mapping.bytes[0] = 1
    t.throws(() => mapping.flushSync({ mode }), { code: 'ERR_MAPPING_FAULT' })
    await t.throwsAsync(mapping.flush({ mode }), { code: 'ERR_MAPPING_FAULT' })
    mapping.unmap()
  }
})

// ---- syncOnUnmap -------------------------------------------------------------------------------------------------

disk('syncOnUnmap: when unmap() returns, the device has what was written', (t) => {
  const { folder } = ext4(t, 8)
  const path = `${folder}/file`
  fs.writeFileSync(path, Buffer.alloc(MiB))
  const watch = Mapping.open(path, { access: 'write', populate: true })
  watch.flushSync()
  for (const [syncOnUnmap, expected] of [
    [true, 0],
    [false, MiB],
  ] as const) {
    const mapping = Mapping.open(path, { access: 'write', syncOnUnmap })
    mapping.fill(syncOnUnmap ? 1 : 2)
    mapping.unmap()
    t.true(mapping.closed)
    t.is(dirty(watch), expected)
  }
  watch.unmap()
})

const memoryFile = canMountTmpfs() ? test : test.skip
memoryFile('syncOnUnmap: what cannot be stored keeps the mapping, until there is room', (t) => {
  const folder = tmpfs(t, 1)
  const path = `${folder}/file`
  fs.writeFileSync(path, '')
  fs.truncateSync(path, 4 * pageSize)
  const mapping = Mapping.open(path, { access: 'write', syncOnUnmap: true, onFault: () => {} })
  const fd = fs.openSync(`${folder}/filler`, 'w')
  t.throws(() => {
    for (;;) fs.writeSync(fd, Buffer.alloc(pageSize, 1))
  })
  fs.closeSync(fd)
  mapping.bytes.fill(6)
  for (const unmap of [() => mapping.unmap(), () => mapping[Symbol.dispose]()]) {
    t.throws(unmap, { code: 'ERR_MAPPING_FAULT' })
    t.false(mapping.closed)
    t.is(mapping.bytes[4 * pageSize - 1], 6)
  }
  fs.rmSync(`${folder}/filler`)
  mapping.unmap()
  t.true(mapping.closed)
  t.true(contentOf(path).every((byte) => byte === 6))
})

test('syncOnUnmap: refresh() gives up what is lost, and then unmap() goes through', (t) => {
  const path = scratchFile(t, patternOf(2 * pageSize))
  const mapping = Mapping.open(path, { access: 'write', syncOnUnmap: true, onFault: () => {} })
  fs.truncateSync(path, pageSize)
  mapping.bytes[pageSize] = 1
  mapping.bytes[0] = 99
  t.throws(() => mapping.unmap(), { code: 'ERR_MAPPING_FAULT' })
  t.false(mapping.closed)
  mapping.refresh()
  mapping.unmap()
  t.true(mapping.closed)
  t.is(contentOf(path)[0], 99)
  mapping.unmap()
})

test('syncOnUnmap: a mapping that was unmapped in part by its address is unmapped all the same', (t) => {
  const path = scratchFile(t, patternOf(2 * pageSize))
  const mapping = Mapping.open(path, { access: 'write', syncOnUnmap: true })
  mapping.fill(3)
  munmap(mapping.address, pageSize)
  mapping.unmap()
  t.true(mapping.closed)
  t.true(contentOf(path).every((byte) => byte === 3))
})

disk('syncOnUnmap: an error of the device is told, and the mapping stays', async (t) => {
  const disk = ext4(t, 16)
  const path = `${disk.folder}/file`
  fs.writeFileSync(path, Buffer.alloc(8 * MiB, 1))
  const mapping = Mapping.open(path, {
    access: 'write',
    syncOnUnmap: true,
    populate: true,
    onFault: () => {},
  })
  mapping.flushSync()
  breakDisk(disk, 2)
  mapping.fill(5)
  t.throws(() => mapping.unmap(), { code: 'EIO' })
  t.false(mapping.closed)
  t.is(mapping.count(5), 8 * MiB)
  repairDisk(disk)
  mapping.unmap()
  t.true(contentOf(path).every((byte) => byte === 5))
})

// ---- Bad input ---------------------------------------------------------------------------------------------------

test('a mode that is none is named', async (t) => {
  const mapping = Mapping.anonymous(100)
  const flush = mapping.flush.bind(mapping) as (...args: unknown[]) => Promise<unknown>
  const flushSync = mapping.flushSync.bind(mapping) as (...args: unknown[]) => unknown
  const expected = {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /'options.mode' must be one of: 'sync', 'async', 'invalidate'/,
  }
  for (const mode of [null, '', 'SYNC', 'MS_SYNC', 4, true, {}]) {
    await t.throwsAsync(flush({ mode }), expected)
    await t.throwsAsync(flush(0, 1, { mode }), expected)
    t.throws(() => flushSync({ mode }), expected)
    t.throws(() => flushSync(0, 1, { mode }), expected)
  }
  const message = /'options.(signal|Mode)' is not an option/
  t.throws(() => flushSync({ signal: new AbortController().signal }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message,
  })
  await t.throwsAsync(flush({ Mode: 'sync' }), { code: 'ERR_INVALID_ARG_VALUE', message })
  mapping.unmap()
  for (const mode of modes) {
    t.throws(() => mapping.flushSync({ mode }), { code: 'ERR_MAPPING_CLOSED' })
    await t.throwsAsync(mapping.flush({ mode }), { code: 'ERR_MAPPING_CLOSED' })
  }
})

test('every mode while other threads unmap ends well', async (t) => {
  const path = scratchFile(t, Buffer.alloc(MiB))
  const { code, signal, stdout, stderr } = await runScript(
    `
    const { Worker } = require('node:worker_threads')
    const { Mapping } = require('mmap-native')
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads')
      const { munmap } = require('mmap-native')
      parentPort.on('message', ({ address, length }) => { munmap(address, length); parentPort.postMessage(0) })
    \`, { eval: true })
    const main = async () => {
      const seen = new Set()
      for (let round = 0; round < 60; round++) {
        const mapping = Mapping.open(process.argv.at(-1), { access: 'write' })
        mapping.fill(round)
        const unmapped = new Promise((resolve) => worker.once('message', resolve))
        worker.postMessage({ address: mapping.address, length: mapping.length })
        const calls = ['async', 'invalidate', 'sync', 'async'].map((mode) => mapping.flush({ mode }))
        for (const { status, reason } of await Promise.allSettled(calls))
          seen.add(status === 'fulfilled' ? 'stored' : reason.code)
        await unmapped
        mapping.unmap()
      }
      for (const one of seen) if (one !== 'stored' && one !== 'ERR_MAPPING_CLOSED') console.log(one)
      worker.terminate()
    }
    main()
  `,
    { args: [path] },
  )
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: '', stderr: '' })
})
