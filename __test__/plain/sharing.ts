/** Shared memory, tokens for other threads, and waiting across processes, in every runtime. */
import * as assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { isMainThread, workerData, Worker } from 'node:worker_threads'
import { Mapping, pageSize, type MappingToken } from 'mmap-native'
import { inChild } from './support/child'
import { newFile, pattern } from './support/files'
import { check, chosen } from './support/harness'
import { noProc } from './support/memory'
import { namesGoByThemselves, noLastingNames, noUnlinking, noWaiting } from './support/platform'

interface Task {
  token: MappingToken
  waits: boolean
}

if (!isMainThread) {
  const { token, waits } = workerData as Task
  const mapping = Mapping.attach(token)
  mapping.write('worker', 100)
  if (waits) mapping.view(Int32Array)[1] = mapping.wait(0, 0) === 'ok' ? 1 : 2
  mapping.view(Int32Array)[2] = 1
  mapping.notify(8)
  mapping.unmap()
}

async function inWorker(mapping: Mapping, waits: boolean): Promise<void> {
  const worker = new Worker(__filename, { workerData: { token: mapping.share(), waits } })
  const failed = once(worker, 'error').then(([error]) => Promise.reject(error as Error))
  const done = (async () => {
    while (mapping.view(Int32Array)[2] !== 1) {
      if (waits) mapping.notify(0)
      await mapping.waitAsync(8, 0, { timeout: 50 })
    }
  })()
  await Promise.race([done, failed])
  await worker.terminate()
}

let names = 0

/** Shared memory with a name of its own, whose name is gone when it is unmapped. */
function newShared(length: number): { name: string; mapping: Mapping; remove: () => void } {
  const name = `/mn-plain-${process.pid}-${names++}`
  const mapping = Mapping.shared(name, length, { create: 'exclusive' })
  const remove = (): void => {
    mapping.unmap()
    if (!namesGoByThemselves) Mapping.unlinkShared(name)
  }
  return { name, mapping, remove }
}

check('shared memory by name', async () => {
  const { name, mapping: one, remove } = newShared(pageSize)
  const two = Mapping.shared(name)
  assert.deepEqual([two.length, two.path, two.access, two.offset], [pageSize, name, 'write', 0])
  one.write('seen', 50)
  two.bytes.write('back', 60)
  assert.equal(two.read(50, 4).toString(), 'seen')
  assert.equal(one.read(60, 4).toString(), 'back')
  await one.flush()
  assert.equal((await one.residency(0, 100)).pages, 1)
  const { protection, shared } = await one.stat()
  assert.deepEqual([protection, shared], [{ read: true, write: true, execute: false }, true])
  two.unmap()
  remove()
  assert.throws(() => Mapping.shared(name), { code: 'ENOENT', path: name })
})

check('shared memory that is there, that is not, and that is too short', () => {
  const { name, mapping, remove } = newShared(pageSize)
  mapping.write('here')
  const same = Mapping.shared(name, 100, { create: true })
  assert.deepEqual([same.length, same.read(0, 4).toString()], [100, 'here'])
  assert.throws(() => Mapping.shared(name, 100, { create: 'exclusive' }), { code: 'EEXIST' })
  assert.throws(() => Mapping.shared(name, pageSize + 1), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => Mapping.shared(`${name}-none`), { code: 'ENOENT' })
  assert.throws(() => Mapping.shared('a/b', 1, { create: true }), { code: 'ERR_INVALID_ARG_VALUE' })
  same.unmap()
  remove()
})

check('a write through a mapping for reading stays out of shared memory', () => {
  const { name, mapping, remove } = newShared(40 * pageSize)
  mapping.write('before', 20 * pageSize)
  const reader = Mapping.shared(name, { access: 'read', onFault: () => {} })
  assert.throws(() => reader.write('x', 0), { code: 'EACCES' })
  reader.bytes.write('mine', 20 * pageSize)
  assert.equal(reader.bytes.toString('latin1', 20 * pageSize, 20 * pageSize + 6), 'minere')
  assert.equal(mapping.read(20 * pageSize, 6).toString(), 'before')
  assert.deepEqual(
    reader.faults.list.map(({ kind }) => kind),
    ['read-only'],
  )
  mapping.write('seen', 39 * pageSize)
  assert.equal(reader.bytes.toString('latin1', 39 * pageSize, 39 * pageSize + 4), 'seen')
  reader.refresh()
  assert.equal(reader.read(20 * pageSize, 6).toString(), 'before')
  const { bytes } = reader
  reader.unmap()
  assert.equal(bytes[20 * pageSize] ?? 0, 0)
  remove()
})

const NAME = 'MMAP_NATIVE_TEST_NAME'
const theirs = isMainThread && chosen === undefined ? newShared(pageSize) : undefined
if (theirs) {
  process.env[NAME] = theirs.name
  theirs.mapping.write('hello', 4000)
}

inChild(
  'another process sees what this one writes',
  () => {
    const mapping = Mapping.shared(process.env[NAME] ?? '')
    console.log(mapping.length, mapping.read(4000, 5).toString())
    mapping.write('answer', 1)
  },
  { prints: [`${pageSize} hello`] },
)

check('this process sees what the other one wrote', () => {
  assert.equal(theirs?.mapping.read(1, 6).toString(), 'answer')
  theirs?.remove()
})

check(
  'shared memory keeps the length that it was made with, and goes with its last mapping',
  () => {
    const { name, mapping } = newShared(100)
    const lacks = { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' }
    for (const length of [0, 50, 200]) assert.throws(() => mapping.resize(length), lacks)
    assert.throws(() => Mapping.shared(name, pageSize + 1, { create: true }), lacks)
    assert.throws(() => Mapping.shared(name, 100, { create: true, maxLength: 200 }), lacks)
    assert.throws(() => Mapping.unlinkShared(name), lacks)
    assert.throws(() => Mapping.shared('folder\\name', 1, { create: true }), {
      code: 'ERR_INVALID_ARG_VALUE',
    })
    const other = Mapping.shared(`Local\\${name.slice(1)}`)
    mapping.unmap()
    assert.equal(Mapping.shared(name, { access: 'read' }).length, pageSize)
    other.unmap()
  },
  noLastingNames,
)

check(
  'the name of shared memory that was unlinked is free',
  () => {
    const { name, mapping } = newShared(6)
    mapping.write('before')
    Mapping.unlinkShared(name)
    assert.throws(() => Mapping.shared(name), { code: 'ENOENT' })
    const second = Mapping.shared(name, 6, { create: 'exclusive' })
    second.write('second')
    assert.equal(mapping.bytes.toString(), 'before')
    Mapping.unlinkShared(name)
    mapping.unmap()
    second.unmap()
  },
  noUnlinking,
)

check(
  'a file without a name, and its seals',
  () => {
    const mapping = Mapping.memfd(4096, { seal: ['shrink'] })
    const reader = Mapping.open(mapping.fd)
    mapping.write('seen')
    assert.equal(reader.read(0, 4).toString(), 'seen')
    assert.deepEqual(reader.seals, ['shrink'])
    mapping.unmap()
    reader.unmap()
  },
  noProc,
)

check(
  'a worker attaches by a token',
  async () => {
    const mapping = Mapping.open(newFile(pattern(4096).fill(0)), { access: 'write' })
    await inWorker(mapping, false)
    assert.equal(mapping.read(100, 6).toString(), 'worker')
    mapping.unmap()
  },
  noWaiting,
)

check('a token of shared memory is a second hold on it', () => {
  const { name, mapping, remove } = newShared(100)
  const same = Mapping.attach(structuredClone(mapping.share()))
  mapping.write('one')
  assert.deepEqual([same.path, same.read(0, 3).toString()], [name, 'one'])
  same.unmap()
  assert.equal(mapping.read(0, 3).toString(), 'one')
  remove()
})

check(
  'a worker waits, and this thread notifies',
  async () => {
    const mapping = Mapping.anonymous(4096)
    await inWorker(mapping, true)
    assert.equal(mapping.view(Int32Array)[1], 1)
    mapping.unmap()
  },
  noWaiting,
)

check(
  'asynchronous waits end in every way',
  async () => {
    const mapping = Mapping.anonymous(4096)
    const wait = mapping.waitAsync(0, 0)
    assert.equal(mapping.notify(0), 1)
    assert.equal(await wait, 'ok')
    assert.equal(await mapping.waitAsync(0, 1), 'not-equal')
    assert.equal(await mapping.waitAsync(0, 0, { timeout: 5 }), 'timed-out')
    const controller = new AbortController()
    const aborted = assert.rejects(mapping.waitAsync(0, 0, { signal: controller.signal }), {
      name: 'AbortError',
    })
    controller.abort()
    await aborted
    const closed = assert.rejects(mapping.waitAsync(0, 0), { code: 'ERR_MAPPING_CLOSED' })
    mapping.unmap()
    await closed
  },
  noWaiting,
)

check('a token of a mapping that is gone is an error, and a Mapping is not cloned', () => {
  const mapping = Mapping.anonymous(10)
  const token = structuredClone(mapping.share())
  assert.throws(() => structuredClone(mapping), { name: 'DataCloneError' })
  mapping.unmap()
  assert.throws(() => Mapping.attach(token), { code: 'ERR_MAPPING_CLOSED' })
})

if (isMainThread && chosen === undefined && existsSync('/dev/shm')) {
  process.on('exit', () => {
    assert.deepEqual(
      readdirSync('/dev/shm').filter((name) => name.startsWith(`mn-plain-${process.pid}`)),
      [],
    )
  })
}
