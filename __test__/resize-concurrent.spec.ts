/** Workers that read and write a mapping through views of their own while it is resized, protected and unmapped. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { runScript } from './support/child'

const scratch = mkdtempSync(join(tmpdir(), 'mmap-native-'))
test.after.always(() => rmSync(scratch, { recursive: true }))

/** Pages that no resize reaches, and the most that there are. */
const SAFE = 4
const MOST = 64
const SECONDS = 3

/** A worker: looks at pages as they are, through a view of the safe ones and one of all that there may be. */
const WORKER = `
const { parentPort, workerData } = require('node:worker_threads')
const { bufferFromPointer, pageSize: PAGE } = require('mmap-native')
const { address, control, moves } = workerData
const safe = bufferFromPointer(address, ${SAFE} * PAGE)
const all = moves ? safe : bufferFromPointer(address, ${MOST} * PAGE)
const below = (limit) => Math.floor(Math.random() * limit)
let looks = 0
let problem = ''
function look() {
  for (let round = 0; round < 2000; round++) {
    const page = below(${SAFE})
    const byte = safe[page * PAGE + below(PAGE)]
    // Zeros are right only where the mapping has gone away: what it has moved from, or after unmap().
    if (byte !== page + 1 && !(byte === 0 && (moves || Atomics.load(control, 1) === 1)))
      problem = 'byte ' + byte + ' in page ' + page
    const any = below(all.length)
    const seen = all[any]
    if (seen !== 0 && seen !== Math.floor(any / PAGE) + 1) problem = 'byte ' + seen + ' at ' + any
    all[any] = Math.floor(any / PAGE) + 1
    looks++
  }
}
parentPort.postMessage('here')
while (Atomics.load(control, 0) === 0 && problem === '') look()
parentPort.postMessage({ looks, problem })
`

const MAIN = `
const fs = require('node:fs')
const { Worker } = require('node:worker_threads')
const { Mapping, pageSize: PAGE } = require('mmap-native')
const [path, kind] = process.argv.slice(-2)
process.on('warning', () => {})
const below = (limit) => Math.floor(Math.random() * limit)
const SAFE = ${SAFE} * PAGE, MOST = ${MOST} * PAGE
const contents = Buffer.concat(Array.from({ length: ${SAFE} }, (_, page) => Buffer.alloc(PAGE, page + 1)))
fs.writeFileSync(path, contents)
const moves = kind.endsWith('moves')
const options = moves ? {} : { maxLength: MOST }
const allowed = new Set(['ERR_OUT_OF_RANGE', 'EACCES', 'ERR_MAPPING_FAULT', 'ERR_MAPPING_CLOSED'])
const counts = {}
const note = (code) => (counts[code] = (counts[code] ?? 0) + 1)
async function attempt(call) {
  try {
    const result = await call()
    note('ok')
    return result
  } catch (error) {
    if (!allowed.has(error.code)) throw error
    note(error.code)
    return undefined
  }
}
async function storm() {
  const mapping = kind.startsWith('memory') ? Mapping.anonymous(SAFE, options) : Mapping.open(path, { access: 'write', onFault() {}, ...options })
  mapping.write(contents)
  if (!moves) mapping.resize(MOST)
  const control = new Int32Array(new SharedArrayBuffer(8))
  const workerData = { address: mapping.address, control, moves }
  const workers = [1, 2].map(() => new Worker(${JSON.stringify(WORKER)}, { eval: true, workerData }))
  const messageOf = (worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await Promise.all(workers.map(messageOf))
  const results = workers.map(messageOf)
  const end = Date.now() + ${SECONDS * 1000} / (moves ? 20 : 1)
  let resizes = 0
  const work = []
  while (Date.now() < end) {
    const length = SAFE + below(MOST - SAFE + 1)
    await attempt(() => mapping.resize(length))
    resizes++
    const page = below(${MOST})
    await attempt(() => mapping.protect(['none', 'read', 'write'][below(3)], page * PAGE, PAGE * below(4)))
    await attempt(() => mapping.protect('write', 0, SAFE))
    // A fault may have put a copy in the place of a page that a worker has written: the file's again.
    mapping.refresh()
    const copy = await attempt(() => mapping.read(0, SAFE))
    if (copy !== undefined && !copy.equals(contents)) throw new Error('wrong bytes')
    const at = below(length)
    work.push(attempt(() => mapping.flush(at)), attempt(() => mapping.prefetch(at)), attempt(() => mapping.find('needle', { from: at })))
    if (work.length > 30) await Promise.all(work.splice(0))
  }
  Atomics.store(control, 1, 1)
  mapping.unmap()
  await Promise.all(work)
  await new Promise((resolve) => setTimeout(resolve, 20))
  Atomics.store(control, 0, 1)
  for (const { looks, problem } of await Promise.all(results)) {
    if (problem !== '') throw new Error(problem)
    if (looks === 0) throw new Error('a worker saw nothing')
  }
  const wrong = mapping.faults.list.find(({ kind }) => !['closed', 'protected', 'read-only'].includes(kind))
  if (wrong) throw new Error(JSON.stringify(wrong))
  if (!kind.startsWith('memory') && !fs.readFileSync(path).subarray(0, SAFE).equals(contents)) throw new Error('the file is wrong')
  return resizes
}
;(async () => {
  let resizes = 0
  for (let round = 0; round < (moves ? 10 : 1); round++) resizes += await storm()
  console.log(resizes > 10 && counts.ok > 50 ? 'done' : JSON.stringify({ resizes, counts }))
})()
`

for (const kind of ['file', 'memory', 'file that moves', 'memory that moves']) {
  test(`${kind}: workers see what there is, while it is resized, protected and unmapped under them`, async (t) => {
    const { code, signal, stdout, stderr } = await runScript(MAIN, {
      args: [join(scratch, kind), kind],
      nodeArgs: ['--no-warnings'],
    })
    t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'done\n', stderr: '' })
  })
}
