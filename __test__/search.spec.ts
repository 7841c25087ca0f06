/** Searching a mapping: as Buffer searches, in mappings of any size, on and off the event loop. */
import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs'
import { inspect, types } from 'node:util'
import { Mapping } from 'mmap-native'
import { runScript } from './support/child'
import { scratchFile, sparseFile } from './support/files'
import { Random } from './support/random'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
/** What find() goes through at a time. */
const SLICE = 32 * MiB

/** A mapping of memory with this content. */
function memory(t: ExecutionContext, content: string | Uint8Array): Mapping {
  const bytes = Buffer.from(content as string)
  const mapping = Mapping.anonymous(bytes.length)
  mapping.write(bytes)
  t.teardown(() => mapping.unmap())
  return mapping
}

/** Letters of a small alphabet: prefixes repeat. */
function word(random: Random, alphabet: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => 0x61 + random.below(alphabet)))
}

/** Compares all searches of `needle` with Buffer's. */
async function compare(
  t: ExecutionContext,
  mapping: Mapping,
  model: Buffer,
  needle: string | Uint8Array | number,
  from?: number,
): Promise<void> {
  const shown = `${inspect(needle)} from ${from} of ${model.length} bytes`
  const expected = model.indexOf(needle, from)
  t.is(mapping.indexOf(needle, from), expected, `indexOf ${shown}`)
  t.is(mapping.lastIndexOf(needle, from), model.lastIndexOf(needle, from), `lastIndexOf ${shown}`)
  t.is(mapping.includes(needle, from), model.includes(needle as Buffer, from), `includes ${shown}`)
  t.is(await mapping.find(needle, from === undefined ? {} : { from }), expected, `find ${shown}`)
}

// ---- As Buffer ---------------------------------------------------------------------------------------------------

const offsets = [
  undefined,
  NaN,
  0,
  -0,
  1,
  3,
  5.9,
  -1.5,
  -1,
  -3,
  -6,
  -7,
  -8,
  -100,
  6,
  7,
  8,
  100,
  0.5,
  -0.5,
  Infinity,
  -Infinity,
]
const needles = ['t', 'nt', 'con', 'content', 'contents', 'x', '', 'tent', Buffer.of(0x74), new Uint8Array(0)]

test('every offset means what it means to Buffer', async (t) => {
  const model = Buffer.from('content')
  const mapping = memory(t, model)
  for (const needle of needles) for (const from of offsets) await compare(t, mapping, model, needle, from)
})

test('an offset may be a bigint, of any size', async (t) => {
  const mapping = memory(t, 'content')
  t.is(mapping.indexOf('n', 3n), 5)
  t.is(mapping.indexOf('n', -5n), 2)
  t.is(mapping.indexOf('n', 2n ** 64n), -1)
  t.is(mapping.indexOf('n', -(2n ** 64n)), 2)
  t.is(mapping.lastIndexOf('n', 4n), 2)
  t.is(mapping.lastIndexOf('n', 2n ** 64n), 5)
  t.is(mapping.lastIndexOf('n', -(2n ** 64n)), -1)
  t.true(mapping.includes('con', 0n))
  t.is(mapping.count('n', 3n, 6n), 1)
  t.is(await mapping.find('n', { from: 3n }), 5)
})

test('a number is a byte, of which the lowest 8 bits count, as for Buffer', async (t) => {
  const model = Buffer.from([0, 1, 127, 128, 255, 99, 0])
  const mapping = memory(t, model)
  for (const byte of [0, 1, 99, 99.9, 127, 128, 255, 256, 355, -1, -128, -157, NaN, Infinity, 2 ** 32 + 1, 7])
    for (const from of [undefined, 1, -1]) await compare(t, mapping, model, byte, from)
})

test('a string is UTF-8, as for Buffer', async (t) => {
  const model = Buffer.from('é€😀 \ud800 é€😀')
  const mapping = memory(t, model)
  for (const text of ['é', '€', '😀', '\ufffd', 'é€😀', ' ', '\0'])
    for (const from of [undefined, 3, -3]) await compare(t, mapping, model, text, from)
  // Half a character is what Buffer.from() and write() make of it. Buffer.indexOf() does not find it.
  t.is(mapping.indexOf('\ud800'), model.indexOf(Buffer.from('\ud800')))
})

test('a Uint8Array is its bytes, also a part of one and one over shared memory', async (t) => {
  const model = Buffer.from('the needle in the hay')
  const mapping = memory(t, model)
  const shared = new Uint8Array(new SharedArrayBuffer(9))
  shared.set(Buffer.from('..needle.'))
  for (const needle of [
    shared.subarray(2, 8),
    new Uint8Array(Buffer.from('the')),
    Buffer.from('  the ').subarray(2, 5),
  ])
    await compare(t, mapping, model, needle)
  t.is(mapping.indexOf(shared.subarray(2, 8)), 4)
})

test('a needle may be a part of the mapping itself', async (t) => {
  const content = 'abcabcabd'.repeat(1000)
  const mapping = memory(t, content)
  const model = Buffer.from(content)
  for (const [start, end] of [
    [0, 9000],
    [3, 12],
    [8990, 9000],
    [1, 9000],
    [5, 5],
  ] as const)
    for (const from of [undefined, 1, 4000]) {
      await compare(t, mapping, model, mapping.bytes.subarray(start, end), from)
    }
  t.is(mapping.count(mapping.bytes.subarray(0, 9)), 1000)
})

test('an empty mapping has only the empty needle', async (t) => {
  const mapping = memory(t, '')
  const model = Buffer.alloc(0)
  for (const needle of ['', 'a', 0, Buffer.alloc(1)])
    for (const from of offsets) await compare(t, mapping, model, needle, from)
  t.is(mapping.count('a'), 0)
  t.is(mapping.count(''), 1)
  t.deepEqual([...mapping.lines()], [])
})

for (const seed of [1, 2, 3, 4]) {
  test(`random needles in random bytes are found where Buffer finds them (seed ${seed})`, async (t) => {
    const random = new Random(seed)
    for (let round = 0; round < 60; round++) {
      const alphabet = 1 + random.below(4)
      const model = word(random, alphabet, random.below(random.of([10, 300, 5000])))
      const mapping = memory(t, model)
      for (let count = 0; count < 12; count++) {
        const at = random.below(model.length + 1)
        const length = random.below(random.of([4, 40, 400]))
        const needle = random.of([
          () => word(random, alphabet, length),
          () => Buffer.from(model.subarray(at, at + length)),
          () => mapping.bytes.subarray(at, at + length),
          () => Buffer.concat([model.subarray(at), word(random, alphabet, 1)]),
          () => model.subarray(at, at + 20).toString(),
          () => 0x61 + random.below(alphabet + 1),
        ])()
        const from = random.of([undefined, random.below(model.length + 2), -random.below(model.length + 2)])
        await compare(t, mapping, model, needle, from)
      }
      mapping.unmap()
    }
  })
}

test('needles across the blocks and slices that a search is made of are found', async (t) => {
  const size = 2 * SLICE + 100
  const mapping = Mapping.anonymous(size)
  mapping.fill('a')
  const block = 64 * 1024
  for (const length of [1, 2, 64, 300, block + 1]) {
    const needle = Buffer.alloc(length, 'a').fill('b', length - 1)
    for (const at of [
      0,
      1,
      block - 1,
      block,
      SLICE - length,
      SLICE - 1,
      SLICE,
      2 * SLICE - 2,
      size - length,
    ]) {
      if (at + length > size) continue
      mapping.fill('b', at + length - 1, at + length)
      t.is(mapping.indexOf(needle), at, `${length} bytes at ${at}`)
      t.is(mapping.lastIndexOf(needle), at, `${length} bytes at ${at}, from the back`)
      t.is(await mapping.find(needle), at, `${length} bytes at ${at}, in slices`)
      t.is(await mapping.find(needle, { from: at + 1 }), -1)
      t.is(mapping.count(needle), 1)
      mapping.fill('a', at + length - 1, at + length)
    }
  }
  mapping.unmap()
})

test('a needle as long as the mapping, or longer, takes no longer than others', async (t) => {
  const size = SLICE + 10
  const mapping = Mapping.anonymous(size)
  mapping.write('b', size - 1)
  const needle = mapping.read(0, size)
  for (const [longer, at] of [
    [needle, 0],
    [needle.subarray(1), 1],
    [Buffer.concat([needle, Buffer.alloc(1)]), -1],
    [Buffer.alloc(3 * SLICE), -1],
  ] as const) {
    t.is(mapping.indexOf(longer), at)
    t.is(mapping.lastIndexOf(longer), at)
    t.is(await mapping.find(longer), at)
    t.is(mapping.count(longer), at === -1 ? 0 : 1)
  }
  mapping.unmap()
})

// ---- count() -----------------------------------------------------------------------------------------------------

test('count() counts places that do not overlap', (t) => {
  const mapping = memory(t, 'aaaaabababa')
  t.is(mapping.count('a'), 8)
  t.is(mapping.count(0x61), 8)
  t.is(mapping.count('aa'), 2)
  t.is(mapping.count('aba'), 2)
  t.is(mapping.count('b'), 3)
  t.is(mapping.count('c'), 0)
  t.is(mapping.count(mapping.bytes), 1)
})

test('count() takes a range as Buffer.subarray() does', (t) => {
  const model = Buffer.from('content')
  const mapping = memory(t, model)
  for (const from of offsets)
    for (const to of offsets) {
      const part = model.subarray(from, to)
      const shown = `from ${from} to ${to}`
      t.is(mapping.count('n', from, to), part.toString().split('n').length - 1, shown)
      t.is(mapping.count('nt', from, to), part.toString().split('nt').length - 1, shown)
      t.is(mapping.count('', from, to), part.length + 1, shown)
    }
})

test('count() agrees with split() on random text', (t) => {
  const random = new Random(7)
  for (let round = 0; round < 300; round++) {
    const alphabet = 1 + random.below(3)
    const text = word(random, alphabet, random.below(1000)).toString()
    const needle = word(random, alphabet, 1 + random.below(4)).toString()
    const mapping = memory(t, text)
    t.is(mapping.count(needle), text.split(needle).length - 1, `${needle} in ${text}`)
    mapping.unmap()
  }
})

// ---- lines() -----------------------------------------------------------------------------------------------------

/** The lines of a text, as they are documented. */
function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

const texts = [
  '',
  '\n',
  '\n\n',
  'a',
  'a\n',
  'a\nb',
  '\na',
  'a\r\nb\r\n',
  'a\r\nb\r',
  '\r',
  '\r\n',
  '\r\r\n\n\r',
  'a\rb\nc',
  'é\r\n€\n😀',
]

test('lines() gives what is between newlines, without \\n and \\r\\n, and a last line without one', (t) => {
  for (const text of texts) {
    const mapping = memory(t, text)
    const expected = linesOf(text)
    t.deepEqual([...mapping.lines({ encoding: 'utf8' })], expected, inspect(text))
    t.deepEqual(
      [...mapping.lines()],
      expected.map((line) => Buffer.from(line)),
      inspect(text),
    )
  }
})

test('lines() gives Buffers over the mapping, without a copy', (t) => {
  const mapping = memory(t, 'one\ntwo\r\nthree')
  const lines = [...mapping.lines()]
  t.true(lines.every((line) => Buffer.isBuffer(line) && (line.buffer as unknown) === mapping.buffer))
  lines[1]!.write('TWO')
  t.is(mapping.bytes.toString(), 'one\nTWO\r\nthree')
})

test('lines() of random text, long lines and short ones, are those of split()', (t) => {
  const random = new Random(11)
  for (const longest of [1, 3, 100, 3000, 300_000, 700_000]) {
    const parts = Array.from({ length: Math.min(3000, 1 + Math.ceil((3 * MiB) / longest)) }, () => {
      return 'x'.repeat(random.below(longest + 1)) + random.of(['\n', '\r\n', '\n\n', '\r'])
    })
    const text = parts.join('')
    const mapping = memory(t, text)
    const expected = linesOf(text)
    t.true([...mapping.lines({ encoding: 'latin1' })].every((line, index) => line === expected[index]))
    let count = 0
    for (const line of mapping.lines()) t.true(line.equals(Buffer.from(expected[count++]!, 'latin1')))
    t.is(count, expected.length)
    mapping.unmap()
  }
})

test('lines() goes from start to end, wherever they lie', (t) => {
  const text = 'one\ntwo\r\nthree\n\nfive'
  const mapping = memory(t, text)
  for (let start = 0; start <= text.length; start++)
    for (let end = start; end <= text.length; end++) {
      const lines = [...mapping.lines({ start, end: BigInt(end), encoding: 'utf8' })]
      t.deepEqual(lines, linesOf(text.slice(start, end)), `${start} to ${end}`)
    }
})

test('lines() takes the encodings of Buffer, but for UTF-16', (t) => {
  const text = 'é\n€'
  const mapping = memory(t, text)
  for (const encoding of [
    'utf8',
    'UTF-8',
    'latin1',
    'binary',
    'ascii',
    'hex',
    'base64',
    'base64url',
  ] as BufferEncoding[])
    t.deepEqual(
      [...mapping.lines({ encoding })],
      ['é', '€'].map((line) => Buffer.from(line).toString(encoding)),
    )
  for (const encoding of ['utf16le', 'UTF-16LE', 'ucs2', 'ucs-2'] as BufferEncoding[])
    t.throws(() => mapping.lines({ encoding }), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: /options\.encoding/,
    })
})

test('lines() is an iterator that can be iterated, and left', (t) => {
  const mapping = memory(t, 'a\nb\nc\n')
  const lines = mapping.lines({ encoding: 'utf8' })
  t.is(lines[Symbol.iterator](), lines)
  t.deepEqual(lines.next(), { value: 'a', done: false })
  for (const line of lines) {
    t.is(line, 'b')
    break
  }
  t.deepEqual(lines.next(), { value: undefined, done: true })
})

test('what is written to the mapping behind the lines that were looked up shows', (t) => {
  const mapping = memory(t, 'a\n'.repeat(MiB))
  const lines = mapping.lines({ encoding: 'utf8' })
  lines.next()
  mapping.fill('b\n', MiB)
  t.is([...lines].filter((line) => line === 'b').length, MiB / 2)
})

test('after unmap() the iterator of lines() throws ERR_MAPPING_CLOSED', (t) => {
  for (const encoding of [undefined, 'utf8'] as const)
    for (const taken of [0, 1, 2, 3]) {
      const mapping = memory(t, 'a\nb\nc')
      const lines = mapping.lines({ ...(encoding && { encoding }) })
      for (let count = 0; count < taken; count++) lines.next()
      mapping.unmap()
      t.throws(() => lines.next(), { code: 'ERR_MAPPING_CLOSED' })
      t.deepEqual(lines.next(), { value: undefined, done: true })
    }
})

// ---- find() ------------------------------------------------------------------------------------------------------

test.serial('find() leaves the event loop alone', async (t) => {
  const mapping = Mapping.anonymous(256 * MiB)
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  t.is(await mapping.find('x'), -1)
  clearInterval(timer)
  t.true(turns > 0)
  mapping.unmap()
})

test('find() searches for the bytes as they were when it was called', async (t) => {
  const mapping = Mapping.anonymous(3 * SLICE)
  mapping.write('needle', 2.5 * SLICE)
  const needle = Buffer.from('needle')
  const found = mapping.find(needle)
  needle.fill('x')
  t.is(await found, 2.5 * SLICE)
  const own = mapping.find(mapping.bytes.subarray(2.5 * SLICE, 2.5 * SLICE + 6))
  t.is(await own, 2.5 * SLICE)
  mapping.unmap()
})

test('find() with a signal that is already aborted rejects with an AbortError', async (t) => {
  const mapping = memory(t, 'content')
  const reason = new Error('the reason')
  for (const needle of ['con', '', 'x']) {
    const error = await t.throwsAsync(mapping.find(needle, { signal: AbortSignal.abort(reason) }), {
      name: 'AbortError',
      code: 'ABORT_ERR',
    })
    t.is(error.cause, reason)
  }
})

test.serial(
  'find() that is aborted rejects with an AbortError after the slice, and the mapping goes on',
  async (t) => {
    // To search all of it takes minutes.
    const size = 1024 * GiB
    const mapping = Mapping.anonymous(size, { noReserve: true })
    mapping.write('x', size - 1)
    const controller = new AbortController()
    const find = mapping.find('x', { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('the reason')), 30)
    const error = await t.throwsAsync(find, { name: 'AbortError', code: 'ABORT_ERR' })
    t.is((error.cause as Error).message, 'the reason')
    t.is(await mapping.find('x', { from: -1 }), size - 1)
    mapping.unmap()
  },
)

test('four finds run side by side, in one mapping and in several', async (t) => {
  const mappings = [1, 2].map((round) => {
    const mapping = Mapping.anonymous(5 * SLICE)
    for (let index = 0; index < 4; index++) mapping.write(`needle ${round} ${index}`, (index + 0.5) * SLICE)
    return mapping
  })
  const finds = [0, 1, 2, 3].flatMap((index) => [
    mappings[0]!.find(`needle 1 ${index}`),
    mappings[1]!.find(`needle 2 ${index}`),
    mappings[1]!.find(`needle 1 ${index}`),
  ])
  const expected = [0, 1, 2, 3].flatMap((index) => [(index + 0.5) * SLICE, (index + 0.5) * SLICE, -1])
  t.deepEqual(await Promise.all(finds), expected)
  for (const mapping of mappings) mapping.unmap()
})

test('unmap() during find() makes it resolve, or reject with ERR_MAPPING_CLOSED', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    const outcomes = { found: 0, ERR_MAPPING_CLOSED: 0, other: [] }
    const run = async () => {
      for (let round = 0; round < 30; round++) {
        const size = (1 + round % 3) * 40 << 20
        const mapping = round % 2 ? Mapping.open(process.argv.at(-1), { length: size }) : Mapping.anonymous(size)
        const finds = Promise.allSettled([
          ...Array.from({ length: 4 }, () => mapping.find('x')),
          mapping.find('', { from: size }),
        ])
        if (round % 4 > 1) await new Promise((resolve) => setTimeout(resolve, round))
        mapping.unmap()
        for (const { status, value, reason } of await finds) {
          if (status === 'fulfilled' && (value === -1 || value === size)) outcomes.found++
          else if (reason?.code === 'ERR_MAPPING_CLOSED') outcomes.ERR_MAPPING_CLOSED++
          else outcomes.other.push(reason?.message ?? value)
        }
      }
      console.log(JSON.stringify(outcomes))
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script, { args: [sparseFile(t, 200 * MiB)] })
  t.is(signal, null, stderr)
  t.is(code, 0, stderr)
  t.is(stderr, '')
  const outcomes = JSON.parse(stdout) as { found: number; ERR_MAPPING_CLOSED: number; other: string[] }
  t.deepEqual(outcomes.other, [])
  t.is(outcomes.found + outcomes.ERR_MAPPING_CLOSED, 150)
  t.true(outcomes.ERR_MAPPING_CLOSED > 0)
})

// ---- Beyond 4 GiB ------------------------------------------------------------------------------------------------

test('a needle at the end of a file of 6 GiB is found', async (t) => {
  const size = 6 * GiB
  const path = sparseFile(t, size)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, 'first\nsecond\r\nneedle', size - 20)
  fs.closeSync(fd)
  for (const offset of [0, 3]) {
    const mapping = Mapping.open(path, { offset })
    const at = size - offset - 6
    t.is(mapping.indexOf('needle', -100), at)
    t.is(mapping.indexOf('needle', 5 * GiB), at)
    t.is(mapping.indexOf('needle', at + 1), -1)
    t.is(mapping.lastIndexOf('needle'), at)
    t.is(mapping.lastIndexOf(0), at - 15)
    t.true(mapping.includes(0x65, -1))
    t.is(mapping.count('e', 5.5 * GiB), 4)
    t.deepEqual([...mapping.lines({ start: at - 14, encoding: 'latin1' })], ['first', 'second', 'needle'])
    t.deepEqual([...mapping.lines({ start: at - 14 })].map(String), ['first', 'second', 'needle'])
    if (offset === 0) {
      t.is(mapping.indexOf('needle'), at)
      t.is(await mapping.find('needle'), at)
      t.is(mapping.count(0), size - 20)
    } else {
      t.is(await mapping.find('needle', { from: 4 * GiB }), at)
    }
    mapping.unmap()
  }
})

test('in a runtime with small views, lines() gives views of parts, and strings of any length', async (t) => {
  const script = `
    const buffer = require('node:buffer')
    const Module = require('node:module')
    const load = Module._load
    const small = { ...buffer, constants: { ...buffer.constants, MAX_LENGTH: 300_000 } }
    Module._load = (name, ...rest) => (name === 'node:buffer' ? small : load(name, ...rest))
    const assert = require('node:assert')
    const { Mapping } = require('mmap-native')
    const text = ('x'.repeat(100) + '\\n').repeat(10_000) + 'y'.repeat(299_000) + '\\n' + 'z'.repeat(400_000) + '\\nend'
    for (const views of ['auto', 'detachable']) {
      const mapping = Mapping.anonymous(text.length, { views })
      mapping.write(text)
      assert.deepEqual([...mapping.lines({ encoding: 'latin1' })], text.split('\\n'))
      let position = 0
      const lines = []
      assert.throws(() => { for (const line of mapping.lines()) lines.push(line) }, { code: 'ERR_BUFFER_TOO_LARGE' })
      assert.deepEqual(lines.map(String), text.split('\\n').slice(0, 10_001))
      lines[500][0] = 0x2e
      assert.equal(mapping.read(500 * 101, 1).toString(), '.')
      mapping.unmap()
      assert.ok(lines.every((line) => line.length === 0 || line.every((byte) => byte === 0)))
    }
    console.log('as it should be')`
  const { code, signal, stdout, stderr } = await runScript(script)
  t.is(stdout, 'as it should be\n', stderr)
  t.is(code, 0)
  t.is(signal, null)
})

// ---- Faults ------------------------------------------------------------------------------------------------------

test('a search that meets bytes that the file has lost throws ERR_MAPPING_FAULT, and one that does not, does not', async (t) => {
  const path = scratchFile(t, Buffer.alloc(20 * 4096, 'line\r\n'))
  const script = `
    const fs = require('node:fs')
    const { Mapping } = require('mmap-native')
    const path = process.argv.at(-1)
    const mapping = Mapping.open(path, { onFault() {} })
    mapping.indexOf('none')
    fs.truncateSync(path, 10 * 4096)
    const outcome = async (name, work) => {
      try { console.log(name, await work()) }
      catch (error) { console.log(name, error.code, error.kind, error.path === path, error.offset) }
    }
    const run = async () => {
      await outcome('early', () => mapping.indexOf('line', 5))
      await outcome('early find', async () => mapping.find('line', { from: 5 }))
      await outcome('early count', () => mapping.count('line', 0, 4096))
      await outcome('early lines', () => [...mapping.lines({ end: 4096 })].length)
      await outcome('early last', () => mapping.lastIndexOf('line', 4096))
      await outcome('indexOf', () => mapping.indexOf('none'))
      await outcome('lastIndexOf', () => mapping.lastIndexOf('line'))
      await outcome('includes', () => mapping.includes('none'))
      await outcome('count', () => mapping.count('line'))
      await outcome('lines', () => [...mapping.lines()])
      await outcome('strings', () => [...mapping.lines({ encoding: 'utf8' })])
      await outcome('find', () => mapping.find('none'))
      await outcome('early again', () => mapping.indexOf('line', 5))
      fs.truncateSync(path, 20 * 4096)
      mapping.refresh()
      await outcome('refreshed', () => mapping.count(0))
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script, { args: [path] })
  const lost = 'ERR_MAPPING_FAULT truncated true 40960'
  t.deepEqual(
    stdout.trimEnd().split('\n'),
    [
      'early 6',
      'early find 6',
      'early count 683',
      'early lines 683',
      'early last 4092',
      `indexOf ${lost}`,
      `lastIndexOf ${lost}`,
      `includes ${lost}`,
      `count ${lost}`,
      `lines ${lost}`,
      `strings ${lost}`,
      `find ${lost}`,
      'early again 6',
      'refreshed 40960',
    ],
    stderr,
  )
  t.is(code, 0, stderr)
  t.is(signal, null)
})

test('a file that is truncated while it is searched ends no process', async (t) => {
  const script = `
    const fs = require('node:fs')
    const { Mapping } = require('mmap-native')
    const path = process.argv.at(-1)
    const outcomes = {}
    const note = (outcome) => (outcomes[outcome] = (outcomes[outcome] ?? 0) + 1)
    const run = async () => {
      for (let round = 0; round < 10; round++) {
        fs.truncateSync(path, 200 << 20)
        const mapping = Mapping.open(path, { onFault() {} })
        const finds = Promise.allSettled(Array.from({ length: 4 }, () => mapping.find('x')))
        await new Promise((resolve) => setTimeout(resolve, 3 * round))
        fs.truncateSync(path, 4096)
        for (const work of [() => mapping.indexOf('x'), () => mapping.count(1), () => [...mapping.lines()]])
          try { note(work()) } catch (error) { note(error.code) }
        for (const { reason, value } of await finds) note(reason?.code ?? value)
        if (round % 2) mapping.unmap()
      }
      console.log(JSON.stringify(outcomes))
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script, { args: [scratchFile(t)] })
  t.is(signal, null, stderr)
  t.is(code, 0, stderr)
  const outcomes = JSON.parse(stdout) as Record<string, number>
  t.deepEqual(
    Object.keys(outcomes).filter((outcome) => outcome !== '-1'),
    ['ERR_MAPPING_FAULT'],
  )
  t.true(outcomes['ERR_MAPPING_FAULT']! >= 30)
})

test('a search with a needle in a mapping that has lost its file does no harm', async (t) => {
  const path = scratchFile(t, Buffer.alloc(8192, 'x'))
  const other = Mapping.open(path, { onFault() {} })
  const needle = other.bytes.subarray(4000, 5000)
  fs.truncateSync(path, 0)
  const mapping = memory(t, Buffer.alloc(10_000))
  const found = [mapping.indexOf(needle), mapping.lastIndexOf(needle), await mapping.find(needle)]
  for (const at of found) t.true([-1, 0, 9000].includes(at))
  other.unmap()
  t.notThrows(() => mapping.indexOf(needle))
})

// ---- Bad input ---------------------------------------------------------------------------------------------------

type Call = (mapping: Mapping, value: never) => unknown
type Row = [title: string, call: Call, values: readonly unknown[], code: string, message: RegExp]

const noNeedle = [
  undefined,
  null,
  true,
  {},
  [],
  [1, 2],
  Symbol('s'),
  1n,
  () => 1,
  new ArrayBuffer(8),
  new Date(),
  new Uint16Array(1),
  new Float64Array(1),
  new DataView(new ArrayBuffer(1)),
  { length: 3, 0: 1 },
  Object('x'),
  Object.create(Uint8Array.prototype),
]
const noOffset = [null, '1', '', 'utf8', true, {}, [], [1], Symbol('s'), () => 1, new Date(), Object(1)]
const notWithin = [NaN, 0.5, Infinity, -Infinity, -1, 8, 2 ** 32 + 1, 2 ** 53, -1n, 8n, 2n ** 64n]

const needle: [string, Call][] = [
  ['indexOf()', (mapping, value) => mapping.indexOf(value)],
  ['lastIndexOf()', (mapping, value) => mapping.lastIndexOf(value)],
  ['includes()', (mapping, value) => mapping.includes(value)],
  ['count()', (mapping, value) => mapping.count(value)],
  ['find()', (mapping, value) => mapping.find(value)],
]
const from: [string, Call][] = [
  ['indexOf()', (mapping, value) => mapping.indexOf('t', value)],
  ['lastIndexOf()', (mapping, value) => mapping.lastIndexOf('t', value)],
  ['includes()', (mapping, value) => mapping.includes('t', value)],
  ['count()', (mapping, value) => mapping.count('t', value)],
  ['find()', (mapping, value) => mapping.find('t', { from: value })],
]

const rows: Row[] = [
  ...needle.map(([name, call]): Row => [
    `${name}: needle`,
    call,
    noNeedle,
    'ERR_INVALID_ARG_TYPE',
    /"needle" argument must be of type number or string or an instance of Buffer or Uint8Array\. Received/,
  ]),
  ...from.map(([name, call]): Row => [
    `${name}: from`,
    call,
    noOffset,
    'ERR_INVALID_ARG_TYPE',
    /"(options\.)?from" (argument|property) must be of type number or bigint\. Received/,
  ]),
  ['count(): to', (mapping, to) => mapping.count('t', 0, to), noOffset, 'ERR_INVALID_ARG_TYPE', /"to"/],
  ...['start', 'end'].map((name): Row => [
    `lines(): options.${name} of another type`,
    (mapping, value) => mapping.lines({ [name]: value }),
    noOffset,
    'ERR_INVALID_ARG_TYPE',
    new RegExp(`"options\\.${name}" property`),
  ]),
  ...['start', 'end'].map((name): Row => [
    `lines(): options.${name} that is not in the mapping`,
    (mapping, value) => mapping.lines({ [name]: value }),
    notWithin,
    'ERR_OUT_OF_RANGE',
    new RegExp(`"options\\.${name}"`),
  ]),
  [
    'lines(): options.end before options.start',
    (mapping, end) => mapping.lines({ start: 5, end }),
    [0, 4, 4n],
    'ERR_OUT_OF_RANGE',
    /"options\.end".*>= 5 and <= 7/,
  ],
  [
    'lines(): options.encoding',
    (mapping, encoding) => mapping.lines({ encoding }),
    [null, 1, true, '', 'utf9', 'buffer', {}, ['utf8'], Symbol('s'), Object('utf8')],
    'ERR_INVALID_ARG_VALUE',
    /'options\.encoding' must be an encoding of Buffer/,
  ],
  ...[
    (mapping: Mapping, value: never) => mapping.lines(value),
    (mapping: Mapping, value: never) => mapping.find('t', value),
  ].map((call, index): Row => [
    `${index === 0 ? 'lines()' : 'find()'}: options`,
    call,
    [null, 1, 'utf8', true, Symbol('s'), () => 1, []],
    'ERR_INVALID_ARG_TYPE',
    /"options"/,
  ]),
  [
    'lines(): a misspelt option',
    (mapping, value) => mapping.lines(value),
    [{ Encoding: 'utf8' }, { from: 1 }],
    'ERR_INVALID_ARG_VALUE',
    /options\.(Encoding|from).*known are encoding, start, end/,
  ],
  [
    'find(): a misspelt option',
    (mapping, value) => mapping.find('t', value),
    [{ start: 1 }, { Signal: undefined }],
    'ERR_INVALID_ARG_VALUE',
    /options\.(start|Signal).*known are from, signal/,
  ],
  [
    'find(): options.signal',
    (mapping, signal) => mapping.find('t', { signal }),
    [null, 1, 'abort', true, {}, [], Symbol('s'), () => 1, new AbortController(), new Event('abort')],
    'ERR_INVALID_ARG_TYPE',
    /"options\.signal"/,
  ],
]

for (const [title, call, values, code, message] of rows) {
  test(`${title}: what is wrong is ${code}`, async (t) => {
    const mapping = memory(t, 'content')
    for (const value of values) {
      const instanceOf = code === 'ERR_OUT_OF_RANGE' ? RangeError : TypeError
      await t.throwsAsync(
        async () => void (await call(mapping, value as never)),
        { instanceOf, code, message },
        inspect(value),
      )
    }
    t.is(mapping.bytes.toString(), 'content')
  })
}

test('find() rejects: it never throws', async (t) => {
  const mapping = memory(t, 'content')
  for (const args of [[null], ['x', null], ['x', { from: 'x' }], ['x', { signl: 1 }]]) {
    const call = (mapping.find as (...args: unknown[]) => Promise<number>).apply(mapping, args)
    t.true(types.isPromise(call))
    await t.throwsAsync(call, { instanceOf: TypeError })
  }
})

const uses: [string, (mapping: Mapping) => unknown][] = [
  ['indexOf()', (mapping) => mapping.indexOf('t')],
  ['indexOf() of nothing', (mapping) => mapping.indexOf('')],
  ['lastIndexOf()', (mapping) => mapping.lastIndexOf('t')],
  ['lastIndexOf() from before the start', (mapping) => mapping.lastIndexOf('t', -100)],
  ['includes()', (mapping) => mapping.includes('t')],
  ['count()', (mapping) => mapping.count('t')],
  ['count() of nothing', (mapping) => mapping.count('t', 3, 3)],
  ['find()', (mapping) => mapping.find('t')],
  ['find() with an aborted signal', (mapping) => mapping.find('t', { signal: AbortSignal.abort() })],
  ['lines()', (mapping) => mapping.lines()],
  // It is closed first of all.
  ['indexOf() with wrong arguments', (mapping) => mapping.indexOf(null as never, null as never)],
  ['lastIndexOf() with wrong arguments', (mapping) => mapping.lastIndexOf(null as never)],
  ['includes() with wrong arguments', (mapping) => mapping.includes(null as never)],
  ['count() with wrong arguments', (mapping) => mapping.count(null as never)],
  ['find() with wrong arguments', (mapping) => mapping.find(null as never)],
  ['lines() with wrong arguments', (mapping) => mapping.lines(null as never)],
]

for (const [name, use] of uses) {
  test(`after unmap(), ${name} is ERR_MAPPING_CLOSED`, async (t) => {
    const path = scratchFile(t, 'content')
    for (const mapping of [
      Mapping.open(path),
      Mapping.open(path, { access: 'copy', views: 'detachable' }),
      Mapping.open(path, { offset: 7 }),
      Mapping.anonymous(100),
      Mapping.anonymous(0),
    ]) {
      mapping.unmap()
      const error = await t.throwsAsync(async () => void (await use(mapping)), { code: 'ERR_MAPPING_CLOSED' })
      t.is(Object.getPrototypeOf(error), Error.prototype)
    }
  })
}

test('values that unmap while they are looked at make the call fail, and no more', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    let m
    const evil = { valueOf() { m.unmap(); return 0 }, toString() { m.unmap(); return 'x' }, [Symbol.toPrimitive]() { m.unmap(); return 0 } }
    class Length extends Uint8Array { get length() { m.unmap(); return 2 ** 40 } get byteLength() { m.unmap(); return 2 ** 40 } }
    const cases = {
      needle: () => m.indexOf(evil),
      from: () => m.lastIndexOf('x', evil),
      to: () => m.count('x', 0, evil),
      'find from': () => m.find('x', { get from() { m.unmap() } }),
      'find signal': () => m.find('x', { get signal() { m.unmap() } }),
      'find aborted': () => m.find('x', { signal: { get aborted() { m.unmap(); return false } } }),
      'lines end': () => [...m.lines({ get end() { m.unmap() } })],
      'lines proxy': () => [...m.lines(new Proxy({}, { ownKeys() { m.unmap(); return [] } }))],
      'needle length': () => m.indexOf(new Length(8)),
      'find needle length': () => m.find(new Length(8)),
      'own bytes': () => m.count(m.view(Length, 0, 8)),
    }
    const run = async () => {
      for (const views of ['auto', 'detachable'])
        for (const [name, work] of Object.entries(cases)) {
          m = Mapping.anonymous(100_000, { views })
          m.bytes
          try { console.log(name, await work()) }
          catch (error) { console.log(name, error.code) }
          m.unmap()
        }
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script)
  const lines = [
    'needle ERR_INVALID_ARG_TYPE',
    'from ERR_INVALID_ARG_TYPE',
    'to ERR_INVALID_ARG_TYPE',
    'find from ERR_MAPPING_CLOSED',
    'find signal ERR_MAPPING_CLOSED',
    'find aborted ERR_MAPPING_CLOSED',
    'lines end ERR_MAPPING_CLOSED',
    'lines proxy ERR_MAPPING_CLOSED',
    'needle length 0',
    'find needle length 0',
    'own bytes 12500',
  ]
  t.deepEqual(stdout.trimEnd().split('\n'), [...lines, ...lines], stderr)
  t.is(code, 0, stderr)
  t.is(signal, null)
})
