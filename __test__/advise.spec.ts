/** advise() and supports(): what the kernel notes, what is lost, and what is not. */
import * as fs from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { type Advice, Mapping, constants, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { evict, noCold, residency } from './support/cold'
import { canMountTmpfs, tmpfs } from './support/disks'
import { contentOf, scratchFile, sparseFile } from './support/files'
import { smapsField, vmFlags } from './support/maps'
import { patternOf } from './support/random'

const linux = process.platform === 'linux' ? test : test.skip
const MiB = 1024 * 1024

/** A test that needs an advice which not every kernel has. */
function having(advice: Advice): (title: string, run: (t: ExecutionContext) => void) => void {
  if (Mapping.supports(advice)) return linux
  return (title, run) => test.skip(`${title} (skipped: the kernel has no '${advice}')`, run)
}

/** Memory of so many pages, each full of its number, from 1 on. */
function memory(t: ExecutionContext, count: number): Mapping {
  const mapping = Mapping.anonymous(count * pageSize)
  t.teardown(() => mapping.unmap())
  for (let page = 0; page < count; page++) mapping.fill(page + 1, page * pageSize, (page + 1) * pageSize)
  return mapping
}

/** The first bytes of pages. */
const starts = (mapping: Mapping) =>
  Array.from({ length: Math.ceil(mapping.length / pageSize) }, (_, page) => mapping.bytes[page * pageSize])

// ---- Which there are ---------------------------------------------------------------------------------------------

test('supports() says what the kernel knows', (t) => {
  for (const advice of ['normal', 'random', 'sequential', 'willneed', 'dontneed'] as const)
    t.true(Mapping.supports(advice), advice)
  const other: Advice = process.platform === 'linux' ? 'free-reusable' : 'pageout'
  t.false(Mapping.supports(other))
  const mapping = Mapping.anonymous(pageSize)
  const error = t.throws(() => mapping.advise(other), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' })
  const system = process.platform === 'linux' ? 'macOS' : 'Linux'
  t.is(error.message, `The feature the advice '${other}' is unavailable here: it is one of ${system}`)
  mapping.unmap()
})

linux('every MADV constant of the platform has its name, but those that are no advice', (t) => {
  const no = new Set(['hwpoison', 'soft-offline', 'guard-install', 'guard-remove'])
  const names = Object.keys(constants)
    .filter((name) => name.startsWith('MADV_'))
    .map((name) => name.slice(5).toLowerCase().replaceAll('_', '-'))
  for (const name of names) {
    if (no.has(name))
      t.throws(() => Mapping.supports(name as Advice), { code: 'ERR_INVALID_ARG_VALUE' }, name)
    else t.is(typeof Mapping.supports(name as Advice), 'boolean', name)
  }
  t.true(names.length > 20)
})

// ---- What the kernel notes ---------------------------------------------------------------------------------------

const FLAGS: [Advice, string, Advice][] = [
  ['random', 'rr', 'normal'],
  ['sequential', 'sr', 'normal'],
  ['dontdump', 'dd', 'dodump'],
  ['dontfork', 'dc', 'dofork'],
  ['wipeonfork', 'wf', 'keeponfork'],
  ['mergeable', 'mg', 'unmergeable'],
  ['hugepage', 'hg', 'nohugepage'],
]

for (const [advice, flag, opposite] of FLAGS) {
  having(advice)(`advise('${advice}') is noted by the kernel, and '${opposite}' undoes it`, (t) => {
    const mapping = memory(t, 4)
    t.false(vmFlags(mapping.address).includes(flag))
    t.is(mapping.advise(advice, { destructive: true }), 4 * pageSize)
    t.true(vmFlags(mapping.address).includes(flag))
    t.is(mapping.advise(opposite), 4 * pageSize)
    t.false(vmFlags(mapping.address).includes(flag))
    t.deepEqual(starts(mapping), [1, 2, 3, 4])
  })
}

linux('advice that loses nothing is given for all pages that hold a part of the range', (t) => {
  const mapping = memory(t, 4)
  const has = (page: number) => vmFlags(mapping.address + BigInt(page * pageSize)).includes('rr')
  t.is(mapping.advise('random', pageSize - 1, 2), 2 * pageSize)
  t.deepEqual([0, 1, 2, 3].map(has), [true, true, false, false])
  t.is(mapping.advise('random', BigInt(3 * pageSize + 5), 1n), pageSize)
  t.deepEqual([0, 1, 2, 3].map(has), [true, true, false, true])
  t.is(mapping.advise('normal', 0), 4 * pageSize)
  t.deepEqual([0, 1, 2, 3].map(has), [false, false, false, false])
})

linux('a mapping within a page of its file is advised as that page', (t) => {
  const mapping = Mapping.open(scratchFile(t, patternOf(3 * pageSize)), { offset: pageSize + 7, length: 5 })
  t.is(mapping.advise('random'), pageSize)
  t.true(vmFlags(mapping.address).includes('rr'))
  mapping.unmap()
})

test('advice about nothing is for no page', (t) => {
  const empty = Mapping.anonymous(0)
  t.is(empty.advise('normal'), 0)
  t.is(empty.advise('dontneed', { destructive: true }), 0)
  const mapping = memory(t, 1)
  t.is(mapping.advise('random', 5, 0), 0)
  t.is(mapping.advise('random', pageSize), 0)
})

// ---- What is lost ------------------------------------------------------------------------------------------------

test('advice that loses data needs to be asked for', (t) => {
  const path = scratchFile(t, patternOf(2 * pageSize))
  const copy = Mapping.open(path, { access: 'copy' })
  const writable = Mapping.open(path, { access: 'write' })
  const anonymous = memory(t, 2)
  copy.write('mine', 0)
  const expected = { code: 'EPERM' }
  for (const mapping of [copy, anonymous]) {
    const error = t.throws(() => mapping.advise('dontneed'), expected)
    t.regex(error.message, /, madvise \(?.*'dontneed' loses .* destructive: true/)
    t.throws(() => mapping.advise('dontneed', 0, 1, { destructive: false }), expected)
  }
  const always: Advice[] = ['free', 'remove', 'wipeonfork', 'dontfork']
  for (const advice of always.filter((advice) => Mapping.supports(advice)))
    for (const mapping of [copy, anonymous, writable])
      t.throws(() => mapping.advise(advice), expected, advice)
  t.is(copy.read(0, 4).toString(), 'mine')
  t.deepEqual(starts(anonymous), [1, 2])
  t.true(contentOf(path).equals(patternOf(2 * pageSize)))
  copy.unmap()
  writable.unmap()
})

linux("'dontneed' drops pages of a file, which lose nothing, without being asked twice", (t) => {
  const path = scratchFile(t, patternOf(4 * pageSize))
  const mapping = Mapping.open(path, { access: 'write' })
  mapping.fill(9, 0, pageSize)
  t.true(smapsField(mapping.address, 'Rss') > 0)
  t.is(mapping.advise('dontneed'), 4 * pageSize)
  t.is(smapsField(mapping.address, 'Rss'), 0)
  t.is(mapping.bytes[pageSize - 1], 9)
  t.is(contentOf(path)[0], 9)
  mapping.unmap()
})

linux("'dontneed' takes what was written to a copy: the file's bytes show again", (t) => {
  const content = patternOf(3 * pageSize)
  const mapping = Mapping.open(scratchFile(t, content), { access: 'copy' })
  mapping.fill(1)
  t.is(mapping.advise('dontneed', { destructive: true }), 3 * pageSize)
  t.true(mapping.bytes.equals(content))
  mapping.unmap()
})

linux('advice that loses data loses no byte outside the range', (t) => {
  const mapping = memory(t, 4)
  const options = { destructive: true }
  t.is(mapping.advise('dontneed', 1, pageSize, options), 0)
  t.is(mapping.advise('dontneed', 1, 2 * pageSize - 2, options), 0)
  t.deepEqual(starts(mapping), [1, 2, 3, 4])
  t.is(mapping.advise('dontneed', 1, 3 * pageSize - 2, options), pageSize)
  t.deepEqual(starts(mapping), [1, 0, 3, 4])
  t.is(mapping.bytes[2 * pageSize - 1], 0)
  t.is(mapping.bytes[pageSize - 1], 1)
})

linux('the ends of a mapping count as ends of pages', (t) => {
  const mapping = Mapping.anonymous(2 * pageSize + 100)
  mapping.fill(7)
  t.is(mapping.advise('dontneed', 2 * pageSize, 100, { destructive: true }), pageSize)
  t.is(mapping.bytes[2 * pageSize + 99], 0)
  t.is(mapping.bytes[2 * pageSize - 1], 7)
  mapping.advise('dontneed', { destructive: true })
  t.is(mapping.count(7), 0)
  mapping.unmap()
})

linux("'free' and 'willneed', 'cold' and 'pageout' keep their word about contents", (t) => {
  const mapping = memory(t, 4)
  for (const advice of ['willneed', 'cold', 'pageout', 'collapse'] as const) {
    try {
      if (Mapping.supports(advice)) mapping.advise(advice)
    } catch (error) {
      // Four pages are no huge one.
      t.is(`${advice} ${(error as NodeJS.ErrnoException).code}`, 'collapse EINVAL')
    }
    t.deepEqual(starts(mapping), [1, 2, 3, 4], advice)
  }
  t.is(mapping.advise('free', { destructive: true }), 4 * pageSize)
  mapping.fill(8, 0, pageSize)
  t.is(mapping.bytes[pageSize - 1], 8)
  for (const [page, byte] of starts(mapping).entries())
    t.true(byte === (page && page + 1) || byte === (page ? 0 : 8))
  const file = Mapping.open(scratchFile(t, patternOf(pageSize)), { access: 'copy' })
  const error = t.throws(() => file.advise('free', { destructive: true }), { code: 'EINVAL' })
  t.regex(error.message, /not for pages of this kind/)
  file.unmap()
})

const remove = canMountTmpfs() && Mapping.supports('remove') ? test : test.skip
remove("'remove' takes whole pages out of the file, and no byte around the mapping", (t) => {
  const path = `${tmpfs(t, 4)}/file`
  fs.writeFileSync(path, Buffer.alloc(6 * pageSize, 5))
  const mapping = Mapping.open(path, { access: 'write', offset: pageSize + 10, length: 3 * pageSize })
  const before = fs.statSync(path).blocks
  t.is(mapping.advise('remove', { destructive: true }), 2 * pageSize)
  t.is(fs.statSync(path).blocks * 512, before * 512 - 2 * pageSize)
  const content = contentOf(path)
  t.is(content.length, 6 * pageSize)
  t.is(content.indexOf(0), 2 * pageSize)
  t.is(content.lastIndexOf(0), 4 * pageSize - 1)
  t.is(mapping.faults.count, 0)
  mapping.unmap()

  const readOnly = Mapping.open(path)
  const error = t.throws(() => readOnly.advise('remove', { destructive: true }), { code: 'EACCES' })
  t.regex(error.message, /access 'write'/)
  readOnly.unmap()
})

const disk = canMountTmpfs() ? test : test.skip
disk('what a full disk could not take yet is not dropped', (t) => {
  const folder = tmpfs(t, 1)
  const path = `${folder}/file`
  fs.writeFileSync(path, '')
  fs.truncateSync(path, 8 * pageSize)
  const mapping = Mapping.open(path, { access: 'write', onFault: () => {} })
  const filler = `${folder}/filler`
  const fd = fs.openSync(filler, 'w')
  t.throws(() => {
    for (;;) fs.writeSync(fd, Buffer.alloc(pageSize, 1))
  })
  fs.closeSync(fd)
  mapping.bytes.fill(6, 0, pageSize)
  t.is(mapping.faults.list[0]?.kind, 'not-stored')
  for (const options of [{}, { destructive: true }]) {
    t.throws(() => mapping.advise('dontneed', options), { code: 'ERR_MAPPING_FAULT' })
    t.is(mapping.bytes[0], 6)
  }
  fs.rmSync(filler)
  mapping.flushSync()
  t.is(mapping.advise('dontneed'), 8 * pageSize)
  t.is(contentOf(path)[0], 6)
  mapping.unmap()
})

// ---- Populating --------------------------------------------------------------------------------------------------

const cold = noCold === undefined ? having('populate-read') : test.skip
cold("'populate-read' brings pages into memory", (t: ExecutionContext) => {
  const path = scratchFile(t, patternOf(8 * pageSize))
  evict(path)
  const mapping = Mapping.open(path)
  t.false(residency(mapping).includes(true))
  t.is(mapping.advise('populate-read', pageSize, 1), pageSize)
  t.true(residency(mapping)[1])
  mapping.unmap()
})

having('populate-write')(
  "'populate-write' gives memory, and a truncated file is EFAULT, not a fault",
  (t) => {
    const anonymous = Mapping.anonymous(4 * pageSize)
    anonymous.advise('populate-write')
    t.false(residency(anonymous).includes(false))
    anonymous.unmap()
    const path = sparseFile(t, 4 * pageSize)
    const mapping = Mapping.open(path, { access: 'write' })
    fs.truncateSync(path, pageSize)
    const error = t.throws(() => mapping.advise('populate-write'), { code: 'EFAULT' })
    t.regex(error.message, /not in the file any more/)
    t.is(mapping.faults.count, 0)
    mapping.unmap()
  },
)

having('collapse')("'collapse' makes huge pages of small ones", (t) => {
  const mapping = Mapping.anonymous(8 * MiB)
  t.teardown(() => mapping.unmap())
  mapping.fill(3)
  const huge = Number(-mapping.address & BigInt(2 * MiB - 1))
  try {
    mapping.advise('collapse', huge, 2 * MiB)
    t.true(smapsField(mapping.address, 'AnonHugePages') >= 2 * MiB)
  } catch (error) {
    // Memory may be in small pieces, or pages of this kind switched off.
    t.true(['EAGAIN', 'ENOMEM', 'EINVAL', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? ''))
  }
  t.is(mapping.count(3), 8 * MiB)
})

// ---- Bad input ---------------------------------------------------------------------------------------------------

test('advise() and supports() name the argument that is wrong, and do nothing', (t) => {
  const mapping = memory(t, 2)
  const call = mapping.advise.bind(mapping) as (...args: unknown[]) => unknown
  for (const value of [
    undefined,
    null,
    1,
    '',
    'NORMAL',
    'MADV_NORMAL',
    'hwpoison',
    'dont-need',
    {},
    ['normal'],
  ]) {
    const expected = { code: 'ERR_INVALID_ARG_VALUE', message: /'advice' must be one of: 'normal'/ }
    t.throws(() => call(value), expected)
    t.throws(() => Mapping.supports(value as Advice), expected)
  }
  for (const value of ['1', true, [], () => 1]) {
    if (!Array.isArray(value))
      t.throws(() => call('normal', value), { code: 'ERR_INVALID_ARG_TYPE', message: /"offset"/ })
    t.throws(() => call('normal', 0, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"length"/ })
    if (typeof value !== 'function')
      t.throws(() => call('normal', 0, 1, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"options"/ })
  }
  for (const value of [-1, 0.5, NaN, 2 * pageSize + 1, 2 ** 32 + 4096, 2 ** 53, -1n, 2n ** 64n]) {
    t.throws(() => call('dontneed', value, 0, { destructive: true }), {
      code: 'ERR_OUT_OF_RANGE',
      message: /"offset"/,
    })
    t.throws(() => call('dontneed', 0, value, { destructive: true }), {
      code: 'ERR_OUT_OF_RANGE',
      message: /"length"/,
    })
  }
  t.throws(() => call('normal', 1, 2 * pageSize), { code: 'ERR_OUT_OF_RANGE', message: /"length".*<= 8191/ })
  t.throws(() => call('dontneed', { destructive: 1 }), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /options.destructive/,
  })
  t.throws(() => call('dontneed', { force: true }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /options.force/,
  })
  t.deepEqual(starts(mapping), [1, 2])
  const gone = memory(t, 1)
  gone.unmap()
  t.throws(() => gone.advise('normal'), { code: 'ERR_MAPPING_CLOSED' })
})

// ---- Beside other threads ----------------------------------------------------------------------------------------

test('advice of all kinds while other threads map, read and unmap the same addresses ends well', async (t) => {
  const { code, signal, stdout, stderr } = await runScript(`
    const { Worker } = require('node:worker_threads')
    const { Mapping, munmap, pageSize } = require('mmap-native')
    const advices = ['normal', 'random', 'willneed', 'dontneed', 'free', 'cold', 'hugepage', 'populate-write', 'dontfork']
      .filter((advice) => Mapping.supports(advice))
    // The other thread unmaps what this one advises, by its address.
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads')
      const { munmap } = require('mmap-native')
      parentPort.on('message', ({ address, length }) => { munmap(address, length); parentPort.postMessage(0) })
    \`, { eval: true })
    const seen = new Set()
    let round = 0
    let mapping // held, so that its addresses stay its own until the other thread unmaps them
    const turn = () => {
      if (++round > 200) {
        console.log([...seen].sort().join())
        worker.terminate()
        return
      }
      const length = 64 * pageSize
      mapping = Mapping.anonymous(length)
      worker.postMessage({ address: mapping.address, length })
      for (let i = 0; i < 50; i++) {
        try {
          mapping.advise(advices[(round + i) % advices.length], i * pageSize, 10 * pageSize, { destructive: true })
          seen.add('advised')
        } catch (error) {
          seen.add(error.code)
        }
      }
    }
    // The next one only when the address cannot be another's.
    worker.on('message', turn)
    turn()
  `)
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  for (const one of stdout.trim().split(',')) t.true(['advised', 'ERR_MAPPING_CLOSED'].includes(one), stdout)
})
