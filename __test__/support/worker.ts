/** Worker threads made of a text. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const PROLOGUE = `
const { parentPort, workerData } = require('node:worker_threads')
const { Mapping } = require('mmap-native')
const say = (value) => parentPort.postMessage(value)
const codeOf = (work) => { try { work(); return 'nothing' } catch (error) { return error.code } }
`

/** Starts a worker with `workerData`, `parentPort`, `Mapping`, `say(value)` and `codeOf(work)` at hand. */
export function startWorker(source: string, workerData?: unknown): Worker {
  return new Worker(`${PROLOGUE};(async () => {${source}\n})()`, { eval: true, workerData })
}

/** The next message of a worker. Rejects if it fails before. */
export async function said(worker: Worker): Promise<unknown> {
  const [message] = (await once(worker, 'message')) as [unknown]
  return message
}

/** What a worker says first; it has ended by then. */
export async function inWorker(source: string, workerData?: unknown): Promise<unknown> {
  const worker = startWorker(source, workerData)
  const ended = once(worker, 'exit')
  const message = await said(worker)
  await ended
  return message
}
