/** Shared memory, tokens for other threads, and waiting across processes, in every runtime. */
import * as assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { isMainThread, workerData, Worker } from 'node:worker_threads'
import { Mapping, type MappingToken } from 'mmap-native'
import { newFile, pattern } from './support/files'
import { check, chosen } from './support/harness'
import { noProc } from './support/memory'
import { noSharedMemory, noWaiting } from './support/platform'

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

check(
  'shared memory by name',
  () => {
    const name = `/mn-plain-${process.pid}`
    const one = Mapping.shared(name, 4096, { create: 'exclusive' })
    const two = Mapping.shared(name)
    one.write('seen', 50)
    assert.equal(two.read(50, 4).toString(), 'seen')
    Mapping.unlinkShared(name)
    assert.throws(() => Mapping.shared(name), { code: 'ENOENT' })
    one.unmap()
    two.unmap()
  },
  noSharedMemory,
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
