/** residency(): what is in memory, against mincore(2) of the same pages. */
import * as fs from 'node:fs'
import test from 'ava'
import { Mapping, type Residency, munmap, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { evict, noCold, residency as mincore } from './support/cold'
import { scratchFile, sparseFile } from './support/files'
import { Random, patternOf } from './support/random'

const linux = process.platform === 'linux' ? test : test.skip
const cold = noCold === undefined ? test : test.skip
const why = noCold === undefined ? '' : ` (skipped: ${noCold})`
const GiB = 2 ** 30

/** The bits of a bitmap. */
const bitsOf = ({ bitmap, pages }: Residency) =>
  Array.from({ length: pages }, (_, page) => ((bitmap[page >> 3] ?? 0) >> (page & 7)) & 1)

/** What `residency()` has to say of pages, for a range that starts `lead` bytes into the first of them. */
function expected(isResident: boolean[], lead: number, offset: number, length: number) {
  const ranges: { offset: number; length: number }[] = []
  let residentPages = 0
  for (const [page, resident] of isResident.entries()) {
    if (!resident) continue
    residentPages++
    const start = Math.max(offset, offset - lead + page * pageSize)
    const end = Math.min(offset + length, offset - lead + (page + 1) * pageSize)
    const last = ranges.at(-1)
    if (last !== undefined && last.offset + last.length === start) last.length += end - start
    else ranges.push({ offset: start, length: end - start })
  }
  const residentBytes = ranges.reduce((sum, range) => sum + range.length, 0)
  return { residentBytes, residentPages, pages: isResident.length, pageSize, ranges, omittedRanges: 0 }
}

linux('residency() says which pages of memory were touched', async (t) => {
  const random = new Random(1)
  const count = 1000
  const mapping = Mapping.anonymous(count * pageSize)
  const touched = Array.from({ length: count }, () => false)
  for (let i = 0; i < 300; i++) {
    const page = random.below(count)
    touched[page] = true
    mapping.fill(1, page * pageSize, page * pageSize + 1)
  }
  mapping.advise('nohugepage')
  const found = await mapping.residency()
  const { bitmap, ...rest } = found
  t.deepEqual(rest, expected(touched, 0, 0, mapping.length))
  t.deepEqual(bitsOf(found).map(Boolean), touched)
  t.is(bitmap.length, 125)
  for (let i = 0; i < 50; i++) {
    const offset = random.below(mapping.length)
    const length = random.below(mapping.length - offset) + 1
    const part = await mapping.residency(offset, BigInt(length))
    const [first, last] = [Math.floor(offset / pageSize), Math.floor((offset + length - 1) / pageSize)]
    const pages = touched.slice(first, last + 1)
    const { bitmap: bits, ...figures } = part
    t.deepEqual(figures, expected(pages, offset % pageSize, offset, length))
    t.deepEqual(bitsOf(part).map(Boolean), pages)
    // The bits behind the last page are 0.
    t.is((bits.at(-1) ?? 0) >> (((pages.length - 1) & 7) + 1), 0)
  }
  mapping.unmap()
})

cold(`residency() of a file agrees with mincore(), at any offset in it${why}`, async (t) => {
  const path = scratchFile(t, patternOf(64 * pageSize))
  evict(path)
  const mapping = Mapping.open(path, { offset: pageSize + 100, length: 60 * pageSize })
  mapping.advise('random')
  t.is((await mapping.residency()).residentBytes, 0)
  for (const page of [3, 4, 9, 60]) mapping.read(page * pageSize - 100, 1)
  const found = await mapping.residency()
  const { bitmap: _, ...rest } = found
  t.deepEqual(rest, expected(mincore(mapping), 100, 0, mapping.length))
  t.is(found.pages, 61)
  t.is(found.ranges.at(-1)?.length, 100)
  mapping.unmap()
})

test('residency() of nothing is nothing', async (t) => {
  const none = { residentBytes: 0, residentPages: 0, pages: 0, pageSize, ranges: [], omittedRanges: 0 }
  for (const mapping of [Mapping.anonymous(0), Mapping.anonymous(10)]) {
    const { bitmap, ...rest } = await mapping.residency(mapping.length)
    t.deepEqual(rest, none)
    t.is(bitmap.length, 0)
    mapping.unmap()
  }
})

linux('residency() lists as many ranges as it is asked for, and counts the others', async (t) => {
  const mapping = Mapping.anonymous(40 * pageSize)
  mapping.advise('nohugepage')
  for (let page = 0; page < 40; page += 2) mapping.fill(1, page * pageSize, page * pageSize + 1)
  for (const [maxRanges, listed] of [
    [0, 0],
    [3, 3],
    [20, 20],
    [21, 20],
  ] as const) {
    const found = await mapping.residency({ maxRanges })
    t.is(found.ranges.length, listed)
    t.is(found.omittedRanges, 20 - listed)
    t.is(found.residentPages, 20)
    t.is(found.residentBytes, 20 * pageSize)
  }
  mapping.unmap()
})

linux('residency() of a terabyte is a bit a page, and leaves the event loop its turns', async (t) => {
  const size = 1024 * GiB
  const mapping = Mapping.anonymous(size, { noReserve: true })
  const touched = [0, GiB - pageSize, GiB, 64 * 1024 * 1024 * 5, size - pageSize]
  mapping.advise('nohugepage')
  for (const at of touched) mapping.write('x', at)
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  const found = await mapping.residency(0, size)
  clearInterval(timer)
  t.is(found.residentPages, 5)
  t.is(found.bitmap.length, size / pageSize / 8)
  t.deepEqual(
    found.ranges.map(({ offset }) => offset),
    [0, touched[3] as number, GiB - pageSize, size - pageSize],
  )
  t.is(found.ranges[2]?.length, 2 * pageSize)
  t.true(turns > 5)
  mapping.unmap()
})

linux('an abort ends residency(), before it begins and meanwhile', async (t) => {
  const mapping = Mapping.anonymous(8 * 1024 * GiB, { noReserve: true })
  await t.throwsAsync(mapping.residency({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  const controller = new AbortController()
  const call = mapping.residency(undefined, undefined, { signal: controller.signal })
  setTimeout(() => controller.abort(), 5)
  await t.throwsAsync(call, { name: 'AbortError', code: 'ABORT_ERR' })
  mapping.unmap()
})

test('residency() reads nothing and patches nothing', async (t) => {
  const path = sparseFile(t, 100 * pageSize)
  const mapping = Mapping.open(path)
  fs.truncateSync(path, 0)
  t.is((await mapping.residency()).residentPages, 0)
  t.is(mapping.faults.count, 0)
  mapping.unmap()
})

test('residency() rejects with the error that names what is wrong', async (t) => {
  const mapping = Mapping.anonymous(2 * pageSize)
  const call = mapping.residency.bind(mapping) as (...args: unknown[]) => Promise<unknown>
  for (const value of ['1', true, () => 1]) {
    await t.throwsAsync(call(value), { code: 'ERR_INVALID_ARG_TYPE', message: /"offset"/ })
    await t.throwsAsync(call(0, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"length"/ })
    await t.throwsAsync(call({ maxRanges: value }), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /options.maxRanges/,
    })
    await t.throwsAsync(call({ signal: value }), { code: 'ERR_INVALID_ARG_TYPE', message: /options.signal/ })
  }
  for (const value of [-1, 0.5, NaN, 2 * pageSize + 1, 2 ** 32 + 4096, 2 ** 53, -1n, 2n ** 64n]) {
    await t.throwsAsync(call(value), { code: 'ERR_OUT_OF_RANGE', message: /"offset"/ })
    await t.throwsAsync(call(0, value), { code: 'ERR_OUT_OF_RANGE', message: /"length"/ })
  }
  await t.throwsAsync(call({ maxRanges: -1 }), { code: 'ERR_OUT_OF_RANGE', message: /options.maxRanges/ })
  await t.throwsAsync(call({ bitmap: true }), { code: 'ERR_INVALID_ARG_VALUE', message: /options.bitmap/ })
  await t.throwsAsync(call([]), { code: 'ERR_INVALID_ARG_TYPE', message: /"options"/ })
  mapping.unmap()
  await t.throwsAsync(call(), { code: 'ERR_MAPPING_CLOSED' })
})

test('a mapping that is unmapped meanwhile, by its method or by its address, is ERR_MAPPING_CLOSED', async (t) => {
  const mapping = Mapping.anonymous(1024 * GiB, { noReserve: true })
  const call = mapping.residency()
  setTimeout(() => mapping.unmap(), 5)
  await t.throwsAsync(call, { code: 'ERR_MAPPING_CLOSED' })
  const other = Mapping.anonymous(2 * pageSize)
  munmap(other.address, pageSize)
  await t.throwsAsync(other.residency(), { code: 'ERR_MAPPING_CLOSED' })
  other.unmap()
})

test('residency() while other threads unmap and write ends well', async (t) => {
  const { code, signal, stdout, stderr } = await runScript(`
    const { Worker } = require('node:worker_threads')
    const { Mapping, pageSize } = require('mmap-native')
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads')
      const { munmap } = require('mmap-native')
      parentPort.on('message', ({ address, length }) => { munmap(address, length); parentPort.postMessage(0) })
    \`, { eval: true })
    const main = async () => {
      const seen = new Set()
      const kept = [] // a mapping that is collected could leave its addresses to the next, and that to the worker
      for (let round = 0; round < 200; round++) {
        const length = 1000 * pageSize
        const mapping = Mapping.anonymous(length)
        kept.push(mapping)
        mapping.fill(1)
        let unmapped
        if (round % 2) {
          worker.postMessage({ address: mapping.address, length })
          unmapped = new Promise((resolve) => worker.once('message', resolve))
        } else setImmediate(() => mapping.unmap())
        const calls = Array.from({ length: 10 }, () => mapping.residency())
        for (const { status, value, reason } of await Promise.allSettled(calls))
          seen.add(status === 'fulfilled' ? value.residentPages : reason.code)
        // Before the address can be another's.
        await unmapped
      }
      worker.terminate()
      console.log([...seen].sort().join())
    }
    main()
  `)
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  for (const one of stdout.trim().split(',')) t.true(['1000', 'ERR_MAPPING_CLOSED'].includes(one), stdout)
})
