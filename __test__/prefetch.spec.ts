/** prefetch(): what is in memory afterwards, how it ends, and what goes on beside it. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { Mapping, PROT_NONE, PROT_READ, mprotect, pageSize } from 'mmap-native'
import type { MappingFaultError } from 'mmap-native'
import { runScript } from './support/child'
import { evict, noCold, residency } from './support/cold'
import { breakDisk, canMountExt4, canMountTmpfs, ext4, remount, repairDisk, tmpfs } from './support/disks'
import { scratchFile, sparseFile } from './support/files'
import { smapsField } from './support/maps'
import { patternOf } from './support/random'

const MiB = 1024 * 1024
const GiB = 1024 * MiB

const linux = process.platform === 'linux' ? test : test.skip
const cold = noCold === undefined ? test : test.skip
const why = noCold === undefined ? '' : ` (skipped: ${noCold})`

/** Memory that takes seconds to prefetch, and none until then. */
function large(t: ExecutionContext): Mapping {
  const mapping = Mapping.anonymous(16 * GiB, { noReserve: true })
  t.teardown(() => mapping.unmap())
  return mapping
}

/** Starts to prefetch `mapping`; resolves at the first progress. `ended` resolves with the error, if any. */
async function started(mapping: Mapping, signal?: AbortSignal): Promise<{ ended: Promise<unknown> }> {
  let ended: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve) => {
    const options = { onProgress: () => resolve(), ...(signal === undefined ? {} : { signal }) }
    ended = mapping.prefetch(options).then(
      () => undefined,
      (error: unknown) => error,
    )
  })
  return { ended }
}

// ---- What is in memory -------------------------------------------------------------------------------------------

test('prefetch() resolves for every access, all or any range of bytes, and for nothing', async (t) => {
  const path = scratchFile(t, patternOf(20_000))
  for (const mapping of [
    Mapping.open(path),
    Mapping.open(path, { access: 'write', offset: 3 }),
    Mapping.open(path, { access: 'copy' }),
    Mapping.open(path, { views: 'detachable' }),
    Mapping.anonymous(20_000),
  ]) {
    const { length } = mapping
    const ranges: [(number | bigint)?, (number | bigint)?][] = [
      [],
      [0],
      [1],
      [4095, 2],
      [5n, 6n],
      [length],
      [0, 0],
      [length - 1, 1],
    ]
    for (const range of ranges) t.is(await mapping.prefetch(...range), undefined)
    t.is(mapping.faults.count, 0)
    mapping.unmap()
  }
  for (const empty of [Mapping.anonymous(0), Mapping.open(path, { offset: 20_000 })]) {
    t.is(await empty.prefetch(), undefined)
    t.is(await empty.prefetch(0, 0), undefined)
    empty.unmap()
  }
})

test('prefetch() takes its options in the first place, too', async (t) => {
  const mapping = Mapping.anonymous(10_000)
  const { signal } = new AbortController()
  t.is(await mapping.prefetch({ signal }), undefined)
  t.is(await mapping.prefetch(undefined, undefined, { signal }), undefined)
  t.is(await mapping.prefetch(0, 3, {}), undefined)
  mapping.unmap()
})

cold(`prefetch() brings a file from the device into memory, all of it${why}`, async (t) => {
  const path = scratchFile(t, Buffer.alloc(40 * MiB, 1))
  evict(path)
  const mapping = Mapping.open(path)
  t.false(residency(mapping).includes(true))
  await mapping.prefetch()
  t.false(residency(mapping).includes(false))
  mapping.unmap()
})

cold(`prefetch() of a range brings the pages of that range, and no others${why}`, async (t) => {
  const path = scratchFile(t, Buffer.alloc(8 * MiB, 1))
  evict(path)
  const mapping = Mapping.open(path, { offset: 5 })
  const [start, length] = [2 * MiB + 1, 3 * MiB]
  await mapping.prefetch(start, length)
  t.false(residency(mapping, start, length).includes(false))
  t.false(residency(mapping, 0, 2 * MiB - pageSize).includes(true))
  t.false(residency(mapping, 5 * MiB + pageSize, 2 * MiB).includes(true))
  mapping.unmap()
})

linux('prefetch() fills the page tables, and changes no page of a file', async (t) => {
  const path = scratchFile(t, patternOf(2 * MiB))
  for (const access of ['read', 'write', 'copy'] as const) {
    const mapping = Mapping.open(path, { access })
    evict(path) // what was written is on the device: no page is dirty from before
    const field = (name: string) => smapsField(mapping.address, name)
    t.is(field('Rss'), 0, access)
    await mapping.prefetch()
    t.is(field('Rss'), 2 * MiB, access)
    t.is(field('Shared_Dirty') + field('Private_Dirty'), 0, access)
    t.is(field('Anonymous'), 0, access)
    mapping.unmap()
  }
})

linux('prefetch() gives memory without a file its memory', async (t) => {
  const mapping = Mapping.anonymous(4 * MiB)
  t.false(residency(mapping).includes(true))
  await mapping.prefetch(MiB, MiB)
  t.false(residency(mapping, MiB, MiB).includes(false))
  t.is(mapping.bytes[MiB], 0)
  await mapping.prefetch()
  t.false(residency(mapping).includes(false))
  mapping.unmap()
})

test('prefetch() reaches every part of a mapping of more than 4 GiB', async (t) => {
  const path = sparseFile(t, 5 * GiB)
  const mapping = Mapping.open(path)
  for (const start of [4 * GiB - 1, 4 * GiB, 5 * GiB - pageSize]) {
    await mapping.prefetch(start, pageSize)
    t.false(residency(mapping, start, pageSize).includes(false))
  }
  mapping.unmap()
})

// ---- Progress and the signal -------------------------------------------------------------------------------------

test('onProgress tells bytes, more each time, up to the length of the range', async (t) => {
  const mapping = Mapping.anonymous(300 * MiB)
  for (const [offset, length] of [
    [0, 300 * MiB],
    [1, 77 * MiB - 3],
    [4095, 2],
  ] as const) {
    const seen: number[] = []
    await mapping.prefetch(offset, length, {
      onProgress(done, total) {
        t.is(total, length)
        t.true(done > (seen.at(-1) ?? 0) && done <= total)
        seen.push(done)
      },
    })
    t.is(seen.at(-1), length)
  }
  mapping.unmap()
})

test('onProgress is called once for an empty range', async (t) => {
  for (const mapping of [Mapping.anonymous(0), Mapping.anonymous(10)]) {
    const seen: unknown[] = []
    await mapping.prefetch(mapping.length, 0, { onProgress: (...args) => seen.push(args) })
    t.deepEqual(seen, [[0, 0]])
    mapping.unmap()
  }
})

test('what onProgress throws ends the work, and is what the promise rejects with', async (t) => {
  const mapping = large(t)
  for (const thrown of [new Error('closed'), new RangeError('mine'), 'a string']) {
    let calls = 0
    const call = mapping.prefetch({
      onProgress() {
        calls++
        throw thrown
      },
    })
    const caught: unknown = await call.catch((error: unknown) => error)
    t.is(caught, thrown)
    t.is(calls, 1)
  }
})

test('prefetch() with a signal that is already aborted rejects with an AbortError', async (t) => {
  const mapping = large(t)
  const reason = new Error('the reason')
  for (const range of [[], [0, 0]]) {
    const call = mapping.prefetch(range[0], range[1], {
      signal: AbortSignal.abort(reason),
      onProgress: () => t.fail(),
    })
    const error = await t.throwsAsync(call, { name: 'AbortError', code: 'ABORT_ERR' })
    t.is(error.cause, reason)
  }
})

test('prefetch() that is aborted midway rejects with an AbortError, and the mapping goes on', async (t) => {
  const mapping = large(t)
  const controller = new AbortController()
  const { ended } = await started(mapping, controller.signal)
  controller.abort(new Error('the reason'))
  const error = (await ended) as NodeJS.ErrnoException
  t.is(error.name, 'AbortError')
  t.is(error.code, 'ABORT_ERR')
  t.is((error.cause as Error).message, 'the reason')
  t.false(residency(mapping, 15 * GiB, MiB).includes(true), 'it went on to the end')
  t.is(await mapping.prefetch(15 * GiB, MiB), undefined)
})

// ---- Bytes that are not to be had --------------------------------------------------------------------------------

test('bytes that are not in the file any more are ERR_MAPPING_FAULT, and are left as they are', async (t) => {
  const path = scratchFile(t, Buffer.alloc(10 * pageSize, 1))
  for (const access of ['read', 'write', 'copy'] as const) {
    const mapping = Mapping.open(path, { access, onFault: () => t.fail() })
    fs.truncateSync(path, 6 * pageSize)
    const error: MappingFaultError = await t.throwsAsync(mapping.prefetch(), { code: 'ERR_MAPPING_FAULT' })
    const { offset, length, kind } = error
    t.deepEqual({ offset, length, kind }, { offset: 6 * pageSize, length: 4 * pageSize, kind: 'truncated' })
    t.is(error.path, path)
    await t.throwsAsync(mapping.prefetch(8 * pageSize, 1), { code: 'ERR_MAPPING_FAULT' })
    t.is(await mapping.prefetch(0, 6 * pageSize), undefined)
    t.is(mapping.faults.count, 0)
    fs.truncateSync(path, 10 * pageSize)
    t.is(await mapping.prefetch(), undefined, 'the file has grown back')
    mapping.unmap()
  }
})

test('bytes that a fault has replaced are ERR_MAPPING_FAULT until refresh()', async (t) => {
  const path = scratchFile(t, Buffer.alloc(10 * pageSize, 1))
  const mapping = Mapping.open(path, { onFault() {} })
  fs.truncateSync(path, pageSize)
  t.is(mapping.bytes[5 * pageSize], 0)
  fs.truncateSync(path, 10 * pageSize)
  const error: MappingFaultError = await t.throwsAsync(mapping.prefetch(), { code: 'ERR_MAPPING_FAULT' })
  t.is(error.offset, pageSize)
  mapping.refresh()
  t.is(await mapping.prefetch(), undefined)
  mapping.unmap()
})

const onTmpfs = canMountTmpfs() ? test : test.skip
const onExt4 = canMountExt4() ? test : test.skip

onTmpfs('pages for which the file system has no room are ERR_MAPPING_FAULT', async (t) => {
  const path = join(tmpfs(t, 1), 'file')
  fs.writeFileSync(path, '')
  fs.truncateSync(path, 4 * MiB) // holes, for which a full tmpfs has no memory when they are read
  const mapping = Mapping.open(path, { onFault: () => t.fail() })
  const error: MappingFaultError = await t.throwsAsync(mapping.prefetch(), { code: 'ERR_MAPPING_FAULT' })
  t.is(error.kind, 'not-stored')
  t.is(error.length, pageSize)
  t.true(error.offset > 0 && error.offset <= MiB)
  t.is(await mapping.prefetch(0, error.offset), undefined)
  t.is(mapping.faults.count, 0)
  mapping.unmap()
})

onExt4('pages that the device cannot deliver are ERR_MAPPING_FAULT', async (t) => {
  const disk = ext4(t, 8)
  const path = join(disk.folder, 'file')
  fs.writeFileSync(path, Buffer.alloc(4 * MiB, 7))
  remount(disk)
  const mapping = Mapping.open(path, { onFault: () => t.fail() })
  breakDisk(disk, 1)
  const error: MappingFaultError = await t.throwsAsync(mapping.prefetch(), { code: 'ERR_MAPPING_FAULT' })
  t.is(error.kind, 'io-error')
  t.is(error.length, pageSize)
  await t.throwsAsync(buffer(mapping.createReadStream()), {
    code: 'ERR_MAPPING_FAULT',
    message: error.message,
  })
  repairDisk(disk)
  t.is(await mapping.prefetch(), undefined)
  t.is(mapping.faults.count, 0)
  mapping.unmap()
})

test('pages that mprotect() made inaccessible are EACCES, and stay inaccessible', async (t) => {
  const mapping = Mapping.open(scratchFile(t, Buffer.alloc(3 * pageSize, 1)), { onFault: () => t.fail() })
  const middle = mapping.address + BigInt(pageSize)
  mprotect(middle, pageSize, PROT_NONE)
  await t.throwsAsync(mapping.prefetch(), { code: 'EACCES', message: /madvise/ })
  t.is(await mapping.prefetch(0, pageSize), undefined)
  mprotect(middle, pageSize, PROT_READ)
  t.is(await mapping.prefetch(), undefined)
  t.is(mapping.faults.count, 0)
  mapping.unmap()
})

test('a truncated file does not end the process with the fault guard off', async (t) => {
  const script = `
    const { Mapping, setFaultGuard } = require('mmap-native')
    setFaultGuard(false)
    const mapping = Mapping.open(process.argv.at(-1))
    require('node:fs').truncateSync(process.argv.at(-1), 0)
    mapping.prefetch().catch((error) => console.log(error.code, error.kind))`
  const path = scratchFile(t, Buffer.alloc(10 * pageSize, 1))
  const { code, signal, stdout } = await runScript(script, { args: [path] })
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'ERR_MAPPING_FAULT truncated\n' })
})

// ---- Side by side ------------------------------------------------------------------------------------------------

test('several mappings are prefetched and flushed side by side', async (t) => {
  const order: string[] = []
  const path = scratchFile(t, patternOf(100_000))
  const controller = new AbortController()
  const slow = await Promise.all(Array.from({ length: 8 }, () => started(large(t), controller.signal)))
  const all = slow.map(async ({ ended }) => {
    await ended
    order.push('large')
  })
  const writable = Mapping.open(path, { access: 'write' })
  writable.write('hello')
  await Promise.all([
    Mapping.open(path)
      .prefetch()
      .then(() => order.push('small')),
    writable.flush().then(() => order.push('flush')),
    fs.promises.readFile(path).then(() => order.push('fs')),
  ])
  controller.abort()
  await Promise.all(all)
  t.deepEqual(order.slice(0, 3).toSorted(), ['flush', 'fs', 'small'])
  t.is(order.filter((name) => name === 'large').length, 8)
})

test('the event loop turns while pages are brought in', async (t) => {
  let turns = 0
  let isDone = false
  const turn = () => {
    turns++
    if (!isDone) setImmediate(turn)
  }
  const mapping = Mapping.anonymous(256 * MiB)
  const call = mapping.prefetch()
  turn()
  await call
  isDone = true
  t.true(turns > 10, `${turns} turns`)
  mapping.unmap()
})

test('unmap() during prefetch() makes it reject with ERR_MAPPING_CLOSED, or resolve', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    const outcomes = { fulfilled: 0, ERR_MAPPING_CLOSED: 0, other: [] }
    const run = async () => {
      for (let round = 0; round < 60; round++) {
        const mapping = round % 3 === 0 ? Mapping.anonymous(64 << 20) : Mapping.open(process.argv.at(-1), { access: round % 2 ? 'read' : 'write' })
        const ended = Promise.allSettled([mapping.prefetch(0, 4096), mapping.prefetch(), mapping.prefetch(5), mapping.prefetch(1 << 20)])
        for (let turn = 0; turn < round % 7; turn++) await new Promise(setImmediate)
        mapping.unmap()
        for (const { status, reason } of await ended) {
          if (status === 'fulfilled') outcomes.fulfilled++
          else if (reason.code === 'ERR_MAPPING_CLOSED') outcomes.ERR_MAPPING_CLOSED++
          else outcomes.other.push(reason.message)
        }
        if (mapping.faults.count > 0) outcomes.other.push('a fault')
      }
      const own = Mapping.anonymous(1 << 30)
      await own.prefetch({ onProgress: () => own.unmap() }).catch((error) => console.log(error.code))
      console.log(JSON.stringify(outcomes))
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script, { args: [sparseFile(t, 64 * MiB)] })
  t.is(signal, null)
  t.is(code, 0, stderr)
  const [own, last = '{}'] = stdout.trimEnd().split('\n')
  t.is(own, 'ERR_MAPPING_CLOSED')
  const outcomes = JSON.parse(last) as { fulfilled: number; ERR_MAPPING_CLOSED: number; other: string[] }
  t.deepEqual(outcomes.other, [])
  t.is(outcomes.fulfilled + outcomes.ERR_MAPPING_CLOSED, 240)
  t.true(outcomes.ERR_MAPPING_CLOSED > 0)
})

test('a mapping that nothing refers to any more is prefetched to its end', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    const calls = Array.from({ length: 5 }, () => Mapping.anonymous(100 << 20).prefetch())
    const collect = () => { gc(); setTimeout(collect, 1).unref() }
    collect()
    Promise.all(calls).then((all) => console.log('done', all.length))`
  const { code, stdout } = await runScript(script, { nodeArgs: ['--expose-gc'] })
  t.deepEqual({ code, stdout }, { code: 0, stdout: 'done 5\n' })
})

test('a worker that is terminated while its prefetch() is in flight ends, and the process goes on', async (t) => {
  const script = `
    const { Worker } = require('node:worker_threads')
    const source = \`
      const { parentPort } = require('node:worker_threads')
      const { Mapping } = require('mmap-native')
      const mappings = Array.from({ length: 6 }, () => Mapping.anonymous(8 * 2 ** 30, { noReserve: true }))
      let count = 0
      for (const mapping of mappings) mapping.prefetch({ onProgress() { if (count++ === 6) parentPort.postMessage('busy') } })
      mappings[0].createReadStream().resume()
    \`
    const run = async () => {
      for (let round = 0; round < 10; round++) {
        const worker = new Worker(source, { eval: true })
        await new Promise((resolve) => worker.once('message', resolve))
        await worker.terminate()
      }
      const { Mapping } = require('mmap-native')
      await Mapping.anonymous(10 << 20).prefetch()
      console.log('went on')
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script)
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'went on\n' }, stderr)
})

for (const [title, end, status] of [
  ['process.exit()', 'process.exit(7)', 7],
  ['an uncaught exception', 'setImmediate(() => { throw new Error("mine") })', 1],
] as const) {
  test(`${title} while prefetch() is in flight ends the process as it would without`, async (t) => {
    const script = `
      const { Mapping } = require('mmap-native')
      const mappings = Array.from({ length: 6 }, () => Mapping.anonymous(8 * 2 ** 30, { noReserve: true }))
      let isEnding = false
      for (const mapping of mappings) mapping.prefetch({ onProgress() { if (!isEnding) { isEnding = true; console.log('busy'); ${end} } } })`
    for (let round = 0; round < 3; round++) {
      const { code, signal, stdout, stderr } = await runScript(script)
      t.deepEqual({ code, signal, stdout }, { code: status, signal: null, stdout: 'busy\n' }, stderr)
    }
  })
}

test('a process ends by itself when its last prefetch() has ended', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    Mapping.anonymous(200 << 20).prefetch().then(() => console.log('done'))`
  const { code, stdout } = await runScript(script)
  t.deepEqual({ code, stdout }, { code: 0, stdout: 'done\n' })
})
