// One process of the fuzzer: makes calls with random arguments, and sees that nothing but the package's own memory changes.
//
//   node --expose-gc ci/fuzz/child.mjs SEED CALLS FOLDER
//
// What is called is written to FOLDER/last before the call, for whoever comes to see how this process ended. Prints one line of
// JSON: how often each call succeeded, and the codes of its errors.

import { spawnSync } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Calls } from './calls.mjs'
import { Random } from './random.mjs'
import { Values } from './values.mjs'
import { Witness } from './witness.mjs'

const [seed, count, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]]

/** Calls between two looks at all memory, and between two turns of the event loop. */
const LOOK_EVERY = 5000
const TURN_EVERY = 100

/** More memory, or larger files, than this nobody gets: `mmap` with MAP_POPULATE of all that the machine has would end it. */
const MOST_MEMORY = 2 ** 30
const MOST_FILE = 2 ** 24

mkdirSync(folder, { recursive: true })
const mmap = createRequire(import.meta.url)('../../dist/index.js')

function limit() {
  const size = 1024 * Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))?.[1])
  const limits = [`--as=${size + MOST_MEMORY}`, `--fsize=${MOST_FILE}`, '--core=0']
  const { status, error, stderr } = spawnSync('prlimit', ['--pid', String(process.pid), ...limits])
  if (status !== 0) throw new Error(`no limits: ${error?.message ?? stderr}`)
}

function makeFiles() {
  const path = (name) => join(folder, name)
  for (const [name, length] of [
    ['a', 100_000],
    ['b', 4096 * 16],
    ['c', 1],
    ['empty', 0],
  ]) {
    writeFileSync(path(name), Buffer.alloc(length, `needle of ${name}\n`))
  }
  return [
    openSync(path('a'), 'r'),
    openSync(path('b'), 'r+'),
    openSync(path('c'), 'r+'),
    openSync(path('a'), 'a'),
    openSync(folder, 'r'),
  ]
}

/** An argument, as one would write it. */
function text(value) {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'function') return value.name || 'function'
  if (ArrayBuffer.isView(value)) return `bytes(${value.byteLength})`
  if (value instanceof AbortSignal) return `signal(${value.aborted ? 'aborted' : ''})`
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return `[${value.map(text).join(', ')}]`
  return `{ ${Object.keys(value)
    .map((key) => `${key}: ${text(value[key])}`)
    .join(', ')} }`
}

const LINES = 32
const LINE = 400
const last = openSync(join(folder, 'last'), 'w')

/** Writes to the file at once, so that it is there when the process is not. */
function note(index, { name, args }) {
  const line = `${index} ${name}(${args.map(text).join(', ')})`
  writeSync(last, `${line.slice(0, LINE - 1).padEnd(LINE - 1)}\n`, (index % LINES) * LINE, 'latin1')
}

const outcomes = {}

function succeeded(name) {
  const entry = (outcomes[name] ??= { ok: 0 })
  entry.ok++
}

/** An error has to be one that says what it is. */
function failed(name, error) {
  if (!(error instanceof Error) || typeof error.code !== 'string' || /panic/i.test(error.message)) {
    throw new Error(`${name} failed without a code`, { cause: error })
  }
  const code = error.name === 'AbortError' ? 'AbortError' : error.code
  if (code === 'GenericFailure') throw new Error(`${name} failed for no reason`, { cause: error })
  const entry = (outcomes[name] ??= { ok: 0 })
  entry[code] = (entry[code] ?? 0) + 1
}

/** Ranges of somebody else that a call must have refused; a length of 0 is none. */
function mustFail({ name, args }) {
  if (typeof mmap[name] !== 'function') return false
  const [start, length, third, fourth, fifth] = args
  const touches = (at, bytes) => Number(bytes) > 0 && witness.touches(Number(at ?? 0), Number(bytes))
  if (name === 'mmap') return (fourth & mmap.MAP_FIXED) !== 0 && touches(start, length)
  if (name !== 'mremap') return touches(start, length)
  return touches(start, length) || ((fourth & mmap.MREMAP_FIXED) !== 0 && touches(fifth, third))
}

const pending = new Set()

function settle(name, promise) {
  const settled = promise
    .then(
      () => succeeded(name),
      (error) => failed(name, error),
    )
    .catch(die)
  pending.add(settled)
  settled.finally(() => pending.delete(settled))
}

function die(error) {
  console.error(error)
  process.exit(3)
}

function make(call) {
  try {
    const result = call.run()
    if (mustFail(call)) throw new Error(`${call.name}() took what is not the package's`)
    if (result instanceof Promise) settle(call.name, result)
    else succeeded(call.name)
  } catch (error) {
    failed(call.name, error)
  }
}

// What an `onFault` and the like throw, nobody catches.
process.on('uncaughtException', die)
process.on('unhandledRejection', die)

// A wait that is to keep nothing alive is over in time only if something else does.
const awake = setInterval(() => {}, 1000)

// Names that are no paths of ours end up there, too.
process.chdir(folder)
const files = makeFiles()
limit()
const witness = new Witness()
const random = new Random(seed)
const calls = new Calls(random, mmap, {
  folder,
  files,
  foreign: witness.foreign,
  makeValues: (world) => new Values(random, world, mmap),
})
for (let index = 0; index < count; index++) {
  const call = calls.next()
  note(index, call)
  make(call)
  if (index % TURN_EVERY === 0) {
    await turn()
    if (pending.size > 64) await Promise.all(pending)
  }
  if (index % LOOK_EVERY === 0) {
    globalThis.gc?.()
    witness.check()
  }
}
await Promise.all(pending)
clearInterval(awake)
witness.checkCode()
calls.clean()
console.log(JSON.stringify({ outcomes, names: calls.names }))
