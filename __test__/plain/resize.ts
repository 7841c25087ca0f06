/** `resize()` and `protect()`: views before and after, in every runtime. */
import * as assert from 'node:assert/strict'
import { once } from 'node:events'
import { appendFileSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { isMainThread, parentPort, workerData, Worker } from 'node:worker_threads'
import { Mapping, pageSize, type MappingToken } from 'mmap-native'
import { inChild } from './support/child'
import { newFile, pattern } from './support/files'
import { check } from './support/harness'
import { kinds } from './support/kinds'
import { littleEndian, movesFiles, noTruncation } from './support/platform'

const SIZE = 2 * pageSize + 300
const ROOM = 64 * pageSize
const contents = pattern(SIZE)
/** What the main thread tells a worker in the second byte. */
const GROWN = 1
const SHRUNK = 2
const quiet = { onFault: () => {} }
/** What keeps a mapping of a file where it is. */
const inPlace = movesFiles ? { maxLength: ROOM } : {}

for (const { views, skip } of kinds) {
  check(
    `${views}: a file grows in place; views of before see the same memory, those of after are longer`,
    () => {
      const path = newFile(contents)
      using mapping = Mapping.open(path, { access: 'write', maxLength: ROOM, views })
      const { address, bytes: old } = mapping
      assert.equal(mapping.resize(ROOM), ROOM)
      assert.equal(mapping.address, address)
      assert.equal(statSync(path).size, ROOM)
      const { bytes, buffer, dataView } = mapping
      assert.deepEqual([old.length, bytes.length, dataView.byteLength], [SIZE, ROOM, ROOM])
      assert.equal(buffer.byteLength, ROOM)
      assert.equal(mapping.bytes, bytes)
      bytes[3] = 200
      old[4] = 201
      assert.deepEqual([old[3], bytes[4]], [200, 201])
      mapping.view(Uint32Array, ROOM - 8)[1] = littleEndian ? 0x64636261 : 0x61626364
      assert.equal(readFileSync(path).toString('latin1', ROOM - 4), 'abcd')
    },
    skip,
  )

  check(
    `${views}: what is cut off reads zeros in older views, and is the file's again when it returns`,
    () => {
      const path = newFile(contents)
      using mapping = Mapping.open(path, { access: 'write', views, ...inPlace, ...quiet })
      const { bytes: old, address } = mapping
      mapping.resize(10)
      assert.equal(statSync(path).size, 10)
      assert.equal(mapping.bytes.length, 10)
      assert.deepEqual([old[9], old[10], old[2 * pageSize]], [contents[9], 0, 0])
      old[2 * pageSize] = 1
      assert.equal(mapping.resize(SIZE), SIZE)
      assert.equal(old[2 * pageSize], 0)
      mapping.write('back', 2 * pageSize)
      assert.equal(old.toString('latin1', 2 * pageSize, 2 * pageSize + 4), 'back')
      assert.equal(mapping.address, address)
      assert.deepEqual(
        mapping.faults.list.map(({ kind }) => kind),
        ['closed'],
      )
    },
    skip,
  )

  check(
    `${views}: a file grows and shrinks with its mapping; older views are never somebody else's memory`,
    () => {
      const path = newFile(contents)
      using mapping = Mapping.open(path, { access: 'write', offset: 100, views, ...quiet })
      const { bytes: old } = mapping
      const length = 40 * pageSize
      mapping.protect('read', 0, pageSize - 100)
      for (const next of [length, 5000, 3 * length, 0, 7, SIZE]) {
        assert.equal(mapping.resize(next), next)
        assert.equal(statSync(path).size, 100 + next)
        if (next > 0) {
          assert.equal(mapping.bytes.length, next)
          mapping.write('end', next - 3)
          assert.equal(readFileSync(path).toString('latin1', 97 + next), 'end')
        }
        if (next === length) {
          assert.ok(mapping.read(0, SIZE - 100).equals(contents.subarray(100)))
          assert.throws(() => mapping.write('x', 0), { code: 'EACCES' })
        }
        // Detached, where the runtime can do that to it.
        const seen = old[pageSize] ?? 0
        assert.ok(seen === 0 || seen === contents[100 + pageSize])
        if (movesFiles && old.length > 0) assert.ok(old.every((byte) => byte === 0))
      }
    },
    skip,
  )

  check(
    `${views}: a file that starts at any byte grows and shrinks where it is, in steps of any length`,
    () => {
      const path = newFile(contents)
      using mapping = Mapping.open(path, { access: 'write', offset: 100, maxLength: ROOM, views, ...quiet })
      const { bytes: old, address } = mapping
      for (const next of [
        SIZE,
        SIZE + 1,
        5 * pageSize,
        20 * pageSize + 1,
        ROOM,
        30 * pageSize,
        1,
        0,
        7,
        SIZE,
      ]) {
        assert.equal(mapping.resize(next), next)
        assert.equal(statSync(path).size, 100 + next)
        if (next === 0) break
        assert.equal(mapping.address, address)
        assert.equal(old[0], contents[100])
        mapping.bytes[next - 1] = 33
        assert.equal(readFileSync(path)[99 + next], 33)
        mapping.bytes[next - 1] = contents[100] as number
      }
      mapping.resize(SIZE)
      mapping.write('anew')
      assert.equal(old.toString('latin1', 0, 5), 'anew\0')
      assert.equal(mapping.faults.count, 0)
    },
    skip,
  )

  for (const room of [{}, { maxLength: ROOM }])
    check(
      `${views}: what was written to a copy stays when the file has grown, ${JSON.stringify(room)}`,
      () => {
        const path = newFile(contents)
        using mapping = Mapping.open(path, { access: 'copy', views, length: SIZE - 300, ...room, ...quiet })
        for (const at of [1, pageSize, SIZE - 301]) mapping.write('!', at)
        assert.equal(mapping.resize(), SIZE)
        for (const at of [1, pageSize, SIZE - 301]) assert.equal(mapping.read(at, 1).toString(), '!')
        assert.ok(mapping.read(2, 100).equals(contents.subarray(2, 102)))
        assert.throws(() => mapping.resize(SIZE + 1), { code: 'ERR_OUT_OF_RANGE' })
        mapping.resize(pageSize + 1)
        assert.equal(mapping.bytes[pageSize], 33)
        assert.ok(readFileSync(path).equals(contents))
      },
      skip,
    )

  check(
    `${views}: memory grows from nothing, step by step, and keeps what it has`,
    () => {
      using mapping = Mapping.anonymous(0, { views })
      const moves = new Set<bigint>()
      for (let length = 1000; length <= 1_000_000; length += 1000) {
        mapping.resize(length)
        mapping.bytes[length - 1] = (length / 1000) & 255
        moves.add(mapping.address)
      }
      for (let length = 1000; length <= 1_000_000; length += 1000)
        assert.equal(mapping.bytes[length - 1], (length / 1000) & 255)
      assert.ok(moves.size <= 12)
      assert.equal(mapping.faults.count, 0)
    },
    skip,
  )
}

check(
  'a mapping follows a file that grows, and one that is cut off',
  () => {
    const path = newFile('one\n')
    using mapping = Mapping.open(path, { maxLength: 2 ** 40 })
    appendFileSync(path, 'two\n')
    assert.equal(mapping.length, 4)
    assert.equal(mapping.resize(), 8)
    assert.deepEqual([...mapping.lines({ encoding: 'utf8' })], ['one', 'two'])
    truncateSync(path, 3)
    assert.equal(mapping.resize(), 3)
    assert.equal(mapping.bytes.toString(), 'one')
    assert.throws(() => mapping.resize(4), { code: 'ERR_OUT_OF_RANGE' })
    assert.equal(mapping.faults.count, 0)
  },
  noTruncation,
)

check('work in the thread pool goes on while a mapping is resized', async () => {
  using mapping = Mapping.open(newFile(contents), { access: 'write', maxLength: ROOM * 16, ...quiet })
  for (let round = 0; round < 20; round++) {
    mapping.resize(ROOM * 16)
    const work = [mapping.flush(), mapping.prefetch(), mapping.find('not there')]
    mapping.resize(SIZE)
    for (const result of await Promise.allSettled(work))
      if (result.status === 'rejected')
        assert.equal((result.reason as { code: string }).code, 'ERR_OUT_OF_RANGE')
  }
  assert.ok(mapping.read(0, SIZE).equals(contents))
})

check('errors name what is wrong, and change nothing', () => {
  const path = newFile(contents)
  using mapping = Mapping.open(path, { access: 'write', maxLength: ROOM })
  using memory = Mapping.anonymous(SIZE, { maxLength: ROOM })
  for (const limited of [memory, mapping])
    assert.throws(() => limited.resize(ROOM + 1), { code: 'ERR_OUT_OF_RANGE', message: /maxLength/ })
  assert.throws(() => mapping.resize('1' as unknown as number), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => mapping.resize(-1), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => mapping.protect('none', 1), { code: 'ERR_OUT_OF_RANGE' })
  assert.ok(readFileSync(path).equals(contents))
  assert.equal(mapping.length, SIZE)
  mapping.unmap()
  assert.throws(() => mapping.resize(1), { code: 'ERR_MAPPING_CLOSED' })
})

check('protect() takes rights away and gives them back', () => {
  using mapping = Mapping.open(newFile(contents), { access: 'write', ...quiet })
  mapping.protect('read', pageSize, pageSize)
  assert.throws(() => mapping.write('x', pageSize), { code: 'EACCES', message: /protect\(\)/ })
  assert.equal(mapping.write('x', 0), 1)
  mapping.protect('none', pageSize, pageSize)
  assert.throws(() => mapping.read(pageSize, 1), { code: 'EACCES' })
  assert.equal(mapping.bytes[pageSize], contents[pageSize])
  assert.deepEqual(mapping.faults.list, [{ offset: pageSize, length: pageSize, kind: 'protected' }])
  mapping.protect('write')
  assert.equal(mapping.write('x', pageSize), 1)
})

inChild(
  'compiled loops over views go on while the memory under them is cut off, comes back and goes',
  () => {
    process.on('warning', () => {})
    const mapping = Mapping.anonymous(ROOM, { maxLength: ROOM })
    mapping.fill(1)
    const { bytes } = mapping
    let sum = 0
    const add = () => {
      for (let at = 0; at < ROOM; at++) sum += bytes[at] as number
    }
    for (let round = 0; round < 50; round++) {
      add()
      mapping.resize(pageSize)
      add()
      mapping.resize(ROOM)
      mapping.fill(1)
    }
    mapping.unmap()
    add()
    console.log(sum === 50 * (ROOM + pageSize))
  },
  { prints: ['true'] },
)

for (const room of [{}, { maxLength: ROOM }])
  check(
    `a file that somebody else has mapped does not shrink, and its mapping goes on, ${JSON.stringify(room)}`,
    () => {
      const path = newFile(contents)
      using mapping = Mapping.open(path, { access: 'write', ...room, ...quiet })
      using other = Mapping.open(path)
      const { address } = mapping
      assert.throws(() => mapping.resize(10), { code: 'EBUSY' })
      assert.equal(statSync(path).size, SIZE)
      assert.ok(mapping.bytes.equals(contents))
      assert.ok(other.bytes.equals(contents))
      if (room.maxLength !== undefined) assert.equal(mapping.address, address)
      other.unmap()
      assert.equal(mapping.resize(10), 10)
      assert.equal(statSync(path).size, 10)
    },
    movesFiles ? undefined : 'elsewhere it shrinks',
  )

check('rights that protect() took stay with the pages when a file shrinks and grows', () => {
  using mapping = Mapping.open(newFile(contents), { access: 'write', maxLength: ROOM, ...quiet })
  mapping.protect('read', 0, pageSize)
  for (const length of [ROOM, pageSize + 1, SIZE]) {
    mapping.resize(length)
    assert.throws(() => mapping.write('x', 0), { code: 'EACCES' })
    assert.equal(mapping.write(contents.subarray(pageSize, pageSize + 1), pageSize), 1)
  }
  assert.ok(mapping.read(0, pageSize).equals(contents.subarray(0, pageSize)))
})

check('a write through a mapping for reading stays out of a file that has grown under it', () => {
  const path = newFile(contents)
  using mapping = Mapping.open(path, { maxLength: ROOM, ...quiet })
  appendFileSync(path, Buffer.alloc(40 * pageSize, 97))
  mapping.resize()
  const { bytes } = mapping
  for (const at of [3, 20 * pageSize, SIZE]) bytes[at] = 1
  assert.deepEqual([bytes[3], bytes[20 * pageSize], bytes[21 * pageSize]], [1, 1, 97])
  assert.ok(readFileSync(path).subarray(0, SIZE).equals(contents))
  mapping.refresh()
  assert.deepEqual([bytes[3], bytes[20 * pageSize]], [contents[3], 97])
})

check('another thread reads on while a file grows and shrinks under its view', async () => {
  using mapping = Mapping.open(newFile(contents), { access: 'write', maxLength: ROOM, ...quiet })
  mapping.write(Buffer.of(7, 0))
  const worker = new Worker(__filename, { workerData: mapping.share() })
  assert.deepEqual(await once(worker, 'message'), ['reading'])
  for (let length = SIZE; length <= ROOM; length += 999) mapping.resize(length)
  mapping.write(Buffer.of(GROWN), 1)
  assert.deepEqual(await once(worker, 'message'), [{ wrong: 0 }])
  for (let round = 0; round < 100; round++) {
    mapping.resize(SIZE)
    mapping.resize(ROOM)
  }
  mapping.write(Buffer.of(SHRUNK), 1)
  const [{ wrong }] = (await once(worker, 'message')) as [{ wrong: number }]
  // Wine maps zeros for a moment before it maps the file; Windows does not.
  if (!movesFiles) assert.equal(wrong, 0)
  assert.equal(mapping.bytes[0], 7)
  await worker.terminate()
})

if (!isMainThread) {
  const { bytes } = Mapping.attach(workerData as MappingToken)
  parentPort?.postMessage('reading')
  for (const state of [GROWN, SHRUNK]) {
    let wrong = 0
    // Atomics: a compiler may read a plain byte once for the whole loop.
    while (Atomics.load(bytes, 1) !== state) if (bytes[0] !== 7) wrong++
    parentPort?.postMessage({ wrong })
  }
}
