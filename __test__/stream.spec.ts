/** createReadStream(): chunks that are views, and how a stream ends. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGunzip, createGzip } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { Mapping } from 'mmap-native'
import type { MappingFaultError, OpenOptions, ReadStreamOptions } from 'mmap-native'
import { runScript } from './support/child'
import { evict, noCold, residency } from './support/cold'
import { contentOf, scratchFile, scratchFolder, sparseFile } from './support/files'
import { Random, patternOf } from './support/random'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

const cold = noCold === undefined ? test : test.skip
const why = noCold === undefined ? '' : ` (skipped: ${noCold})`

function mapped(t: ExecutionContext, content: Uint8Array, options?: OpenOptions): Mapping & { path: string } {
  const mapping = Mapping.open(scratchFile(t, content), options)
  t.teardown(() => mapping.unmap())
  return mapping as Mapping & { path: string }
}

async function chunksOf(stream: Readable): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return chunks
}

// ---- Chunks ------------------------------------------------------------------------------------------------------

test('chunks are views of the mapping, of highWaterMark bytes but for the last', async (t) => {
  for (const views of ['auto', 'detachable'] as const) {
    const content = patternOf(300_000)
    const mapping = mapped(t, content, { views, offset: 5 })
    for (const highWaterMark of [undefined, 1000, 4096, 65_537, 2 * MiB]) {
      const chunks = await chunksOf(
        mapping.createReadStream(highWaterMark === undefined ? {} : { highWaterMark }),
      )
      const size = highWaterMark ?? 64 * KiB
      let at = 0
      for (const chunk of chunks) {
        t.true(Buffer.isBuffer(chunk))
        t.is(chunk.buffer, mapping.buffer as ArrayBuffer)
        t.is(chunk.byteOffset, mapping.bytes.byteOffset + at)
        t.is(chunk.length, Math.min(size, mapping.length - at))
        at += chunk.length
      }
      t.is(at, mapping.length)
      t.true(Buffer.concat(chunks).equals(content.subarray(5)))
    }
  }
})

test('start and end are those of fs.createReadStream(): end is included', async (t) => {
  const content = patternOf(200_000)
  const mapping = mapped(t, content)
  const random = new Random(1)
  const ranges: ReadStreamOptions[] = [{}, { start: 0, end: 0 }, { start: 199_999, end: 199_999 }, { end: 5 }]
  for (let count = 0; count < 40; count++) {
    const start = random.below(200_000)
    ranges.push({ start, end: start + random.below(200_000 - start) }, { start })
  }
  for (const range of ranges) {
    const expected = await buffer(fs.createReadStream(mapping.path, range as { start: number; end: number }))
    t.deepEqual(await buffer(mapping.createReadStream(range)), expected)
    const { start = 0, end = 199_999 } = range
    const large = { start: BigInt(start), end: BigInt(end), highWaterMark: 1 + random.below(100_000) }
    t.deepEqual(await buffer(mapping.createReadStream(large)), expected)
  }
})

test('a range without bytes, and an empty mapping, give a stream that ends', async (t) => {
  const mapping = mapped(t, patternOf(100))
  t.deepEqual(await chunksOf(mapping.createReadStream({ start: 100 })), [])
  t.deepEqual(await chunksOf(Mapping.anonymous(0).createReadStream()), [])
})

test('a stream works with pipe, pipeline, events, read(), setEncoding() and the web', async (t) => {
  const content = patternOf(1_000_000)
  const mapping = mapped(t, content)
  const folder = scratchFolder(t)
  const target = join(folder, 'target')

  await pipeline(mapping.createReadStream(), fs.createWriteStream(target))
  t.true(contentOf(target).equals(content))
  t.true(
    (await buffer(mapping.createReadStream().pipe(createGzip()).pipe(createGunzip()))).equals(content),
    'pipe',
  )
  const hash = createHash('sha256')
  await pipeline(mapping.createReadStream({ highWaterMark: 10_000 }), hash)
  t.is(hash.digest('hex'), createHash('sha256').update(content).digest('hex'))

  const events: Buffer[] = []
  await finished(mapping.createReadStream().on('data', (chunk: Buffer) => events.push(chunk)))
  t.true(Buffer.concat(events).equals(content), "'data'")

  const paused = mapping.createReadStream({ highWaterMark: 1000 })
  const parts: Buffer[] = []
  paused.on('readable', () => {
    for (let part: Buffer | null; (part = paused.read(300) as Buffer | null) !== null;) parts.push(part)
  })
  await finished(paused)
  t.true(Buffer.concat(parts).equals(content), 'read()')

  const encoded = mapping.createReadStream().setEncoding('hex')
  let text = ''
  for await (const part of encoded) text += part as string
  t.is(text, content.toString('hex'))

  const web: Uint8Array[] = []
  for await (const part of Readable.toWeb(mapping.createReadStream())) web.push(part as Uint8Array)
  t.true(Buffer.concat(web).equals(content), 'toWeb')
})

test('many streams of one mapping run side by side', async (t) => {
  const content = patternOf(500_000)
  const mapping = mapped(t, content)
  const all = await Promise.all(
    Array.from({ length: 30 }, (_, index) => buffer(mapping.createReadStream({ start: index * 1000 }))),
  )
  for (const [index, one] of all.entries()) t.true(one.equals(content.subarray(index * 1000)))
})

test('a stream reaches every part of a mapping of more than 4 GiB', async (t) => {
  const path = sparseFile(t, 5 * GiB)
  const content = patternOf(300_000)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, content, 0, content.length, 4 * GiB - 100_000)
  fs.closeSync(fd)
  for (const views of ['auto', 'detachable'] as const) {
    const mapping = Mapping.open(path, { views, offset: 3 })
    const start = 4 * GiB - 100_003
    const stream = mapping.createReadStream({ start, end: BigInt(start + content.length - 1) })
    t.true((await buffer(stream)).equals(content))
    t.is((await buffer(mapping.createReadStream({ start: 5 * GiB - 13 }))).length, 10)
    mapping.unmap()
  }
})

test("with access 'write', writing to a chunk writes to the mapping", async (t) => {
  const mapping = mapped(t, Buffer.from('content'), { access: 'write' })
  for (const chunk of await chunksOf(mapping.createReadStream())) chunk.write('CON')
  mapping.flushSync()
  t.is(fs.readFileSync(mapping.path, 'utf8'), 'CONtent')
})

cold(
  `each chunk is in memory when it comes, and not the whole file before it is asked for${why}`,
  async (t) => {
    const path = scratchFile(t, Buffer.alloc(64 * MiB, 1))
    evict(path)
    const mapping = Mapping.open(path)
    let at = 0
    for await (const chunk of mapping.createReadStream({ highWaterMark: 300_000 })) {
      const { length } = chunk as Buffer
      if (residency(mapping, at, length).includes(false)) t.fail(`the chunk at ${at}`)
      if (at === 0) t.false(residency(mapping, 32 * MiB).includes(true))
      at += length
    }
    t.is(at, mapping.length)
    mapping.unmap()
  },
)

// ---- The end -----------------------------------------------------------------------------------------------------

test('destroy() ends a stream, and what it was about to bring in', async (t) => {
  const mapping = Mapping.anonymous(4 * GiB, { noReserve: true })
  for (const wait of [false, true]) {
    const stream = mapping.createReadStream()
    stream.on('data', () => t.is(wait, true))
    if (wait) await once(stream, 'data')
    stream.destroy()
    await once(stream, 'close')
    t.is(stream.errored, null)
  }
  for await (const chunk of mapping.createReadStream({ highWaterMark: 10 * MiB })) {
    t.is((chunk as Buffer).length, 10 * MiB)
    break
  }
  await sleep(50)
  t.false(residency(mapping, GiB, GiB).includes(true))
  mapping.unmap()
})

test('destroy() with an error ends a stream with that error', async (t) => {
  const stream = mapped(t, patternOf(1000)).createReadStream()
  stream.destroy(new Error('mine'))
  await t.throwsAsync(finished(stream), { message: 'mine' })
})

test('a signal destroys the stream with an AbortError', async (t) => {
  const mapping = mapped(t, patternOf(1_000_000))
  await t.throwsAsync(buffer(mapping.createReadStream({ signal: AbortSignal.abort() })), {
    name: 'AbortError',
  })
  const controller = new AbortController()
  let count = 0
  const read = async () => {
    for await (const _ of mapping.createReadStream({ signal: controller.signal }))
      if (++count === 3) controller.abort()
  }
  await t.throwsAsync(read, { name: 'AbortError', code: 'ABORT_ERR' })
  t.is(count, 3)
  const done = mapping.createReadStream({ signal: controller.signal, end: 0 })
  await t.throwsAsync(buffer(done), { name: 'AbortError' })
})

test('unmap() ends a stream with ERR_MAPPING_CLOSED, and no chunk of zeros comes out', async (t) => {
  for (const views of ['auto', 'detachable'] as const) {
    for (const after of [0, 1, 5, 20]) {
      for (const wait of [false, true]) {
        const mapping = Mapping.open(scratchFile(t, Buffer.alloc(2 * MiB, 7)), { views })
        const stream = mapping.createReadStream()
        let count = 0
        if (after === 0) mapping.unmap()
        const read = async () => {
          for await (const chunk of stream) {
            t.is((chunk as Buffer).length, 64 * KiB)
            t.is((chunk as Buffer)[0], 7)
            count++
            if (wait) await sleep(1) // the next one is waiting in the stream
            if (count === after) mapping.unmap()
          }
        }
        await t.throwsAsync(read, { code: 'ERR_MAPPING_CLOSED' })
        t.is(count, after)
      }
    }
  }
})

test('unmap() ends a stream that flows, and one that is paused when it is read on', async (t) => {
  const flowing = Mapping.anonymous(10 * MiB)
  const stream = flowing.createReadStream()
  let count = 0
  stream.on('data', () => {
    if (++count === 3) flowing.unmap()
  })
  await t.throwsAsync(finished(stream), { code: 'ERR_MAPPING_CLOSED' })
  t.is(count, 3)

  const paused = Mapping.anonymous(10 * MiB)
  const waiting = paused.createReadStream()
  await once(waiting, 'readable')
  paused.unmap()
  t.is(waiting.read(), null)
  await t.throwsAsync(finished(waiting), { code: 'ERR_MAPPING_CLOSED' })
})

test('unmap() when all was handed out does not harm', async (t) => {
  const mapping = mapped(t, patternOf(100))
  const stream = mapping.createReadStream()
  const [chunk] = (await once(stream, 'data')) as [Buffer]
  t.is(chunk.length, 100)
  mapping.unmap()
  await finished(stream)
  t.true(stream.readableEnded)
})

test('an end where no byte is left is an error that says so', (t) => {
  const message =
    /"options\.end" is out of range\. It must be left out, as the mapping has no bytes from start on/
  for (const [content, start] of [
    ['', 0],
    ['content', 7],
  ] as const) {
    const mapping = mapped(t, Buffer.from(content))
    t.throws(() => mapping.createReadStream({ start, end: 7 }), { code: 'ERR_OUT_OF_RANGE', message })
    t.throws(() => mapping.createReadStream({ start, end: '7' as never }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
})

test('bytes that are not in the file any more end a stream with ERR_MAPPING_FAULT', async (t) => {
  const mapping = mapped(t, Buffer.alloc(4 * MiB, 7), { onFault: () => t.fail() })
  const stream = mapping.createReadStream()
  let count = 0
  const read = async () => {
    for await (const chunk of stream) {
      if (count++ === 0) fs.truncateSync(mapping.path, 2 * MiB)
      t.is((chunk as Buffer)[0], 7)
    }
  }
  const error: MappingFaultError = await t.throwsAsync(read, { code: 'ERR_MAPPING_FAULT' })
  t.is(error.kind, 'truncated')
  t.is(error.offset, 2 * MiB)
  t.is(error.length, 2 * MiB)
  t.is(error.path, mapping.path)
  t.is(count, (2 * MiB) / (64 * KiB))
  await t.throwsAsync(pipeline(mapping.createReadStream({ start: 3 * MiB }), createGzip().resume()), {
    code: 'ERR_MAPPING_FAULT',
  })
})

test('what a listener throws is an uncaught exception, as with a stream of fs', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    process.on('uncaughtException', (error, origin) => console.log(error.message, origin))
    Mapping.anonymous(10).createReadStream().on('data', () => { throw new Error('mine') })`
  const { code, stdout } = await runScript(script)
  t.deepEqual({ code, stdout }, { code: 0, stdout: 'mine uncaughtException\n' })
})

test('streams that nothing refers to any more are collected, and their mapping with them', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    let count = 0
    const gone = new FinalizationRegistry(() => count++)
    const make = () => {
      for (let index = 0; index < 100; index++) {
        const mapping = Mapping.anonymous(100_000)
        gone.register(mapping)
        mapping.createReadStream().once('readable', () => {})
      }
    }
    make()
    const deadline = Date.now() + 20_000
    const look = () => {
      gc()
      if (count > 90) console.log('collected')
      else if (Date.now() < deadline) setTimeout(look, 10)
    }
    look()`
  const { code, stdout } = await runScript(script, { nodeArgs: ['--expose-gc'] })
  t.deepEqual({ code, stdout }, { code: 0, stdout: 'collected\n' })
})

test('a consumer that keeps chunks after unmap() reads zeros or nothing, and the process goes on', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    const { once } = require('node:events')
    const run = async () => {
      for (const views of ['auto', 'detachable']) {
        const mapping = Mapping.open(process.execPath, { views })
        const [chunk] = await once(mapping.createReadStream({ end: 999 }), 'data')
        mapping.unmap()
        console.log(chunk.length === 0 || chunk.every((byte) => byte === 0))
      }
    }
    run()`
  const { code, signal, stdout } = await runScript(script, { nodeArgs: ['--no-warnings'] })
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: 'true\ntrue\n' })
})
