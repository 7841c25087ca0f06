/** A mapping in use: views, copies in and out, flush, and its end. */
import test, { type ExecutionContext } from 'ava'
import { constants } from 'node:buffer'
import * as fs from 'node:fs'
import { inspect } from 'node:util'
import { Mapping, type SystemError, type ViewConstructor } from 'mmap-native'
import { runScript } from './support/child'
import { contentOf, scratchFile, sparseFile } from './support/files'
import { Random, patternOf } from './support/random'

const MiB = 1024 * 1024
const GiB = 1024 * MiB

/** A constructor of typed arrays. */
type Typed = ViewConstructor<NodeJS.TypedArray> & {
  readonly name: string
  readonly BYTES_PER_ELEMENT: number
}

const typedArrays = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  // Not in every runtime.
  ...['Float16Array'].flatMap((name) => (globalThis as { [name: string]: unknown })[name] ?? []),
] as unknown as Typed[]

/** A writable mapping of a file with this content. */
function writable(t: ExecutionContext, content: string | Uint8Array, offset = 0): Mapping & { path: string } {
  const mapping = Mapping.open(scratchFile(t, content), { access: 'write', offset })
  t.teardown(() => mapping.unmap())
  return mapping as Mapping & { path: string }
}

/** The bytes of a view, whatever its type. */
function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength)
}

// ---- Views -------------------------------------------------------------------------------------------------------

test('bytes is one Buffer, the same each time', (t) => {
  const content = patternOf(10_000)
  const mapping = writable(t, content)
  t.true(Buffer.isBuffer(mapping.bytes))
  t.is(mapping.bytes, mapping.bytes)
  t.deepEqual(mapping.bytes, content)
})

test('buffer is one buffer, the same each time, and the one below bytes', (t) => {
  for (const offset of [0, 3, 4096, 4101]) {
    const mapping = writable(t, patternOf(10_000), offset)
    const { buffer, bytes } = mapping
    t.is(mapping.buffer, buffer)
    t.is(bytes.buffer as ArrayBufferLike, buffer)
    t.is(bytes.byteOffset, offset % 8)
    t.is(buffer.byteLength, (offset % 8) + mapping.length)
  }
})

test('dataView has all bytes, and writes into the file', (t) => {
  const content = patternOf(5000)
  const mapping = writable(t, content, 3)
  const { dataView } = mapping
  t.is(dataView.byteLength, 4997)
  t.is(dataView.getFloat64(4989), content.readDoubleBE(4992))
  dataView.setUint32(1, 0xdeadbeef, true)
  content.writeUInt32LE(0xdeadbeef, 4)
  t.deepEqual(contentOf(mapping.path), content)
})

for (const Class of typedArrays) {
  test(`view(${Class.name}) has the elements of the file, and writes into it`, (t) => {
    const content = patternOf(8192)
    const copy = new Uint8Array(content)
    const mapping = writable(t, content)
    const view = mapping.view(Class)
    t.is(Object.getPrototypeOf(view), Class.prototype)
    t.is(view.length, 8192 / Class.BYTES_PER_ELEMENT)
    t.deepEqual(view, new Class(copy.buffer, 0, view.length))
    t.is(view.buffer as ArrayBufferLike, mapping.buffer)

    const part = mapping.view(Class, 4096, 2)
    t.is(part.length, 2)
    t.deepEqual(part, new Class(copy.buffer, 4096, 2))
    part[1] = part[0]!
    copy.copyWithin(4096 + Class.BYTES_PER_ELEMENT, 4096, 4096 + Class.BYTES_PER_ELEMENT)
    t.deepEqual(contentOf(mapping.path), Buffer.from(copy))
  })

  test(`view(${Class.name}) goes by where the elements lie in the file`, (t) => {
    const size = Class.BYTES_PER_ELEMENT
    const content = patternOf(8192)
    for (const offset of [1, 3, 4, 4095, 4097, 4098]) {
      const mapping = writable(t, content, offset)
      for (let byteOffset = 0; byteOffset < 8; byteOffset++) {
        if ((offset + byteOffset) % size === 0) {
          const view = mapping.view(Class, byteOffset)
          t.is(view.length, Math.floor((8192 - offset - byteOffset) / size))
          t.deepEqual(bytesOf(view), content.subarray(offset + byteOffset))
        } else {
          const error = t.throws(() => mapping.view(Class, byteOffset), {
            instanceOf: RangeError,
            code: 'ERR_OUT_OF_RANGE',
          })
          t.regex(error.message, new RegExp(`byteOffset.*a multiple of ${size}`))
        }
      }
    }
  })

  test(`view(${Class.name}) has as many whole elements as there are`, (t) => {
    const size = Class.BYTES_PER_ELEMENT
    const mapping = writable(t, patternOf(16 + size - 1))
    t.is(mapping.view(Class).length, 16 / size)
    t.is(mapping.view(Class, 8).length, 8 / size)
    t.is(mapping.view(Class, 16).length, 0)
    t.is(mapping.view(Class, 16, 0).length, 0)
    t.throws(() => mapping.view(Class, 0, 16 / size + 1), {
      instanceOf: RangeError,
      code: 'ERR_OUT_OF_RANGE',
      message: /length/,
    })
    t.throws(() => mapping.view(Class, 16, 1), { instanceOf: RangeError, code: 'ERR_OUT_OF_RANGE' })
  })
}

test('an alignment error says where an aligned view can start', (t) => {
  const mapping = writable(t, patternOf(100), 3)
  const error = t.throws(() => mapping.view(Float64Array), { code: 'ERR_OUT_OF_RANGE' })
  t.regex(error.message, /a multiple of 8 from 5 on, as the mapping starts at offset 3/)
  t.is(mapping.view(Float64Array, 5).length, 11)
})

test('view(DataView) and view(Buffer) start at any byte, and count in bytes', (t) => {
  const content = patternOf(5000)
  const mapping = writable(t, content, 1)
  for (const byteOffset of [0, 1, 7, 4095, 4999]) {
    const expected = content.subarray(1 + byteOffset)
    const view = mapping.view(DataView, byteOffset)
    t.true(view instanceof DataView)
    t.deepEqual(bytesOf(view), expected)
    const buffer = mapping.view(Buffer, byteOffset)
    t.true(Buffer.isBuffer(buffer))
    t.deepEqual(buffer, expected)
    t.deepEqual(mapping.view(Buffer, byteOffset, 0), Buffer.alloc(0))
    const length = Math.min(3, expected.length)
    t.deepEqual(mapping.view(Buffer, byteOffset, length), expected.subarray(0, length))
    t.deepEqual(bytesOf(mapping.view(DataView, byteOffset, length)), expected.subarray(0, length))
  }
  mapping.view(Buffer, 4).write('content')
  mapping.view(DataView, 20).setUint8(0, 7)
  content.write('content', 5)
  content[21] = 7
  t.deepEqual(contentOf(mapping.path), content)
})

test('view() makes objects of a subclass of a typed array', (t) => {
  class Bytes extends Uint8Array {
    sum(): number {
      return this.reduce((sum, byte) => sum + byte, 0)
    }
  }
  class Numbers extends Float64Array {}
  const mapping = writable(t, Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]))
  const bytes = mapping.view(Bytes, 1, 3)
  t.true(bytes instanceof Bytes)
  t.is(bytes.sum(), 9)
  bytes[0] = 10
  t.is(mapping.bytes[1], 10)
  const numbers = mapping.view(Numbers)
  t.true(numbers instanceof Numbers)
  t.is(numbers.length, 1)
})

test('views over the same bytes see what is written through any of them', (t) => {
  const mapping = writable(t, Buffer.alloc(16))
  const words = mapping.view(Uint32Array)
  const bytes = mapping.view(Uint8Array, 4, 4)
  words[1] = 0xffffffff
  t.deepEqual([...bytes], [255, 255, 255, 255])
  mapping.write(Uint8Array.of(0, 0, 0, 0), 4)
  t.is(words[1], 0)
  mapping.bytes[4] = 1
  t.is(mapping.dataView.getUint8(4), 1)
  t.is(bytes[0], 1)
})

test('bytes past the end of the file in its last page are not part of a view', (t) => {
  const mapping = writable(t, patternOf(5000))
  t.is(mapping.buffer.byteLength, 5000)
  t.is(mapping.bytes[5000], undefined)
  t.is(mapping.view(Uint8Array).length, 5000)
})

// ---- Copies ------------------------------------------------------------------------------------------------------

test('read() copies: what is written later does not show in it', (t) => {
  const mapping = writable(t, 'content')
  const copy = mapping.read(3, 4)
  t.true(Buffer.isBuffer(copy))
  mapping.write('TENT', 3)
  t.is(copy.toString(), 'tent')
  copy.fill(0)
  t.is(mapping.bytes.toString(), 'conTENT')
})

test('read() fills a Buffer, a typed array or a DataView, and returns it', (t) => {
  const content = patternOf(1000)
  const mapping = writable(t, content, 1)
  const memory = new Uint8Array(100)
  const targets = [
    Buffer.from(memory.buffer, 3, 40),
    new DataView(memory.buffer, 5, 41),
    ...typedArrays.map((Class) => new Class(memory.buffer, 8, 4)),
  ]
  for (const target of targets) {
    memory.fill(0)
    t.is(mapping.read(100, target), target)
    t.deepEqual(bytesOf(target), content.subarray(101, 101 + target.byteLength))
    const outside = Buffer.from(memory)
    outside.fill(0, target.byteOffset, target.byteOffset + target.byteLength)
    t.deepEqual(outside, Buffer.alloc(100))
  }
})

test('read() and write() take views of a SharedArrayBuffer', (t) => {
  const mapping = writable(t, 'content')
  const target = new Uint8Array(new SharedArrayBuffer(4))
  t.is(mapping.read(3, target), target)
  t.is(Buffer.from(target).toString(), 'tent')
  target.fill(0x2e)
  t.is(mapping.write(target, 1), 4)
  t.is(mapping.bytes.toString(), 'c....nt')
})

test('read() reads as much as the mapping has, and one byte more changes nothing', (t) => {
  const mapping = writable(t, 'content')
  t.is(mapping.read(0, 7).toString(), 'content')
  t.is(mapping.read(7, 0).length, 0)
  t.is(mapping.read(7, Buffer.alloc(0)).length, 0)
  const target = Buffer.alloc(8, '.')
  t.throws(() => mapping.read(0, target), {
    instanceOf: RangeError,
    code: 'ERR_OUT_OF_RANGE',
    message: /target.*<= 7.*8/,
  })
  t.throws(() => mapping.read(1, target.subarray(0, 7)), { code: 'ERR_OUT_OF_RANGE' })
  t.is(target.toString(), '........')
})

test('read() into the mapping itself and write() from it allow for overlap', (t) => {
  const content = patternOf(9000)
  const mapping = writable(t, content)
  mapping.read(0, mapping.bytes.subarray(1, 8001))
  content.copyWithin(1, 0, 8000)
  t.deepEqual(mapping.bytes, content)
  mapping.write(mapping.bytes.subarray(5, 8005), 0)
  content.copyWithin(0, 5, 8005)
  t.deepEqual(mapping.bytes, content)
})

test('write() takes a string as UTF-8, and returns the number of bytes', (t) => {
  for (const text of ['', 'a', 'é€😀', 'lone \ud800 surrogate', 'null \0 byte']) {
    const mapping = writable(t, Buffer.alloc(40, '.'))
    const expected = Buffer.alloc(40, '.')
    t.is(mapping.write(text, 5), expected.write(text, 5))
    t.deepEqual(contentOf(mapping.path), expected)
  }
})

test('write() takes the bytes of a Buffer, a typed array or a DataView', (t) => {
  const source = patternOf(100)
  const memory = new Uint8Array(source).buffer
  const all = [
    Buffer.from(memory, 3, 40),
    new DataView(memory, 5, 41),
    ...typedArrays.map((Class) => new Class(memory, 16, 4)),
  ]
  for (const data of all) {
    const mapping = writable(t, Buffer.alloc(60), 1)
    t.is(mapping.write(data, 2), data.byteLength)
    const expected = Buffer.alloc(60)
    source.copy(expected, 3, data.byteOffset, data.byteOffset + data.byteLength)
    t.deepEqual(contentOf(mapping.path), expected)
  }
})

test('write() starts at 0 by default and fits up to the end; one byte more changes nothing', (t) => {
  const mapping = writable(t, 'content')
  t.is(mapping.write('CON'), 3)
  t.is(mapping.write('TENT', 3n), 4)
  t.is(mapping.write('', 7), 0)
  for (const [data, position] of [
    ['12345678', 0],
    [Buffer.alloc(2), 6],
    ['é', 6],
    [new Float64Array(1), 0],
  ] as const) {
    t.throws(() => mapping.write(data, position), {
      instanceOf: RangeError,
      code: 'ERR_OUT_OF_RANGE',
      message: /data/,
    })
  }
  t.is(fs.readFileSync(mapping.path, 'utf8'), 'CONTENT')
})

for (const value of [
  0,
  1,
  255,
  256,
  511,
  -1,
  -257,
  2 ** 32 + 7,
  'x',
  'ab',
  'é€😀',
  '',
  'longer than the range',
]) {
  test(`fill(${inspect(value)}) fills as Buffer.fill() does`, (t) => {
    for (const range of [[], [0], [3], [3, 20], [3n, 4n], [5, 5], [30, 30], [0, 30]] as [
      number?,
      number?,
    ][]) {
      const mapping = writable(t, Buffer.alloc(30, '.'))
      t.is(mapping.fill(value, ...range), mapping)
      const expected = Buffer.alloc(30, '.').fill(value, ...(range.map(Number) as [number?, number?]))
      t.deepEqual(contentOf(mapping.path), expected)
    }
  })
}

test('fill() repeats the bytes of a Buffer, a typed array or a DataView as Buffer.fill() does', (t) => {
  const memory = new Uint8Array(patternOf(100)).buffer
  const all = [
    Buffer.from(memory, 3, 7),
    Buffer.from(memory, 3, 1),
    new DataView(memory, 5, 11),
    new DataView(memory, 5, 50),
    ...typedArrays.map((Class) => new Class(memory, 16, 2)),
  ]
  for (const value of all) {
    const mapping = writable(t, Buffer.alloc(30, '.'))
    mapping.fill(value, 2, 29)
    t.deepEqual(contentOf(mapping.path), Buffer.alloc(30, '.').fill(bytesOf(value), 2, 29))
  }
})

test('fill() with bytes of the mapping itself repeats them as they were', (t) => {
  for (const [from, to] of [
    [0, 3],
    [2, 9],
    [0, 30],
  ] as const) {
    const content = patternOf(30)
    const mapping = writable(t, content)
    mapping.fill(mapping.bytes.subarray(from, to), 1)
    t.deepEqual(mapping.bytes, Buffer.from(content).fill(content.subarray(from, to), 1))
  }
})

test('copyWithin() copies as Buffer.copyWithin() does, overlapping either way', (t) => {
  const cases: [number, number, number?][] = [
    [1, 0],
    [0, 1],
    [1, 0, 8000],
    [0, 1, 8001],
    [4096, 1, 5000],
    [1, 4096],
    [5000, 0],
    [0, 0],
    [9000, 0],
    [0, 9000],
    [3, 7, 7],
    [8999, 0, 9000],
  ]
  for (const args of cases) {
    const content = patternOf(9000)
    const mapping = writable(t, content)
    t.is(mapping.copyWithin(...args), mapping)
    t.deepEqual(contentOf(mapping.path), content.copyWithin(...args))
  }
})

test("with access 'read' every writing method is EACCES, and the file stays as it is", (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  for (const work of [() => mapping.write('x'), () => mapping.fill('x'), () => mapping.copyWithin(1, 0)]) {
    const error = t.throws(work) as SystemError
    t.is(error.code, 'EACCES')
    t.true(error.errno < 0)
    t.is(error.syscall, 'write')
    t.is(error.path, path)
    t.regex(error.message, /^EACCES: permission denied, write '.*access 'read'/)
  }
  t.is(mapping.bytes.toString(), 'content')
  mapping.unmap()
  t.is(fs.readFileSync(path, 'utf8'), 'content')
})

/** One random call on the mapping and on a Buffer that should have the same bytes. */
function step(t: ExecutionContext, random: Random, mapping: Mapping, model: Buffer): void {
  const start = random.below(model.length + 1)
  const end = start + random.below(model.length - start + 1)
  const short = Math.min(end - start, random.below(20))
  const kinds = [
    'read',
    'readInto',
    'write',
    'writeText',
    'writeTyped',
    'fillByte',
    'fillText',
    'fillBytes',
    'copy',
  ] as const
  const kind = random.of(kinds)
  switch (kind) {
    case 'read':
      return void t.deepEqual(mapping.read(start, end - start), model.subarray(start, end))
    case 'readInto': {
      const Class = random.of(typedArrays)
      const length = Math.floor(short / Class.BYTES_PER_ELEMENT)
      const target = mapping.read(start, new Class(new ArrayBuffer(256), 16, length))
      return void t.deepEqual(bytesOf(target), model.subarray(start, start + target.byteLength))
    }
    case 'write': {
      const data = random.bytes(short)
      t.is(mapping.write(data, start), data.copy(model, start))
      break
    }
    case 'writeText': {
      const text = random.of(['', 'a', 'é', '€', '😀', 'text']).repeat(short)
      if (Buffer.byteLength(text) > model.length - start) break
      t.is(mapping.write(text, start), model.write(text, start))
      break
    }
    case 'writeTyped': {
      const Class = random.of(typedArrays)
      const data = new Class(
        new Uint8Array(random.bytes(256)).buffer,
        8,
        Math.floor(short / Class.BYTES_PER_ELEMENT),
      )
      t.is(mapping.write(data, start), bytesOf(data).copy(model, start))
      break
    }
    case 'fillByte': {
      const byte = random.below(2048) - 1024
      mapping.fill(byte, start, end)
      model.fill(byte, start, end)
      break
    }
    case 'fillText': {
      const text = random.of(['', 'a', 'é', '€uro', '😀'])
      mapping.fill(text, start, end)
      model.fill(text, start, end)
      break
    }
    case 'fillBytes': {
      const bytes = random.bytes(1 + random.below(5000))
      mapping.fill(bytes, start, end)
      model.fill(bytes, start, end)
      break
    }
    case 'copy': {
      const target = random.below(model.length + 1)
      mapping.copyWithin(target, start, end)
      model.copyWithin(target, start, end)
    }
  }
  if (!mapping.read(0, model.length).equals(model)) t.fail(`${kind}, ${start} to ${end}: not as the Buffer`)
}

for (const seed of [1, 2, 3]) {
  test(`on memory, a random series of calls does what it does on a Buffer (seed ${seed})`, (t) => {
    const random = new Random(seed)
    const model = Buffer.alloc(1 + random.below(20_000))
    const mapping = Mapping.anonymous(model.length)
    for (let count = 0; count < 1000; count++) step(t, random, mapping, model)
    t.deepEqual(mapping.bytes, model)
    mapping.unmap()
  })

  test(`on a file, a random series of calls does what it does on a Buffer (seed ${seed})`, (t) => {
    const random = new Random(seed)
    const content = random.bytes(20_000)
    const offset = random.below(9000)
    const model = Buffer.from(content.subarray(offset, offset + 10_001))
    const path = scratchFile(t, content)
    const mapping = Mapping.open(path, { access: 'write', offset, length: model.length })
    for (let count = 0; count < 1000; count++) step(t, random, mapping, model)
    t.deepEqual(mapping.bytes, model)
    mapping.unmap()
    model.copy(content, offset)
    t.deepEqual(contentOf(path), content)
  })
}

// ---- flush() -----------------------------------------------------------------------------------------------------

test('flush() and flushSync() write the whole mapping, or a range of any bytes', async (t) => {
  const content = patternOf(20_000)
  const mapping = writable(t, content, 3)
  const ranges: [(number | bigint)?, (number | bigint)?][] = [
    [],
    [0],
    [1],
    [4095, 4097],
    [5n, 6n],
    [19_997],
    [0, 0],
  ]
  for (const range of ranges) {
    mapping.fill(ranges.indexOf(range) + 1, 0, 10_000)
    content.fill(ranges.indexOf(range) + 1, 3, 10_003)
    t.is(await mapping.flush(...range), undefined)
    t.is(mapping.flushSync(...range), undefined)
    t.deepEqual(contentOf(mapping.path), content)
  }
})

test('flush() takes its options in the first place, too', async (t) => {
  const mapping = writable(t, 'content')
  const { signal } = new AbortController()
  t.is(await mapping.flush({ signal }), undefined)
  t.is(await mapping.flush(undefined, undefined, { signal }), undefined)
  t.is(await mapping.flush(0, 3, {}), undefined)
})

test("there is nothing to flush with access 'read' and 'copy', in memory, and in an empty mapping", async (t) => {
  const path = scratchFile(t, 'content')
  for (const mapping of [
    Mapping.open(path),
    Mapping.open(path, { access: 'copy' }),
    Mapping.anonymous(10_000),
    Mapping.anonymous(0),
    Mapping.open(path, { access: 'write', offset: 7 }),
  ]) {
    if (mapping.access === 'copy') mapping.write('CON')
    t.is(await mapping.flush(), undefined)
    t.is(mapping.flushSync(), undefined)
    mapping.unmap()
  }
  t.is(fs.readFileSync(path, 'utf8'), 'content')
})

test('flush() with a signal that is already aborted rejects with an AbortError', async (t) => {
  const mapping = writable(t, 'content')
  const reason = new Error('the reason')
  for (const call of [
    mapping.flush({ signal: AbortSignal.abort(reason) }),
    mapping.flush(0, 0, { signal: AbortSignal.abort(reason) }),
  ]) {
    const error = await t.throwsAsync(call, { name: 'AbortError', code: 'ABORT_ERR' })
    t.is(error.cause, reason)
  }
})

test('flush() that is aborted midway rejects with an AbortError, and the mapping goes on', async (t) => {
  const mapping = Mapping.open(sparseFile(t, 200 * MiB), { access: 'write' })
  mapping.write('start')
  mapping.write('end', 200 * MiB - 3)
  const controller = new AbortController()
  const flush = mapping.flush({ signal: controller.signal })
  controller.abort(new Error('the reason'))
  const error = await t.throwsAsync(flush, { name: 'AbortError', code: 'ABORT_ERR' })
  t.is((error.cause as Error).message, 'the reason')
  t.is(await mapping.flush(), undefined)
  mapping.unmap()
})

test('many flushes can run at once', async (t) => {
  const content = patternOf(100_000)
  const mapping = writable(t, Buffer.alloc(100_000), 1)
  const flushes = Array.from({ length: 100 }, (_, index) => {
    const position = index * 999
    mapping.write(content.subarray(position + 1, position + 1000), position)
    return index % 2 === 0 ? mapping.flush(position, 999) : mapping.flush()
  })
  t.deepEqual(await Promise.all(flushes), Array.from({ length: 100 }))
  const expected = Buffer.alloc(100_000)
  content.copy(expected, 1, 1, 1 + 100 * 999)
  t.deepEqual(contentOf(mapping.path), expected)
})

test('unmap() during a flush makes it resolve, or reject with ERR_MAPPING_CLOSED', async (t) => {
  const path = sparseFile(t, 100 * MiB)
  const script = `
    const { Mapping } = require('mmap-native')
    const outcomes = { fulfilled: 0, ERR_MAPPING_CLOSED: 0, other: [] }
    const run = async () => {
      for (let round = 0; round < 20; round++) {
        const mapping = Mapping.open(process.argv.at(-1), { access: 'write' })
        for (let position = 0; position < 4 << 20; position += 4096) mapping.bytes[position] = round
        const ended = Promise.allSettled([
          ...Array.from({ length: 8 }, () => mapping.flush(0, 4 << 20)), // one piece
          ...Array.from({ length: 2 }, () => mapping.flush()), // two
        ])
        if (round % 2 === 1) await new Promise(setImmediate)
        mapping.unmap()
        for (const { status, reason } of await ended) {
          if (status === 'fulfilled') outcomes.fulfilled++
          else if (reason.code === 'ERR_MAPPING_CLOSED') outcomes.ERR_MAPPING_CLOSED++
          else outcomes.other.push(reason.message)
        }
      }
      console.log(JSON.stringify(outcomes))
    }
    run()`
  const { code, signal, stdout, stderr } = await runScript(script, { args: [path] })
  t.is(signal, null, stderr)
  t.is(code, 0, stderr)
  const outcomes = JSON.parse(stdout) as { fulfilled: number; ERR_MAPPING_CLOSED: number; other: string[] }
  t.deepEqual(outcomes.other, [])
  t.is(outcomes.fulfilled + outcomes.ERR_MAPPING_CLOSED, 200)
  t.true(outcomes.ERR_MAPPING_CLOSED > 0)
  const seen = fs.readFileSync(path)
  t.is(seen[(4 << 20) - 4096], 19)
})

// ---- The end -----------------------------------------------------------------------------------------------------

test('unmap() closes the mapping; a second call does nothing', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path, { access: 'write', offset: 3 })
  t.not(mapping.address, 0n)
  mapping.write('TENT')
  t.is(mapping.unmap(), undefined)
  t.true(mapping.closed)
  t.is(mapping.unmap(), undefined)
  mapping[Symbol.dispose]()
  t.true(mapping.closed)
  t.is(mapping.address, 0n)
  t.is(mapping.length, 4)
  t.is(mapping.offset, 3)
  t.is(mapping.access, 'write')
  t.is(mapping.path, path)
  t.is(fs.readFileSync(path, 'utf8'), 'conTENT')
})

test('a `using` block unmaps at its end, however it ends', (t) => {
  const path = scratchFile(t, 'content')
  const seen: Mapping[] = []
  {
    using mapping = Mapping.open(path)
    seen.push(mapping)
    t.false(mapping.closed)
  }
  t.throws(
    () => {
      using mapping = Mapping.anonymous(1)
      seen.push(mapping)
      throw new Error('out of here')
    },
    { message: 'out of here' },
  )
  t.deepEqual(
    seen.map(({ closed }) => closed),
    [true, true],
  )
})

test('util.inspect() shows path, offset, length, access and whether the mapping is closed', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path, { access: 'copy', offset: 2, length: 4 })
  const shown = (closed: boolean) =>
    `Mapping { path: '${path}', offset: 2, length: 4, access: 'copy', closed: ${closed} }`
  t.is(inspect(mapping, { breakLength: Infinity }), shown(false))
  mapping.unmap()
  t.is(inspect(mapping, { breakLength: Infinity }), shown(true))
  t.is(inspect({ mapping }, { breakLength: Infinity }), `{ mapping: ${shown(true)} }`)
  const memory = Mapping.anonymous(5)
  t.is(
    inspect(memory, { breakLength: Infinity }),
    "Mapping { path: undefined, offset: 0, length: 5, access: 'write', closed: false }",
  )
  memory.unmap()
})

test('the constructor is illegal', (t) => {
  const Illegal = Mapping as unknown as new (...args: unknown[]) => Mapping
  class Derived extends Illegal {}
  for (const make of [
    () => new Illegal(),
    () => new Illegal('file'),
    () => new Illegal(Symbol('parts'), {}),
    () => new Derived(),
    () => Reflect.construct(Illegal, [], Object) as unknown,
  ]) {
    t.throws(make, { instanceOf: TypeError, code: 'ERR_ILLEGAL_CONSTRUCTOR', message: /Mapping\.open/ })
  }
})

test('the properties of a mapping are of that mapping only', (t) => {
  const one = writable(t, 'one')
  const other = writable(t, 'other')
  one.write('ONE')
  t.is(other.bytes.toString(), 'other')
  one.unmap()
  t.is(other.bytes.toString(), 'other')
  t.false(other.closed)
})

// ---- Beyond 4 GiB ------------------------------------------------------------------------------------------------

test('read(), write(), fill(), copyWithin() and flush() reach the last byte of a file of 6 GiB', async (t) => {
  const size = 6 * GiB
  const path = sparseFile(t, size)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, '0123456789', size - 10)
  const seen = () => {
    const bytes = Buffer.alloc(10)
    fs.readSync(fd, bytes, 0, 10, size - 10)
    return bytes.toString('latin1')
  }
  const mapping = Mapping.open(path, { access: 'write' })
  t.is(mapping.length, size)
  t.is(mapping.read(size - 10, 10).toString(), '0123456789')
  t.is(mapping.read(BigInt(size - 1), Buffer.alloc(1)).toString(), '9')
  mapping.write('end', size - 3)
  t.is(seen(), '0123456end')
  mapping.fill('.', size - 5, size - 3)
  t.is(seen(), '01234..end')
  mapping.copyWithin(size - 10, size - 3)
  t.is(seen(), 'end34..end')
  mapping.copyWithin(5, size - 3, size)
  t.is(mapping.read(0, 10).toString(), '\0\0\0\0\0end\0\0')
  t.is(await mapping.flush(size - 4097), undefined)
  mapping.flushSync(size - 10, 10)
  t.throws(() => mapping.read(size, 1), { code: 'ERR_OUT_OF_RANGE' })
  t.throws(() => mapping.write('no', size - 1), { code: 'ERR_OUT_OF_RANGE' })
  mapping.unmap()
  fs.closeSync(fd)
})

test('view() reaches the last byte of a file of 6 GiB, in every runtime', (t) => {
  const size = 6 * GiB
  const path = sparseFile(t, size)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, '0123456789', size - 10)
  for (const offset of [0, 3]) {
    const mapping = Mapping.open(path, { access: 'write', offset })
    const end = size - offset
    t.is(mapping.view(Buffer, end - 10).toString(), '0123456789')
    t.deepEqual(mapping.view(Uint8Array, end - 1), Uint8Array.of(0x39))
    t.is(mapping.view(DataView, end - 10).getUint16(0), 0x3031)
    t.is(mapping.view(Float64Array, end - 8, 1)[0], Buffer.from('23456789').readDoubleLE())
    t.is(mapping.view(Uint8Array, end).length, 0)
    t.is(mapping.view(Uint8Array, 5 * GiB, 1000).length, 1000)
    const ends = mapping.view(Uint8Array, end - 10)
    ends[0] = 0x2e
    const byte = Buffer.alloc(1)
    fs.readSync(fd, byte, 0, 1, size - 10)
    t.is(byte.toString(), '.')
    ends[0] = 0x30
    t.throws(() => mapping.view(Float64Array, end - 9), {
      code: 'ERR_OUT_OF_RANGE',
      message: /multiple of 8/,
    })
    mapping.unmap()
  }
  fs.closeSync(fd)
})

test('a view of 6 GiB is whole, or too large with advice', (t) => {
  const size = 6 * GiB
  const path = sparseFile(t, size)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, 'end', size - 3)
  fs.closeSync(fd)
  const mapping = Mapping.open(path)
  if (constants.MAX_LENGTH >= size) {
    t.is(mapping.buffer.byteLength, size)
    t.is(mapping.bytes.length, size)
    t.is(mapping.bytes.toString('latin1', size - 3), 'end')
    t.is(mapping.dataView.getUint8(size - 3), 0x65)
    t.is(mapping.view(Uint8Array)[size - 2], 0x6e)
  } else {
    for (const work of [
      () => mapping.buffer,
      () => mapping.bytes,
      () => mapping.dataView,
      () => mapping.view(Uint8Array),
    ]) {
      t.throws(work, {
        instanceOf: RangeError,
        code: 'ERR_BUFFER_TOO_LARGE',
        message: new RegExp(`${size} bytes.*${constants.MAX_LENGTH}.*view\\(.*read\\(`),
      })
    }
  }
  mapping.unmap()
})

/** Makes the largest view one of 1000 bytes: the runtimes differ in it. */
const smallViews = `
    const buffer = require('node:buffer')
    const Module = require('node:module')
    const load = Module._load
    const small = { ...buffer, constants: { ...buffer.constants, MAX_LENGTH: 1000 } }
    Module._load = (name, ...rest) => (name === 'node:buffer' ? small : load(name, ...rest))
    const { Mapping } = require('mmap-native')`

test('in a runtime with small views, each part of a mapping has one of its own', async (t) => {
  const script = `${smallViews}
    const assert = require('node:assert')
    const content = require('node:fs').readFileSync(process.argv.at(-1))
    const tooLarge = { name: 'RangeError', code: 'ERR_BUFFER_TOO_LARGE', message: /view\\(.*read\\(/ }
    for (const views of ['auto', 'detachable'])
      for (const offset of [0, 1, 4099]) {
        const mapping = Mapping.open(process.argv.at(-1), { offset, views, access: 'copy' })
        const model = Buffer.from(content.subarray(offset))
        for (const work of ['buffer', 'bytes', 'dataView']) assert.throws(() => mapping[work], tooLarge)
        assert.throws(() => mapping.view(Uint8Array), tooLarge)
        assert.throws(() => mapping.view(Uint8Array, 0, 1001), tooLarge)
        const views_ = []
        for (let start = 0; start + 900 < mapping.length; start += 451) {
          const view = mapping.view(Buffer, start, 900)
          assert.deepEqual(view, model.subarray(start, start + 900))
          views_.push(view)
          view[0] ^= 1
          model[start] ^= 1
          assert.equal(mapping.view(DataView, start, 1).getUint8(0), model[start])
          const aligned = start + 7 - (offset + start + 7) % 8
          if (aligned < 0) continue
          const doubles = mapping.view(Float64Array, aligned, 100)
          assert.deepEqual(Buffer.from(doubles.buffer, doubles.byteOffset, 800), model.subarray(aligned, aligned + 800))
        }
        assert.deepEqual(mapping.read(0, mapping.length), model)
        assert.equal(mapping.view(Uint8Array, 3, 0).length, 0)
        assert.equal(mapping.view(Uint8Array, mapping.length).length, 0)
        mapping.unmap()
        for (const view of views_) assert.ok(view.length === 0 || view.every((byte) => byte === 0))
        if (views === 'detachable') assert.ok(views_.every((view) => view.length === 0))
        for (const length of [999, 1000]) {
          const whole = Mapping.open(process.argv.at(-1), { offset: 8, length, views })
          assert.deepEqual(whole.bytes, content.subarray(8, 8 + length))
          whole.unmap()
        }
      }
    console.log('as it should be')`
  const { code, signal, stdout, stderr } = await runScript(script, {
    args: [scratchFile(t, patternOf(9000))],
  })
  t.is(stdout, 'as it should be\n', stderr)
  t.is(code, 0)
  t.is(signal, null)
})

test('in a runtime with small views, a mapping does not remember views that are gone', async (t) => {
  const script = `${smallViews}
    const mapping = Mapping.anonymous(100_000, { views: 'detachable' })
    const kept = mapping.view(Buffer, 5, 5)
    const heap = []
    const round = () => {
      for (let count = 0; count < 2000; count++) mapping.view(Uint8Array, count, 8)
      setImmediate(() => {
        gc()
        heap.push(process.memoryUsage().heapUsed)
        if (heap.length < 40) return round()
        console.log(heap[39] - heap[9] < 1.5 * 1024 * 1024 ? 'does not grow' : 'grows: ' + heap)
        mapping.unmap()
        console.log(kept.length + ' bytes')
      })
    }
    round()`
  const { code, signal, stdout, stderr } = await runScript(script, { nodeArgs: ['--expose-gc'] })
  t.is(stdout, 'does not grow\n0 bytes\n', stderr)
  t.is(code, 0)
  t.is(signal, null)
})
