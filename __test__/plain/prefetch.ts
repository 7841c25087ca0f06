/** Prefetching and streams, and what may end while they are at work: the mapping, a worker, the process. */
import * as assert from 'node:assert/strict'
import { closeSync, createWriteStream, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { finished, pipeline } from 'node:stream/promises'
import { Worker, isMainThread, parentPort } from 'node:worker_threads'
import { Mapping, pageSize } from 'mmap-native'
import { inChild } from './support/child'
import { folder, newFile, pattern, patternAt, sparseFile } from './support/files'
import { check } from './support/harness'
import { noTruncation } from './support/platform'

const MiB = 1 << 20
const GiB = 2 ** 30
const SIZE = 3 * MiB + 300
const contents = pattern(SIZE)

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Prefetches memory that takes seconds; resolves when all are at work. */
async function busy(count: number): Promise<void> {
  const started = Array.from({ length: count }, async () => {
    const mapping = Mapping.anonymous(8 * GiB, { noReserve: true })
    await new Promise<void>((resolve) => {
      mapping.prefetch({ onProgress: () => resolve() }).catch(() => {})
    })
  })
  await Promise.all(started)
}

check('prefetch() resolves, and tells its progress in bytes', async () => {
  using mapping = Mapping.open(newFile(contents), { offset: 5 })
  const seen: number[] = []
  await mapping.prefetch({ onProgress: (done, total) => seen.push(done, total) })
  assert.deepEqual(seen.slice(-2), [SIZE - 5, SIZE - 5])
  await mapping.prefetch(MiB, 1n)
  await mapping.prefetch(0, 0)
})

check('prefetch() ends with an AbortError when its signal says so', async () => {
  using mapping = Mapping.anonymous(8 * GiB, { noReserve: true })
  const controller = new AbortController()
  const call = mapping.prefetch({ signal: controller.signal, onProgress: () => controller.abort() })
  await assert.rejects(call, { name: 'AbortError', code: 'ABORT_ERR' })
  await assert.rejects(mapping.prefetch({ signal: AbortSignal.abort() }), { name: 'AbortError' })
})

check(
  'a truncated file is ERR_MAPPING_FAULT for prefetch() and for a stream',
  async () => {
    const path = newFile(contents)
    using mapping = Mapping.open(path)
    truncateSync(path, 2 * MiB)
    const fault = { code: 'ERR_MAPPING_FAULT', offset: 2 * MiB, kind: 'truncated', path }
    await assert.rejects(mapping.prefetch(), fault)
    await assert.rejects(collect(mapping.createReadStream()), fault)
    assert.equal(mapping.faults.count, 0)
  },
  noTruncation,
)

check('the chunks of a stream are views of the mapping, of the bytes asked for', async () => {
  using mapping = Mapping.open(newFile(contents), { access: 'copy' })
  assert.deepEqual(await collect(mapping.createReadStream()), contents)
  assert.deepEqual(
    await collect(mapping.createReadStream({ start: 7, end: MiB })),
    contents.subarray(7, MiB + 1),
  )
  for await (const chunk of mapping.createReadStream({ highWaterMark: 100_000 })) {
    assert.equal((chunk as Buffer).buffer, mapping.buffer)
    assert.ok((chunk as Buffer).length <= 100_000)
  }
})

check('a stream goes through pipeline()', async () => {
  using mapping = Mapping.open(newFile(contents))
  const target = join(folder, 'target')
  await pipeline(mapping.createReadStream(), createWriteStream(target))
  assert.ok(readFileSync(target).equals(contents))
})

check('a stream reaches the end of a mapping of more than 4 GiB', async () => {
  const path = sparseFile(5 * GiB)
  const fd = openSync(path, 'r+')
  writeSync(fd, contents, 0, SIZE, 4 * GiB - MiB)
  closeSync(fd)
  using mapping = Mapping.open(path)
  const start = 4 * GiB - MiB
  assert.ok((await collect(mapping.createReadStream({ start, end: start + SIZE - 1 }))).equals(contents))
  await mapping.prefetch(5 * GiB - pageSize)
})

check('unmap() ends a stream with ERR_MAPPING_CLOSED, and no zeros come out of it', async () => {
  const mapping = Mapping.open(newFile(contents))
  let count = 0
  const read = async () => {
    for await (const chunk of mapping.createReadStream()) {
      assert.equal((chunk as Buffer)[0], patternAt(count * 65_536))
      if (++count === 3) mapping.unmap()
    }
  }
  await assert.rejects(read, { code: 'ERR_MAPPING_CLOSED' })
  assert.equal(count, 3)
})

check('destroy() ends a stream', async () => {
  using mapping = Mapping.open(newFile(contents))
  const stream = mapping.createReadStream()
  stream.destroy(new Error('mine'))
  await assert.rejects(finished(stream), { message: 'mine' })
  for await (const _ of mapping.createReadStream()) break
})

inChild(
  'unmap() while prefetch() is at work',
  async () => {
    const path = newFile(contents)
    const others = new Set<string>()
    for (let round = 0; round < 50; round++) {
      const mapping = round % 2 === 0 ? Mapping.anonymous(64 * MiB) : Mapping.open(path)
      const calls = [
        mapping.prefetch(),
        mapping.prefetch(5),
        collect(mapping.createReadStream({ end: 2 * MiB })),
      ]
      for (let turn = 0; turn < round % 5; turn++) await new Promise((resolve) => setImmediate(resolve))
      mapping.unmap()
      for (const { status, reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[])
        if (status === 'rejected') others.add((reason as NodeJS.ErrnoException).code ?? String(reason))
    }
    console.log([...others].join())
  },
  { prints: ['ERR_MAPPING_CLOSED'] },
)

if (!isMainThread) void busy(6).then(() => parentPort?.postMessage('busy'))

inChild(
  'a worker that is terminated while prefetch() is at work',
  async () => {
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(__filename)
      await new Promise((resolve) => worker.once('message', resolve))
      await worker.terminate()
    }
    await Mapping.anonymous(MiB).prefetch()
    console.log('went on')
  },
  { prints: ['went on'] },
)

inChild(
  'process.exit() while prefetch() is at work',
  async () => {
    await busy(6)
    console.log('busy')
    process.exit(7)
  },
  { prints: ['busy'], code: 7 },
)
