/**
 * A storm: 8 workers read and write 64 mapped files while another process truncates and regrows them at random.
 *
 *   node build/__test__/support/storm.js [seconds]
 *
 * Every file has pages that no truncation reaches: they must be right at every look. All others have either what was
 * written to them or zeros. When the storm is over, each page of each mapping is that of the file, or `read()` says that
 * it is not; and after `refresh()` all pages are the file's.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker, isMainThread, parentPort, threadId, workerData } from 'node:worker_threads'
import { Mapping, pageSize } from 'mmap-native'
import type { Fault } from 'mmap-native'

const WORKERS = 8
const FILES = 64
const PAGES = 16
/** Pages at the start of each file that no truncation reaches. */
const SAFE = 4
const SIZE = PAGES * pageSize
const WORDS = pageSize / 4
/** The first half of each page has the same word everywhere; in the second half each worker has words of its own. */
const HALF = WORDS / 2

/** What a storm has come to. */
export interface Outcome {
  /** What went wrong. */
  problems: string[]
  rounds: number
  faults: number
  /** Errors with the code ERR_MAPPING_FAULT. */
  errors: number
  truncations: number
}

const below = (limit: number): number => Math.floor(Math.random() * limit)
const pathOf = (folder: string, file: number): string => join(folder, `${file}`)
const wordOf = (file: number, page: number): number => (file + 1) * 0x01000000 + (page + 1) * 0x00010101

/** A mapped file, as one worker has it. */
class Target {
  readonly #path: string
  readonly #file: number
  readonly #own: number
  #mapping: Mapping
  #words: Uint32Array
  /** Until all was told: the listener of a mapping that is collected hears no more. */
  readonly #earlier: Mapping[] = []
  #told = 0
  /** What this worker wrote last to its word of each page out of reach. */
  readonly #written = new Uint32Array(SAFE)
  errors = 0

  constructor(folder: string, file: number, worker: number) {
    this.#path = pathOf(folder, file)
    this.#file = file
    this.#own = HALF + worker
    this.#mapping = this.#open() as Mapping
    this.#words = this.#mapping.view(Uint32Array)
  }

  get faults(): number {
    return [...this.#earlier, this.#mapping].reduce((sum, { faults }) => sum + faults.count, 0)
  }

  get told(): number {
    return this.#told
  }

  /** Does something at random, and tells what is wrong. */
  act(): string | undefined {
    const kind = below(100)
    if (kind < 60) return this.#look(below(PAGES))
    if (kind < 75) return this.#write(below(SAFE))
    if (kind < 85) this.#restore(SAFE + below(PAGES - SAFE))
    else if (kind < 90) return this.#copy(below(PAGES))
    else if (kind < 94) this.#mapping.refresh()
    else if (kind < 97) this.#reopen()
    else this.#flush()
    return undefined
  }

  /** Compares each page with the file, before and after `refresh()`. Nobody changes the file any more. */
  verify(): string[] {
    const problems: string[] = []
    const fd = openSync(this.#path, 'r')
    const inFile = Buffer.alloc(SIZE)
    readSync(fd, inFile, 0, SIZE, 0)
    closeSync(fd)
    const { bytes } = this.#mapping
    const differs = (page: number) =>
      inFile.compare(
        bytes,
        page * pageSize,
        (page + 1) * pageSize,
        page * pageSize,
        (page + 1) * pageSize,
      ) !== 0
    for (let page = 0; page < PAGES; page++) {
      const wrong = differs(page)
      const reported = this.#fails(() => this.#mapping.read(page * pageSize, pageSize))
      if (wrong && !reported) problems.push(`file ${this.#file} page ${page}: lost and not reported`)
      if (reported && page < SAFE) problems.push(`file ${this.#file} page ${page}: reported and not lost`)
    }
    for (const { kind } of this.#mapping.faults.list)
      if (kind !== 'truncated') problems.push(`file ${this.#file}: a fault of the kind ${kind}`)
    this.#mapping.refresh()
    for (let page = 0; page < PAGES; page++)
      if (differs(page)) problems.push(`file ${this.#file} page ${page}: not the file's after refresh()`)
    if (this.#fails(() => this.#mapping.read(0, SIZE)))
      problems.push(`file ${this.#file}: a fault after refresh()`)
    return problems
  }

  #open(): Mapping | undefined {
    try {
      return Mapping.open(this.#path, { access: 'write', length: SIZE, onFault: () => this.#told++ })
    } catch (error) {
      // The file is short at this moment.
      if ((error as { code?: string }).code === 'ERR_OUT_OF_RANGE') return undefined
      throw error
    }
  }

  #reopen(): void {
    const mapping = this.#open()
    if (mapping === undefined) return
    const [old, words] = [this.#mapping, this.#words]
    old.unmap()
    // A view that is left over has zeros or no bytes; it is a fault only if it has some.
    if ((words[below(words.length)] ?? 0) !== 0) throw new Error('a view after unmap() has something')
    if (old.faults.count > 0) this.#earlier.push(old)
    this.#mapping = mapping
    this.#words = mapping.view(Uint32Array)
  }

  #look(page: number): string | undefined {
    const word = wordOf(this.#file, page)
    const start = page * WORDS
    const words = this.#words
    for (let i = start; i < start + HALF; i++) {
      const found = words[i]
      if (found !== word && (found !== 0 || page < SAFE)) return this.#wrong(page, i - start, found)
    }
    return undefined
  }

  #write(page: number): string | undefined {
    const at = page * WORDS + this.#own
    const found = this.#words[at]
    if (found !== this.#written[page]) return this.#wrong(page, this.#own, found)
    this.#words[at] = this.#written[page] = below(2 ** 32)
    return undefined
  }

  #restore(page: number): void {
    const word = wordOf(this.#file, page)
    if (below(2) === 0) this.#words.fill(word, page * WORDS, page * WORDS + HALF)
    else this.#fails(() => this.#mapping.write(new Uint32Array(HALF).fill(word), page * pageSize))
  }

  #copy(page: number): string | undefined {
    const target = new Uint32Array(WORDS)
    this.#fails(() => this.#mapping.read(page * pageSize, target))
    const word = wordOf(this.#file, page)
    const wrong = target
      .subarray(0, HALF)
      .findIndex((found) => found !== word && (found !== 0 || page < SAFE))
    return wrong === -1 ? undefined : this.#wrong(page, wrong, target[wrong])
  }

  #flush(): void {
    this.#mapping.flush().catch((error: { code?: string }) => {
      if (error.code === 'ERR_MAPPING_FAULT') this.errors++
      else if (error.code !== 'ERR_MAPPING_CLOSED') throw error
    })
  }

  #fails(call: () => unknown): boolean {
    try {
      call()
      return false
    } catch (error) {
      if ((error as Fault & { code?: string }).code !== 'ERR_MAPPING_FAULT') throw error
      this.errors++
      return true
    }
  }

  #wrong(page: number, word: number, found: number | undefined): string {
    return `file ${this.#file} page ${page} word ${word}: ${found?.toString(16)}`
  }
}

interface Job {
  folder: string
  stop: Int32Array
  worker: number
}

async function work({ folder, stop, worker }: Job): Promise<void> {
  const targets = Array.from({ length: FILES }, (_, file) => new Target(folder, file, worker))
  parentPort?.postMessage('mapped')
  const problems: string[] = []
  let rounds = 0
  while (Atomics.load(stop, 0) === 0) {
    for (let i = 0; i < 200; i++) {
      const problem = targets[below(FILES)]?.act()
      if (problem !== undefined && problems.length < 10) problems.push(`worker ${threadId}: ${problem}`)
      rounds++
    }
    await turn()
  }
  const rest = new Promise((resolve) => parentPort?.once('message', resolve))
  parentPort?.postMessage('stopped')
  await rest
  for (const target of targets) problems.push(...target.verify())
  const sum = (of: (target: Target) => number) => targets.reduce((total, target) => total + of(target), 0)
  const [faults, errors] = [sum((target) => target.faults), sum((target) => target.errors)]
  const deadline = Date.now() + 10_000
  while (sum((target) => target.told) < faults && Date.now() < deadline) await turn()
  const told = sum((target) => target.told)
  if (told !== faults) problems.push(`worker ${threadId}: ${faults} faults, told of ${told}`)
  parentPort?.postMessage({ problems, rounds, faults, errors, truncations: 0 } satisfies Outcome)
}

/** The other process: truncates and regrows for some seconds, leaves all files whole, and prints how often it did it. */
function truncateAtRandom(folder: string, seconds: number): void {
  const deadline = Date.now() + seconds * 1000
  let count = 0
  for (; Date.now() < deadline; count++) {
    const path = pathOf(folder, below(FILES))
    truncateSync(path, SAFE * pageSize + 8 * below((SIZE - SAFE * pageSize) / 8))
    // Some grow back at once, some later.
    if (below(3) > 0) truncateSync(path, SIZE)
    if (below(20) === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, below(3))
  }
  for (let file = 0; file < FILES; file++) truncateSync(pathOf(folder, file), SIZE)
  console.log(count)
}

/** Starts this file in another process. Resolves with what it prints. */
function startTruncating(folder: string, seconds: number): Promise<number> {
  const args = process.versions['deno'] === undefined ? [] : ['run', '-A', '--unstable-detect-cjs']
  const child = spawn(process.execPath, [...args, __filename, 'truncate', folder, `${seconds}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(Number(output)) : reject(new Error(`truncate ended with ${code}`)),
    )
  })
}

function messageOf(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

/** Lets the storm blow for some seconds. */
export async function storm(seconds: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
  try {
    for (let file = 0; file < FILES; file++) {
      const words = new Uint32Array(PAGES * WORDS)
      for (let page = 0; page < PAGES; page++)
        words.fill(wordOf(file, page), page * WORDS, page * WORDS + HALF)
      writeFileSync(pathOf(folder, file), words)
    }
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const workers = Array.from(
      { length: WORKERS },
      (_, worker) => new Worker(__filename, { workerData: { folder, stop, worker } satisfies Job }),
    )
    await Promise.all(workers.map(messageOf))
    const stopped = Promise.all(workers.map(messageOf))
    const truncations = await Promise.race([startTruncating(folder, seconds), stopped.then(() => -1)])
    Atomics.store(stop, 0, 1)
    await stopped
    const outcomes = Promise.all(workers.map(messageOf)) as Promise<Outcome[]>
    for (const worker of workers) worker.postMessage('verify')
    const sum = { problems: [], rounds: 0, faults: 0, errors: 0, truncations } as Outcome
    for (const { problems, rounds, faults, errors } of await outcomes) {
      sum.problems.push(...problems)
      sum.rounds += rounds
      sum.faults += faults
      sum.errors += errors
    }
    return sum
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What `node storm.js [seconds]` does. */
async function main(seconds: number): Promise<void> {
  const outcome = await storm(seconds)
  console.log(outcome)
  if (outcome.problems.length > 0) process.exitCode = 1
}

if (!isMainThread && (workerData as Partial<Job> | null)?.folder !== undefined) void work(workerData as Job)
else if (require.main === module) {
  const [first, folder, seconds] = process.argv.slice(2)
  if (first === 'truncate') truncateAtRandom(folder as string, Number(seconds))
  else void main(Number(first ?? 60))
}
