/** Faults on several threads at once, while other threads change what is mapped, and more of them than any table holds. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type Ending, runScript } from './support/child'

const linux = process.platform === 'linux' ? test : test.skip
const scratch = mkdtempSync(join(tmpdir(), 'mmap-native-'))
test.after.always(() => rmSync(scratch, { recursive: true }))

/** What all scripts and their workers begin with. */
const PRELUDE = `
const { closeSync, mkdtempSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } = require('node:fs')
const { join } = require('node:path')
const { Worker, workerData } = require('node:worker_threads')
const mmapNative = require('mmap-native')
const { Mapping, bufferFromPointer, mmap, mprotect, mremap, munmap, pageSize: PAGE } = mmapNative
const { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE } = mmapNative
const READ_WRITE = PROT_READ | PROT_WRITE
process.on('warning', () => {})
const say = (...words) => writeSync(1, words.join(' ') + '\\n')
/** A file of so many pages of 7. */
function makeFile(pages) {
  const path = join(mkdtempSync(join(process.argv.at(-1), 'files-')), 'file')
  writeFileSync(path, Buffer.alloc(pages * PAGE, 7))
  return path
}
/** Waits until both threads have come so often; they then go on as close together as they can. */
function meet(gate, often) {
  Atomics.add(gate, 0, 1)
  Atomics.notify(gate, 0)
  for (let spins = 0, seen; (seen = Atomics.load(gate, 0)) < 2 * often; spins++)
    if (spins > 2000) Atomics.wait(gate, 0, seen, 1)
}
/** The bytes of a mapping as this thread sees them. */
const viewOf = ({ address, length }) => bufferFromPointer(address, length)
const place = ({ address, length }) => ({ address, length })
const newGate = () => new Int32Array(new SharedArrayBuffer(8))
const kinds = ({ faults }) => [...new Set(faults.list.map((fault) => fault.kind))].toSorted().join()
`

interface Threads {
  /** What the main thread does: `await start(data)` starts a worker, `await ended` waits for its end. */
  main: string
  /** The body of `work(data)`, which the worker calls, and the main thread can. */
  work: string
}

function run({ main, work }: Threads): Promise<Ending> {
  const common = `${PRELUDE};function work(data, inWorker) {${work}};`
  const worker = `${common};require('node:worker_threads').parentPort.postMessage('here'); work(workerData, true)`
  const script = `${common}
    let ended
    const start = (workerData) => new Promise((resolve) => {
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true, argv: process.argv.slice(-1), workerData })
      worker.once('message', resolve).on('error', (error) => say(error.stack))
      ended = new Promise((resolve) => worker.once('exit', resolve))
    })
    ;(async () => {${main}})()`
  return runScript(script, { args: [scratch] })
}

function printed(
  t: ExecutionContext,
  { code, signal, stdout, stderr }: Ending,
  lines: readonly string[],
): void {
  const found = stdout.trimEnd().split('\n')
  t.deepEqual({ how: signal ?? code, lines: found }, { how: 0, lines: [...lines] }, stderr.slice(-2000))
}

test('threads that write the same read-only page at once both see what each of them wrote', async (t) => {
  const ROUNDS = 3000
  const ending = await run({
    work: `
      const bytes = viewOf(data)
      const at = inWorker ? 100 : 200
      for (let page = 0; page < ${ROUNDS}; page++) {
        meet(data.gate, page + 1)
        bytes[page * PAGE + at] = 1
      }`,
    main: `
      const path = makeFile(${ROUNDS})
      const mapping = Mapping.open(path)
      const data = { ...place(mapping), gate: newGate() }
      await start(data)
      work(data, false)
      await ended
      let lost = 0
      for (let page = 0; page < ${ROUNDS}; page++)
        for (const at of [0, 100, 200]) if (mapping.bytes[page * PAGE + at] !== (at === 0 ? 7 : 1)) lost++
      say('lost', lost)
      say(kinds(mapping), mapping.faults.count)
      say('file', readFileSync(path).every((byte) => byte === 7))`,
  })
  printed(t, ending, ['lost 0', `read-only ${ROUNDS}`, 'file true'])
})

test('threads that read the same lost page at once both read zeros, and the page before it right', async (t) => {
  const ROUNDS = 1000
  const ending = await run({
    work: `
      const bytes = viewOf(data)
      let wrong = 0
      for (let round = 1; round < ${ROUNDS}; round++) {
        const page = ${ROUNDS} - round
        if (!inWorker) truncateSync(data.path, page * PAGE)
        meet(data.gate, 2 * round - 1)
        if (bytes[page * PAGE] !== 0) wrong++
        if (bytes[page * PAGE - 1] !== 7) wrong++
        meet(data.gate, 2 * round)
      }
      say('wrong', wrong)`,
    main: `
      const path = makeFile(${ROUNDS})
      const mapping = Mapping.open(path)
      const data = { ...place(mapping), gate: newGate(), path }
      await start(data)
      work(data, false)
      await ended
      say(kinds(mapping), mapping.faults.count)`,
  })
  printed(t, ending, ['wrong 0', 'wrong 0', `truncated ${ROUNDS - 1}`])
})

test('a mapping can be unmapped while another thread faults in it', async (t) => {
  const ROUNDS = 150
  const ending = await run({
    work: `
      // Every page is right, or zero once the mapping is gone, and stays so.
      let wrong = 0
      let gone = 0
      for (let round = 1; round <= ${ROUNDS}; round++) {
        const bytes = viewOf(data.places[round - 1])
        meet(data.gate, 2 * round - 1)
        for (let pass = 0; pass < 4; pass++)
          for (let at = 0; at < bytes.length; at += PAGE) {
            const value = bytes[at]
            if (value === 0) gone++
            else if (value !== 7) wrong++
            bytes[at + 1] = 7
          }
        meet(data.gate, 2 * round)
      }
      say('wrong', wrong, gone > 0)`,
    main: `
      const path = makeFile(64)
      const mappings = Array.from({ length: ${ROUNDS} }, (_, index) => Mapping.open(path, { access: index % 2 ? 'read' : 'write' }))
      const data = { places: mappings.map(place), gate: newGate() }
      await start(data)
      for (let round = 1; round <= ${ROUNDS}; round++) {
        const mapping = mappings[round - 1]
        meet(data.gate, 2 * round - 1)
        for (let spins = (round * 997) % 20_000; spins > 0; spins--);
        mapping.unmap()
        // Somebody else's memory, where the mapping would be if its addresses were free.
        const other = Mapping.anonymous(64 * PAGE).fill(9)
        meet(data.gate, 2 * round)
        other.unmap()
      }
      await ended
      const all = new Set(mappings.flatMap(({ faults }) => faults.list.map((fault) => fault.kind)))
      say(all.has('closed'), [...all].filter((kind) => kind !== 'closed' && kind !== 'read-only').length)
      say('file', readFileSync(path).every((byte) => byte === 7))`,
  })
  printed(t, ending, ['wrong 0 true', 'true 0', 'file true'])
})

/** Runs `change` on a raw mapping of 16 pages again and again while a worker reads and writes all of it. */
const changing = (shared: boolean, change: string, rounds: number) =>
  run({
    work: `
      const view = viewOf(data)
      meet(data.gate, 1)
      let passes = 0
      let wrong = 0
      while (Atomics.load(data.gate, 1) === 0 || passes === 0) {
        for (let at = 0; at < view.length; at += PAGE) {
          const value = view[at]
          if (value !== 0 && value !== 7) wrong++
          view[at + 1] = value
        }
        passes++
      }
      say('wrong', wrong)`,
    main: `
      const length = 16 * PAGE
      const fd = ${shared} ? openSync(makeFile(16), 'r+') : -1
      const flags = ${shared} ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS
      let addr = mmap(null, length, READ_WRITE, flags, fd, 0)
      if (fd >= 0) closeSync(fd)
      bufferFromPointer(addr, length).fill(7)
      const aside = mmap(null, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      const data = { address: addr, length, gate: newGate() }
      await start(data)
      meet(data.gate, 1)
      for (let round = 0; round < ${rounds}; round++) {${change}}
      Atomics.store(data.gate, 1, 1)
      await ended
      say('ended')`,
  })

for (const shared of [true, false]) {
  const what = shared ? 'a file' : 'memory'
  linux(`the protection of ${what} can change while another thread uses it`, async (t) => {
    const change = `
      mprotect(addr, length, [PROT_NONE, PROT_READ, READ_WRITE][round % 3])
      mprotect(addr + BigInt(PAGE * (round % 16)), PAGE, [PROT_READ, READ_WRITE, PROT_NONE][round % 3])`
    printed(t, await changing(shared, change, 20_000), ['wrong 0', 'ended'])
  })

  linux(`${what} can move away and back while another thread uses it`, async (t) => {
    const change = `
      mremap(addr, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, aside)
      mremap(aside, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, addr)`
    printed(t, await changing(shared, change, 1000), ['wrong 0', 'ended'])
  })
}

test('more faults than there is room for at once are all counted, and every byte is kept', async (t) => {
  const PAGES = 20_000
  const ending = await run({
    work: `
      const bytes = viewOf(data)
      for (let page = inWorker ? 0 : 1; page < ${PAGES}; page += 2) bytes[page * PAGE] = 1 + (page % 200)`,
    main: `
      const path = makeFile(${PAGES})
      const mapping = Mapping.open(path, { onFault: () => told++ })
      let told = 0
      await start(place(mapping))
      work(place(mapping), false)
      await ended
      let lost = 0
      for (let page = 0; page < ${PAGES}; page++) if (mapping.bytes[page * PAGE] !== 1 + (page % 200)) lost++
      say('lost', lost)
      const { count, list } = mapping.faults
      say(count, list.length, kinds(mapping))
      while (told < count) await new Promise((resolve) => setTimeout(resolve, 10))
      say('told', told)`,
  })
  printed(t, ending, ['lost 0', `${PAGES} 1024 read-only`, `told ${PAGES}`])
})

linux('memory without access can be written and read, keeps its bytes, and is told', async (t) => {
  const ending = await run({
    work: '',
    main: `
      process.on('warning', ({ code, message }) => say(code, message.includes('without access')))
      const path = makeFile(4)
      const fd = openSync(path, 'r+')
      for (const flags of [MAP_SHARED, MAP_PRIVATE, MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS]) {
        const file = flags & MAP_ANONYMOUS ? -1 : fd
        const addr = mmap(null, 4 * PAGE, READ_WRITE, flags, file, 0)
        const buffer = bufferFromPointer(addr, 4 * PAGE)
        buffer.fill(8)
        mprotect(addr, 4 * PAGE, PROT_NONE)
        buffer[PAGE] = 9
        const read = buffer[2 * PAGE]
        say(buffer[PAGE], buffer[PAGE + 1], read, buffer[3 * PAGE + 1])
      }
      say('file', readFileSync(path).every((byte) => byte === 8))
      await new Promise((resolve) => setTimeout(resolve, 100))`,
  })
  const [bytes, warning] = ['9 8 8 8', 'MMAP_FAULT true']
  printed(t, ending, [bytes, bytes, bytes, bytes, 'file true', warning, warning, warning, warning])
})

linux('lost pages of raw mappings can be read and written under any protection', async (t) => {
  const ending = await run({
    work: '',
    main: `
      for (const flags of [MAP_SHARED, MAP_PRIVATE])
        for (const prot of [PROT_NONE, PROT_READ, READ_WRITE])
          for (const [read, write] of [[true, false], [false, true], [true, true]]) {
            const path = makeFile(2)
            const fd = openSync(path, 'r+')
            const addr = mmap(null, 2 * PAGE, READ_WRITE, flags, fd, 0)
            closeSync(fd)
            const buffer = bufferFromPointer(addr, 2 * PAGE)
            mprotect(addr, 2 * PAGE, prot)
            truncateSync(path, PAGE)
            const before = read ? buffer[PAGE] : 0
            if (write) buffer[PAGE + 1] = 5
            if (before !== 0 || buffer[PAGE] !== 0 || (write && buffer[PAGE + 1] !== 5)) say('wrong', flags, prot, read, write)
            if (buffer[0] !== 7) say('lost', flags, prot)
          }
      say('ended')`,
  })
  printed(t, ending, ['ended'])
})

linux(
  'a view holds its addresses also after MAP_FIXED and mremap() have put other pages there',
  async (t) => {
    const ending = await run({
      work: '',
      main: `
      const memory = () => mmap(null, 4 * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      const replace = [
        (addr) => mmap(addr, 4 * PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        (addr) => mremap(memory(), 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, addr),
      ]
      for (const put of replace) {
        const addr = memory()
        const view = bufferFromPointer(addr, 4 * PAGE)
        put(addr)
        view[PAGE] = 5
        munmap(addr, 4 * PAGE)
        const others = Array.from({ length: 8 }, () => Mapping.anonymous(4 * PAGE).fill(9))
        say(view[PAGE], view[0], others.length)
      }`,
    })
    printed(t, ending, ['0 0 8', '0 0 8'])
  },
)

test('a lost page can be written through a mapping of any access', async (t) => {
  const ending = await run({
    work: '',
    main: `
      for (const access of ['read', 'write', 'copy']) {
        const path = makeFile(4)
        const mapping = Mapping.open(path, { access })
        truncateSync(path, PAGE)
        mapping.bytes[PAGE] = 2
        mapping.bytes[2 * PAGE] = 1
        say(mapping.bytes[0], mapping.bytes[PAGE], mapping.bytes[2 * PAGE], mapping.bytes[3 * PAGE], kinds(mapping), mapping.faults.count)
      }`,
  })
  const line = '7 2 1 0 truncated 1'
  printed(t, ending, [line, line, line])
})

test('a fault is told as soon as the access is over', async (t) => {
  const ROUNDS = 2000
  const ending = await run({
    work: '',
    main: `
      const path = makeFile(2)
      let [read, untold, unthrown] = [0, 0, 0]
      for (let round = 0; round < ${ROUNDS}; round++) {
        truncateSync(path, 2 * PAGE)
        const mapping = Mapping.open(path, { onFault: () => {} })
        truncateSync(path, PAGE)
        if (round % 2) {
          read += mapping.bytes[PAGE]
          if (mapping.faults.count !== 1) untold++
        } else {
          try {
            mapping.read(PAGE, 1)
            unthrown++
          } catch {}
        }
        mapping.unmap()
      }
      say(read, untold, unthrown)`,
  })
  printed(t, ending, ['0 0 0'])
})
