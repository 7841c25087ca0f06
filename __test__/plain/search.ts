/** Searching mappings, as Buffer does it. */
import * as assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { Mapping, pageSize } from 'mmap-native'
import { newFile, pattern } from './support/files'
import { check } from './support/harness'
import { noTruncation } from './support/platform'
import { kinds } from './support/kinds'

const contents = pattern(3 * pageSize + 300)

check('indexOf(), lastIndexOf(), includes() and find() agree with Buffer', async () => {
  using mapping = Mapping.open(newFile(contents), { offset: 1 })
  const model = contents.subarray(1)
  for (const [start, length] of [
    [0, 1],
    [pageSize - 3, 9],
    [pageSize, 300],
    [model.length - 2, 2],
    [5, 0],
  ] as const) {
    const needle = model.subarray(start, start + length)
    for (const from of [undefined, 0, 7, -1, -pageSize, 2 * pageSize, 1e9, -1e9]) {
      assert.equal(mapping.indexOf(needle, from), model.indexOf(needle, from))
      assert.equal(mapping.lastIndexOf(needle, from), model.lastIndexOf(needle, from))
      assert.equal(mapping.includes(needle, from), model.includes(needle, from))
      assert.equal(
        await mapping.find(needle, from === undefined ? {} : { from }),
        model.indexOf(needle, from),
      )
    }
  }
  assert.equal(mapping.indexOf(Buffer.concat([model, model])), -1)
})

for (const { views, skip } of kinds) {
  const linesAndCount = () => {
    const mapping = Mapping.open(newFile(Buffer.from('one\ntwo\r\n\nlast')), { views })
    const lines = [...mapping.lines()]
    assert.deepEqual(lines.map(String), ['one', 'two', '', 'last'])
    assert.deepEqual([...mapping.lines({ encoding: 'utf8' })], lines.map(String))
    assert.equal(mapping.count('\n'), 3)
    assert.equal(mapping.indexOf(lines[1] as Buffer), 4)
    const left = mapping.lines()
    mapping.unmap()
    assert.throws(() => left.next(), { code: 'ERR_MAPPING_CLOSED' })
    assert.ok(lines.every((line) => line.length === 0 || line[0] === 0))
  }
  check(`lines() and count() with views: '${views}'`, linesAndCount, skip)
}

check('find() goes on in slices, can be aborted, and ends with its mapping', async () => {
  const mapping = Mapping.anonymous(100 << 20)
  mapping.write('needle', (96 << 20) - 3)
  assert.deepEqual(
    await Promise.all([1, 2, 3, 4].map((from) => mapping.find('needle', { from }))),
    [1, 2, 3, 4].map(() => (96 << 20) - 3),
  )
  await assert.rejects(mapping.find('x', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  const controller = new AbortController()
  const aborted = mapping.find('x', { signal: controller.signal })
  controller.abort()
  await assert.rejects(aborted, { name: 'AbortError' })
  const closed = mapping.find('x')
  mapping.unmap()
  await assert.rejects(closed, { code: 'ERR_MAPPING_CLOSED' })
})

check(
  'a search over bytes that the file has lost throws',
  async () => {
    const path = newFile(Buffer.alloc(0))
    writeFileSync(path, Buffer.alloc(4 * pageSize, 'x'))
    using mapping = Mapping.open(path, { onFault() {} })
    truncateSync(path, pageSize)
    assert.equal(mapping.indexOf('x', 5), 5)
    assert.throws(() => mapping.indexOf('y'), { code: 'ERR_MAPPING_FAULT' })
    assert.throws(() => mapping.count('y'), { code: 'ERR_MAPPING_FAULT' })
    await assert.rejects(mapping.find('y'), { code: 'ERR_MAPPING_FAULT' })
  },
  noTruncation,
)
