/** evict(): what leaves the process and the page cache, and what does not. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import test from 'ava'
import { Mapping, mlock, munlock, munmap, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { noCold, residency } from './support/cold'
import { canMountTmpfs, tmpfs } from './support/disks'
import { contentOf, scratchFile } from './support/files'
import { smapsField } from './support/maps'
import { patternOf } from './support/random'

const linux = process.platform === 'linux' ? test : test.skip
const cold = noCold === undefined ? test : test.skip
const why = noCold === undefined ? '' : ` (skipped: ${noCold})`
const MiB = 1024 * 1024

/** A file whose pages are on the device as well as in memory. */
function stored(t: Parameters<typeof scratchFile>[0], content: Uint8Array): string {
  const path = scratchFile(t, content)
  spawnSync('sync', [path])
  return path
}

linux('evict() takes pages from the process, all of them, and loses nothing', async (t) => {
  const path = scratchFile(t, randomBytes(20 * MiB))
  for (const access of ['read', 'write'] as const) {
    const mapping = Mapping.open(path, { access, populate: true })
    if (access === 'write') mapping.fill(7, 100, 5000)
    t.is(smapsField(mapping.address, 'Rss'), 20 * MiB)
    t.deepEqual(await mapping.evict(), { fromProcess: 20 * MiB, fromPageCache: undefined })
    t.is(smapsField(mapping.address, 'Rss'), 0)
    // They are in the page cache still.
    t.false(residency(mapping).includes(false))
    t.deepEqual(await mapping.evict(), { fromProcess: 0, fromPageCache: undefined })
    t.true(mapping.bytes.equals(contentOf(path)))
    if (access === 'write') t.is(mapping.bytes[100], 7)
    t.is(mapping.faults.count, 0)
    mapping.unmap()
  }
})

linux('evict() of a range takes the pages that hold a part of it, and no others', async (t) => {
  const mapping = Mapping.open(scratchFile(t, patternOf(8 * pageSize)), { populate: true })
  t.is((await mapping.evict(2 * pageSize - 1, 2)).fromProcess, 2 * pageSize)
  t.is(smapsField(mapping.address, 'Rss'), 6 * pageSize)
  t.is((await mapping.evict(BigInt(7 * pageSize))).fromProcess, pageSize)
  t.is((await mapping.evict(8 * pageSize)).fromProcess, 0)
  t.is((await mapping.evict({})).fromProcess, 5 * pageSize)
  mapping.unmap()
})

cold(
  `evict({ pageCache: true }) takes stored pages from memory, so that they are read again${why}`,
  async (t) => {
    const content = randomBytes(40 * MiB)
    const mapping = Mapping.open(stored(t, content), { access: 'write' })
    await mapping.prefetch()
    t.false(residency(mapping).includes(false))
    const first = await mapping.evict({ pageCache: true })
    t.is(first.fromProcess, 40 * MiB)
    // The kernel itself may hold pages for a moment longer.
    let gone = first.fromPageCache ?? 0
    for (let attempt = 0; attempt < 100 && gone < 40 * MiB; attempt++)
      gone += (await mapping.evict({ pageCache: true })).fromPageCache ?? 0
    t.is(gone, 40 * MiB)
    t.is((await mapping.residency()).residentPages, 0)
    t.true(mapping.bytes.equals(content))
    mapping.unmap()
  },
)

cold(`evict({ pageCache: true }) of a range leaves the rest of the file in memory${why}`, async (t) => {
  const mapping = Mapping.open(stored(t, randomBytes(64 * MiB)), { offset: 3 })
  await mapping.prefetch()
  for (let attempt = 0; attempt < 100 && residency(mapping, 26 * MiB, 8 * MiB).includes(true); attempt++)
    await mapping.evict(20 * MiB, 20 * MiB, { pageCache: true })
  const { ranges } = await mapping.residency()
  // The page cache may keep pages together that lie on the border, up to 4 MiB.
  t.is(ranges[0]?.offset, 0)
  t.true((ranges[0]?.length ?? 0) >= 20 * MiB - pageSize)
  t.true(residency(mapping, 40 * MiB + pageSize).every(Boolean))
  t.false(residency(mapping, 26 * MiB, 8 * MiB).includes(true))
  mapping.unmap()
})

cold(`pages that another process has mapped stay in the page cache${why}`, async (t) => {
  const path = stored(t, randomBytes(2 * MiB))
  const mapping = Mapping.open(path)
  await mapping.prefetch()
  const other = Mapping.open(path, { populate: true })
  t.deepEqual(await mapping.evict({ pageCache: true }), { fromProcess: 2 * MiB, fromPageCache: 0 })
  t.false(residency(other).includes(false))
  other.unmap()
  // The kernel itself may hold pages for a moment longer.
  for (let attempt = 0; attempt < 100 && residency(mapping).includes(true); attempt++)
    await mapping.evict({ pageCache: true })
  t.false(residency(mapping).includes(true))
  mapping.unmap()
})

const memoryFile = canMountTmpfs() ? test : test.skip
memoryFile('what is written and has no device stays, whatever is asked', async (t) => {
  const path = `${tmpfs(t, 8)}/file`
  fs.writeFileSync(path, randomBytes(4 * MiB))
  const mapping = Mapping.open(path, { access: 'write' })
  mapping.fill(9, 0, MiB)
  await mapping.evict({ pageCache: true })
  t.is(mapping.count(9, 0, MiB), MiB)
  t.true(contentOf(path).equals(mapping.bytes))
  mapping.unmap()
})

memoryFile('what a full disk could not take yet is left alone', async (t) => {
  const folder = tmpfs(t, 1)
  const path = `${folder}/file`
  fs.writeFileSync(path, '')
  fs.truncateSync(path, 8 * pageSize)
  const mapping = Mapping.open(path, { access: 'write', onFault: () => {} })
  const fd = fs.openSync(`${folder}/filler`, 'w')
  t.throws(() => {
    for (;;) fs.writeSync(fd, Buffer.alloc(pageSize, 1))
  })
  fs.closeSync(fd)
  mapping.bytes.fill(6, 2 * pageSize, 3 * pageSize)
  t.is(mapping.faults.list[0]?.kind, 'not-stored')
  await mapping.evict({ pageCache: true })
  t.is(mapping.bytes[2 * pageSize], 6)
  fs.rmSync(`${folder}/filler`)
  mapping.flushSync()
  t.is(contentOf(path)[3 * pageSize - 1], 6)
  mapping.unmap()
})

test('pages that may hold what was written are refused, and so are locked ones', async (t) => {
  const path = scratchFile(t, patternOf(2 * pageSize))
  const copy = Mapping.open(path, { access: 'copy' })
  const anonymous = Mapping.anonymous(2 * pageSize)
  for (const mapping of [copy, anonymous]) {
    mapping.fill(1)
    const error = await t.throwsAsync(mapping.evict(), { code: 'EINVAL' })
    t.regex(error?.message ?? '', /may hold what was written/)
    t.is(mapping.count(1), 2 * pageSize)
    mapping.unmap()
  }
  const mapping = Mapping.open(path)
  mlock(mapping.address, pageSize)
  const error = await t.throwsAsync(mapping.evict(), { code: 'EINVAL' })
  t.regex(error?.message ?? '', /locked/)
  munlock(mapping.address, pageSize)
  t.notThrows(() => mapping.read(0, 1))
  mapping.unmap()
})

test('evict() of nothing, and of a mapping without bytes, drops nothing', async (t) => {
  const path = scratchFile(t, patternOf(10))
  for (const mapping of [Mapping.anonymous(0), Mapping.open(path, { offset: 10 }), Mapping.open(path)]) {
    t.is((await mapping.evict(mapping.length)).fromProcess, 0)
    mapping.unmap()
  }
})

test('evict() rejects with the error that names what is wrong', async (t) => {
  const mapping = Mapping.open(scratchFile(t, patternOf(2 * pageSize)))
  const call = mapping.evict.bind(mapping) as (...args: unknown[]) => Promise<unknown>
  for (const value of ['1', true, () => 1]) {
    await t.throwsAsync(call(value), { code: 'ERR_INVALID_ARG_TYPE', message: /"offset"/ })
    await t.throwsAsync(call(0, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"length"/ })
  }
  for (const value of [-1, 0.5, NaN, 2 * pageSize + 1, 2 ** 32 + 4096, 2 ** 53, -1n, 2n ** 64n]) {
    await t.throwsAsync(call(value), { code: 'ERR_OUT_OF_RANGE', message: /"offset"/ })
    await t.throwsAsync(call(0, value), { code: 'ERR_OUT_OF_RANGE', message: /"length"/ })
  }
  for (const value of [1, 'yes', null])
    await t.throwsAsync(call({ pageCache: value }), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /options.pageCache/,
    })
  await t.throwsAsync(call({ signal: 1 }), { code: 'ERR_INVALID_ARG_TYPE', message: /options.signal/ })
  await t.throwsAsync(call({ pagecache: true }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /options.pagecache/,
  })
  await t.throwsAsync(call({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  munmap(mapping.address, pageSize)
  await t.throwsAsync(call(), { code: 'ERR_MAPPING_CLOSED' })
  mapping.unmap()
  await t.throwsAsync(call(), { code: 'ERR_MAPPING_CLOSED' })
})

linux('evict() while other threads write and unmap ends well, and every write is in the file', async (t) => {
  const path = scratchFile(t, Buffer.alloc(4 * MiB))
  const { code, signal, stdout, stderr } = await runScript(
    `
    const { Worker } = require('node:worker_threads')
    const { readFileSync } = require('node:fs')
    const { Mapping, pageSize } = require('mmap-native')
    const path = process.argv.at(-1)
    const writer = new Worker(\`
      const { parentPort, workerData } = require('node:worker_threads')
      const { Mapping } = require('mmap-native')
      const mapping = Mapping.open(workerData, { access: 'write' })
      mapping.bytes.fill(0)
      for (let round = 1; round <= 20; round++) mapping.bytes.fill(round)
      parentPort.postMessage(0)
    \`, { eval: true, workerData: path })
    const main = async () => {
      const written = new Promise((resolve) => writer.once('message', resolve))
      const mapping = Mapping.open(path, { access: 'write' })
      let busy = true
      written.then(() => (busy = false))
      while (busy) await mapping.evict({ pageCache: true })
      console.log(mapping.count(20) === mapping.length, readFileSync(path).every((byte) => byte === 20))
      const seen = new Set()
      for (let round = 0; round < 100; round++) {
        const mapping = Mapping.open(path, { populate: true })
        setImmediate(() => mapping.unmap())
        for (const { status, reason } of await Promise.allSettled([mapping.evict(), mapping.evict({ pageCache: true })]))
          seen.add(status === 'fulfilled' ? 'evicted' : reason.code)
      }
      for (const one of seen) if (one !== 'evicted' && one !== 'ERR_MAPPING_CLOSED') console.log(one)
    }
    main()
  `,
    { args: [path] },
  )
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'true true\n', stderr: '' })
})
