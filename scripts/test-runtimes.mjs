// Runs the tests in other JavaScript runtimes: the ava suite and the plain suite in each Node.js
// version, and the plain suite alone in Bun and Deno, where ava does not run.
//
//   node scripts/test-runtimes.mjs [--plain] [name...]    --plain: no ava suite

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { provide, runtimes, UNSUPPORTED } from './runtimes.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const plainFolder = join('build', '__test__', 'plain')
/** Those that need the development dependencies. */
const libraries = join(plainFolder, 'libraries')
/** Tests of the project rather than of the package: one runtime tells. */
const ONCE = new Set(['bench', 'docs', 'examples', 'types'])
const fileTimeout = 120_000

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { plain: { type: 'boolean', default: false } },
})
const names = positionals.length > 0 ? positionals : runtimes
const unknown = names.filter((name) => !runtimes.includes(name))
if (unknown.length > 0) {
  console.error(`unknown runtime: ${unknown.join(', ')} (known: ${runtimes.join(', ')})`)
  process.exit(1)
}

let passed = 0
let failed = 0
for (const name of names) {
  try {
    const runtime = await provide(name)
    const results = []
    const hasAva = name.startsWith('node') && !options.plain
    if (hasAva) results.push(await runAva(runtime))
    // A test of the ava suite runs the plain suite.
    results.push(await runPlain(runtime, hasAva ? [libraries] : [plainFolder, libraries]))
    const ok = results.every((result) => result.ok)
    const text = results.map((result) => result.text).join('; ')
    console.log(`${ok ? 'ok' : 'FAILED'} ${name} (v${runtime.version}): ${text}`)
    if (ok) passed++
    else failed++
  } catch (error) {
    if (error.code === UNSUPPORTED) {
      console.log(`skipped ${name}: ${error.message}`)
    } else {
      console.log(`FAILED ${name}: ${error.message}`)
      failed++
    }
  }
}
console.log(`runtimes: ${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

/** ava starts its own processes with process.execPath, so they are of the same runtime. */
async function runAva(runtime) {
  console.log(`${runtime.name}: ava`)
  const cli = join('node_modules', 'ava', 'entrypoints', 'cli.mjs')
  const tests = join('build', '__test__')
  const specs = programsIn(tests).filter((file) => !ONCE.has(basename(file, '.spec.js')))
  const { problem } = await execute(runtime, [cli, ...specs], { stdio: 'inherit' })
  return { ok: !problem, text: problem ? `ava: ${problem}` : 'ava passed' }
}

function programsIn(folder) {
  if (!existsSync(join(root, folder))) return []
  const programs = readdirSync(join(root, folder)).filter((file) => file.endsWith('.js'))
  return programs.toSorted().map((file) => join(folder, file))
}

/** Runs each file as a process of its own, so that a crash costs no more than that file. */
async function runPlain(runtime, folders) {
  const files = folders.flatMap(programsIn)
  if (files.length === 0) return { ok: false, text: `plain: no .js files in ${folders.join(' and ')}` }

  const sum = { passed: 0, failed: 0 }
  const problems = []
  for (const file of files) {
    const args = [...runtime.args, file]
    const { problem, stdout } = await execute(runtime, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: fileTimeout,
    })
    const lastLine = stdout.trimEnd().split('\n').at(-1)
    const counts = /(\d+) passed, (\d+) failed/.exec(lastLine)
    sum.passed += Number(counts?.[1] ?? 0)
    sum.failed += Number(counts?.[2] ?? 0)

    if (problem || counts?.[2] > 0) {
      problems.push(`${file}: ${problem ?? `${counts[2]} failed`}`)
      console.log(`${runtime.name}: ${file} failed, its output:\n${stdout.trimEnd()}`)
    } else if (!counts) {
      // A process whose promise never settles also exits with 0: the summary shows that it got to the end.
      problems.push(`${file}: no summary line`)
    }
  }
  const details = problems.map((detail) => ` [${detail}]`).join('')
  return {
    ok: problems.length === 0,
    text: `plain: ${files.length} files, ${sum.passed} passed, ${sum.failed} failed${details}`,
  }
}

/** Resolves when the process has ended, with its stdout and what went wrong, if anything. */
function execute(runtime, args, { stdio, timeout }) {
  return new Promise((resolve) => {
    const env = { ...process.env, MMAP_NATIVE_RUNTIME: runtime.name, DENO_NO_UPDATE_CHECK: '1' }
    const child = spawn(runtime.command, args, { cwd: root, env, stdio })
    let stdout = ''
    let timedOut = false
    child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text))
    const timer =
      timeout &&
      setTimeout(() => {
        timedOut = true
        child.kill('SIGKILL')
        child.stdout?.destroy() // a process that the file started may hold the pipe open
      }, timeout)
    const finish = (problem) => {
      clearTimeout(timer)
      resolve({ problem, stdout })
    }
    child.on('error', (error) => finish(error.message))
    child.on('close', (code, signal) => {
      if (timedOut) finish(`killed after ${timeout / 1000} s`)
      else if (signal) finish(`ended by ${signal}`)
      else finish(code === 0 ? undefined : `exit code ${code}`)
    })
  })
}
