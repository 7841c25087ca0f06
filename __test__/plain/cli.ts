/** The command line, run by this runtime. */
import * as assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { newFile } from './support/files'
import { check } from './support/harness'

const root = join(__dirname, '..', '..', '..')
const { bun, deno, node } = process.versions
const runtimeArgs = deno === undefined ? [] : ['run', '-A', '--unstable-detect-cjs']

/** How the program ends, and what it prints. */
function cli(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [...runtimeArgs, join(root, 'dist', 'cli.js'), ...args],
    { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 60_000, killSignal: 'SIGKILL' },
  )
  if (error) throw error
  return { status, stdout, stderr }
}

check('--version prints that of the package', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.deepEqual(cli(['--version']), { status: 0, stdout: `${version}\n`, stderr: '' })
})

check('find prints offsets, counts and lines, and says whether there are some', () => {
  const file = newFile('one needle\ntwo needles\n')
  assert.deepEqual(cli(['find', 'needle', file]), { status: 0, stdout: '4\n15\n', stderr: '' })
  assert.deepEqual(cli(['find', '-c', 'needle', file]), { status: 0, stdout: '2\n', stderr: '' })
  assert.deepEqual(cli(['find', '-l', 'two', file]), { status: 0, stdout: '11:two needles\n', stderr: '' })
  assert.deepEqual(cli(['find', 'three', file]), { status: 1, stdout: '', stderr: '' })
})

check('a file that is missing and an option that does not exist are errors', () => {
  const file = newFile('needle')
  const { status, stdout, stderr } = cli(['find', 'needle', `${file}-missing`, file])
  assert.deepEqual({ status, stdout }, { status: 2, stdout: `${file}:0\n` })
  assert.equal(stderr, `mmap-native: ${file}-missing: no such file or directory\n`)
  assert.equal(cli(['find', '--fnord', 'needle', file]).status, 2)
})

const noSystem = process.platform === 'win32' ? 'Windows tells a process of its own pages only' : undefined

const broughtIn = () => {
  const file = newFile(Buffer.alloc(100_000, 1))
  assert.match(cli(['prefetch', file]).stdout, /: 97 KiB in memory, \d+\.\d\d s\n$/)
  const { status, stdout } = cli(['residency', '--json', file])
  assert.equal(status, 0)
  const found = JSON.parse(stdout) as { length: number; residentBytes: number }
  assert.deepEqual([found.length, found.residentBytes], [100_000, 100_000])
}

check('prefetch brings a file into memory, and residency sees it there', broughtIn, noSystem)

check('doctor knows the runtime, and finds that the package works', () => {
  const { status, stdout, stderr } = cli(['doctor'])
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
  const name = bun !== undefined ? `Bun ${bun}` : deno !== undefined ? `Deno ${deno}` : `Node.js ${node}`
  assert.ok(stdout.includes(`  ${name}\n`), stdout)
  assert.match(stdout, /\nok: .*\n$/)
})

check('doctor says why there is no binary', () => {
  const { status, stdout } = cli(['doctor'], { MMAP_NATIVE_BINARY: './nowhere.node' })
  assert.equal(status, 1)
  assert.match(stdout, /\nnot ok: .*MMAP_NATIVE_BINARY is \.\/nowhere\.node/)
})
