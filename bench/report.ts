/** The results as text: for the terminal, and as the tables of a README. */
import { readFileSync, writeFileSync } from 'node:fs'
import { figure, limit, number, verdict } from './format'
import type { MeasureOutcome, Outcome } from './harness'
import type { Scale } from './measure'

/** What was measured on: nothing that tells whose machine it is. */
export interface Machine {
  platform: string
  kernel: string
  cpu: string
  cores: number
  /** GiB. */
  memory: number
  fileSystem: string
}

export interface Results {
  version: string
  /** The day. */
  date: string
  scale: Scale
  machine: Machine
  measures: MeasureOutcome[]
}

/** One contender's cells: its name, what ran it, its figures and the ratio; an error in place of the figures. */
function row(outcome: Outcome, { figures }: MeasureOutcome): string[] {
  const { name, runtime = '', ratio } = outcome
  const cells = figures.map(({ name, unit }) => figure(outcome.figures?.[name], unit))
  if (outcome.error !== undefined) cells[0] = failure(outcome)
  return [name, runtime, ...cells, ratio === undefined ? '' : number(ratio)]
}

function failure({ error, reached }: Outcome): string {
  return reached === undefined ? `fails: ${error}` : `fails after ${number(reached)}: ${error}`
}

const headOf = ({ figures }: MeasureOutcome) => ['', 'runtime', ...figures.map(({ title }) => title), 'ratio']

/** A measure for the terminal. */
export function text(measure: MeasureOutcome): string {
  const title = `${measure.name}: ${measure.title}`
  if (measure.skipped !== undefined) return `${title}\n  not measured: ${measure.skipped}\n`
  const rows = [headOf(measure), ...measure.contenders.map((outcome) => row(outcome, measure))]
  // An error may be longer than any figure.
  const widths = rows[0]?.map((_, column) =>
    Math.max(
      ...rows.filter((cells) => !cells[2]?.startsWith('fails')).map((cells) => cells[column]?.length ?? 0),
    ),
  )
  const lines = rows.map((cells) => {
    const padded = cells.map((cell, column) =>
      column < 2 ? cell.padEnd(widths?.[column] ?? 0) : cell.padStart(widths?.[column] ?? 0),
    )
    return `  ${padded.join('  ')}`.trimEnd()
  })
  const targets = measure.targets.map(
    (target) =>
      `  target ${verdict(target)}: ${target.text} ${limit(target)}` +
      (target.value === undefined ? '' : `: ${number(target.value)}`),
  )
  return [title, ...lines, ...targets, ''].join('\n')
}

const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`

function table(head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map(line).join('\n')
}

/** Code by its look: what has a dot, a bracket or a comma between names is left alone. */
function markdown(measure: MeasureOutcome): string {
  const parts = [`### ${measure.title}`, measure.about]
  if (measure.skipped !== undefined) return [...parts, `Not measured: ${measure.skipped}.`].join('\n\n')
  const rows = measure.contenders.map((outcome) => row(outcome, measure))
  parts.push(table(headOf(measure), rows))
  const targets = measure.targets.map(
    (target) =>
      `* ${target.text}: ${target.value === undefined ? '' : `${number(target.value)}, `}target ${limit(target)}, **${verdict(target)}**`,
  )
  if (targets.length > 0) parts.push(targets.join('\n'))
  return parts.join('\n\n')
}

/** A measure on another page: the figures of some contenders, in a table. */
export function excerpt({ measures }: Results, name: string, contenders?: readonly string[]): string {
  const measure = measures.find((one) => one.name === name)
  if (measure === undefined) throw new Error(`there are no results of ${name}`)
  const outcomes = contenders?.map(
    (name) =>
      measure.contenders.find((one) => one.name === name) ?? failWith(`${measure.name} has no ${name}`),
  )
  const rows = (outcomes ?? measure.contenders).map((outcome) => row(outcome, measure))
  const withoutRuntime = (cells: string[]) => cells.toSpliced(1, 1)
  return table([measure.title, ...withoutRuntime(headOf(measure)).slice(1)], rows.map(withoutRuntime))
}

function failWith(message: string): never {
  throw new Error(message)
}

function overview({ measures }: Results): string {
  const rows = measures.flatMap(({ title, targets }) =>
    targets.map((target) => [
      title,
      target.text,
      limit(target),
      target.value === undefined ? '' : number(target.value),
      verdict(target),
    ]),
  )
  return table(['measure', 'what counts', 'target', 'measured', ''], rows)
}

/** When, and on what, it was measured. */
export function conditions({ version, date, scale, machine, measures }: Results): string {
  const { platform, kernel, cpu, cores, memory, fileSystem } = machine
  const size =
    scale === 'full' ? '' : ` This was a run with \`--${scale}\`: sizes are smaller than the titles say.`
  const runtimes = measures.flatMap(({ contenders }) => contenders.map(({ runtime }) => runtime ?? ''))
  const names = [...new Set(runtimes.map((name) => name.split(',')[0] ?? ''))]
    .filter((name) => name !== '')
    .toSorted()
  return (
    `Measured ${date}, version ${version}: ${platform}, kernel ${kernel}, ${cores} cores of ${cpu}, ${memory} GiB of memory, ` +
    `${fileSystem}. ${names.join(', ')}.${size}`
  )
}

/** All tables of a README. */
export function tables(results: Results): string {
  const hasTargets = results.measures.some(({ targets }) => targets.length > 0)
  return [
    conditions(results),
    ...(hasTargets ? ['## Targets', overview(results)] : []),
    '## Figures',
    ...results.measures.map(markdown),
  ].join('\n\n')
}

const MARKERS = /(<!-- results: .*? -->\n).*(<!-- end of results -->)/s

/** Puts text between the markers of a file. */
export function putBetweenMarkers(file: string, content: string): void {
  const old = readFileSync(file, 'utf8')
  if (!MARKERS.test(old)) throw new Error(`${file} has no markers for the results`)
  writeFileSync(
    file,
    old.replace(MARKERS, (_, start: string, end: string) => `${start}\n${content}\n\n${end}`),
  )
}
