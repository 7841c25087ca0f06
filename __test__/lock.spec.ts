/** lock() and unlock(), as /proc/self/smaps tells, and limits in processes of their own. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { Mapping, type MappingFaultError, munmap, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { evict, residency } from './support/cold'
import { scratchFile, sparseFile } from './support/files'
import { smapsField, vmFlags } from './support/maps'

const MiB = 1024 * 1024

/** Why this process may not lock 64 MiB. */
function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has /proc/self/smaps'
  const status = fs.readFileSync('/proc/self/status', 'latin1')
  const capabilities = BigInt(`0x${/CapEff:\s*(\w+)/.exec(status)?.[1] ?? 0}`)
  const limits = fs.readFileSync('/proc/self/limits', 'latin1')
  const limit = /Max locked memory\s+(\S+)/.exec(limits)?.[1]
  const mayLock = ((capabilities >> 14n) & 1n) === 1n || limit === 'unlimited' || Number(limit) >= 64 * MiB
  return mayLock ? undefined : `RLIMIT_MEMLOCK is ${limit}`
}

const no = whyNot()
// One after the other: the kernel counts locked memory by process, and joins neighbouring mappings.
const locks = no === undefined ? test.serial : test.skip
const why = no === undefined ? '' : ` (skipped: ${no})`

/** Whether the page at a place is locked, by the kernel's account. */
const isLocked = (mapping: Mapping, page: number) =>
  vmFlags(mapping.address + BigInt(page * pageSize)).includes('lo')

const lockedIn = (mapping: Mapping) =>
  Array.from({ length: mapping.length / pageSize }, (_, page) => Number(isLocked(mapping, page))).join('')

function memory(t: ExecutionContext, length: number): Mapping {
  const mapping = Mapping.anonymous(length)
  t.teardown(() => mapping.unmap())
  return mapping
}

locks(`lock() brings pages in and keeps them, and unlock() lets them go${why}`, async (t) => {
  const path = scratchFile(t, randomBytes(5 * MiB))
  evict(path) // what was written is on the device: no page is dirty from before
  const file = Mapping.open(path, { access: 'write' })
  t.teardown(() => file.unmap())
  for (const mapping of [file, memory(t, 5 * MiB)]) {
    t.is(await mapping.lock(), undefined)
    t.is(smapsField(mapping.address, 'Locked'), 5 * MiB)
    t.is(smapsField(mapping.address, 'Rss'), 5 * MiB)
    t.true(isLocked(mapping, 0) && isLocked(mapping, 5 * (MiB / pageSize) - 1))
    t.is(mapping.unlock(), undefined)
    t.is(smapsField(mapping.address, 'Locked'), 0)
    t.false(isLocked(mapping, 0))
    t.is(mapping.unlock(), undefined)
  }
  t.is(smapsField(file.address, 'Shared_Dirty') + smapsField(file.address, 'Private_Dirty'), 0)
})

locks(`lock() of a copy gives each page its copy, and the file's bytes${why}`, async (t) => {
  const content = randomBytes(8 * pageSize)
  const mapping = Mapping.open(scratchFile(t, content), { access: 'copy' })
  await mapping.lock(0, 3 * pageSize)
  t.is(smapsField(mapping.address, 'Anonymous'), 3 * pageSize)
  t.true(mapping.bytes.equals(content))
  mapping.unmap()
})

locks(`lock() and unlock() are for all pages that hold a part of the range${why}`, async (t) => {
  const mapping = memory(t, 6 * pageSize)
  await mapping.lock(pageSize - 1, 2)
  t.is(lockedIn(mapping), '110000')
  await mapping.lock(BigInt(3 * pageSize), 1n)
  t.is(lockedIn(mapping), '110100')
  mapping.unlock(pageSize, 1)
  t.is(lockedIn(mapping), '100100')
  await mapping.lock({})
  await mapping.lock(2 * pageSize, 0)
  mapping.unlock(0, 0)
  t.is(lockedIn(mapping), '111111')
  mapping.unlock(pageSize + 1)
  t.is(lockedIn(mapping), '100000')
})

locks(`lock({ onFault: true }) brings nothing in, and keeps what comes${why}`, async (t) => {
  const mapping = memory(t, 4 * pageSize)
  mapping.advise('nohugepage')
  await mapping.lock({ onFault: true })
  t.deepEqual(residency(mapping), [false, false, false, false])
  t.is(lockedIn(mapping), '1111')
  mapping.write('x', 2 * pageSize)
  t.deepEqual(residency(mapping), [false, false, true, false])
  t.is(smapsField(mapping.address, 'Locked'), pageSize)
  await mapping.lock(0, pageSize)
  t.true(residency(mapping)[0])
})

locks(`advice that takes pages away is refused while they are locked${why}`, async (t) => {
  const mapping = memory(t, 2 * pageSize)
  mapping.fill(3)
  await mapping.lock()
  const error = t.throws(() => mapping.advise('dontneed', { destructive: true }), { code: 'EINVAL' })
  t.regex(error.message, /locked/)
  t.is(mapping.count(3), 2 * pageSize)
  if (Mapping.supports('dontneed-locked')) {
    mapping.advise('dontneed-locked', { destructive: true })
    t.is(mapping.count(3), 0)
  }
})

locks(`unmap() undoes locks${why}`, async (t) => {
  const lockedByProcess = () =>
    Number(/VmLck:\s*(\d+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))?.[1])
  const before = lockedByProcess()
  const mapping = Mapping.anonymous(MiB)
  const view = mapping.bytes
  await mapping.lock()
  t.is(lockedByProcess(), before + 1024)
  mapping.unmap()
  t.is(lockedByProcess(), before)
  t.is(view.length, MiB)
})

locks(`bytes that are not in the file any more are a fault, and what is there is locked${why}`, async (t) => {
  const path = sparseFile(t, 4 * MiB)
  const mapping = Mapping.open(path)
  fs.truncateSync(path, 2 * MiB)
  const error = await t.throwsAsync<MappingFaultError>(mapping.lock(), { code: 'ERR_MAPPING_FAULT' })
  t.is(error?.offset, 2 * MiB)
  t.is(error?.kind, 'truncated')
  t.is(mapping.faults.count, 0)
  t.true(isLocked(mapping, 0))
  mapping.unmap()
})

/** What `body` prints in a process that may lock 64 KiB and has no privileges. */
async function limited(body: string) {
  return runScript(`
    const { execFileSync } = require('node:child_process')
    const { Mapping, pageSize } = require('mmap-native')
    execFileSync('prlimit', ['--memlock=65536', '--pid', String(process.pid)])
    if (process.getuid() === 0) process.setuid(65534)
    const main = async () => {
      const mapping = Mapping.anonymous(1 << 20)
      const fails = (error) => console.log(error.message, error.errno, error.syscall)
      ${body}
    }
    main()
  `)
}

locks(`beyond RLIMIT_MEMLOCK lock() is ENOMEM with the limit${why}`, async (t) => {
  const { stdout, stderr, code } = await limited(`
    await mapping.lock(0, 65536 - pageSize)
    await mapping.lock({ onFault: true }).catch(fails)
    await mapping.lock().catch(fails)
    mapping.unlock()
    await mapping.lock(65536, 65536 - pageSize)
    console.log('again')
  `)
  const message = (call: string) =>
    `ENOMEM: not enough memory, ${call} (the process may lock 65536 bytes, RLIMIT_MEMLOCK) -12 ${call}`
  t.deepEqual(
    { code, stderr, lines: stdout.trim().split('\n') },
    { code: 0, stderr: '', lines: [message('mlock2'), message('mlock'), 'again'] },
  )
})

locks(`where the limit is 0, lock() is EPERM with the limit${why}`, async (t) => {
  const { stdout, code } = await limited(`
    execFileSync('prlimit', ['--memlock=0', '--pid', String(process.pid)])
    await mapping.lock().catch(fails)
  `)
  const expected =
    'EPERM: operation not permitted, mlock (the process may lock 0 bytes, RLIMIT_MEMLOCK) -1 mlock\n'
  t.deepEqual({ code, stdout }, { code: 0, stdout: expected })
})

locks(`an abort ends lock(), and what is locked by then stays so until unlock()${why}`, async (t) => {
  const mapping = memory(t, 512 * MiB)
  await t.throwsAsync(mapping.lock({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  t.false(isLocked(mapping, 0))
  const controller = new AbortController()
  const call = mapping.lock(undefined, undefined, { signal: controller.signal })
  await sleep(1)
  controller.abort()
  await t.throwsAsync(call, { name: 'AbortError', code: 'ABORT_ERR' })
  t.false(isLocked(mapping, (512 * MiB) / pageSize - 1))
  mapping.unlock()
  t.false(isLocked(mapping, 0))
})

test('lock() and unlock() of nothing do nothing', async (t) => {
  for (const mapping of [Mapping.anonymous(0), Mapping.anonymous(5)]) {
    t.is(await mapping.lock(mapping.length), undefined)
    t.is(mapping.unlock(mapping.length), undefined)
    mapping.unmap()
  }
})

test('lock() and unlock() name the argument that is wrong, and lock nothing', async (t) => {
  const mapping = memory(t, 2 * pageSize)
  const lock = mapping.lock.bind(mapping) as (...args: unknown[]) => Promise<unknown>
  const unlock = mapping.unlock.bind(mapping) as (...args: unknown[]) => unknown
  for (const value of ['1', true, () => 1]) {
    await t.throwsAsync(lock(value), { code: 'ERR_INVALID_ARG_TYPE', message: /"offset"/ })
    await t.throwsAsync(lock(0, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"length"/ })
    t.throws(() => unlock(value), { code: 'ERR_INVALID_ARG_TYPE', message: /"offset"/ })
    t.throws(() => unlock(0, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"length"/ })
  }
  for (const value of [-1, 0.5, NaN, 2 * pageSize + 1, 2 ** 32 + 4096, 2 ** 53, -1n, 2n ** 64n]) {
    await t.throwsAsync(lock(value), { code: 'ERR_OUT_OF_RANGE', message: /"offset"/ })
    await t.throwsAsync(lock(0, value), { code: 'ERR_OUT_OF_RANGE', message: /"length"/ })
    t.throws(() => unlock(value), { code: 'ERR_OUT_OF_RANGE', message: /"offset"/ })
    t.throws(() => unlock(0, value), { code: 'ERR_OUT_OF_RANGE', message: /"length"/ })
  }
  for (const value of [1, 'yes', null])
    await t.throwsAsync(lock({ onFault: value }), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /options.onFault/,
    })
  await t.throwsAsync(lock({ signal: 1 }), { code: 'ERR_INVALID_ARG_TYPE', message: /options.signal/ })
  await t.throwsAsync(lock({ onfault: true }), { code: 'ERR_INVALID_ARG_VALUE', message: /options.onfault/ })
  await t.throwsAsync(lock(0, 1, 1), { code: 'ERR_INVALID_ARG_TYPE', message: /"options"/ })
  if (no === undefined) t.false(isLocked(mapping, 0))
  const gone = Mapping.anonymous(1)
  gone.unmap()
  await t.throwsAsync(gone.lock(), { code: 'ERR_MAPPING_CLOSED' })
  t.throws(() => gone.unlock(), { code: 'ERR_MAPPING_CLOSED' })
  const partly = memory(t, 2 * pageSize)
  munmap(partly.address, pageSize)
  await t.throwsAsync(partly.lock(), { code: 'ERR_MAPPING_CLOSED' })
  t.throws(() => partly.unlock(), { code: 'ERR_MAPPING_CLOSED' })
})

locks(`lock() while other threads unmap ends well, and leaves nothing locked${why}`, async (t) => {
  const { code, signal, stdout, stderr } = await runScript(`
    const { Worker } = require('node:worker_threads')
    const { readFileSync } = require('node:fs')
    const { Mapping, pageSize } = require('mmap-native')
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads')
      const { munmap } = require('mmap-native')
      parentPort.on('message', ({ address, length }) => { munmap(address, length); parentPort.postMessage(0) })
    \`, { eval: true })
    const locked = () => /VmLck:.*/.exec(readFileSync('/proc/self/status', 'latin1'))[0]
    const main = async () => {
      const before = locked()
      const seen = new Set()
      for (let round = 0; round < 100; round++) {
        const length = 4 << 20
        const mapping = Mapping.anonymous(length)
        const view = mapping.bytes
        let unmapped
        if (round % 2) {
          worker.postMessage({ address: mapping.address, length })
          unmapped = new Promise((resolve) => worker.once('message', resolve))
        } else setImmediate(() => mapping.unmap())
        const calls = [mapping.lock(), mapping.lock({ onFault: true }), mapping.lock(pageSize)]
        for (const { status, reason } of await Promise.allSettled(calls))
          seen.add(status === 'fulfilled' ? 'locked' : reason.code)
        await unmapped
        mapping.unmap()
      }
      console.log(locked() === before)
      for (const one of seen) if (one !== 'locked' && one !== 'ERR_MAPPING_CLOSED') console.log(one)
      worker.terminate()
    }
    main()
  `)
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'true\n', stderr: '' })
})
