/** What a mapping tells the kernel of its pages, and asks it; chunks, and views of every kind of number. */
import * as assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Mapping, type ViewConstructor, pageSize } from 'mmap-native'
import { newFile, pattern } from './support/files'
import { check } from './support/harness'
import { littleEndian, noAccount, noAdvice } from './support/platform'

const SIZE = 5 * pageSize + 300
const contents = pattern(SIZE)
const linux = process.platform === 'linux' ? undefined : 'only Linux has it'

const Float16 = (globalThis as { Float16Array?: ViewConstructor<NodeJS.TypedArray> }).Float16Array
const noFloat16 = Float16 === undefined ? 'this runtime has no Float16Array' : undefined

check(
  'view() takes Float16Array where there is one',
  () => {
    assert.ok(Float16)
    using mapping = Mapping.anonymous(100)
    const halves = mapping.view(Float16, 2, 3)
    halves[0] = 1.5
    halves[2] = -2
    assert.equal(halves.length, 3)
    assert.equal(halves.byteOffset % 2, 0)
    const { dataView } = mapping
    assert.equal(dataView.getUint16(2, littleEndian), 0x3e00)
    assert.equal(dataView.getUint16(6, littleEndian), 0xc000)
    assert.equal(mapping.view(Float16).length, 50)
    assert.throws(() => mapping.view(Float16, 1), { code: 'ERR_OUT_OF_RANGE' })
    assert.throws(() => mapping.view(Float16, 0, 51), { code: 'ERR_OUT_OF_RANGE' })
  },
  noFloat16,
)

check('a mapping is iterated over in chunks', () => {
  using mapping = Mapping.open(newFile(contents), { offset: 3 })
  assert.deepEqual(Buffer.concat([...mapping]), contents.subarray(3))
  assert.deepEqual(
    Buffer.concat([...mapping.chunks({ start: 7, end: 5000, size: 1000 })]),
    contents.subarray(10, 5003),
  )
})

check(
  'advice is given, or refused, by name',
  () => {
    using mapping = Mapping.open(newFile(contents), { access: 'copy' })
    assert.equal(mapping.advise('random', pageSize - 1, 2), 2 * pageSize)
    mapping.write('mine')
    assert.throws(() => mapping.advise('dontneed'), { code: 'EPERM' })
    assert.equal(mapping.read(0, 4).toString(), 'mine')
    assert.ok(Mapping.supports('willneed'))
    assert.throws(() => Mapping.supports('wilneed' as 'willneed'), { code: 'ERR_INVALID_ARG_VALUE' })
  },
  noAdvice,
)

check('residency() counts pages, and lock() and unlock() keep them and let go', async () => {
  using mapping = Mapping.open(newFile(contents))
  await mapping.prefetch()
  const found = await mapping.residency()
  assert.equal(found.pages, 6)
  assert.equal(found.residentBytes, SIZE)
  assert.deepEqual(found.ranges, [{ offset: 0, length: SIZE }])
  assert.deepEqual([...found.bitmap], [0b111111])
  await mapping.lock(0, pageSize)
  mapping.unlock()
})

check(
  'evict() loses nothing, and stat() tells what is there',
  async () => {
    const path = newFile(contents)
    using mapping = Mapping.open(path, { access: 'write' })
    mapping.fill(5, 0, 100)
    assert.ok(((await mapping.stat()).dirtyBytes ?? 0) >= pageSize)
    assert.ok(((await mapping.evict({ pageCache: true })).fromProcess ?? 0) >= pageSize)
    assert.equal(mapping.statSync().residentBytes, 0)
    assert.deepEqual(mapping.read(0, SIZE), readFileSync(path))
    assert.equal(mapping.count(5, 0, 100), 100)
    for (const mode of ['async', 'sync', 'invalidate'] as const) await mapping.flush({ mode })
  },
  linux ?? noAccount,
)
