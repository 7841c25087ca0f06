/** Iteration over a mapping in chunks: what they are, and when it ends. */
import test from 'ava'
import { Mapping } from 'mmap-native'
import { runScript } from './support/child'
import { scratchFile, sparseFile } from './support/files'
import { patternOf } from './support/random'

const KiB = 1024
const GiB = 2 ** 30
const content = patternOf(200 * KiB + 7)

test('a mapping is iterable: chunks of 64 KiB, and what is left', (t) => {
  const mapping = Mapping.open(scratchFile(t, content), { offset: 3 })
  const chunks = [...mapping]
  t.deepEqual(
    chunks.map((chunk) => chunk.length),
    [64 * KiB, 64 * KiB, 64 * KiB, 8 * KiB + 4],
  )
  t.true(Buffer.concat(chunks).equals(content.subarray(3)))
  t.true(chunks.every((chunk) => Buffer.isBuffer(chunk)))
  mapping.unmap()
})

test('chunks are views: what is written to one is in the mapping', (t) => {
  const mapping = Mapping.anonymous(100)
  let index = 0
  for (const chunk of mapping.chunks({ size: 30 })) {
    t.is(chunk.buffer, mapping.buffer as ArrayBuffer)
    chunk.fill(++index)
  }
  t.deepEqual(
    [29, 30, 60, 90, 99].map((at) => mapping.bytes[at]),
    [1, 2, 3, 4, 4],
  )
  mapping.unmap()
})

test('chunks() takes a range and a size, as numbers and bigints', (t) => {
  const mapping = Mapping.open(scratchFile(t, content), { views: 'detachable' })
  for (const [start, end, size] of [
    [0, 10, 3],
    [5, 5, 1],
    [1, 200 * KiB, 100 * KiB],
    [200 * KiB + 7, 200 * KiB + 7, 9],
    [7, 8, 2 ** 31],
  ] as const) {
    const chunks = [...mapping.chunks({ start, end: BigInt(end), size })]
    t.true(Buffer.concat(chunks).equals(content.subarray(start, end)))
    t.is(chunks.length, Math.ceil((end - start) / size))
  }
  t.deepEqual([...Mapping.anonymous(0)], [])
  mapping.unmap()
})

test('chunks() reaches every part of a mapping of more than 4 GiB', (t) => {
  const mapping = Mapping.open(sparseFile(t, 5 * GiB))
  let count = 0
  let bytes = 0
  for (const chunk of mapping.chunks({ start: 4 * GiB - 10, size: 256 * KiB * KiB })) {
    count++
    bytes += chunk.length
    t.is(chunk[0], 0)
  }
  t.is(bytes, GiB + 10)
  t.is(count, 5)
  mapping.unmap()
})

test('unmap() ends an iteration with ERR_MAPPING_CLOSED, and a break ends it in silence', (t) => {
  const mapping = Mapping.anonymous(300 * KiB)
  for (const _ of mapping) break
  let count = 0
  t.throws(
    () => {
      for (const _ of mapping) if (++count === 2) mapping.unmap()
    },
    { code: 'ERR_MAPPING_CLOSED' },
  )
  t.is(count, 2)
  t.throws(() => mapping.chunks(), { code: 'ERR_MAPPING_CLOSED' })
  t.throws(() => [...mapping], { code: 'ERR_MAPPING_CLOSED' })
})

test('chunks() names the option that is wrong, before the first chunk', (t) => {
  const mapping = Mapping.anonymous(100)
  const call = mapping.chunks.bind(mapping) as (options: unknown) => unknown
  for (const name of ['start', 'end', 'size']) {
    const message = new RegExp(`options.${name}`)
    for (const value of ['1', null, true, {}])
      t.throws(() => call({ [name]: value }), { code: 'ERR_INVALID_ARG_TYPE', message })
    for (const value of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n])
      t.throws(() => call({ [name]: value }), { code: 'ERR_OUT_OF_RANGE', message })
  }
  t.throws(() => call({ size: 0 }), { code: 'ERR_OUT_OF_RANGE', message: /options.size/ })
  t.throws(() => call({ end: 101 }), { code: 'ERR_OUT_OF_RANGE', message: /<= 100/ })
  t.throws(() => call({ start: 50, end: 49 }), { code: 'ERR_OUT_OF_RANGE', message: /options.end/ })
  t.throws(() => call({ highWaterMark: 5 }), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /options.highWaterMark/,
  })
  t.throws(() => call(64), { code: 'ERR_INVALID_ARG_TYPE', message: /"options"/ })
  mapping.unmap()
})

test('an iteration over memory that another thread unmaps ends well', async (t) => {
  const { code, signal, stdout, stderr } = await runScript(
    `
    const { Worker } = require('node:worker_threads')
    const { Mapping } = require('mmap-native')
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads')
      const { munmap } = require('mmap-native')
      parentPort.on('message', ({ address, length }) => { munmap(address, length); parentPort.postMessage(0) })
    \`, { eval: true })
    const main = async () => {
      let chunks = 0
      for (let round = 0; round < 30; round++) {
        const mapping = Mapping.anonymous(1 << 20)
        mapping.fill(7)
        const unmapped = new Promise((resolve) => worker.once('message', resolve))
        worker.postMessage({ address: mapping.address, length: mapping.length })
        try {
          for (const chunk of mapping.chunks({ size: 100 })) {
            const byte = chunk[99]
            if (byte !== undefined && byte !== 7 && byte !== 0) console.log(byte)
            chunks++
          }
        } catch (error) {
          if (error.code !== 'ERR_MAPPING_CLOSED') console.log(error)
        }
        await unmapped
        mapping.unmap()
      }
      console.log(chunks > 0)
      worker.terminate()
    }
    main()
  `,
    { nodeArgs: ['--no-warnings'] },
  )
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'true\n', stderr: '' })
})
