/** Messages from one process to another. The one that sends is this module, as a program: `ring.js WAY PLACE`, which is told how many. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { Mapping } from 'mmap-native'
import type { Contender, Measure } from '../../bench/measure'
import { HEADER, Receiver, Sender } from '../ring'
import { RATE, rate } from './rate'

/** A message starts with its number, and whether it is the last one. */
const [LENGTH, DIGITS] = [100, 10]

/** Sends a message; what it returns is waited for. */
type Send = (message: Buffer) => unknown

/** By the way, to what is at a place: a name of shared memory, or a path. */
const senders: Record<string, (place: string) => Send> = {
  ring(place) {
    const sender = new Sender(Mapping.shared(place))
    return (message) => sender.send(message)
  },

  send: () => (message) =>
    process.send?.(message.toString('latin1')) ? undefined : new Promise((then) => setImmediate(then)),

  socket(place) {
    const socket = connect(place)
    return (message) => {
      const framed = Buffer.allocUnsafe(4 + message.length)
      framed.writeUInt32LE(message.length)
      framed.set(message, 4)
      return socket.write(framed) ? undefined : once(socket, 'drain')
    }
  },
}

function sendWhenTold(way: string, place: string): void {
  const send = senders[way]?.(place) as Send
  const message = Buffer.alloc(LENGTH, 'x')
  process.on('message', async (count: number) => {
    for (let i = 0; i < count; i++) {
      message.write(`${i}`.padStart(DIGITS, '0') + (i + 1 === count ? '.' : ','), 'latin1')
      const wait = send(message)
      if (wait !== undefined) await wait
    }
  })
  process.send?.('ready')
}

async function startSender(way: string, place = ''): Promise<ChildProcess> {
  const child = fork(__filename, [way, place])
  await once(child, 'message')
  return child
}

/** Takes messages in their order, and tells how many there were after the last one. */
function inbox(done: (count: number) => void): (message: Buffer | string) => void {
  let expected = 0
  return (message) => {
    const head = message.slice(0, DIGITS + 1).toString('latin1')
    if (parseInt(head) !== expected) throw new Error(`message ${expected} is ${head}`)
    expected++
    if (!head.endsWith('.')) return
    done(expected)
    expected = 0
  }
}

type Take = ReturnType<typeof inbox>

/** Starts to receive, and what sends; the worker has an inbox of its own, and tells only what was in it. */
const receivers = {
  async send(take: Take): Promise<ChildProcess> {
    const child = await startSender('send')
    child.on('message', take)
    return child
  },

  async socket(take: Take): Promise<ChildProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
    const server = createServer((socket) => {
      let left = Buffer.alloc(0)
      socket.on('data', (chunk) => {
        const bytes = left.length > 0 ? Buffer.concat([left, chunk]) : chunk
        let at = 0
        for (let end; (end = endOfFrame(bytes, at)) <= bytes.length; at = end)
          take(bytes.subarray(at + 4, end))
        left = bytes.subarray(at)
      })
    })
    await once(server.listen(join(folder, 'socket')), 'listening')
    const child = await startSender('socket', join(folder, 'socket'))
    rmSync(folder, { recursive: true })
    return child
  },

  async ring(take: Take): Promise<ChildProcess> {
    const { child, memory } = await startRing()
    const receiver = new Receiver(memory)
    void (async () => {
      for (let message; (message = await receiver.receive()) !== undefined;) take(message)
    })()
    return child
  },

  async ringToWorker(_: Take, done: (count: number) => void): Promise<ChildProcess> {
    const { child, memory } = await startRing()
    const worker = new Worker(__filename, { workerData: memory.share() })
    worker.on('message', done).once('exit', () => memory.unmap())
    return child
  },
}

const endOfFrame = (bytes: Buffer, at: number) =>
  at + 4 <= bytes.length ? at + 4 + bytes.readUInt32LE(at) : Infinity

async function startRing(): Promise<{ child: ChildProcess; memory: Mapping }> {
  const name = `/mmap-native-ring-${process.pid}`
  const memory = Mapping.shared(name, HEADER + (1 << 20), { create: 'exclusive' })
  try {
    return { memory, child: await startSender('ring', name) }
  } finally {
    Mapping.unlinkShared(name)
  }
}

function receiveInWorker(): void {
  const receiver = new Receiver(Mapping.attach(workerData))
  const take = inbox((count) => parentPort?.postMessage(count))
  for (let message; (message = receiver.receiveSync()) !== undefined;) take(message)
}

function contender(name: string, receive: keyof typeof receivers, isOurs: boolean): Contender {
  return {
    name,
    ...(isOurs && { ours: true }),
    runtime: 'node',
    async start({ count }) {
      let done: (messages: number) => void = () => {}
      const told = (messages: number) => done(messages)
      const child = await receivers[receive](inbox(told), told)
      return (check) => {
        const messages = check ? Math.min(count, 1000) : count
        const all = () =>
          new Promise<number>((resolve) => {
            done = resolve
            child.send(messages)
          })
        return rate(messages, all)
      }
    },
  }
}

export const ring: Measure = {
  name: 'ring',
  title: 'Ring buffer: messages of 100 bytes from another process',
  about: 'One process sends them one by one, as fast as they are taken; the other one looks at each.',
  figures: RATE,
  contenders: [
    contender('process.send', 'send', false),
    contender('Unix socket', 'socket', false),
    contender('mmap-native, waitAsync()', 'ring', true),
    contender('mmap-native, wait() in a worker', 'ringToWorker', true),
  ],
  targets: [],
  prepare: ({ pick }) => ({ count: pick(100_000, 20_000, 2000) }),
  missing: () => (process.platform === 'linux' ? undefined : 'shared memory and waiting are of Linux'),
}

if (require.main === module) {
  if (isMainThread) sendWhenTold(process.argv[2] as string, process.argv[3] as string)
  else receiveInWorker()
}
