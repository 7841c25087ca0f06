/**
 * Nothing kills the process: what faults.*.spec.ts tests in detail, in every runtime. Each check has a process of its own.
 */
import * as assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { deflateSync, gunzipSync, gzip, inflateSync } from 'node:zlib'
import {
  MAP_PRIVATE,
  MAP_SHARED,
  Mapping,
  PROT_READ,
  bufferFromPointer,
  mmap,
  munmap,
  pageSize,
  setFaultGuard,
} from 'mmap-native'
import type { Fault } from 'mmap-native'
import {
  MIB,
  collectWarnings,
  contents,
  failure,
  inPages,
  mapRaw,
  messageOf,
  newFile as newFileIn,
  startWorker,
  survey,
  told,
  truncate,
  truncateSoon,
  until,
} from '../support/faults'
import { storm } from '../support/storm'
import { inChild } from './support/child'
import { folder } from './support/files'
import { noShared } from './support/kinds'
import { noAnswer, noCopies, noSignals, noTruncation } from './support/platform'

const newFile = (pages: number): string => newFileIn(pages, folder)

/** A mapping for reading and a list of its faults as they are told. */
function open(path: string, access: 'read' | 'write' = 'read'): [Mapping, string[]] {
  const heard: string[] = []
  return [Mapping.open(path, { access, onFault: (fault) => heard.push(inPages(fault)) }), heard]
}

const unchanged = (path: string, pages: number): void => {
  console.log(readFileSync(path).equals(contents(pages)) ? 'file unchanged' : 'file changed')
}

// Truncation

const PAGES = (64 * MIB) / pageSize
const HALF = 32 * MIB

for (const { title, size, left } of [
  { title: 'to nothing', size: 0, left: `${PAGES} zeros` },
  { title: 'to half', size: HALF, left: `${PAGES / 2} file, ${PAGES / 2} zeros` },
  {
    title: 'to the middle of a page',
    size: HALF + pageSize / 2,
    left: `${PAGES / 2} file, 1 cut at ${pageSize / 2}, ${PAGES / 2 - 1} zeros`,
  },
]) {
  inChild(
    `a compiled loop outlives a truncation ${title} by another process; refresh() finds the file again`,
    async () => {
      const path = newFile(PAGES)
      const [mapping] = open(path)
      const words = mapping.view(Uint32Array)
      const sum = () => {
        let total = 0
        for (let i = 0; i < words.length; i++) total += words[i]!
        return total
      }
      const whole = sum()
      const truncated = truncateSoon(path, size)
      const deadline = Date.now() + 20_000
      let last = whole
      while (last === whole && Date.now() < deadline) last = sum()
      await truncated
      console.log(last < whole ? 'sums fell' : 'sums stayed')
      console.log(survey(mapping.bytes))
      console.log([...new Set(mapping.faults.list.map(({ kind }) => kind))].join())
      writeFileSync(path, contents(PAGES), { flag: 'r+' })
      mapping.refresh()
      console.log(survey(mapping.bytes))
      console.log(failure(() => mapping.read(0, mapping.length)))
    },
    { prints: ['sums fell', left, 'truncated', `${PAGES} file`, 'none'], skip: noTruncation },
  )
}

const readers: Record<string, (bytes: Buffer, expected: Buffer, path: string) => unknown> = {
  'createHash()': (bytes, expected) => {
    const [one, other] = [bytes, expected].map((data) => createHash('sha256').update(data).digest('hex'))
    return one === other
  },
  'deflateSync()': (bytes, expected) => inflateSync(deflateSync(bytes)).equals(expected),
  'gzip()': async (bytes, expected) => gunzipSync(await promisify(gzip)(bytes)).equals(expected),
  'Buffer.from()': (bytes, expected) => Buffer.from(bytes).equals(expected),
  'equals()': (bytes, expected) => expected.equals(bytes),
  'indexOf()': (bytes) => bytes.indexOf(0) === 32 * pageSize,
  'toString()': (bytes, expected) => bytes.toString('hex') === expected.toString('hex'),
  'TextDecoder()': (bytes, expected) =>
    new TextDecoder('latin1').decode(Uint8Array.from(bytes)) === expected.toString('latin1'),
  'writeSync()': (bytes, expected, path) => {
    const fd = openSync(`${path}-copy`, 'w')
    // The kernel reads, and stops at the end of the file; where we were first, it reads zeros.
    const stopped = failure(() => assert.equal(writeSync(fd, bytes, 0, bytes.length, 0), bytes.length / 2))
    assert.match(stopped, /^(none|EFAULT)$/)
    assert.equal(bytes[bytes.length / 2], 0)
    writeSync(fd, bytes, 0, bytes.length, 0)
    closeSync(fd)
    return readFileSync(`${path}-copy`).equals(expected)
  },
}

inChild(
  'native readers get the bytes that are still in the file, and zeros',
  async () => {
    const expected = Buffer.concat([contents(32), Buffer.alloc(32 * pageSize)])
    for (const [name, read] of Object.entries(readers)) {
      const path = newFile(64)
      const [mapping, heard] = open(path)
      truncate(path, 32 * pageSize)
      const isRight = await read(mapping.bytes, expected, path)
      await until(() => heard.length > 0)
      console.log(name, isRight, heard[0]?.split(' ')[0])
    }
  },
  { prints: Object.keys(readers).map((name) => `${name} true truncated`), skip: noTruncation },
)

// Writes to what may only be read

for (const { title, mode, flags } of [
  { title: 'a mapping of a path', mode: '', flags: 0 },
  { title: 'a mapping of a descriptor opened for writing, too,', mode: 'r+', flags: 0 },
  { title: 'a raw shared mapping', mode: 'r+', flags: MAP_SHARED },
  { title: 'a raw private mapping', mode: 'r', flags: MAP_PRIVATE },
]) {
  inChild(
    `${title} for reading is written: the file does not see it, and the fault is told`,
    async () => {
      const path = newFile(5)
      const fd = openSync(path, mode === '' ? 'r' : mode)
      const heard: string[] = []
      process.on('warning', (warning) => heard.push((warning as { code?: string }).code ?? ''))
      const onFault = (fault: Fault) => heard.push(inPages(fault))
      const mapping = flags === 0 ? Mapping.open(mode === '' ? path : fd, { onFault }) : undefined
      const bytes = mapping?.bytes ?? mapRaw(fd, 5, PROT_READ, flags)
      const { buffer, byteOffset } = bytes
      new DataView(buffer).setFloat64(byteOffset, 8.5)
      const words = new Int32Array(buffer, byteOffset + pageSize, 1)
      words[0] = 40
      Atomics.add(words, 0, 2)
      bytes.fill(7, 2 * pageSize, 3 * pageSize)
      for (let i = 3 * pageSize; i < 4 * pageSize; i++) bytes[i] = 6
      console.log(
        bytes.readDoubleBE(0),
        words[0],
        bytes[3 * pageSize - 1],
        bytes[3 * pageSize],
        bytes[4 * pageSize],
      )
      await until(() => heard.length >= (flags === 0 ? 4 : 1))
      console.log(heard.join(', '))
      unchanged(path, 5)
    },
    {
      prints: [
        '8.5 42 7 6 5',
        flags === 0 ? 'read-only 0+1, read-only 1+1, read-only 2+1, read-only 3+1' : 'MMAP_FAULT',
        'file unchanged',
      ],
      skip: flags === MAP_SHARED ? noCopies : undefined,
    },
  )
}

inChild(
  "refresh() takes back what was written to a mapping that may only be read; other pages stay the file's",
  async () => {
    const path = newFile(100)
    const [mapping, heard] = open(path)
    for (const page of [0, 3, 40, 99]) mapping.bytes.fill(0, page * pageSize, (page + 1) * pageSize)
    await until(() => heard.length > 3)
    console.log(heard.join(', '))
    console.log(survey(mapping.bytes))
    mapping.refresh()
    console.log(
      survey(mapping.bytes),
      failure(() => mapping.read(0, mapping.length)),
    )
    mapping.bytes.fill(0, 50 * pageSize, 51 * pageSize)
    const { bytes } = mapping
    mapping.unmap()
    console.log(survey(bytes))
    unchanged(path, 100)
  },
  {
    prints: [
      'read-only 0+1, read-only 3+1, read-only 40+1, read-only 99+1',
      '1 zeros, 2 file, 1 zeros, 36 file, 1 zeros, 58 file, 1 zeros',
      '100 file none',
      '100 zeros',
      'file unchanged',
    ],
  },
)

// Views of what was unmapped

inChild(
  'a view left over after unmap() reads zeros, here and in a worker; the mapping tells',
  async () => {
    for (const where of ['here', 'worker']) {
      const path = newFile(4)
      const [mapping, heard] = open(path, 'write')
      const { bytes, buffer } = mapping
      const go = new Int32Array(new SharedArrayBuffer(4))
      const worker =
        where === 'worker'
          ? startWorker(
              ({ survey }, { buffer, go }) => {
                Atomics.wait(go, 0, 0)
                return survey(Buffer.from(buffer as ArrayBuffer))
              },
              { buffer, go },
            )
          : undefined
      const message = worker && messageOf(worker)
      mapping.unmap()
      Atomics.store(go, 0, 1)
      Atomics.notify(go, 0)
      console.log(where, (await message) ?? survey(bytes))
      bytes[1] = 9
      await until(() => heard.length > 0)
      console.log(bytes[1], heard.join(', '))
      unchanged(path, 4)
    }
  },
  {
    prints: [
      'here 4 zeros',
      '9 closed 0+4',
      'file unchanged',
      'worker 4 zeros',
      '9 closed 0+4',
      'file unchanged',
    ],
    skip: noShared,
  },
)

inChild(
  'a Buffer left over after munmap() reads zeros, here and in a worker; a warning tells',
  async () => {
    const codes: unknown[] = []
    process.on('warning', (warning) => codes.push((warning as { code?: string }).code))
    const fd = openSync(newFile(4), 'r')
    const map = () => mmap(null, 4 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
    const addr = map()
    const bytes = bufferFromPointer(addr, 4 * pageSize)
    munmap(addr, 4 * pageSize)
    console.log(survey(bytes))

    const other = map()
    const worker = startWorker(({ bufferFromPointer, pageSize, survey }, addr) => {
      const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
      const bytes = bufferFromPointer(addr, 4 * pageSize)
      parentPort?.once('message', () => {
        parentPort?.postMessage(survey(bytes))
      })
      parentPort?.postMessage('mapped')
    }, other)
    await messageOf(worker)
    munmap(other, 4 * pageSize)
    const message = messageOf(worker)
    worker.postMessage('unmapped')
    console.log(await message)
    await until(() => codes.length > 1)
    console.log(codes.join(' '))
    await worker.terminate()
  },
  { prints: ['4 zeros', '4 zeros', 'MMAP_FAULT MMAP_FAULT'] },
)

// How it is told

inChild(
  'methods that meet lost pages throw ERR_MAPPING_FAULT, flush() rejects, and what is left works',
  async () => {
    const path = newFile(8)
    const [mapping] = open(path, 'write')
    truncate(path, 4 * pageSize)
    console.log(failure(() => mapping.read(0, 8 * pageSize)))
    console.log(failure(() => mapping.write(Buffer.alloc(pageSize), 6 * pageSize)))
    console.log(failure(() => mapping.fill(9, 7 * pageSize)))
    console.log(failure(() => mapping.copyWithin(0, 4 * pageSize, 5 * pageSize)))
    const error = await mapping.flush().then(
      () => undefined,
      (error: Fault & { code: string; path: string }) => error,
    )
    console.log(error?.code, error && inPages(error), error?.path === path)
    mapping.write('kept')
    await mapping.flush(0, 4 * pageSize)
    console.log(readFileSync(path).toString('latin1', 0, 4))
    mapping.unmap()
    console.log(told(mapping))
  },
  {
    prints: [
      'ERR_MAPPING_FAULT truncated 4+4',
      'ERR_MAPPING_FAULT truncated 6+1',
      'ERR_MAPPING_FAULT truncated 7+1',
      'ERR_MAPPING_FAULT truncated 4+1',
      'ERR_MAPPING_FAULT truncated 4+4 true',
      'kept',
      '1: truncated 4+4',
    ],
    skip: noTruncation,
  },
)

inChild(
  'onFault is called from the event loop; without it there is one warning for a mapping',
  async () => {
    const warnings = collectWarnings()
    const [mapping, heard] = open(newFile(4))
    mapping.bytes[0] = 1
    mapping.bytes[2 * pageSize] = 1
    await Promise.resolve()
    console.log(`${mapping.faults.count} faults, told of ${heard.length}`)
    await until(() => heard.length > 1)
    console.log(heard.join(', '), mapping.faults.count)
    const path = newFile(4)
    const { bytes } = Mapping.open(path)
    for (let page = 0; page < 4; page++) bytes[page * pageSize] = 1
    await until(() => warnings.length > 0)
    await sleep(100)
    for (const { code, message } of warnings) console.log(code, message.includes(path))
  },
  {
    prints: ['2 faults, told of 0', 'read-only 0+1, read-only 2+1 2', 'MMAP_FAULT true'],
    stderr: /MappingWarning: a mapping that may only be read was written/,
  },
)

inChild(
  'what an onFault throws is an uncaughtException, and others hear of theirs',
  async () => {
    const lines: string[] = []
    process.on('uncaughtException', (error) => lines.push(`caught ${error.message}`))
    const mappings = ['thrown', ''].map((message) =>
      Mapping.open(newFile(1), {
        onFault() {
          if (message !== '') throw new Error(message)
          lines.push('heard')
        },
      }),
    )
    for (const { bytes } of mappings) bytes[0] = 1
    await until(() => lines.length > 1)
    lines.sort()
    console.log(lines.join(', '))
  },
  { prints: ['caught thrown, heard'] },
)

inChild(
  'a worker is told of the faults of its own mappings',
  async () => {
    const worker = startWorker(async ({ Mapping, inPages, until }, path) => {
      const heard: string[] = []
      const { bytes } = Mapping.open(path, { onFault: (fault) => heard.push(inPages(fault)) })
      bytes[0] = 1
      await until(() => heard.length > 0)
      return `${heard.join(', ')}: ${bytes[0]}`
    }, newFile(1))
    console.log(await messageOf(worker))
    await worker.terminate()
  },
  { prints: ['read-only 0+1: 1'] },
)

inChild(
  'faults do not keep the process alive',
  () => {
    const [mapping] = open(newFile(1))
    mapping.bytes[0] = 1
    console.log('last line')
  },
  { prints: ['last line'] },
)

inChild(
  'all faults are counted and told, more than are recorded at once',
  async () => {
    const path = newFile(7500)
    const [mapping, heard] = open(path)
    for (let page = 0; page < 7500; page++) mapping.bytes[page * pageSize] = 0
    console.log(mapping.faults.count, mapping.faults.list.length)
    await until(() => heard.length >= 7500)
    console.log(heard.length, mapping.faults.count)
    unchanged(path, 7500)
  },
  { prints: ['7500 1024', '7500 7500', 'file unchanged'] },
)

// The guard turned off

inChild(
  'with setFaultGuard(false) a truncation ends the process by SIGBUS',
  () => {
    const path = newFile(1)
    const { bytes } = Mapping.open(path)
    setFaultGuard(false)
    truncate(path, 0)
    console.log('truncated')
    console.log(bytes[0])
  },
  { prints: ['truncated'], signal: 'SIGBUS', skip: noSignals },
)

inChild(
  'with setFaultGuard(false) a Buffer left over after munmap() still reads zeros',
  () => {
    const fd = openSync(newFile(4), 'r')
    const addr = mmap(null, 4 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
    const bytes = bufferFromPointer(addr, 4 * pageSize)
    setFaultGuard(false)
    munmap(addr, 4 * pageSize)
    console.log(survey(bytes))
  },
  { prints: ['4 zeros'] },
)

// All at once

inChild(
  'workers read and write files that another process truncates and regrows at random',
  async () => {
    const { problems, faults, errors } = await storm(3)
    for (const problem of problems) console.log(problem)
    console.log(faults > 0, errors > 0)
  },
  { prints: ['true true'], skip: noTruncation ?? noAnswer },
)
