/** Scenarios: functions that run in a process of their own, because they could kill it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Mapping } from 'mmap-native'
import { runScript } from './child'
import type * as Tools from './faults'

/** What a scenario is made of. It is given as text, so it uses only its parameters and `require()`. */
export type Scenario<Input> = (tools: typeof Tools, input: Input) => unknown

const TOOLS = join(__dirname, 'faults.js')

/** Runs a scenario in a new process, with a folder for its files. */
export async function run<Input>(scenario: Scenario<Input>, input?: Input) {
  const folder = await mkdtemp(join(tmpdir(), 'mmap-native-'))
  try {
    const source = `(${scenario})(require(${JSON.stringify(TOOLS)}), ${JSON.stringify(input)})`
    return await runScript(source, { args: [folder], nodeArgs: ['--expose-gc'] })
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Asserts that a scenario ends by itself and prints these lines, and nothing to stderr. */
export async function prints<Input>(
  t: ExecutionContext,
  lines: string[],
  scenario: Scenario<Input>,
  input?: Input,
): Promise<void> {
  const { code, signal, stdout, stderr } = await run(scenario, input)
  t.deepEqual(
    { code, signal, stdout: stdout.split('\n').slice(0, -1), stderr },
    { code: 0, signal: null, stdout: lines, stderr: '' },
  )
}

function hasShared(): boolean {
  try {
    Mapping.anonymous(1, { views: 'shared' }).unmap()
    return true
  } catch {
    return false
  }
}

/** A test of what only a runtime with SharedArrayBuffers over mapped memory has. */
export const shared = hasShared() ? test : test.skip
