/** A process that writes to the log of `examples/log.ts`, killed at random moments, over and over. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Log } from '../../examples/log'
import { root } from './child'

/** The record of a number: most are short, some are long enough to be killed in the midst of. */
export function recordOf(index: number): Buffer {
  const mixed = Math.imul(index + 1, 0x9e3779b1) >>> 0
  const length = mixed % 50 === 0 ? mixed % 500_000 : mixed % 300
  return Buffer.alloc(length, `${index},`)
}

/** Writes without end, and says on standard output how many records are there when it has opened the log and whenever a flush() has resolved. */
const WRITER = `
  const { writeSync } = require('node:fs')
  const { Log } = require('./build/examples/log')
  const { recordOf } = require(${JSON.stringify(__filename)})
  const log = new Log(process.argv[1])
  let count = [...log].length
  writeSync(1, count + '\\n')
  async function write() {
    for (;;) {
      for (let i = Math.floor(Math.random() * 20); i >= 0; i--) log.append(recordOf(count++))
      const told = count
      await log.flush()
      writeSync(1, told + '\\n')
    }
  }
  write()
  if (Math.random() < 0.5) write() // two that flush at the same time`

export interface Toll {
  kills: number
  /** Kills while the log was being opened. */
  early: number
  /** Records that had been told of when their writer was killed, summed up; and those that were there. */
  told: number
  found: number
}

/** Above that a new file is begun. */
const LARGEST = 32 << 20

/** Kills writers, and throws if a record is missing or not what was written. */
export async function kill(times: number, folder: string, progress?: (toll: Toll) => void): Promise<Toll> {
  const path = join(folder, 'killed.log')
  const toll: Toll = { kills: 0, early: 0, told: 0, found: 0 }
  while (toll.kills < times) {
    rmSync(path, { force: true })
    let before = 0
    do {
      const told = await killOne(path)
      const found = check(path, Math.max(before, told ?? 0))
      toll.kills++
      if (told === undefined) toll.early++
      else toll.told += told - before
      toll.found += found - before
      before = found
      progress?.(toll)
    } while (toll.kills < times && statSync(path).size < LARGEST)
  }
  return toll
}

/** Starts a writer and kills it; resolves to what it told last. */
async function killOne(path: string): Promise<number | undefined> {
  const child = spawn(process.execPath, ['--eval', WRITER, path], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  // While it starts and opens the log, or, more often, while it writes.
  if (Math.random() < 0.8) await Promise.race([once(child.stdout, 'data'), closed])
  await sleep(Math.random() * 60)
  child.kill('SIGKILL')
  const [code, signal] = await closed
  if (signal !== 'SIGKILL') throw new Error(`the writer ended by itself, with ${code ?? signal}`)
  const [last] = /\d+(?=\n[^\n]*$)/.exec(output) ?? []
  return last === undefined ? undefined : Number(last)
}

/** Every record up to `told` has to be there, and all that are there have to be right. */
function check(path: string, told: number): number {
  using log = new Log(path)
  let count = 0
  for (const record of log) {
    if (!record.equals(recordOf(count))) throw new Error(`record ${count} is not what was written`)
    count++
  }
  if (count < told) throw new Error(`${told} records had been flushed, and ${count} are there`)
  return count
}
