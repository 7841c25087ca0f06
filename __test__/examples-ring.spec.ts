/** examples/ring.ts: messages arrive, in order and as they were sent, and a side that has ended is noticed. */
import test, { type ExecutionContext } from 'ava'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Mapping, type SystemError } from 'mmap-native'
import { HEADER, Receiver, Sender } from '../examples/ring'
import { root } from './support/child'

const onLinux = process.platform === 'linux' ? test : test.skip

/** What tests and the scripts of other processes make messages of: the same `seed` gives the same ones. */
const MESSAGES = `
  function* messages(seed, count, longest) {
    let state = seed
    const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
    for (let i = 0; i < count; i++) {
      const bytes = Buffer.alloc(Math.floor(random() ** 3 * (longest + 1)))
      for (let at = 0; at < bytes.length; at++) bytes[at] = i + at * 7
      yield bytes
    }
  }`
const messages = new Function(`${MESSAGES}; return messages`)() as (
  seed: number,
  count: number,
  longest: number,
) => Iterable<Buffer>

function sharedMemory(t: ExecutionContext, capacity: number) {
  const name = `/mmap-native-test-ring-${process.pid}-${Math.random().toString(36).slice(2)}`
  const memory = Mapping.shared(name, HEADER + capacity, { create: 'exclusive' })
  t.teardown(() => {
    memory.unmap()
    Mapping.unlinkShared(name)
  })
  return { name, memory }
}

/** A process that has the memory as `memory`, and `messages`. */
function startProcess(t: ExecutionContext, name: string, script: string): ChildProcess {
  const source = `
    const { Mapping } = require('mmap-native')
    const { Sender, Receiver } = require('./build/examples/ring')
    ${MESSAGES}
    const memory = Mapping.shared(${JSON.stringify(name)})
    ;(async () => {${script}})()`
  const child = spawn(process.execPath, ['--eval', source], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

test('every length at every place: messages go through a ring that is as small as can be', async (t) => {
  using memory = Mapping.anonymous(HEADER + 64)
  const [sender, receiver] = [new Sender(memory), new Receiver(memory)]
  let sent = 0
  for (let length = 0; length <= 28; length++) {
    for (let i = 0; i < 17; i++) {
      const message = Buffer.alloc(length, ++sent)
      // At once: the message before takes its room until this one is asked for.
      const [received] = await Promise.all([receiver.receive(), sender.send(message)])
      t.true(received?.equals(message), `${length} bytes, ${i}`)
    }
  }
  await sender.end()
  t.is(await receiver.receive(), undefined)
})

test('what is sent waits for room, what is received for messages', async (t) => {
  using memory = Mapping.anonymous(HEADER + 1024)
  const [sender, receiver] = [new Sender(memory), new Receiver(memory)]
  const all = [...messages(1, 2000, 508)]
  const sending = (async () => {
    for (const message of all) await sender.send(message)
    await sender.end()
  })()
  let [index, wrong] = [0, 0]
  for (let message; (message = await receiver.receive()) !== undefined; index++) {
    if (!message.equals(all[index] as Buffer)) wrong++
  }
  await sending
  t.deepEqual([index, wrong], [2000, 0])
})

test('a message that is longer than half of the ring, and a ring of another size, are refused', async (t) => {
  using memory = Mapping.anonymous(HEADER + 1024)
  const sender = new Sender(memory)
  await t.throwsAsync(sender.send(Buffer.alloc(509)), {
    instanceOf: RangeError,
    message: '509 bytes are too many',
  })
  await sender.send(Buffer.alloc(508))
  using other = Mapping.anonymous(HEADER + 1000)
  t.throws(() => new Sender(other), { instanceOf: RangeError })
})

onLinux('from another process: all arrive, in order and intact, and the counters go past 2^32', async (t) => {
  for (const capacity of [1024, 1 << 16]) {
    const { name, memory } = sharedMemory(t, capacity)
    // Where both sides would be after nearly 4 GiB.
    const start = -(1 << 20)
    memory.view(Int32Array).set([start], 0)
    memory.view(Int32Array).set([start], 32)
    const [count, longest] = [100_000, capacity / 2 - 4]
    const receiver = new Receiver(memory)
    startProcess(
      t,
      name,
      `const sender = new Sender(memory)
       for (const message of messages(2, ${count}, ${Math.min(longest, 3000)})) await sender.send(message)
       await sender.end()`,
    )
    let [received, wrong] = [0, 0]
    for (const expected of messages(2, count, Math.min(longest, 3000))) {
      if (!(await receiver.receive())?.equals(expected)) wrong++
      received++
      // Now and then the ring is full, and the sender waits.
      if (received % 10_000 === 0) await sleep(5)
    }
    t.is(await receiver.receive(), undefined)
    t.is(wrong, 0)
    const written = memory.view(Int32Array)[0] as number
    t.true(written > 0, `past 2^32: ${written}`)
    t.is(memory.view(Int32Array)[32], written - 4, 'all but the end was read')
  }
})

onLinux('to a worker that blocks: all arrive, in order and intact', async (t) => {
  using memory = Mapping.anonymous(HEADER + 8192)
  const source = `
    const { workerData, parentPort } = require('node:worker_threads')
    const { Mapping } = require('mmap-native')
    const { Receiver } = require('./build/examples/ring')
    const { createHash } = require('node:crypto')
    const receiver = new Receiver(Mapping.attach(workerData))
    const hash = createHash('sha256')
    let count = 0
    for (let message; (message = receiver.receiveSync()) !== undefined; count++) hash.update(message)
    parentPort.postMessage([count, hash.digest('hex')])`
  const worker = new Worker(source, { eval: true, workerData: memory.share() })
  const done = once(worker, 'message')
  const sender = new Sender(memory)
  const hash = createHash('sha256')
  for (const message of messages(3, 50_000, 1000)) {
    hash.update(message)
    await sender.send(message)
    if (message.length === 999) await sleep(1) // the ring is empty meanwhile
  }
  await sender.end()
  t.deepEqual(await done, [[50_000, hash.digest('hex')]])
  await once(worker, 'exit')
})

onLinux('a sender that is killed is noticed, and every message that it had sent is there', async (t) => {
  for (let round = 0; round < 5; round++) {
    const { name, memory } = sharedMemory(t, 1 << 16)
    const receiver = new Receiver(memory, 100)
    const child = startProcess(
      t,
      name,
      `const sender = new Sender(memory)
       for (const message of messages(${round}, 1e9, 3000)) await sender.send(message)`,
    )
    let [received, wrong] = [0, 0]
    const error = await t.throwsAsync<SystemError>(async () => {
      for (const expected of messages(round, 1e9, 3000)) {
        if (!(await receiver.receive())?.equals(expected)) wrong++
        // In the midst of what it does.
        if (++received === 1000) setTimeout(() => child.kill('SIGKILL'), Math.random() * 20)
      }
    })
    t.is(error?.code, 'ESRCH')
    t.is(wrong, 0)
    t.true(received >= 1000)
  }
})

onLinux('a sender that is silent is waited for', async (t) => {
  const { name, memory } = sharedMemory(t, 1024)
  const receiver = new Receiver(memory, 20)
  startProcess(
    t,
    name,
    `const sender = new Sender(memory); setTimeout(() => sender.send(Buffer.from('late')), 300)`,
  )
  t.is(`${await receiver.receive()}`, 'late')
})

onLinux('a receiver that has ended is noticed when the ring is full', async (t) => {
  const { name, memory } = sharedMemory(t, 1024)
  const sender = new Sender(memory, 50)
  const child = startProcess(t, name, `await new Receiver(memory).receive(); process.exit()`)
  const error = await t.throwsAsync<SystemError>(async () => {
    for (;;) await sender.send(Buffer.alloc(100))
  })
  t.is(error?.code, 'ESRCH')
  t.is(child.exitCode, 0)
})

for (const length of [-1, -3, -(2 ** 31), 1017, 2000, 2 ** 31 - 1]) {
  test(`a length that no sender writes is an error: ${length}`, async (t) => {
    using memory = Mapping.anonymous(HEADER + 1024)
    const [sender, receiver] = [new Sender(memory), new Receiver(memory)]
    await sender.send(Buffer.alloc(10))
    memory.view(Int32Array, HEADER)[0] = length
    for (let i = 0; i < 2; i++) await t.throwsAsync(receiver.receive(), { message: /damaged/ })
  })
}

test('positions that no side writes are an error', async (t) => {
  for (const written of [1, -4, 5000]) {
    using memory = Mapping.anonymous(HEADER + 1024)
    memory.view(Int32Array)[0] = written
    memory.view(Int32Array, HEADER)[0] = 10
    await t.throwsAsync(new Receiver(memory).receive(), { message: /damaged/ })
  }
  using memory = Mapping.anonymous(HEADER + 1024)
  memory.view(Int32Array)[32] = 4 // more was read than written
  await t.throwsAsync(new Sender(memory).send(Buffer.alloc(400)), { message: /damaged/ })
})
