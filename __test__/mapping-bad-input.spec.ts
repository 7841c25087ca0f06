/** What must not be passed to a mapping: which error it is, that its message names the argument, and that nothing changes. */
import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { inspect, types } from 'node:util'
import { Mapping } from 'mmap-native'
import { runScript } from './support/child'
import { contentOf, scratchFile, scratchFolder } from './support/files'
import { patternOf } from './support/random'

const LENGTH = 8192
const content = patternOf(LENGTH + 1)

/** One thing that a caller does with a mapping, or without one. */
type Call = (value: never, mapping: Mapping, path: string) => unknown

/** A class of errors and a code. */
type Expected = readonly [new (...args: never[]) => Error, string]

const wrongType: Expected = [TypeError, 'ERR_INVALID_ARG_TYPE']
const wrongValue: Expected = [TypeError, 'ERR_INVALID_ARG_VALUE']
const outOfRange: Expected = [RangeError, 'ERR_OUT_OF_RANGE']
const closed: Expected = [Error, 'ERR_MAPPING_CLOSED']

/**
 * Does `call` with each of `values` on a mapping of LENGTH bytes, at byte 1 of a file of one more, and expects the error; then
 * that the file, the mapping and the folder are as before.
 */
async function reject(
  t: ExecutionContext,
  call: Call,
  values: readonly unknown[],
  [Class, code]: Expected,
  name: RegExp,
): Promise<void> {
  const path = scratchFile(t, content)
  const mapping = Mapping.open(path, { access: 'write', offset: 1 })
  for (const value of values) {
    const shown = inspect(value)
    let error: unknown
    try {
      await call(value as never, mapping, path)
    } catch (thrown) {
      error = thrown
    }
    if (!(error instanceof Error)) {
      t.fail(`${shown}: nothing thrown`)
      continue
    }
    t.is(Object.getPrototypeOf(error), Class.prototype, `${shown}: ${error.message}`)
    t.is((error as NodeJS.ErrnoException).code, code, `${shown}: ${error.message}`)
    t.regex(error.message, name, shown)
    t.false(mapping.closed)
    t.is(mapping.length, LENGTH)
    t.true(mapping.bytes.equals(content.subarray(1)), shown)
    t.true(contentOf(path).equals(content), shown)
    t.deepEqual(fs.readdirSync(join(path, '..')), ['file'], shown)
  }
  mapping.unmap()
}

// ---- Integers ----------------------------------------------------------------------------------------------------

const noInteger = ['1', '', 'x', null, true, false, {}, [], [1], Symbol('s'), () => 1, new Date(), Object(1)]
const notWhole = [NaN, 0.5, -0.5, LENGTH - 0.5, Infinity, -Infinity, Number.MIN_VALUE]
const tooSmall = [-1, -LENGTH, -(2 ** 32), -(2 ** 53), -1n, -(2n ** 64n)]
const beyondAll = [2 ** 53, 2 ** 64, Number.MAX_VALUE, 2n ** 53n, 2n ** 64n, 2n ** 64n + 1n]
/** Integers as good as any, but not for something of `length` bytes. */
const beyond = (length: number) => [
  length + 1,
  BigInt(length + 1),
  2 ** 31,
  2 ** 32,
  2 ** 32 + 4096,
  2n ** 32n + 1n,
  Number.MAX_SAFE_INTEGER,
]

/** An argument that counts bytes or elements. `undefined` stands for a default unless it is `required`. */
interface Integer {
  method: string
  name: string
  call: Call
  required?: boolean
  /** The largest integer that there is room for. Default: the length of the mapping. */
  end?: number
  /** Objects mean something else here. */
  objects?: boolean
}

const integers: Integer[] = [
  { method: 'read', name: 'position', call: (value, mapping) => mapping.read(value, 0), required: true },
  {
    method: 'read',
    name: 'position',
    call: (value, mapping) => mapping.read(value, Buffer.alloc(0)),
    required: true,
  },
  { method: 'read', name: 'length', call: (value, mapping) => mapping.read(0, value), required: true },
  { method: 'write', name: 'position', call: (value, mapping) => mapping.write('', value) },
  { method: 'write', name: 'position', call: (value, mapping) => mapping.write(Buffer.of(7), value) },
  { method: 'fill', name: 'start', call: (value, mapping) => mapping.fill(7, value) },
  { method: 'fill', name: 'end', call: (value, mapping) => mapping.fill(7, 0, value) },
  {
    method: 'copyWithin',
    name: 'target',
    call: (value, mapping) => mapping.copyWithin(value, 5),
    required: true,
  },
  { method: 'copyWithin', name: 'start', call: (value, mapping) => mapping.copyWithin(0, value) },
  { method: 'copyWithin', name: 'end', call: (value, mapping) => mapping.copyWithin(5, 0, value) },
  { method: 'view', name: 'byteOffset', call: (value, mapping) => mapping.view(Uint8Array, value) },
  { method: 'view', name: 'byteOffset', call: (value, mapping) => mapping.view(DataView, value) },
  { method: 'view', name: 'length', call: (value, mapping) => mapping.view(Float64Array, 7, value) },
  { method: 'view', name: 'length', call: (value, mapping) => mapping.view(Buffer, 0, value) },
  { method: 'flush', name: 'offset', call: (value, mapping) => mapping.flush(value), objects: true },
  { method: 'flush', name: 'length', call: (value, mapping) => mapping.flush(0, value) },
  { method: 'prefetch', name: 'offset', call: (value, mapping) => mapping.prefetch(value), objects: true },
  { method: 'prefetch', name: 'length', call: (value, mapping) => mapping.prefetch(0, value) },
  {
    method: 'createReadStream',
    name: 'start',
    call: (value, mapping) => mapping.createReadStream({ start: value }),
  },
  {
    method: 'createReadStream',
    name: 'end',
    call: (value, mapping) => mapping.createReadStream({ end: value }),
    end: LENGTH - 1,
  },
  {
    method: 'createReadStream',
    name: 'highWaterMark',
    call: (value, mapping) => mapping.createReadStream({ highWaterMark: value }),
    end: Infinity,
  },
  { method: 'flushSync', name: 'offset', call: (value, mapping) => mapping.flushSync(value), objects: true },
  { method: 'flushSync', name: 'length', call: (value, mapping) => mapping.flushSync(0, value) },
  {
    method: 'open',
    name: 'offset',
    call: (value, _, path) => Mapping.open(path, { access: 'write', offset: value }),
    end: LENGTH + 1,
  },
  {
    method: 'open',
    name: 'length',
    call: (value, _, path) => Mapping.open(path, { access: 'write', length: value }),
    end: LENGTH + 1,
  },
  {
    method: 'open',
    name: 'length',
    call: (value, _, path) => Mapping.open(`${path}.new`, { access: 'write', create: true, length: value }),
    end: Infinity,
  },
  {
    method: 'anonymous',
    name: 'length',
    call: (value) => Mapping.anonymous(value),
    required: true,
    end: Infinity,
  },
]

for (const [index, { method, name, call, required, end = LENGTH, objects }] of integers.entries()) {
  const named = new RegExp(`"(options\\.)?${name}"`)
  const title = `${method}(): ${name} (case ${index + 1})`

  test(`${title} that is no number or bigint is a type error`, async (t) => {
    const values = noInteger.filter((value) => !(objects && typeof value === 'object' && value !== null))
    await reject(t, call, required ? [undefined, ...values] : values, wrongType, named)
  })

  test(`${title} that is not whole, negative, or beyond the end is out of range`, async (t) => {
    const values = [...notWhole, ...tooSmall, ...beyondAll, ...(end === Infinity ? [] : beyond(end))]
    await reject(t, call, values, outOfRange, named)
  })
}

test('an out-of-range message says what is allowed and what was given', (t) => {
  const mapping = Mapping.anonymous(LENGTH)
  const cases: [() => unknown, string][] = [
    [
      () => mapping.read(LENGTH + 1, 0),
      `"position" is out of range. It must be >= 0 and <= ${LENGTH}. Received 8193`,
    ],
    [() => mapping.read(LENGTH - 3, 4), '"length" is out of range. It must be >= 0 and <= 3. Received 4'],
    [() => mapping.fill(0, 5, 4), `"end" is out of range. It must be >= 5 and <= ${LENGTH}. Received 4`],
    [
      () => mapping.write('', -1n),
      `"position" is out of range. It must be >= 0 and <= ${LENGTH}. Received -1n`,
    ],
    [
      () => mapping.view(Uint8Array, 0.5),
      '"byteOffset" is out of range. It must be an integer. Received 0.5',
    ],
    [
      () => mapping.write('four', LENGTH - 3),
      '"data.byteLength" is out of range. It must be <= 3. Received 4',
    ],
  ]
  for (const [work, message] of cases) t.is(t.throws(work).message, `The value of ${message}`)
  mapping.unmap()
})

test('an error has its code in its stack, and the plain name of its class', (t) => {
  const error = t.throws(() => Mapping.anonymous(NaN))
  t.is(error.name, 'RangeError')
  t.regex(error.stack ?? '', /^RangeError \[ERR_OUT_OF_RANGE\]: The value of "length"/)
})

test('a range that ends before it starts is out of range', async (t) => {
  await reject(t, (end, mapping) => mapping.fill(7, 100, end), [0, 99, 99n], outOfRange, /"end"/)
  await reject(t, (end, mapping) => mapping.copyWithin(0, 100, end), [0, 99, 99n], outOfRange, /"end"/)
  const stream: Call = (end, mapping) => mapping.createReadStream({ start: 100, end })
  await reject(t, stream, [0, 99, 99n], outOfRange, /"options\.end"/)
})

test('a length that only fits from an earlier start is out of range', async (t) => {
  const calls: Call[] = [
    (length, mapping) => mapping.read(LENGTH - 10, length),
    (length, mapping) => mapping.view(Uint8Array, LENGTH - 10, length),
    (length, mapping) => mapping.flush(LENGTH - 10, length),
    (length, mapping) => mapping.flushSync(LENGTH - 10, length),
    (length, mapping) => mapping.prefetch(LENGTH - 10, length),
  ]
  for (const call of calls) await reject(t, call, [11, LENGTH, 2 ** 32 - 1, 11n], outOfRange, /"length"/)
})

// ---- Data, constructors, options ---------------------------------------------------------------------------------

const noBytes = [
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
  { length: 3, 0: 1 },
  Object.create(Uint8Array.prototype),
  Object.create(DataView.prototype),
]

/** A value of one option of open(), of a file that is there and of one that is not. */
const option =
  (name: string): Call =>
  (value, _, path) => {
    const options = { access: 'write', create: true, length: 1, [name]: value } as object
    Mapping.open(name === 'access' ? path : `${path}.new`, options)
  }

type Row = [title: string, call: Call, values: readonly unknown[], expected: Expected, name: RegExp]

const others: Row[] = [
  [
    'write(): data',
    (value, mapping) => mapping.write(value),
    [...noBytes, 1, NaN],
    wrongType,
    /"data".* string or an instance of Buffer, TypedArray, or DataView/,
  ],
  [
    'fill(): value',
    (value, mapping) => mapping.fill(value),
    noBytes,
    wrongType,
    /"value".* number or string or an instance of Buffer, TypedArray, or DataView/,
  ],
  [
    'fill(): value, a number that is not whole or too large',
    (value, mapping) => mapping.fill(value),
    [...notWhole, 2 ** 53, -(2 ** 53)],
    outOfRange,
    /"value"/,
  ],
  [
    'fill(): value without bytes',
    (value, mapping) => mapping.fill(value),
    [Buffer.alloc(0), new Float64Array(0), new DataView(new ArrayBuffer(0))],
    wrongValue,
    /'value'/,
  ],
  [
    'read(): target',
    (value, mapping) => mapping.read(0, value),
    noBytes.filter((value) => typeof value !== 'bigint'),
    wrongType,
    /"(length|target)"/,
  ],
  [
    'read(): a target larger than the mapping',
    (value, mapping) => mapping.read(1, value),
    [Buffer.alloc(LENGTH), new Float64Array(LENGTH / 8), new DataView(new ArrayBuffer(LENGTH))],
    outOfRange,
    /"target\.byteLength"/,
  ],
  [
    'write(): data larger than the mapping',
    (value, mapping) => mapping.write(value, 1),
    [Buffer.alloc(LENGTH, 7), 'x'.repeat(LENGTH), 'é'.repeat(LENGTH / 2), new Float64Array(LENGTH / 8)],
    outOfRange,
    /"data\.byteLength"/,
  ],
  [
    'view(): constructor',
    (value, mapping) => mapping.view(value),
    [
      undefined,
      null,
      1,
      true,
      'Uint8Array',
      Symbol('s'),
      {},
      [],
      () => 1,
      Array,
      Object,
      ArrayBuffer,
      SharedArrayBuffer,
      Map,
      new Uint8Array(1),
      Uint8Array.prototype,
      Object.getPrototypeOf(Uint8Array),
    ],
    wrongType,
    /"constructor"/,
  ],
  [
    'open(): file',
    (value) => Mapping.open(value),
    [
      undefined,
      null,
      true,
      {},
      [],
      Symbol('s'),
      1n,
      () => 1,
      new Date(),
      new ArrayBuffer(3),
      new Uint16Array(3),
      { fd: '1' },
    ],
    wrongType,
    /"file"/,
  ],
  [
    'open(): a descriptor out of range',
    (value) => Mapping.open(value),
    [NaN, 0.5, Infinity, -Infinity, 2 ** 31, 2 ** 32 + 4096, 2 ** 53, -(2 ** 31) - 1],
    outOfRange,
    /"file"/,
  ],
  [
    'open(): the descriptor of an object, out of range',
    (fd) => Mapping.open({ fd } as never),
    [NaN, 0.5, Infinity, -Infinity, 2 ** 31, 2 ** 32 + 4096, 2 ** 53],
    outOfRange,
    /"(file|fd|file\.fd)"/,
  ],
  [
    'open(): a path with a null byte',
    (value) => Mapping.open(value),
    ['a\0b', '\0', Buffer.from('a\0b'), Uint8Array.of(0x61, 0), new URL('file:///a%00b')],
    wrongValue,
    /'file'.*null bytes/,
  ],
  [
    'open(): options',
    (value, _, path) => Mapping.open(path, value),
    [null, 1, 'write', true, Symbol('s'), () => 1, [], ['write']],
    wrongType,
    /"options"/,
  ],
  [
    'anonymous(): options',
    (value) => Mapping.anonymous(1, value),
    [null, 1, 'write', true, Symbol('s'), () => 1, []],
    wrongType,
    /"options"/,
  ],
  [
    'flush(): options',
    (value, mapping) => mapping.flush(0, 1, value),
    [null, 1, 'write', true, Symbol('s'), () => 1, []],
    wrongType,
    /"options"/,
  ],
  [
    'flush(): options in the first place',
    (value, mapping) => mapping.flush(value),
    [[], [1]],
    wrongType,
    /"options"/,
  ],
  [
    'prefetch(): options',
    (value, mapping) => mapping.prefetch(0, 1, value),
    [null, 1, 'write', true, Symbol('s'), () => 1, []],
    wrongType,
    /"options"/,
  ],
  [
    'prefetch(): options in the first place',
    (value, mapping) => mapping.prefetch(value),
    [[], [1]],
    wrongType,
    /"options"/,
  ],
  [
    'prefetch(): options.onProgress',
    (onProgress, mapping) => mapping.prefetch({ onProgress }),
    [null, 1, 'x', true, {}, [], Symbol('s'), Promise.resolve()],
    wrongType,
    /"options\.onProgress"/,
  ],
  [
    'createReadStream(): options',
    (value, mapping) => mapping.createReadStream(value),
    [null, 1, 'utf8', true, Symbol('s'), () => 1, []],
    wrongType,
    /"options"/,
  ],
  [
    'createReadStream(): options.highWaterMark of nothing',
    (highWaterMark, mapping) => mapping.createReadStream({ highWaterMark }),
    [0, -0, 0n],
    outOfRange,
    /"options\.highWaterMark"/,
  ],
  [
    'open(): options.access',
    option('access'),
    ['', 'rw', 'READ', 'readwrite', null, 1, true, {}, ['write'], Symbol('s'), Object('write')],
    wrongValue,
    /'options\.access'.*'read', 'write', 'copy'/,
  ],
  [
    'open(): options.views',
    option('views'),
    ['', 'SHARED', 'array', null, 1, true, {}, ['auto'], Symbol('s'), Object('auto')],
    wrongValue,
    /'options\.views'.*'auto', 'shared', 'detachable'/,
  ],
  [
    'anonymous(): options.views',
    (views) => Mapping.anonymous(1, { views }),
    ['', 'SHARED', null, 1, {}, Symbol('s')],
    wrongValue,
    /'options\.views'/,
  ],
  [
    'open(): options.mode that is no octal number',
    option('mode'),
    ['', 'rw', '0o644', '0x1ff', '648', '-644', '644 ', '6.4'],
    wrongValue,
    /'options\.mode'/,
  ],
  [
    'open(): options.mode that is no number',
    option('mode'),
    [null, true, {}, Symbol('s')],
    wrongType,
    /"options\.mode"/,
  ],
  [
    'open(): options.mode out of range',
    option('mode'),
    [...notWhole, -1, '10000', '7'.repeat(400), 0o10000, 2 ** 32 + 0o600, 2 ** 53, -1n, 2n ** 64n],
    outOfRange,
    /"options\.mode"/,
  ],
  ...['create', 'grow', 'preallocate', 'populate'].map((name): Row => [
    `open(): options.${name}`,
    option(name),
    [null, 0, 1, NaN, '', 'true', 'Exclusive', {}, [], Symbol('s'), 1n, Object(true)],
    wrongType,
    new RegExp(`"options\\.${name}"`),
  ]),
  ...['populate', 'noReserve'].map((name): Row => [
    `anonymous(): options.${name}`,
    (value) => Mapping.anonymous(1, { [name]: value }),
    [null, 0, 1, 'true', {}, Symbol('s'), 1n],
    wrongType,
    new RegExp(`"options\\.${name}"`),
  ]),
  ...(
    [
      ['flush', (signal, mapping) => mapping.flush({ signal })],
      ['prefetch', (signal, mapping) => mapping.prefetch({ signal })],
      ['createReadStream', (signal, mapping) => mapping.createReadStream({ signal })],
    ] as [string, Call][]
  ).map(([method, call]): Row => [
    `${method}(): options.signal`,
    call,
    [null, 1, 'abort', true, {}, [], Symbol('s'), () => 1, new AbortController(), new Event('abort')],
    wrongType,
    /"options\.signal"/,
  ]),
  [
    'flush(): a misspelt option',
    (value, mapping) => mapping.flush(value),
    [{ signl: new AbortController().signal }, { Signal: 1, signal: new AbortController().signal }],
    wrongValue,
    /options\.(signl|Signal)/,
  ],
  [
    'prefetch(): a misspelt option',
    (value, mapping) => mapping.prefetch(value),
    [{ signl: new AbortController().signal }, { onprogress() {} }],
    wrongValue,
    /options\.(signl|onprogress)/,
  ],
  [
    'createReadStream(): a misspelt option',
    (value, mapping) => mapping.createReadStream(value),
    [{ Start: 1 }, { length: 1 }, { encoding: 'utf8' }],
    wrongValue,
    /options\.(Start|length|encoding)/,
  ],
  [
    'open(): a misspelt option',
    (name, _, path) => Mapping.open(`${path}.new`, { access: 'write', create: true, [name]: 1 } as object),
    ['acess', 'Access', 'size', 'start', 'reserve', '__proto', 'exclusive'],
    wrongValue,
    /options\.(acess|Access|size|start|reserve|__proto|exclusive)/,
  ],
]

for (const [title, call, values, expected, name] of others) {
  test(`${title}: what is wrong is ${expected[1]}`, async (t) => {
    await reject(t, call, values, expected, name)
  })
}

test('a URL that is not of a file is refused as by fs', (t) => {
  for (const url of ['http://localhost/file', 'data:,x']) {
    const expected = t.throws(() => fs.openSync(new URL(url), 'r')) as NodeJS.ErrnoException
    t.throws(() => Mapping.open(new URL(url)), {
      instanceOf: TypeError,
      code: expected.code!,
      message: expected.message,
    })
  }
})

for (const method of ['flush', 'prefetch', 'lock', 'evict', 'residency'] as const) {
  test(`${method}() rejects: it never throws`, async (t) => {
    const mapping = Mapping.anonymous(10)
    for (const args of [[-1], [0, 11], ['x'], [0, 1, null], [{ signl: 1 }]]) {
      const call = (mapping[method] as (...args: unknown[]) => Promise<unknown>).apply(mapping, args)
      t.true(types.isPromise(call))
      const error = await t.throwsAsync(call)
      t.regex((error as NodeJS.ErrnoException).code ?? '', /^ERR_(OUT_OF_RANGE|INVALID_ARG_\w+)$/)
    }
    mapping.unmap()
    const call = (mapping[method] as () => Promise<unknown>).call(mapping)
    t.true(types.isPromise(call))
    await t.throwsAsync(call, { code: 'ERR_MAPPING_CLOSED' })
  })
}

// ---- Closed ------------------------------------------------------------------------------------------------------

const uses: [string, (mapping: Mapping) => unknown][] = [
  ['bytes', (mapping) => mapping.bytes],
  ['buffer', (mapping) => mapping.buffer],
  ['dataView', (mapping) => mapping.dataView],
  ['view()', (mapping) => mapping.view(Uint8Array)],
  ['view() of nothing', (mapping) => mapping.view(Uint8Array, 0, 0)],
  ['read()', (mapping) => mapping.read(0, 1)],
  ['read() of nothing', (mapping) => mapping.read(0, 0)],
  ['read() into a target', (mapping) => mapping.read(0, Buffer.alloc(1))],
  ['write()', (mapping) => mapping.write('x')],
  ['write() of nothing', (mapping) => mapping.write('')],
  ['fill()', (mapping) => mapping.fill(0)],
  ['fill() of nothing', (mapping) => mapping.fill(0, 0, 0)],
  ['copyWithin()', (mapping) => mapping.copyWithin(0, 1)],
  ['flush()', (mapping) => mapping.flush()],
  ['flush() of nothing', (mapping) => mapping.flush(0, 0)],
  ['flush() with an aborted signal', (mapping) => mapping.flush({ signal: AbortSignal.abort() })],
  ['prefetch()', (mapping) => mapping.prefetch()],
  ['prefetch() of nothing', (mapping) => mapping.prefetch(0, 0)],
  ['prefetch() with an aborted signal', (mapping) => mapping.prefetch({ signal: AbortSignal.abort() })],
  ['createReadStream()', (mapping) => mapping.createReadStream()],
  ['flushSync()', (mapping) => mapping.flushSync()],
  ['flushSync() of nothing', (mapping) => mapping.flushSync(0, 0)],
  // It is closed first of all.
  ['view() with wrong arguments', (mapping) => mapping.view(Map as never, NaN)],
  ['read() with wrong arguments', (mapping) => mapping.read(-1, NaN)],
  ['write() with wrong arguments', (mapping) => mapping.write(1 as never, -1)],
  ['fill() with wrong arguments', (mapping) => mapping.fill(true as never, -1)],
  ['copyWithin() with wrong arguments', (mapping) => mapping.copyWithin(-1, NaN)],
  ['flush() with wrong arguments', (mapping) => mapping.flush(-1)],
  ['prefetch() with wrong arguments', (mapping) => mapping.prefetch(-1)],
  ['createReadStream() with wrong arguments', (mapping) => mapping.createReadStream({ start: -1 })],
  ['flushSync() with wrong arguments', (mapping) => mapping.flushSync(-1)],
]

for (const [name, use] of uses) {
  test(`after unmap(), ${name} is ERR_MAPPING_CLOSED`, async (t) => {
    const path = scratchFile(t, content)
    for (const mapping of [
      Mapping.open(path, { access: 'write' }),
      Mapping.open(path),
      Mapping.open(path, { access: 'copy', views: 'detachable' }),
      Mapping.open(path, { offset: content.length }),
      Mapping.anonymous(100),
      Mapping.anonymous(0),
    ]) {
      mapping.unmap()
      const error = await t.throwsAsync(async () => void (await use(mapping)))
      t.is(Object.getPrototypeOf(error), closed[0].prototype)
      t.is((error as NodeJS.ErrnoException).code, closed[1])
      t.regex(error.message, /unmapped/)
      t.true(mapping.closed)
    }
    t.true(contentOf(path).equals(content))
  })
}

// ---- Values that act ---------------------------------------------------------------------------------------------

/** What the scripts below share: a fresh mapping each time, and a line for how a call ended. */
const prelude = `
  const fs = require('node:fs')
  const { Mapping } = require('mmap-native')
  const path = process.argv.at(-1)
  let m, other
  const fresh = (views) => {
    m = Mapping.open(path, { access: 'copy', views })
    m.bytes // a view that unmap() has to deal with
    other = Mapping.open(path)
  }
  const outcome = async (work) => {
    try { const value = await work(); return 'returned' + (typeof value === 'object' && value !== null ? ' ' + value.constructor.name + ' ' + value.byteLength : '') }
    catch (error) { return error.name + ' ' + (error.code ?? '') }
  }
  const each = async (cases) => {
    for (const views of ['auto', 'detachable'])
      for (const [name, work] of Object.entries(cases)) {
        fresh(views)
        const ended = await outcome(work)
        const intact = other.read(0, other.length).equals(fs.readFileSync(path))
        console.log([name, ended, m.closed ? 'closed' : 'open', intact ? 'intact' : 'CHANGED'].join(': '))
        m.unmap()
        other.unmap()
        if (global.gc) gc()
      }
    console.log('end')
  }`

/** Runs cases in a child, and compares its lines: each case comes twice, once for each kind of view. */
async function runCases(t: ExecutionContext, cases: string, expected: Record<string, string>): Promise<void> {
  const path = join(scratchFolder(t), 'file')
  fs.writeFileSync(path, content)
  const script = `${prelude}\n${cases}\neach(cases)`
  const { code, signal, stdout, stderr } = await runScript(script, {
    args: [path],
    nodeArgs: ['--expose-gc'],
  })
  const lines = Object.entries(expected).map(([name, ended]) => `${name}: ${ended}: intact`)
  t.deepEqual(stdout.trimEnd().split('\n'), [...lines, ...lines, 'end'], stderr)
  t.is(code, 0, stderr)
  t.is(signal, null)
}

test('valueOf() of an argument that unmaps is not even called', async (t) => {
  const cases = `
    const evil = { valueOf() { m.unmap(); return 0 }, toString() { m.unmap(); return 'x' }, [Symbol.toPrimitive]() { m.unmap(); return 0 } }
    const cases = {
      'read position': () => m.read(evil, 1),
      'read length': () => m.read(0, evil),
      'write data': () => m.write(evil),
      'write position': () => m.write('x', evil),
      'fill value': () => m.fill(evil),
      'fill start': () => m.fill(0, evil),
      'fill end': () => m.fill(0, 0, evil),
      'copyWithin target': () => m.copyWithin(evil, 1),
      'copyWithin start': () => m.copyWithin(0, evil),
      'copyWithin end': () => m.copyWithin(0, 1, evil),
      'view byteOffset': () => m.view(Uint8Array, evil),
      'view length': () => m.view(Uint8Array, 0, evil),
      'flush length': () => m.flush(0, evil),
      'flushSync length': () => m.flushSync(0, evil),
      'open offset': () => Mapping.open(path, { offset: evil }),
      'open length': () => Mapping.open(path, { length: evil }),
      'open file': () => Mapping.open(evil),
      'anonymous length': () => Mapping.anonymous(evil),
    }`
  const names = [...cases.matchAll(/^ {6}'(.*?)':/gm)].map(([, name]) => name!)
  t.is(names.length, 18)
  await runCases(
    t,
    cases,
    Object.fromEntries(names.map((name) => [name, 'TypeError ERR_INVALID_ARG_TYPE: open'])),
  )
})

test('a getter of an options object that unmaps makes the call fail, and no more', async (t) => {
  const cases = `
    const cases = {
      'flush signal': () => m.flush({ get signal() { m.unmap() } }),
      'flush signal, late': () => m.flush(0, 5, { get signal() { m.unmap(); return new AbortController().signal } }),
      'flush aborted': () => m.flush({ signal: { get aborted() { m.unmap(); return false }, addEventListener() {}, removeEventListener() {} } }),
      'flush proxy': () => m.flush(new Proxy({}, { ownKeys() { m.unmap(); return [] } })),
      'prefetch signal': () => m.prefetch({ get signal() { m.unmap() } }),
      'prefetch onProgress': () => m.prefetch({ get onProgress() { m.unmap() } }),
      'prefetch aborted': () => m.prefetch({ signal: { get aborted() { m.unmap(); return false }, addEventListener() {}, removeEventListener() {} } }),
      'stream start': () => m.createReadStream({ get start() { m.unmap(); return 0 } }),
      'stream signal': () => m.createReadStream({ get signal() { m.unmap() } }),
      'open a descriptor that a getter closes': () => {
        const fd = fs.openSync(path, 'r')
        return Mapping.open(fd, { get access() { fs.closeSync(fd); m.unmap(); return 'read' } })
      },
      'open, getters that throw': () => Mapping.open(path, { get offset() { m.unmap(); throw new RangeError('mine') } }),
      'anonymous': () => { Mapping.anonymous(5, { get populate() { m.unmap(); return false } }).unmap() },
    }`
  await runCases(t, cases, {
    'flush signal': 'Error ERR_MAPPING_CLOSED: closed',
    'flush signal, late': 'Error ERR_MAPPING_CLOSED: closed',
    'flush aborted': 'Error ERR_MAPPING_CLOSED: closed',
    'flush proxy': 'Error ERR_MAPPING_CLOSED: closed',
    'prefetch signal': 'Error ERR_MAPPING_CLOSED: closed',
    'prefetch onProgress': 'Error ERR_MAPPING_CLOSED: closed',
    'prefetch aborted': 'Error ERR_MAPPING_CLOSED: closed',
    'stream start': 'Error ERR_MAPPING_CLOSED: closed',
    'stream signal': 'Error ERR_MAPPING_CLOSED: closed',
    'open a descriptor that a getter closes': 'Error EBADF: closed',
    'open, getters that throw': 'RangeError : closed',
    anonymous: 'returned: closed',
  })
})

test('a typed array or DataView whose getters unmap makes the call fail, and no more', async (t) => {
  const cases = `
    const unmapping = (Class, ...names) => {
      const Evil = class extends Class {}
      for (const name of names) Object.defineProperty(Evil.prototype, name, { get() { m.unmap(); return name === 'byteOffset' ? 0 : 4 } })
      return Evil
    }
    const Length = unmapping(Uint8Array, 'length')
    const All = unmapping(Uint8Array, 'length', 'byteLength', 'byteOffset', 'buffer')
    const Words = unmapping(Uint32Array, 'byteLength')
    const View = unmapping(DataView, 'byteLength')
    const Offset = unmapping(DataView, 'byteOffset')
    const memory = () => new ArrayBuffer(16)
    const untouched = (target, work) => {
      try { work() } finally {
        if (target.some((byte) => byte !== 0)) throw new Error('the target was written to')
      }
    }
    const cases = {
      'write length': () => m.write(new Length(8)),
      'write all': () => m.write(new All(8)),
      'write words': () => m.write(new Words(2)),
      'write view': () => m.write(new View(memory())),
      'write offset': () => m.write(new Offset(memory())),
      'fill length': () => m.fill(new Length(8)),
      'fill words': () => m.fill(new Words(2)),
      'fill view': () => m.fill(new View(memory())),
      'read length': () => { const target = new Length(8); untouched(new Uint8Array(target.buffer), () => m.read(0, target)) },
      'read words': () => { const target = new Words(2); untouched(new Uint8Array(target.buffer), () => m.read(0, target)) },
      'read view': () => { const buffer = memory(); untouched(new Uint8Array(buffer), () => m.read(0, new View(buffer))) },
      'read into its own bytes': () => { const own = m.view(Length, 0, 8); return m.read(8, own) },
      'write its own bytes': () => { const own = m.view(Length, 0, 8); return m.write(own, 8) },
    }`
  const names = [...cases.matchAll(/^ {6}'(.*?)':/gm)].map(([, name]) => name!)
  t.is(names.length, 13)
  await runCases(
    t,
    cases,
    Object.fromEntries(names.map((name) => [name, 'Error ERR_MAPPING_CLOSED: closed'])),
  )
})

test('a typed array that lies about its length moves no bytes outside of itself or the mapping', async (t) => {
  const cases = `
    const lying = (length) => class extends Uint8Array { get length() { return length } get byteLength() { return length } }
    const Short = lying(1)
    const Huge = lying(2 ** 40)
    const Odd = lying('x')
    const real = (Class, length) => { const buffer = new ArrayBuffer(length); return new Class(buffer) }
    const cases = {
      'write short': () => m.write(real(Short, m.length + 1)),
      'write huge': () => m.write(real(Huge, 1)),
      'read short': () => m.read(0, real(Short, m.length + 1)),
      'read huge': () => m.read(0, real(Huge, 1)),
      'write short at the end': () => m.write(real(Short, 2), m.length - 1),
      'fill long': () => { m.fill(real(Short, 3 * m.length), 1, 2); if (m.bytes.length !== m.length) throw new Error('length') },
      'read odd': () => { if (m.read(1, real(Odd, 4)).buffer.byteLength !== 4) throw new Error('length') },
    }`
  await runCases(t, cases, {
    'write short': 'RangeError ERR_OUT_OF_RANGE: open',
    'write huge': 'RangeError ERR_OUT_OF_RANGE: open',
    'read short': 'RangeError ERR_OUT_OF_RANGE: open',
    'read huge': 'RangeError ERR_OUT_OF_RANGE: open',
    'write short at the end': 'RangeError ERR_OUT_OF_RANGE: open',
    'fill long': 'returned: open',
    'read odd': 'returned: open',
  })
})

test('a constructor of views that unmaps gets no memory of anybody else', async (t) => {
  const cases = `
    class Size extends Uint8Array { static get BYTES_PER_ELEMENT() { m.unmap(); return 1 } }
    class Fraction extends Uint8Array { static BYTES_PER_ELEMENT = 0.5 }
    class Negative extends Uint8Array { static BYTES_PER_ELEMENT = -1 }
    class Large extends Uint8Array { static BYTES_PER_ELEMENT = 2 ** 60 }
    class Late extends Uint8Array { constructor(...args) { m.unmap(); super(...args) } }
    const Prototype = new Proxy(Uint8Array, { get(target, name) { if (name === 'prototype') m.unmap(); return Reflect.get(target, name) } })
    /** Zeros, no bytes, or a plain refusal of the runtime. */
    const harmless = (work) => {
      let view
      try { view = work() } catch (error) { if (error instanceof TypeError || error instanceof RangeError) return; throw error }
      for (let index = 0; index < view.length; index++) if (view[index] !== 0) throw new Error('a byte that is not 0')
    }
    /** Bytes of the mapping, or a plain refusal. */
    const within = (work) => {
      let view
      try { view = work() } catch (error) { if (error instanceof RangeError) return; throw error }
      if (!Buffer.from(view).equals(m.read(0, view.length))) throw new Error('other bytes')
    }
    const cases = {
      size: () => m.view(Size),
      'size, part': () => m.view(Size, 1, 1),
      prototype: () => m.view(Prototype),
      late: () => harmless(() => m.view(Late)),
      fraction: () => within(() => m.view(Fraction)),
      negative: () => within(() => m.view(Negative)),
      large: () => within(() => m.view(Large)),
    }`
  await runCases(t, cases, {
    size: 'Error ERR_MAPPING_CLOSED: closed',
    'size, part': 'Error ERR_MAPPING_CLOSED: closed',
    prototype: 'Error ERR_MAPPING_CLOSED: closed',
    late: 'returned: closed',
    fraction: 'returned: open',
    negative: 'returned: open',
    large: 'returned: open',
  })
})

test('a value that unmaps while the message about it is written is harmless', async (t) => {
  const cases = `
    const named = { get constructor() { m.unmap(); return { name: 'Evil' } } }
    const shown = { [require('node:util').inspect.custom]() { m.unmap(); return 'evil' } }
    const cases = {
      'read named': () => m.read(named, 1),
      'fill named': () => m.fill(named),
      'view named': () => m.view(named),
      'open shown': () => Mapping.open(path, { access: shown }),
      'open misspelt': () => Mapping.open(path, { acess: shown }),
    }`
  await runCases(t, cases, {
    'read named': 'TypeError ERR_INVALID_ARG_TYPE: closed',
    'fill named': 'TypeError ERR_INVALID_ARG_TYPE: closed',
    'view named': 'TypeError ERR_INVALID_ARG_TYPE: closed',
    'open shown': 'TypeError ERR_INVALID_ARG_VALUE: closed',
    'open misspelt': 'TypeError ERR_INVALID_ARG_VALUE: closed',
  })
})
