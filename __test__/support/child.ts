/** Scripts in a process of their own: for what could kill the one that runs the tests. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

/** The root of the project: compiled, this file is build/__test__/support/child.js. */
export const root = join(__dirname, '..', '..', '..')

/** In ms; a sanitizer makes everything slower, and says so. */
const TIMEOUT = Number(process.env['MMAP_NATIVE_TEST_TIMEOUT'] ?? 60_000)

export interface RunOptions {
  /** What the script finds behind `process.argv[0]`. */
  args?: readonly string[]
  /** Options of the runtime, such as `--expose-gc`. */
  nodeArgs?: readonly string[]
  /** Environment variables beyond those of this process. */
  env?: Readonly<Record<string, string>>
}

/** How a process ended, and what it printed. */
export interface Ending {
  /** The exit status, `null` if a signal ended the process. */
  code: number | null
  /** The signal that ended the process; SIGKILL when it was too slow. */
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs the text of a CommonJS script with this runtime, in the root of the project: `require('mmap-native')` works. */
export function runScript(
  source: string,
  { args = [], nodeArgs = [], env = {} }: RunOptions = {},
): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...nodeArgs, '--eval', source, '--', ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}
