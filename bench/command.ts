/** The command that takes the measures of a folder and puts what they came to into its `results.json` and `README.md`. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, homedir, release, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { drawCharts } from './charts'
import { makeFile } from './files'
import { type MeasureOutcome, run } from './harness'
import { type NodeName, launcher, root } from './launch'
import { type Context, type FileKind, GiB, type Measure, type Scale, type Setup } from './measure'
import { renderPages } from './pages'
import { type Results, putBetweenMarkers, tables, text } from './report'

const NODES: readonly NodeName[] = ['current', 'node22', 'node24', 'node26']

/** Measures that belong together. */
export interface Collection {
  measures: readonly Measure[]
  /** The compiled module that exports them: contenders load it in processes of their own. */
  module: string
  /** The folder of the results: its name at the root of the project. */
  folder: string
}

interface Options {
  scale: Scale
  node: NodeName
  out: string
  /** That is where the committed figures are. */
  isHome: boolean
  render: boolean
  chosen: Measure[]
}

function optionsOf({ measures, folder }: Collection, args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      render: { type: 'boolean', default: false },
      node: { type: 'string' },
      out: { type: 'string' },
    },
  })
  const scale = values.smoke ? 'smoke' : values.quick ? 'quick' : 'full'
  const node = NODES.find((name) => name === (values.node ?? (values.smoke ? 'current' : 'node24')))
  if (node === undefined) throw new Error(`--node is one of: ${NODES.join(', ')}`)
  const home = join(root, folder)
  // npm runs this at the root, whatever folder it was called in.
  const from = process.env['INIT_CWD'] ?? process.cwd()
  const out = resolve(
    from,
    values.out ?? (scale === 'full' ? home : join(root, 'build', `${folder}-${scale}`)),
  )
  const isChosen = ({ name }: Measure) =>
    positionals.length === 0 || positionals.some((one) => name === one || name.startsWith(`${one}/`))
  for (const name of positionals) {
    if (!measures.some((measure) => measure.name === name || measure.name.startsWith(`${name}/`))) {
      throw new Error(
        `there is no measure '${name}'; there are: ${measures.map(({ name }) => name).join(', ')}`,
      )
    }
  }
  return { scale, node, out, isHome: out === home, render: values.render, chosen: measures.filter(isChosen) }
}

/** What errors say of places on this machine is nobody's business. */
function withoutPaths(message: string, folder: string): string {
  const places = [folder, root, homedir(), tmpdir()]
  return places
    .reduce((text, place) => text.replaceAll(place, '.'), message)
    .replaceAll(/\s+/g, ' ')
    .slice(0, 200)
}

/** Files by what is in them; only those that many measures use stay until the end. */
class Files {
  readonly #paths = new Map<string, string>()

  constructor(readonly folder: string) {}

  get(kind: FileKind, size: number): string {
    const key = `${kind}-${size}`
    const path = this.#paths.get(key) ?? makeFile(this.folder, kind, size)
    this.#paths.set(key, path)
    return path
  }

  /** A path for a file that a measure makes by itself. */
  reserve(name: string): string {
    const path = join(this.folder, name)
    this.#paths.set(name, path)
    return path
  }

  dropLarge(): void {
    for (const [key, path] of this.#paths) {
      if (key.startsWith('text') || key.startsWith('sparse')) continue
      rmSync(path, { force: true })
      this.#paths.delete(key)
    }
  }
}

/** Measures one after the other; `save` is given all that there are after each. */
async function measureAll(
  { scale, node, chosen }: Options,
  module: string,
  folder: string,
  save: (outcomes: MeasureOutcome[]) => void,
): Promise<void> {
  const files = new Files(folder)
  const launch = launcher({ folder, node, module, isSmoke: scale === 'smoke' })
  const context: Context = {
    scale,
    pick: (full, quick, smoke) => ({ full, quick, smoke })[scale],
    file: (kind, size) => files.get(kind, size),
    newFile: (name) => files.reserve(name),
  }
  const outcomes: MeasureOutcome[] = []
  for (const measure of chosen) {
    const { name, title, about, figures } = measure
    const facts = { name, title, about, figures, count: 0, contenders: [], targets: [] }
    const outcome = await measureOne(measure, context, launch, facts).catch((error: Error) => {
      // The others are measured all the same.
      process.exitCode = 1
      return { ...facts, skipped: withoutPaths(error.message, folder) }
    })
    for (const contender of outcome.contenders) {
      if (contender.error !== undefined) contender.error = withoutPaths(contender.error, folder)
    }
    console.log(text(outcome))
    outcomes.push(outcome)
    // A run that is broken off was not for nothing.
    save(outcomes)
    files.dropLarge()
  }
}

async function measureOne(
  measure: Measure,
  context: Context,
  launch: ReturnType<typeof launcher>,
  facts: MeasureOutcome,
): Promise<MeasureOutcome> {
  const skipped = measure.missing?.(context)
  if (skipped !== undefined) return { ...facts, skipped }
  const setup: Setup = { files: {}, size: 0, ...(await measure.prepare(context)) }
  const { contenders, targets } = await run(measure, setup, context.scale, launch)
  return { ...facts, count: setup.count, ...(setup.size > 0 && { size: setup.size }), contenders, targets }
}

function fileSystemOf(folder: string): string {
  if (process.platform !== 'linux') return 'its file system'
  return execFileSync('stat', ['--file-system', '--format=%T', folder], { encoding: 'utf8' }).trim()
}

/** New outcomes take the place of old ones of the same name: some measures can be run again by themselves. */
function merged(
  measures: readonly Measure[],
  outcomes: MeasureOutcome[],
  old: Results | undefined,
): MeasureOutcome[] {
  const known = new Map<string, MeasureOutcome>()
  for (const outcome of [...(old?.measures ?? []), ...outcomes]) known.set(outcome.name, outcome)
  return measures.map(({ name }) => known.get(name)).filter((outcome) => outcome !== undefined)
}

async function measureAndShow(collection: Collection): Promise<void> {
  const options = optionsOf(collection, process.argv.slice(2))
  const { out, scale } = options
  mkdirSync(out, { recursive: true })
  const file = join(out, 'results.json')
  const old = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : undefined
  if (options.render) {
    if (old === undefined) throw new Error('there are no results yet')
    return show(options, old)
  }
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-bench-'))
  try {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    const machine = {
      platform: `${process.platform} ${process.arch}`,
      kernel: /^\d+(\.\d+)*/.exec(release())?.[0] ?? '',
      cpu: cpus()[0]?.model ?? '',
      cores: cpus().length,
      memory: Math.round(totalmem() / GiB),
      fileSystem: fileSystemOf(folder),
    }
    const date = new Date().toISOString().slice(0, 10)
    const results: Results = { version, date, scale, machine, measures: [] }
    await measureAll(options, collection.module, folder, (outcomes) => {
      results.measures = merged(collection.measures, outcomes, old)
      writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
    })
    await show(options, results)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Tables and charts of these results. */
async function show({ out, isHome }: Options, results: Results): Promise<void> {
  const readme = join(out, 'README.md')
  if (isHome) {
    putBetweenMarkers(readme, tables(results))
    renderPages()
  } else
    writeFileSync(
      readme,
      `${tables(results)}
`,
    )
  await drawCharts(join(out, 'charts'), results)
}

/** Does what the arguments of this process ask for. */
export function main(collection: Collection): void {
  measureAndShow(collection).catch((error: Error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
