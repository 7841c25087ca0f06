/** Files whose pages are known, another process that truncates them, and what became of a view of them. */
import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { bufferFromPointer, mmap, pageSize } from 'mmap-native'
import type { Fault, Mapping } from 'mmap-native'

export * from 'mmap-native'

export const MIB = 1024 * 1024

/** What every byte of a page of a test file is. Pages differ from those near them, and none has zeros. */
export const byteOfPage = (page: number): number => (page % 251) + 1

/** The contents of a test file. */
export function contents(pages: number): Buffer {
  const bytes = Buffer.allocUnsafe(pages * pageSize)
  for (let page = 0; page < pages; page++)
    bytes.fill(byteOfPage(page), page * pageSize, (page + 1) * pageSize)
  return bytes
}

let files = 0

/** Makes a test file, in the folder given or in that of the scenario. */
export function newFile(pages: number, folder = process.argv.at(-1) as string): string {
  const path = join(folder, `file-${process.pid}-${files++}`)
  writeFileSync(path, contents(pages))
  return path
}

/** POSIX says that dd(1) without anything to copy leaves a file of `seek` blocks. */
const dd = (path: string, size: number): string[] => [
  'if=/dev/null',
  `of=${path}`,
  'bs=1',
  'count=0',
  `seek=${size}`,
]

/** Has another process give a file this size, by truncation or with a hole at its end. */
export function truncate(path: string, size: number): void {
  const { status, error, stderr } = spawnSync('dd', dd(path, size), { encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(stderr)
}

/** The same a little later, whatever this thread does meanwhile. Resolves when it is done. */
export function truncateSoon(path: string, size: number): Promise<void> {
  const child = spawn('sh', ['-c', 'sleep 0.3; exec dd "$@"', 'sh', ...dd(path, size)], { stdio: 'ignore' })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`dd ended with ${code}`))))
  })
}

const PAGES_OF = Array.from({ length: 256 }, (_, byte) => Buffer.alloc(pageSize, byte))

function kindOf(bytes: Uint8Array, page: number): string {
  const own = bytes.subarray(page * pageSize, (page + 1) * pageSize)
  const [zeros, file] = [PAGES_OF[0], PAGES_OF[byteOfPage(page)]] as [Buffer, Buffer]
  if (file.equals(own)) return 'file'
  if (zeros.equals(own)) return 'zeros'
  const end = own.indexOf(0)
  const isCut =
    file.subarray(0, end).equals(own.subarray(0, end)) && zeros.subarray(end).equals(own.subarray(end))
  return isCut ? `cut at ${end}` : 'other'
}

/** The contents of a view of a whole test file in words: `3 file, 1 cut at 2048, 4 zeros`. Touches every page. */
export function survey(bytes: Uint8Array): string {
  const runs: { kind: string; pages: number }[] = []
  for (let page = 0; page < bytes.length / pageSize; page++) {
    const kind = kindOf(bytes, page)
    const last = runs.at(-1)
    if (last?.kind === kind) last.pages++
    else runs.push({ kind, pages: 1 })
  }
  return runs.map(({ kind, pages }) => `${pages} ${kind}`).join(', ')
}

/** A fault in pages: `truncated 4+4`. */
export function inPages({ offset, length, kind }: Fault): string {
  return `${kind} ${offset / pageSize}+${length / pageSize}`
}

/** The faults of a mapping in pages: `2: read-only 0+1, read-only 3+1`. */
export function told({ faults: { count, list } }: Mapping): string {
  return `${count}: ${list.map(inPages).join(', ')}`
}

/** What an operation threw: its code, and for a fault which and where. */
export function failure(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    const { code, offset, length, kind } = error as Fault & { code?: string }
    return code === 'ERR_MAPPING_FAULT'
      ? `${code} ${inPages({ offset, length, kind })}`
      : (code ?? `${error}`)
  }
}

/** A Buffer over a raw mapping of a file, from the first byte on. */
export function mapRaw(fd: number, pages: number, prot: number, flags: number): Buffer {
  return bufferFromPointer(mmap(null, pages * pageSize, prot, flags, fd, 0), pages * pageSize)
}

/** Turns of the event loop until `done`; fails after some seconds. */
export async function until(done: () => boolean): Promise<void> {
  const deadline = performance.now() + 40_000
  while (!done()) {
    if (performance.now() > deadline) throw new Error('waited in vain')
    await sleep(5)
  }
}

/** The warnings of this thread from now on. */
export function collectWarnings(): (Error & { code?: string })[] {
  const warnings: (Error & { code?: string })[] = []
  process.on('warning', (warning) => warnings.push(warning))
  return warnings
}

/**
 * Runs a function in a worker. What it returns is posted, unless it is `undefined`. The worker has the function's text: it
 * uses only its parameters and `require()`.
 */
export function startWorker<Input>(
  run: (tools: typeof import('./faults'), input: Input) => unknown,
  input: Input,
): Worker {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const post = (result) => { if (result !== undefined) parentPort.postMessage(result) }
    Promise.resolve((${run})(require(${JSON.stringify(__filename)}), workerData)).then(post)`
  return new Worker(source, { eval: true, workerData: input })
}

/** The next message of a worker. */
export function messageOf(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the worker ended with ${code}`)))
  })
}
