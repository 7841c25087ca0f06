/** `Mapping` on real files. */
import * as assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Mapping, pageSize } from 'mmap-native'
import { folder, newFile, pattern, patternAt, sparseFile } from './support/files'
import { check } from './support/harness'
import { noShared } from './support/kinds'
import { errnoOf, littleEndian, noHugeFiles } from './support/platform'

const SIZE = 2 * pageSize + 300
const contents = pattern(SIZE)

check('a file is named by path, URL, Buffer, descriptor or FileHandle', async () => {
  const path = newFile(contents)
  const fd = openSync(path, 'r')
  const handle = await open(path)
  for (const file of [path, pathToFileURL(path), Buffer.from(path), fd, handle]) {
    using mapping = Mapping.open(file)
    assert.equal(mapping.length, SIZE)
    assert.ok(mapping.bytes.equals(contents))
  }
  closeSync(fd)
  await handle.close()
})

check("access 'read' reads, and refuses to write", () => {
  using mapping = Mapping.open(newFile(contents))
  assert.equal(mapping.access, 'read')
  assert.throws(() => mapping.write('x', 0), { code: 'EACCES', syscall: 'write' })
  assert.throws(() => mapping.fill(0), { code: 'EACCES' })
  assert.throws(() => mapping.copyWithin(0, 1), { code: 'EACCES' })
})

check("access 'write' changes the file, through methods and views", async () => {
  const path = newFile(contents)
  using mapping = Mapping.open(path, { access: 'write' })
  assert.equal(mapping.write('hello', 7), 5)
  mapping.fill(0xee, 100, 110)
  mapping.copyWithin(200, 7, 12)
  mapping.bytes[300] = 1
  mapping.dataView.setUint32(304, 0x0a0b0c0d)
  mapping.view(Uint16Array, 400)[0] = 0x4141
  await mapping.flush()
  mapping.flushSync()
  const file = readFileSync(path)
  assert.equal(file.toString('latin1', 7, 12), 'hello')
  assert.ok(file.subarray(100, 110).equals(Buffer.alloc(10, 0xee)))
  assert.equal(file.toString('latin1', 200, 205), 'hello')
  assert.equal(file[300], 1)
  assert.equal(file.readUInt32BE(304), 0x0a0b0c0d)
  assert.equal(file.toString('latin1', 400, 402), 'AA')
})

check('read(), write() and fill() allow for bytes of the mapping itself, in either direction', () => {
  const length = SIZE - 100
  for (const [from, to] of [
    [0, 1],
    [1, 0],
    [0, 64],
    [64, 0],
  ] as const) {
    const expected = Buffer.from(contents)
    expected.copyWithin(to, from, from + length)
    using target = Mapping.open(newFile(contents), { access: 'write' })
    target.read(from, target.bytes.subarray(to, to + length))
    assert.ok(target.bytes.equals(expected), `read() from ${from} to ${to}`)
    using source = Mapping.open(newFile(contents), { access: 'write' })
    source.write(source.bytes.subarray(from, from + length), to)
    assert.ok(source.bytes.equals(expected), `write() from ${from} to ${to}`)
    using filled = Mapping.open(newFile(contents), { access: 'write' })
    filled.fill(filled.bytes.subarray(from, from + length), to, to + length)
    assert.ok(filled.bytes.equals(expected), `fill() from ${from} to ${to}`)
  }
})

check("access 'copy' keeps what is written to itself", () => {
  const path = newFile(contents)
  using mapping = Mapping.open(path, { access: 'copy' })
  mapping.fill(0)
  mapping.bytes[1] = 9
  assert.deepEqual([...mapping.read(0, 3)], [0, 9, 0])
  assert.ok(readFileSync(path).equals(contents))
})

check('what others write to the file shows', () => {
  const path = newFile(contents)
  using mapping = Mapping.open(path)
  const { bytes } = mapping
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.from('new'), 0, 3, 50)
  closeSync(fd)
  assert.equal(bytes.toString('latin1', 50, 53), 'new')
})

const doubleAt = (offset: number): number =>
  littleEndian ? contents.readDoubleLE(offset) : contents.readDoubleBE(offset)

check('a mapping starts at any offset, and views of it are aligned', () => {
  const path = newFile(contents)
  for (const offset of [0, 1, 7, 8, pageSize - 1, pageSize, pageSize + 9]) {
    using mapping = Mapping.open(path, { offset, length: 64 })
    assert.deepEqual([mapping.offset, mapping.length], [offset, 64])
    assert.ok(mapping.bytes.equals(contents.subarray(offset, offset + 64)))
    assert.equal(mapping.dataView.getUint8(0), patternAt(offset))
    const first = (8 - (offset % 8)) % 8
    assert.equal(mapping.view(Float64Array, first, 1)[0], doubleAt(offset + first))
    if (offset % 8 > 0) assert.throws(() => mapping.view(Float64Array), { code: 'ERR_OUT_OF_RANGE' })
  }
})

check('views share the memory, copies do not', () => {
  using mapping = Mapping.open(newFile(contents), { access: 'write' })
  const copy = mapping.read(0, 4)
  const target = new Uint8Array(4)
  assert.equal(mapping.read(4, target), target)
  mapping.bytes.fill(0, 0, 8)
  assert.ok(copy.equals(contents.subarray(0, 4)))
  assert.ok(Buffer.from(target).equals(contents.subarray(4, 8)))
  assert.equal(mapping.view(Buffer, 0, 8).readBigUInt64LE(), 0n)
  assert.equal(mapping.bytes, mapping.bytes)
  assert.equal(mapping.buffer, mapping.buffer)
})

check('a file is made, and grows, where that is asked for', () => {
  const path = join(folder, 'made.bin')
  const options = { access: 'write', create: 'exclusive', length: 5000 } as const
  Mapping.open(path, options).unmap()
  assert.equal(statSync(path).size, 5000)
  assert.throws(() => Mapping.open(path, options), { code: 'EEXIST', syscall: 'open', path })
  Mapping.open(path, { access: 'write', grow: true, length: 9000 }).unmap()
  assert.equal(statSync(path).size, 9000)
})

check('an empty file is an empty mapping', () => {
  const path = newFile('')
  for (const views of ['auto', 'detachable'] as const) {
    const mapping = Mapping.open(path, { views })
    assert.deepEqual([mapping.length, mapping.bytes.length, mapping.view(DataView).byteLength], [0, 0, 0])
    mapping.unmap()
    assert.throws(() => mapping.bytes, { code: 'ERR_MAPPING_CLOSED' })
  }
})

check('memory is zeroed and writable', () => {
  using mapping = Mapping.anonymous(SIZE)
  assert.ok(mapping.bytes.equals(Buffer.alloc(SIZE)))
  mapping.fill('ab', 1, 6)
  assert.equal(mapping.bytes.toString('latin1', 0, 7), '\0ababa\0')
})

check('system errors have code, errno, syscall and path', () => {
  const path = join(folder, 'no such file')
  const fields = { code: 'ENOENT', errno: errnoOf('ENOENT'), syscall: 'open', path }
  assert.throws(() => Mapping.open(path), {
    ...fields,
    message: `ENOENT: no such file or directory, open '${path}'`,
  })
  assert.throws(() => Mapping.open(folder), { code: 'EISDIR', errno: errnoOf('EISDIR') })
  assert.throws(() => Mapping.open(99_999), { code: 'EBADF' })
})

check('bad arguments and ranges have their codes', () => {
  const path = newFile(contents)
  assert.throws(() => Mapping.open(path, { offset: SIZE + 1 }), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => Mapping.open(path, { length: SIZE + 1 }), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => Mapping.open(path, { lenght: 1 } as object), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.throws(() => Mapping.open({} as string), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  using mapping = Mapping.open(path)
  for (const position of [-1, 0.5, Number.NaN, SIZE + 1, 2 ** 32 + 4096, 2 ** 53, Infinity]) {
    const outOfRange = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }
    assert.throws(() => mapping.read(position, 1), outOfRange)
    assert.throws(() => mapping.view(Uint8Array, position), outOfRange)
  }
  assert.throws(() => mapping.read(SIZE, 1), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => mapping.view(Array as never), { code: 'ERR_INVALID_ARG_TYPE' })
})

check('after the end of a using block everything is ERR_MAPPING_CLOSED', async () => {
  let mapping: Mapping
  {
    using scoped = Mapping.open(newFile(contents), { access: 'write' })
    mapping = scoped
    assert.ok(!mapping.closed && mapping.address > 0n)
  }
  assert.ok(mapping.closed)
  assert.equal(mapping.address, 0n)
  const closed = { code: 'ERR_MAPPING_CLOSED' }
  const uses = [
    () => mapping.bytes,
    () => mapping.buffer,
    () => mapping.dataView,
    () => mapping.view(Uint8Array),
    () => mapping.read(0, 1),
    () => mapping.write('x', 0),
    () => mapping.fill(0),
    () => mapping.copyWithin(0, 1),
    () => mapping.flushSync(),
  ]
  for (const use of uses) assert.throws(use, closed)
  await assert.rejects(mapping.flush(), closed)
  mapping.unmap()
})

check("views: 'detachable' are ArrayBuffers, of length 0 after unmap()", () => {
  const mapping = Mapping.open(newFile(contents), { views: 'detachable' })
  const { buffer, bytes } = mapping
  assert.ok(buffer instanceof ArrayBuffer)
  assert.ok(bytes.equals(contents))
  mapping.unmap()
  assert.deepEqual([buffer.byteLength, bytes.length], [0, 0])
})

check(
  "views: 'shared' are SharedArrayBuffers, of zeros after unmap()",
  () => {
    const mapping = Mapping.open(newFile(contents), { views: 'shared' })
    const { buffer, bytes } = mapping
    assert.ok(buffer instanceof SharedArrayBuffer)
    assert.ok(bytes.equals(contents))
    mapping.unmap()
    assert.equal(buffer.byteLength, bytes.length)
    assert.ok(bytes.equals(Buffer.alloc(SIZE)))
  },
  noShared,
)

check(
  "views: 'shared' are refused where the runtime has none",
  () => {
    const unavailable = { name: 'TypeError', code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' }
    assert.throws(() => Mapping.open(newFile(contents), { views: 'shared' }), unavailable)
    assert.throws(() => Mapping.anonymous(1, { views: 'shared' }), unavailable)
  },
  noShared === undefined ? 'this runtime has them' : undefined,
)

check("views: 'auto' are shared where that can be", () => {
  using mapping = Mapping.open(newFile(contents))
  assert.equal(mapping.buffer instanceof SharedArrayBuffer, noShared === undefined)
})

check(
  'a file of 5 GiB is read and written at any place',
  () => {
    const length = 5 * 2 ** 30
    const path = sparseFile(length, 'start')
    using mapping = Mapping.open(path, { access: 'write' })
    assert.equal(mapping.length, length)
    const places = [0, 2 ** 31 - 3, 2 ** 32 - 3, 2 ** 32 + 5, length - 6]
    for (const place of places) mapping.write(Buffer.from('middle'), place)
    mapping.view(Uint8Array, length - 1, 1)[0] = 33
    mapping.view(Float64Array, 2 ** 32 + 64, 1)[0] = 1.5
    assert.equal(mapping.view(DataView, 2 ** 32 + 60, 16).getFloat64(4, littleEndian), 1.5)

    const fd = openSync(path, 'r')
    for (const place of places) {
      const text = place === length - 6 ? 'middl!' : 'middle'
      const found = Buffer.alloc(6)
      readSync(fd, found, 0, 6, place)
      assert.equal(found.toString(), text)
      assert.equal(mapping.read(place, 6).toString(), text)
      assert.equal(mapping.view(Buffer, place, 6).toString(), text)
    }
    closeSync(fd)

    let bytes: Buffer | undefined
    try {
      bytes = mapping.bytes
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ERR_BUFFER_TOO_LARGE')
    }
    if (bytes !== undefined) assert.equal(bytes[length - 1], 33)

    // Parts of such a mapping go with it, too.
    const part = mapping.view(Uint8Array, 0, 6)
    mapping.unmap()
    assert.ok(part.length === 0 || part[0] === 0)
  },
  noHugeFiles,
)
