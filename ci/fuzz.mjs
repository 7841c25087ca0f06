// Calls everything that the package exports a million times with random arguments, plausible and hostile, in processes of their
// own: none may crash or hang, no error may be without a code, and memory that is not the package's stays as it is.
//
//   node ci/fuzz.mjs [--calls N] [--seed N] [--jobs N] [--verbose]
//
// The seed decides every call and every argument; addresses are those that the process happens to have. One that fails is
// told with the calls before it, and with the command that repeats it. Linux only.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const CALLS_IN_A_PROCESS = 25_000
const TIMEOUT = 300_000

const { values: options } = parseArgs({
  options: {
    calls: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    jobs: { type: 'string', default: '2' },
    verbose: { type: 'boolean', default: false },
  },
})
const [total, firstSeed, jobs] = [options.calls, options.seed, options.jobs].map(Number)
if (![total, firstSeed, jobs].every((number) => Number.isSafeInteger(number) && number >= 0) || jobs === 0) {
  console.error('usage: node ci/fuzz.mjs [--calls N] [--seed N] [--jobs N] [--verbose]')
  process.exit(2)
}

const root = fileURLToPath(new URL('..', import.meta.url))
const missing =
  (process.platform !== 'linux' && 'only Linux tells what is mapped') ||
  (spawnSync('prlimit', ['--version']).status !== 0 && 'there is no prlimit') ||
  (!existsSync(join(root, 'dist', 'index.js')) && 'the package is not built: npm run build')
if (missing) {
  console.log(`skipped: fuzz: ${missing}`)
  process.exit(0)
}

/** The last calls of a process, the oldest first. */
function lastCalls(folder) {
  const file = join(folder, 'last')
  const lines = existsSync(file) ? readFileSync(file, 'latin1').split('\n') : []
  return lines
    .map((line) => line.trim())
    .filter(Boolean)
    .toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
}

/** Runs one process; resolves with what it reports, or with what is wrong. */
function runChild(seed, calls) {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-fuzz-'))
  const script = join(root, 'ci', 'fuzz', 'child.mjs')
  return new Promise((resolve) => {
    const args = ['--expose-gc', '--no-warnings', script, String(seed), String(calls), join(folder, 'files')]
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    child.on('close', (code, signal) => {
      const last = lastCalls(join(folder, 'files'))
      rmSync(folder, { recursive: true, force: true })
      // Shared memory outlives a process that could not clean up.
      for (let number = 0; number < 4; number++) {
        rmSync(`/dev/shm/mmap-native-fuzz-${child.pid}${number}`, { force: true })
      }
      if (code === 0) resolve({ report: JSON.parse(stdout) })
      else resolve({ problem: `ended with ${signal ?? `status ${code}`}`, stderr, last })
    })
  })
}

const sum = {}
let names = []
let failures = 0

function add(report) {
  names = report.names
  for (const [name, outcomes] of Object.entries(report.outcomes)) {
    const entry = (sum[name] ??= {})
    for (const [code, count] of Object.entries(outcomes)) entry[code] = (entry[code] ?? 0) + count
  }
}

const chunks = Array.from({ length: Math.ceil(total / CALLS_IN_A_PROCESS) }, (_, index) => ({
  seed: firstSeed + index,
  calls: Math.min(CALLS_IN_A_PROCESS, total - index * CALLS_IN_A_PROCESS),
}))

async function work() {
  for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
    const { report, problem, stderr, last } = await runChild(chunk.seed, chunk.calls)
    if (report) {
      add(report)
      continue
    }
    failures++
    console.log(`FAILED: seed ${chunk.seed} ${problem}\n${stderr.trimEnd()}\nThe last calls:`)
    for (const line of last) console.log(`  ${line}`)
    console.log(`Again: node ci/fuzz.mjs --seed ${chunk.seed} --calls ${chunk.calls}`)
  }
}

const processes = chunks.length
const start = performance.now()
await Promise.all(Array.from({ length: jobs }, work))
const seconds = (performance.now() - start) / 1000

if (options.verbose) {
  for (const name of names) console.log(name.padEnd(26), JSON.stringify(sum[name] ?? {}))
}
// Calls that all fail for their arguments alone would try nothing.
const never = names.filter((name) => !sum[name]?.ok)
if (failures === 0 && total >= 100_000 && never.length > 0) {
  console.log(`FAILED: never once a success: ${never.join(', ')}`)
  failures++
}
const rate = Math.round(total / seconds)
console.log(
  `fuzz: ${total} calls in ${processes} processes, ${failures} failed; seed ${firstSeed}, ${rate} calls/s`,
)
process.exitCode = failures > 0 ? 1 : 0
