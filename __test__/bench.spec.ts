import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { pages, withFigures } from '../bench/pages'
import type { Results } from '../bench/report'
import { root } from './support/child'
import { scratchFolder } from './support/files'

const run = promisify(execFile)

/** Runs the benchmark with the smallest sizes, without peers: nothing is installed. */
async function bench(t: ExecutionContext, ...names: string[]) {
  const out = scratchFolder(t)
  const program = join(root, 'build', 'bench', 'index.js')
  const { stdout } = await run(process.execPath, ['--expose-gc', program, '--smoke', '--out', out, ...names])
  const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as Results
  return { out, stdout, results }
}

test('the benchmark measures what it is asked to, and writes figures, tables and charts', async (t) => {
  const { out, stdout, results } = await bench(t, 'search/rare', 'copying/fill')
  t.deepEqual(
    results.measures.map(({ name }) => name),
    ['search/rare', 'copying/fill'],
  )
  t.is(results.scale, 'smoke')
  for (const { contenders, targets, figures, name } of results.measures) {
    const ran = contenders.filter(({ error }) => error === undefined)
    t.true(ran.length >= 3, name)
    for (const { figures: values, turns } of ran) {
      t.deepEqual(
        Object.keys(values ?? {}),
        figures.map(({ name }) => name),
      )
      t.true(Object.values(values ?? {}).every((value) => Number.isFinite(value) && value > 0))
      t.is(turns, 2)
    }
    // Who was not there is shown, with the reason.
    for (const { error } of contenders.filter((one) => !ran.includes(one))) t.regex(error ?? '', /smoke run/)
    t.true(targets.length > 0)
    t.true(targets.every(({ value }) => value === undefined || Number.isFinite(value)))
  }
  const [, fill] = results.measures
  t.is(fill?.contenders[0]?.ratio, 1)
  t.true(fill?.targets.every(({ met }) => typeof met === 'boolean'))

  t.regex(stdout, /target (met|missed): a file to the heap >= 0\.9: /)
  t.regex(readFileSync(join(out, 'README.md'), 'utf8'), /^### fill of 64 MiB$/m)
  t.deepEqual(readdirSync(join(out, 'charts')).toSorted(), ['copying.svg', 'searching.svg'])
  const chart = readFileSync(join(out, 'charts', 'copying.svg'), 'utf8')
  t.true(chart.startsWith('<svg') && chart.includes('a mapping of memory'))
})

test('the results of the benchmark do not tell whose machine it was', async (t) => {
  const { results, out } = await bench(t, 'small-maps/path')
  const text = JSON.stringify(results)
  for (const place of [root, out, process.env['HOME'] ?? root]) t.false(text.includes(`${place}/`), place)
  t.deepEqual(Object.keys(results.machine), ['platform', 'kernel', 'cpu', 'cores', 'memory', 'fileSystem'])
})

test('the benchmark refuses a measure that it does not have', async (t) => {
  const error = await t.throwsAsync<Error & { stderr: string }>(bench(t, 'searching'))
  t.regex(error.stderr, /there is no measure 'searching'; there are: large-opens, /)
})

test('the figures on the pages of docs/ are those of the results', (t) => {
  for (const file of pages()) {
    const page = readFileSync(file, 'utf8')
    t.true(
      withFigures(page) === page,
      `${file} has other figures than results.json: npm run bench -- --render`,
    )
  }
})
