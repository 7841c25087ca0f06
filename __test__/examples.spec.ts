/** Every example runs by itself, is short, is in the table of its README, and its measures measure. */
import test from 'ava'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Results } from '../bench/report'
import { measures } from '../examples/measures'
import { root } from './support/child'
import { scratchFolder } from './support/files'

const run = promisify(execFile)
const readme = readFileSync(join(root, 'examples', 'README.md'), 'utf8')
const names = readdirSync(join(root, 'examples'))
  .filter((file) => file.endsWith('.ts') && file !== 'measure.ts')
  .map((file) => file.slice(0, -'.ts'.length))

test('there are examples', (t) => {
  t.true(names.length >= 8)
})

for (const name of names) {
  test(`examples/${name} runs, and leaves nothing behind`, async (t) => {
    const folder = scratchFolder(t)
    const program = join(root, 'build', 'examples', `${name}.js`)
    const env = { ...process.env, TMPDIR: folder }
    const { stdout, stderr } = await run(process.execPath, [program], { cwd: root, env })
    t.true(stdout.length > 0)
    t.is(stderr, '')
    t.deepEqual(readdirSync(folder), [])
  })

  test(`examples/README.md tells of ${name}`, (t) => {
    t.true(readme.includes(`[${name}](${name}.ts)`))
  })
}

test('examples/README.md has the figures of every measure', (t) => {
  for (const { title } of measures) t.true(readme.includes(`### ${title}`), title)
})

for (const { name } of measures) {
  // One at a time: they are processes enough.
  test.serial(`examples are measured, each way with the same answer: ${name}`, async (t) => {
    const out = scratchFolder(t)
    const program = join(root, 'build', 'examples', 'measure.js')
    await run(process.execPath, ['--expose-gc', program, '--smoke', '--out', out, name])
    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as Results
    const [measured] = results.measures
    t.is(measured?.name, name)
    t.is(measured?.skipped, undefined)
    for (const { name: way, error, figures: values = {} } of measured?.contenders ?? []) {
      t.is(error, undefined, way)
      for (const { name } of measured?.figures ?? []) t.true(Number.isFinite(values[name]), `${way}, ${name}`)
    }
  })
}
