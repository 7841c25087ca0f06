/** Native code reads a file that another process has truncated, or truncates meanwhile. */
import test from 'ava'
import { prints, shared } from './support/scenario'

test('native readers get the bytes that are still in the file, and zeros', (t) =>
  prints(
    t,
    [
      'mapping.read(): ok',
      'createHash(): ok',
      'createHmac(): ok',
      'deflateSync(): ok',
      'gzip(): ok',
      'brotliCompressSync(): ok',
      'Buffer.from(): ok',
      'Buffer.concat(): ok',
      'copy(): ok',
      'toString(): ok',
      'compare(): ok',
      'indexOf(): ok',
      'lastIndexOf(): ok',
      'swap and read as numbers: ok',
      'TypedArray.slice(): ok',
      'TypedArray.set(): ok',
      'TextDecoder: ok',
      'structuredClone(): ok',
      'isUtf8(): ok',
    ],
    async ({ Mapping, pageSize, newFile, contents, truncate }) => {
      const { createHash, createHmac } = require('node:crypto') as typeof import('node:crypto')
      const zlib = require('node:zlib') as typeof import('node:zlib')
      const { promisify } = require('node:util') as typeof import('node:util')
      const { isUtf8 } = require('node:buffer') as typeof import('node:buffer')

      const SIZE = 64 * pageSize
      const expected = Buffer.concat([contents(32), Buffer.alloc(SIZE / 2)])
      const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

      type Case = [name: string, read: (view: Buffer, mapping: ReturnType<typeof Mapping.open>) => unknown]
      const cases: Case[] = [
        [
          'mapping.read()',
          (_, mapping) => {
            const target = Buffer.alloc(SIZE, 255)
            try {
              mapping.read(0, target)
            } catch (error) {
              return (error as { code?: string }).code === 'ERR_MAPPING_FAULT' && target.equals(expected)
            }
          },
        ],
        ['createHash()', (view) => sha(view) === sha(expected)],
        [
          'createHmac()',
          (view) => {
            const of = (bytes: Buffer) => createHmac('sha1', bytes).update(bytes).digest('hex')
            return of(view) === of(expected)
          },
        ],
        ['deflateSync()', (view) => zlib.inflateSync(zlib.deflateSync(view)).equals(expected)],
        ['gzip()', async (view) => zlib.gunzipSync(await promisify(zlib.gzip)(view)).equals(expected)],
        [
          'brotliCompressSync()',
          (view) => {
            const params = { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 }
            return zlib.brotliDecompressSync(zlib.brotliCompressSync(view, { params })).equals(expected)
          },
        ],
        ['Buffer.from()', (view) => Buffer.from(view).equals(expected)],
        ['Buffer.concat()', (view) => Buffer.concat([view, view]).subarray(SIZE).equals(expected)],
        [
          'copy()',
          (view) => {
            const target = Buffer.alloc(SIZE, 255)
            return view.copy(target) === SIZE && target.equals(expected)
          },
        ],
        ['toString()', (view) => view.toString('hex') === expected.toString('hex')],
        ['compare()', (view) => view.compare(expected) === 0 && view.equals(expected)],
        ['indexOf()', (view) => view.indexOf(0) === SIZE / 2 && view.indexOf(33) === -1],
        ['lastIndexOf()', (view) => view.lastIndexOf(32) === SIZE / 2 - 1],
        [
          'swap and read as numbers',
          (view) => view.readBigUInt64LE(SIZE - 8) === 0n && view.readUInt32BE(SIZE / 2 - 4) === 0x20202020,
        ],
        ['TypedArray.slice()', (view) => Buffer.from(Uint8Array.prototype.slice.call(view)).equals(expected)],
        [
          'TypedArray.set()',
          (view) => {
            const target = Buffer.alloc(SIZE, 255)
            target.set(view)
            return target.equals(expected)
          },
        ],
        ['TextDecoder', (view) => new TextDecoder('latin1').decode(view) === expected.toString('latin1')],
        [
          'structuredClone()',
          (_, mapping) => {
            const { bytes } = structuredClone({
              bytes: mapping.view(Uint8Array, SIZE / 2 - pageSize, 2 * pageSize),
            })
            return bytes[pageSize - 1] === 32 && bytes[pageSize] === 0
          },
        ],
        ['isUtf8()', (view) => isUtf8(view)],
      ]
      for (const [name, read] of cases) {
        const path = newFile(64)
        const mapping = Mapping.open(path, { onFault() {} })
        truncate(path, SIZE / 2)
        const isRight = await read(mapping.bytes, mapping)
        const [fault] = mapping.faults.list
        const isTold = fault?.kind === 'truncated' && fault.offset >= SIZE / 2
        console.log(
          `${name}: ${isRight === true ? '' : 'wrong bytes'}${isTold ? '' : 'not told'}`.replace(/ $/, ' ok'),
        )
        mapping.unmap()
      }
    },
  ))

shared(
  'a worker that reads the same memory gets the bytes that are still in the file; this thread is told',
  (t) =>
    prints(
      t,
      ['4 file, 4 zeros', 'truncated 4+4', '1: truncated 4+4', 'none'],
      async ({
        Mapping,
        pageSize,
        newFile,
        truncate,
        startWorker,
        messageOf,
        until,
        told,
        inPages,
        failure,
      }) => {
        const path = newFile(8)
        const heard: string[] = []
        const mapping = Mapping.open(path, {
          views: 'shared',
          onFault: (fault) => heard.push(inPages(fault)),
        })
        truncate(path, 4 * pageSize)
        const { buffer } = mapping
        const worker = startWorker(({ survey }, buffer) => survey(Buffer.from(buffer as ArrayBuffer)), buffer)
        console.log(await messageOf(worker))
        await until(() => heard.length > 0)
        console.log(heard.join(', '))
        console.log(told(mapping))
        console.log(failure(() => mapping.read(0, 4 * pageSize)))
      },
    ),
)

test('a worker that reads at the same address gets the bytes that are still in the file; this thread is told', (t) =>
  prints(
    t,
    ['4 file, 4 zeros', 'truncated 4+4', '1: truncated 4+4'],
    async ({ Mapping, pageSize, newFile, truncate, startWorker, messageOf, until, told, inPages }) => {
      const path = newFile(8)
      const heard: string[] = []
      const mapping = Mapping.open(path, { onFault: (fault) => heard.push(inPages(fault)) })
      truncate(path, 4 * pageSize)
      const worker = startWorker(
        ({ survey, bufferFromPointer, pageSize }, address) =>
          survey(bufferFromPointer(address, 8 * pageSize)),
        mapping.address,
      )
      console.log(await messageOf(worker))
      await until(() => heard.length > 0)
      console.log(heard.join(', '))
      console.log(told(mapping))
    },
  ))

test('the kernel, which reads for fs.write(), stops at the end of the file', (t) =>
  prints(
    t,
    [
      'writeSync() 4 pages, then EFAULT',
      'write() 4 pages, then EFAULT',
      'writeFileSync() EFAULT',
      '4 file',
      '0: ',
    ],
    async ({ Mapping, pageSize, newFile, truncate, failure, survey, told }) => {
      const fs = require('node:fs') as typeof import('node:fs')
      const { promisify } = require('node:util') as typeof import('node:util')
      const path = newFile(8)
      const copy = `${path}-copy`
      const mapping = Mapping.open(path, { onFault() {} })
      truncate(path, 4 * pageSize)
      const fd = fs.openSync(copy, 'w+')

      const written = fs.writeSync(fd, mapping.bytes) / pageSize
      const next = failure(() => fs.writeSync(fd, mapping.bytes.subarray(4 * pageSize)))
      console.log(`writeSync() ${written} pages, then ${next}`)
      fs.ftruncateSync(fd)
      const write = promisify(fs.write)
      const { bytesWritten } = await write(fd, mapping.bytes, 0, 8 * pageSize, 0)
      const code = await write(fd, mapping.bytes, 4 * pageSize, 4 * pageSize, 0).then(
        () => 'none',
        (error: { code: string }) => error.code,
      )
      console.log(`write() ${bytesWritten / pageSize} pages, then ${code}`)
      console.log(`writeFileSync() ${failure(() => fs.writeFileSync(copy, mapping.bytes))}`)
      console.log(survey(fs.readFileSync(copy)))
      // The kernel told its caller. Nobody has touched the lost pages.
      console.log(told(mapping))
    },
  ))

test('the kernel, which writes for fs.read(), does not write to memory that is only read', (t) =>
  prints(
    t,
    ['EFAULT', '8 file', '8 file', '0: '],
    ({ Mapping, pageSize, newFile, failure, survey, told }) => {
      const fs = require('node:fs') as typeof import('node:fs')
      const path = newFile(8)
      const mapping = Mapping.open(path, { onFault() {} })
      const fd = fs.openSync('/dev/zero', 'r')
      console.log(failure(() => fs.readSync(fd, mapping.bytes, 0, pageSize, 0)))
      console.log(survey(mapping.bytes))
      console.log(survey(fs.readFileSync(path)))
      console.log(told(mapping))
    },
  ))

test('a file is truncated and grown again under hashing, compression and searching, in the thread pool, too', (t) =>
  prints(
    t,
    ['first half right', 'second half without a wrong byte', 'faults told'],
    async ({ Mapping, MIB, pageSize, newFile, contents }) => {
      const { createHash } = require('node:crypto') as typeof import('node:crypto')
      const { spawn } = require('node:child_process') as typeof import('node:child_process')
      const zlib = require('node:zlib') as typeof import('node:zlib')
      const gzip = require('node:util').promisify(zlib.gzip) as (
        data: Buffer,
        options: object,
      ) => Promise<Buffer>

      const HALF = 8 * MIB
      const path = newFile((2 * HALF) / pageSize)
      const other = spawn(process.execPath, [
        '-e',
        `for (;;) for (const size of [${HALF}, ${2 * HALF}]) fs.truncateSync(${JSON.stringify(path)}, size)`,
      ])
      const all = contents((2 * HALF) / pageSize)
      const digest = createHash('sha1').update(all.subarray(0, HALF)).digest('hex')
      const sum = { wrongHalves: 0, wrongBytes: 0, faults: 0 }
      const deadline = Date.now() + 3000
      while (Date.now() < deadline) {
        let mapping
        try {
          mapping = Mapping.open(path, { length: 2 * HALF, onFault() {} })
        } catch {
          continue // the file is short at this moment
        }
        const { bytes } = mapping
        const packed = await Promise.all([gzip(bytes, { level: 1 }), gzip(bytes, { level: 1 })])
        for (const copy of packed.map((one) => zlib.gunzipSync(one))) {
          if (!copy.subarray(0, HALF).equals(all.subarray(0, HALF))) sum.wrongHalves++
          for (let i = HALF; i < 2 * HALF; i++) if (copy[i] !== 0 && copy[i] !== all[i]) sum.wrongBytes++
        }
        if (createHash('sha1').update(bytes.subarray(0, HALF)).digest('hex') !== digest) sum.wrongHalves++
        if (bytes.indexOf(252) !== -1) sum.wrongBytes++
        sum.faults += mapping.faults.count
        mapping.unmap()
      }
      other.kill('SIGKILL')
      console.log(sum.wrongHalves === 0 ? 'first half right' : `${sum.wrongHalves} wrong halves`)
      console.log(sum.wrongBytes === 0 ? 'second half without a wrong byte' : `${sum.wrongBytes} wrong bytes`)
      console.log(sum.faults > 0 ? 'faults told' : 'no faults')
    },
  ))
