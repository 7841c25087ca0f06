/** `protect()`: what pages allow, and what an access meets that they do not allow. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { Mapping, mprotect, pageSize, PROT_NONE } from 'mmap-native'
import type { Fault } from 'mmap-native'
import { runScript } from './support/child'
import { scratchFile } from './support/files'
import { mappedIn } from './support/maps'
import { patternOf } from './support/random'
import { linux } from './support/raw'

const PAGE = pageSize
const SIZE = 4 * PAGE
const content = patternOf(SIZE)
const ACCESSES = ['read', 'write', 'copy'] as const
const quiet = { onFault: () => {} }

/** What /proc/self/maps says of each page, without the file. */
const rights = (mapping: Mapping, pages = SIZE / PAGE): string[] => {
  const start = mapping.address - (mapping.address % BigInt(PAGE))
  return mappedIn(start, pages * PAGE).flatMap(([, length, perms]) =>
    Array(length / PAGE).fill(perms.slice(0, 2)),
  )
}

for (const access of ACCESSES) {
  linux(`access '${access}': pages allow what protect() says, in /proc/self/maps`, (t) => {
    using mapping = Mapping.open(scratchFile(t, content), { access })
    const most = access === 'read' ? 'r-' : 'rw'
    t.deepEqual(rights(mapping), Array(4).fill(most))
    mapping.protect('none', PAGE, 2 * PAGE)
    t.deepEqual(rights(mapping), [most, '--', '--', most])
    mapping.protect('read', 2 * PAGE)
    t.deepEqual(rights(mapping), [most, '--', 'r-', 'r-'])
    mapping.protect(access === 'read' ? 'read' : 'write')
    t.deepEqual(rights(mapping), Array(4).fill(most))
    t.true(mapping.bytes.equals(content))
    t.is(mapping.faults.count, 0)
  })
}

test("'write' of a mapping with access 'read' is EACCES, and nothing changes", (t) => {
  using mapping = Mapping.open(scratchFile(t, content))
  mapping.protect('none', 0, PAGE)
  t.throws(() => mapping.protect('write'), { code: 'EACCES', message: /mprotect.*access 'read'/ })
  t.throws(() => mapping.protect('write', 0, 0), { code: 'EACCES' })
  t.throws(() => mapping.read(0, 1), { code: 'EACCES' })
  t.true(mapping.read(PAGE, PAGE).equals(content.subarray(PAGE, 2 * PAGE)))
})

/** Each method on bytes from `at` on: it fails before it touches anything, or is not concerned. */
const reading: Record<string, (mapping: Mapping, at: number) => unknown> = {
  read: (mapping, at) => mapping.read(at, 2),
  indexOf: (mapping, at) => mapping.indexOf('needle', at),
  lastIndexOf: (mapping) => mapping.lastIndexOf('needle'),
  includes: (mapping, at) => mapping.includes('needle', at),
  count: (mapping, at) => mapping.count('x', at),
  find: (mapping, at) => mapping.find('needle', { from: at }),
  lines: (mapping, at) => [...mapping.lines({ encoding: 'latin1', start: at })],
  prefetch: (mapping, at) => mapping.prefetch(at, 2),
  'copyWithin (source)': (mapping, at) => mapping.copyWithin(0, at, at + 2),
}
const writing: Record<string, (mapping: Mapping, at: number) => unknown> = {
  write: (mapping, at) => mapping.write('xy', at),
  fill: (mapping, at) => mapping.fill(1, at, at + 2),
  'copyWithin (target)': (mapping, at) => mapping.copyWithin(at, 0, 2),
}

const codeOf = async (call: () => unknown): Promise<string | undefined> => {
  try {
    await call()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

for (const [name, call] of Object.entries({ ...reading, ...writing })) {
  test(`${name}: EACCES for pages that do not allow it, and no fault`, async (t) => {
    const path = scratchFile(t, content)
    using mapping = Mapping.open(path, { access: 'write' })
    const at = 2 * PAGE - 1 // its second byte is in a protected page
    mapping.protect('none', 2 * PAGE, PAGE)
    t.is(await codeOf(() => call(mapping, at)), 'EACCES')
    mapping.protect('read', 2 * PAGE, PAGE)
    t.is(await codeOf(() => call(mapping, at)), name in writing ? 'EACCES' : undefined)
    mapping.protect('write', 2 * PAGE, PAGE)
    t.is(mapping.faults.count, 0)
    if (!name.startsWith('copyWithin')) t.true(readFileSync(path).equals(content))
    t.is(await codeOf(() => call(mapping, at)), undefined)
  })
}

test('the message says who took the right, and where', (t) => {
  using mapping = Mapping.open(scratchFile(t, content), { access: 'write' })
  mapping.protect('read', PAGE, PAGE)
  t.throws(() => mapping.fill(0), {
    message: new RegExp(
      `^EACCES: .*, write '.*' \\(protect\\(\\) lets no byte be written from ${PAGE} on\\)$`,
    ),
  })
  mapping.protect('none', PAGE, PAGE)
  t.throws(() => mapping.read(0, SIZE), { message: new RegExp(`, read '.*read from ${PAGE} on`) })
})

test('a write through a view of pages that may only be read stays in this process, and is told with its place', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', ...quiet })
  const { bytes } = mapping
  mapping.protect('read', PAGE)
  bytes[0] = 1
  bytes[2 * PAGE + 5] = content[2 * PAGE + 5]! ^ 1
  t.deepEqual(mapping.faults, { count: 1, list: [{ offset: 2 * PAGE, length: PAGE, kind: 'read-only' }] })
  const expected = Buffer.from(content)
  expected[0] = 1
  t.true(readFileSync(path).equals(expected))
  t.throws(() => mapping.flushSync(), { code: 'ERR_MAPPING_FAULT', message: /read/ })
  mapping.refresh()
  t.true(bytes.equals(expected))
  t.throws(() => mapping.write('x', 2 * PAGE), { code: 'EACCES' })
})

test('pages without access become accessible to a view, which is told with its place; protected again they are not', (t) => {
  const told: Fault[] = []
  using mapping = Mapping.open(scratchFile(t, content), {
    access: 'write',
    onFault: (fault) => told.push(fault),
  })
  const { bytes } = mapping
  for (let round = 1; round <= 3; round++) {
    mapping.protect('none', PAGE, 2 * PAGE)
    t.is(bytes[2 * PAGE + 7], content[2 * PAGE + 7])
    t.is(mapping.faults.count, round)
  }
  t.deepEqual(mapping.faults.list[2], { offset: 2 * PAGE, length: PAGE, kind: 'protected' })
  mapping.protect('write')
  t.true(mapping.read(0, SIZE).equals(content))
})

test('a write to pages of a file without access stays in this process, and methods say so until refresh()', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write', ...quiet })
  mapping.protect('none', PAGE, PAGE)
  mapping.bytes[PAGE] = content[PAGE]! ^ 1
  mapping.protect('write')
  t.throws(() => mapping.write('x', PAGE), { code: 'ERR_MAPPING_FAULT', message: /read/ })
  t.throws(() => mapping.flushSync(), { code: 'ERR_MAPPING_FAULT' })
  t.deepEqual(mapping.faults.list.at(-1), { offset: PAGE, length: PAGE, kind: 'read-only' })
  mapping.refresh()
  mapping.write('stored', PAGE)
  t.is(readFileSync(path).toString('latin1', PAGE, PAGE + 6), 'stored')
})

test('memory keeps its contents under every protection', (t) => {
  using mapping = Mapping.anonymous(SIZE)
  mapping.write(content)
  for (const access of ['none', 'read', 'none', 'write'] as const) mapping.protect(access)
  t.true(mapping.bytes.equals(content))
  mapping.protect('read')
  t.true(mapping.bytes.equals(content))
  t.is(mapping.faults.count, 0)
})

for (const kind of ['copy', 'memory'] as const) {
  test(`${kind}: a write against the protection is told, and loses nothing that was written before`, (t) => {
    const path = scratchFile(t, content)
    using mapping =
      kind === 'copy' ? Mapping.open(path, { access: 'copy', ...quiet }) : Mapping.anonymous(SIZE)
    mapping.write(content)
    mapping.write('before', PAGE)
    const { bytes } = mapping
    for (const access of ['read', 'none'] as const) {
      mapping.protect(access)
      bytes.write('against', PAGE + 10)
      bytes[PAGE + 20] = 1
    }
    t.deepEqual(
      mapping.faults.list.map(({ kind, offset }) => [kind, offset]),
      [
        ['read-only', PAGE],
        ['protected', PAGE],
      ],
    )
    mapping.protect('write')
    const expected = Buffer.from(content)
    expected.write('before', PAGE)
    expected.write('against', PAGE + 10)
    expected[PAGE + 20] = 1
    t.true(mapping.read(0, SIZE).equals(expected))
    t.true(readFileSync(path).equals(content))
  })
}

linux('protect() and mprotect() are one mechanism', (t) => {
  using mapping = Mapping.open(scratchFile(t, content), { access: 'write' })
  mprotect(mapping.address + BigInt(PAGE), PAGE, PROT_NONE)
  t.throws(() => mapping.read(PAGE, 1), { code: 'EACCES' })
  mapping.protect('write', PAGE, PAGE)
  t.true(mapping.read(0, SIZE).equals(content))
  t.deepEqual(mappedIn(mapping.address, SIZE).length, 1)
})

linux('with an offset that starts in a page, ranges are those of whole pages of the file', (t) => {
  const offset = PAGE + 100
  using mapping = Mapping.open(scratchFile(t, content), { access: 'write', offset, length: 2 * PAGE })
  t.deepEqual(rights(mapping, 3), ['rw', 'rw', 'rw'])
  // The first page is that which the mapping starts in.
  mapping.protect('none', 0, PAGE - 100)
  t.deepEqual(rights(mapping, 3), ['--', 'rw', 'rw'])
  mapping.protect('read', PAGE - 100, PAGE)
  t.deepEqual(rights(mapping, 3), ['--', 'r-', 'rw'])
  // The last page is that which it ends in.
  mapping.protect('none', 2 * PAGE - 100)
  t.deepEqual(rights(mapping, 3), ['--', 'r-', '--'])
  const where = new RegExp(
    `"offset".*a multiple of ${PAGE} from ${PAGE - 100} on, or 0, as the mapping starts at offset ${offset}`,
  )
  t.throws(() => mapping.protect('read', PAGE), { code: 'ERR_OUT_OF_RANGE', message: where })
  t.throws(() => mapping.protect('read', 0, PAGE), { code: 'ERR_OUT_OF_RANGE', message: /offset \+ length/ })
  mapping.protect('write')
  t.deepEqual(rights(mapping, 3), ['rw', 'rw', 'rw'])
})

linux('pages that are added allow what the mapping does, and those that stay what they did', (t) => {
  using mapping = Mapping.open(scratchFile(t, content), { access: 'write', maxLength: 8 * PAGE })
  mapping.protect('read')
  mapping.resize(6 * PAGE)
  t.deepEqual(rights(mapping, 8), ['r-', 'r-', 'r-', 'r-', 'rw', 'rw', '--', '--'])
  mapping.resize(3 * PAGE)
  mapping.resize(4 * PAGE)
  t.deepEqual(rights(mapping, 8), ['r-', 'r-', 'r-', 'rw', '--', '--', '--', '--'])
  mapping.protect('none', 0, PAGE)
  t.throws(() => mapping.read(0, 1), { code: 'EACCES' })
})

linux('10,000 changes leave as many mappings as before', (t) => {
  using mapping = Mapping.open(scratchFile(t, Buffer.alloc(64 * PAGE)), { access: 'write' })
  const { bytes } = mapping
  for (let round = 0; round < 10_000; round++) {
    const page = (round * 37) % 64
    mapping.protect((['none', 'read', 'write'] as const)[round % 3]!, page * PAGE, PAGE)
  }
  mapping.protect('write')
  t.is(mappedIn(mapping.address, 64 * PAGE).length, 1)
  bytes.fill(1)
  t.is(mapping.faults.count, 0)
})

test('bad arguments are errors that name the argument, and nothing changes', (t) => {
  const path = scratchFile(t, content)
  using mapping = Mapping.open(path, { access: 'write' })
  const protect = mapping.protect.bind(mapping) as (...args: unknown[]) => void
  for (const access of [undefined, null, 1, 'READ', 'exec', 'rw', {}])
    t.throws(() => protect(access), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: /'access'.*'none', 'read', 'write'/,
    })
  for (const value of ['0', null, {}, true]) {
    t.throws(() => protect('none', value), { code: 'ERR_INVALID_ARG_TYPE', message: /"offset"/ })
    t.throws(() => protect('none', 0, value), { code: 'ERR_INVALID_ARG_TYPE', message: /"length"/ })
  }
  for (const value of [-1, 1.5, Number.NaN, Infinity, 2 ** 53, 2 ** 32 + PAGE, SIZE + PAGE, -1n]) {
    t.throws(() => protect('none', value), { code: 'ERR_OUT_OF_RANGE', message: /"offset"/ })
    t.throws(() => protect('none', 0, value), { code: 'ERR_OUT_OF_RANGE', message: /"length"/ })
  }
  for (const value of [1, 8, PAGE - 1, PAGE + 1, SIZE - 1]) {
    t.throws(() => protect('none', value), {
      code: 'ERR_OUT_OF_RANGE',
      message: new RegExp(`"offset".*multiple of ${PAGE}, or`),
    })
    t.throws(() => protect('none', 0, value), { code: 'ERR_OUT_OF_RANGE', message: /"offset \+ length"/ })
  }
  t.notThrows(() => protect('none', 0, 0))
  t.notThrows(() => protect('none', SIZE))
  t.true(mapping.bytes.equals(content))
  t.is(mapping.faults.count, 0)
  using empty = Mapping.anonymous(0)
  t.notThrows(() => empty.protect('none'))
  mapping.unmap()
  t.throws(() => protect('none'), { code: 'ERR_MAPPING_CLOSED' })
})

test('with the fault guard off an access to a protected page ends the process, and methods are EACCES still', async (t) => {
  const script = (access: string) => `const { Mapping, setFaultGuard } = require('mmap-native')
    setFaultGuard(false)
    const mapping = Mapping.anonymous(${SIZE})
    const { bytes } = mapping
    mapping.protect('none')
    try { mapping.read(0, 1) } catch ({ code }) { console.log(code) }
    ${access}
    console.log('alive')`
  const survivor = await runScript(script(''))
  t.deepEqual([survivor.signal, survivor.stdout], [null, 'EACCES\nalive\n'])
  const victim = await runScript(script('bytes[0] = 1'))
  t.is(victim.signal, 'SIGSEGV')
})
