/** The examples run in every runtime. They need the development dependencies, which not every place has where the plain suite runs. */
import * as assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { args } from '../support/child'
import { check } from '../support/harness'

const folder = join(__dirname, '..', '..', '..', 'examples')
const programs = readdirSync(folder).filter((file) => file.endsWith('.js') && file !== 'measure.js')

for (const program of programs) {
  check(`examples/${program}`, () => {
    const options = { encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' } as const
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [...args, join(folder, program)],
      options,
    )
    assert.deepEqual({ status, signal }, { status: 0, signal: null }, stderr)
    assert.notEqual(stdout, '')
  })
}
