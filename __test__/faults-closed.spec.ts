/** Views that are used after their memory was unmapped. */
import test from 'ava'
import { prints, shared } from './support/scenario'

for (const access of ['read', 'write', 'copy'] as const) {
  shared(
    `access '${access}': a view left over after unmap() reads zeros, and takes writes; the mapping tells`,
    (t) =>
      prints(
        t,
        ['4 zeros', '7', 'closed 0+4', '1: closed 0+4', 'file unchanged'],
        async ({ Mapping, newFile, contents, survey, inPages, until, told }, access) => {
          const path = newFile(4)
          const heard: string[] = []
          const mapping = Mapping.open(path, { access, onFault: (fault) => heard.push(inPages(fault)) })
          const { bytes } = mapping
          mapping.unmap()
          console.log(survey(bytes))
          bytes[5] = 7
          console.log(bytes[5])
          await until(() => heard.length > 0)
          console.log(heard.join(', '))
          console.log(told(mapping))
          console.log(
            require('node:fs').readFileSync(path).equals(contents(4)) ? 'file unchanged' : 'file changed',
          )
        },
        access,
      ),
  )
}

for (const first of ['read', 'write'] as const) {
  shared(
    `a ${first} comes first: a worker's view left over after unmap() reads zeros; the mapping tells`,
    (t) =>
      prints(
        t,
        ['zeros true', 'closed 0+4', '1: closed 0+4', 'file unchanged'],
        async ({ Mapping, newFile, contents, startWorker, messageOf, inPages, until, told }, first) => {
          const path = newFile(4)
          const heard: string[] = []
          const mapping = Mapping.open(path, {
            access: 'write',
            onFault: (fault) => heard.push(inPages(fault)),
          })
          const unmapped = new Int32Array(new SharedArrayBuffer(4))
          const worker = startWorker(
            (_, { buffer, unmapped, first }) => {
              Atomics.wait(unmapped, 0, 0)
              const bytes = Buffer.from(buffer as ArrayBuffer)
              if (first === 'write') bytes[1] = 7
              return `zeros ${bytes.every((byte, i) => byte === (i === 1 && first === 'write' ? 7 : 0))}`
            },
            { buffer: mapping.buffer, unmapped, first },
          )
          mapping.unmap()
          Atomics.store(unmapped, 0, 1)
          Atomics.notify(unmapped, 0)
          console.log(await messageOf(worker))
          await until(() => heard.length > 0)
          console.log(heard.join(', '))
          console.log(told(mapping))
          console.log(
            require('node:fs').readFileSync(path).equals(contents(4)) ? 'file unchanged' : 'file changed',
          )
        },
        first,
      ),
  )
}

shared('memory is unmapped under the compiled loops of four workers: they go on with zeros', (t) =>
  prints(
    t,
    ['zeros, zeros, zeros, zeros', 'closed'],
    async ({ Mapping, newFile, startWorker, messageOf }) => {
      const { setTimeout: sleep } = require('node:timers/promises') as typeof import('node:timers/promises')
      const mapping = Mapping.open(newFile(1024), { access: 'write', onFault() {} })
      const workers = Array.from({ length: 4 }, () =>
        startWorker(({ pageSize }, buffer) => {
          require('node:worker_threads').parentPort.postMessage('started')
          const bytes = new Uint8Array(buffer)
          const deadline = Date.now() + 20_000
          for (let i = 0; ; i = (i + 64) % bytes.length) {
            const byte = bytes[i]
            if (byte === 0) break
            if (byte !== (Math.floor(i / pageSize) % 251) + 1) return `wrong: ${byte} at ${i}`
            if (i === 0 && Date.now() > deadline) return 'not unmapped'
            bytes[i] = byte as number
          }
          // What each worker wrote last may have come after the end.
          return bytes.filter((byte) => byte !== 0).length <= 4 ? 'zeros' : 'not zeros'
        }, mapping.buffer),
      )
      await Promise.all(workers.map(messageOf))
      await sleep(200)
      const endings = Promise.all(workers.map(messageOf))
      mapping.unmap()
      console.log((await endings).join(', '))
      console.log([...new Set(mapping.faults.list.map(({ kind }) => kind))].join())
    },
  ),
)

test('a Buffer over a raw mapping reads zeros after munmap(), here and in a worker; a warning tells', (t) =>
  prints(
    t,
    ['4 zeros', '7', '4 zeros', 'MMAP_FAULT MMAP_FAULT'],
    async ({ MAP_SHARED, PROT_READ, PROT_WRITE, bufferFromPointer, mmap, munmap, pageSize, ...tools }) => {
      const { openSync } = require('node:fs') as typeof import('node:fs')
      process.removeAllListeners('warning')
      const warnings = tools.collectWarnings()
      const fd = openSync(tools.newFile(4), 'r+')
      const map = () => mmap(null, 4 * pageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)

      const addr = map()
      const view = bufferFromPointer(addr, 4 * pageSize)
      munmap(addr, 4 * pageSize)
      console.log(tools.survey(view))
      view[3] = 7
      console.log(view[3])

      const other = map()
      const worker = tools.startWorker(({ bufferFromPointer, pageSize, survey }, addr) => {
        const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
        const view = bufferFromPointer(addr, 4 * pageSize)
        parentPort?.once('message', () => parentPort?.postMessage(survey(view)))
        parentPort?.postMessage('has a view')
      }, other)
      await tools.messageOf(worker)
      const surveyed = tools.messageOf(worker)
      munmap(other, 4 * pageSize)
      worker.postMessage('unmapped')
      console.log(await surveyed)
      await tools.until(() => warnings.length > 1)
      console.log(warnings.map(({ code }) => code).join(' '))
    },
  ))

test("only what was unmapped reads zeros: the pages around it stay the file's", (t) =>
  prints(
    t,
    ['3 file, 2 zeros, 3 file'],
    async ({ MAP_SHARED, PROT_READ, bufferFromPointer, mmap, munmap, pageSize, newFile, survey }) => {
      process.removeAllListeners('warning')
      const fd = require('node:fs').openSync(newFile(8), 'r') as number
      const addr = mmap(null, 8 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
      const view = bufferFromPointer(addr, 8 * pageSize)
      munmap(addr + BigInt(3 * pageSize), 2 * pageSize)
      console.log(survey(view))
    },
  ))

test('native readers of a range that was unmapped get zeros; the kernel says EFAULT until it was touched', (t) =>
  prints(
    t,
    ['EFAULT', 'true', 'true', 'none', 'true'],
    async ({ MAP_SHARED, PROT_READ, bufferFromPointer, mmap, munmap, pageSize, newFile, failure }) => {
      const { createHash } = require('node:crypto') as typeof import('node:crypto')
      const { gunzipSync, gzip } = require('node:zlib') as typeof import('node:zlib')
      const { openSync, readFileSync, writeSync } = require('node:fs') as typeof import('node:fs')
      process.removeAllListeners('warning')
      const path = newFile(8)
      const fd = openSync(path, 'r')
      const leftOver = () => {
        const addr = mmap(null, 8 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
        const view = bufferFromPointer(addr, 8 * pageSize)
        munmap(addr, 8 * pageSize)
        return view
      }
      const zeros = Buffer.alloc(8 * pageSize)
      const out = openSync(`${path}-copy`, 'w')
      const view = leftOver()
      console.log(failure(() => writeSync(out, view)))
      const hash = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')
      console.log(hash(view) === hash(zeros))
      const packed = await new Promise<Buffer>((resolve) => gzip(leftOver(), (_, result) => resolve(result)))
      console.log(gunzipSync(packed).equals(zeros))
      console.log(failure(() => writeSync(out, view)))
      console.log(readFileSync(`${path}-copy`).equals(zeros))
    },
  ))

test('a detached view has no bytes after unmap(), which is no fault', (t) =>
  prints(t, ['0 undefined', '0: '], ({ Mapping, newFile, told }) => {
    const mapping = Mapping.open(newFile(4), { access: 'write', views: 'detachable' })
    const { bytes } = mapping
    mapping.unmap()
    bytes[0] = 1
    console.log(bytes.length, bytes[0])
    console.log(told(mapping))
  }))
