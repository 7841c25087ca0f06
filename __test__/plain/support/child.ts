/** What could kill the process runs in a child of the same runtime, and how that ended is looked at from outside. */
import * as assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { isMainThread } from 'node:worker_threads'
import { folder } from './files'
import { check, chosen } from './harness'
import { isEmulated } from './platform'

/** How a child is to end. */
interface Ending {
  /** All lines of its stdout. */
  prints: string[]
  /** Default: 0. */
  code?: number
  /** What kills it. Default: nothing. */
  signal?: NodeJS.Signals
  /** What its stderr is to have. */
  stderr?: RegExp
  /** Why this runtime cannot do it. */
  skip?: string | undefined
}

/** The arguments that `scripts/runtimes.mjs` gives this runtime. */
const { bun, deno } = process.versions
export const args =
  deno !== undefined
    ? ['run', '-A', '--unstable-detect-cjs', '--v8-flags=--expose-gc']
    : bun !== undefined
      ? ['--expose-gc']
      : [...process.execArgv.filter((arg) => arg !== '--expose-gc'), '--expose-gc']

/**
 * Adds a check that runs in a child process: the same file is started again, and there only `run` is called.
 *
 * @param title a sentence about behaviour, and the child's argument
 */
export function inChild(title: string, run: () => unknown, ending: Ending): void {
  if (!isMainThread) return
  // Later: `run` may need what the rest of the file defines.
  if (chosen === title) setImmediate(run)
  check(title, () => startChild(title, ending), ending.skip)
}

function startChild(title: string, { prints, signal: killer, code = 0, stderr }: Ending): void {
  const child = spawnSync(process.execPath, [...args, process.argv[1] ?? '', title], {
    encoding: 'utf8',
    env: { ...process.env, MMAP_NATIVE_TEST_FOLDER: folder },
    timeout: Number(process.env['MMAP_NATIVE_TEST_TIMEOUT'] ?? (isEmulated ? 600_000 : 60_000)),
    killSignal: 'SIGKILL',
  })
  if (child.error) throw child.error
  const lines = child.stdout.split('\n').slice(0, -1)
  const { status, signal } = child
  assert.deepEqual(
    { status, signal, lines },
    { status: killer === undefined ? code : null, signal: killer ?? null, lines: prints },
    child.stderr,
  )
  if (stderr) assert.match(child.stderr, stderr)
}
