/** The results as charts, drawn by Vega-Lite as SVG files that look the same everywhere. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { figure } from './format'
import type { MeasureOutcome } from './harness'
import type { Results } from './report'

/** The charts, and the measures that are in each. `cost` is the one of the project's README. */
const CHARTS: Record<string, readonly string[]> = {
  cost: ['large-opens', 'first-touch/pages', 'search/rare', 'search/repeated'],
  opening: ['small-maps/descriptor', 'small-maps/path', 'sizes', 'many-opens'],
  reading: ['random-reads', 'first-touch/pages', 'first-touch/all', 'cold-file'],
  searching: [
    'search/rare',
    'search/repeated',
    'search/byte',
    'search/long',
    'search/count-lines',
    'search/lines',
  ],
  copying: ['copying/fill', 'copying/copyWithin', 'copying/read', 'copying/write'],
  'memory-and-size': ['processes', 'import', 'install-size'],
}

const OURS = '#0b7a75'
const THEIRS = '#b8bec6'
const INK = '#24292f'

interface Bar {
  name: string
  value: number
  label: string
  color: string
}

/** Which contenders are this package's: those that others are measured against have other names. */
function isOurs(name: string): boolean {
  return /^(mmap-native|mmap, |Mapping|indexOf\(\)|find\(\)|count\(\)|lines\(\)|prefetch\(\)|with |after unmap)|a mapping of| of a Mapping|^\d+ \wiB$/.test(
    name,
  )
}

function barsOf({ figures, contenders }: MeasureOutcome): Bar[] {
  const [first] = figures
  if (first === undefined) return []
  return contenders.flatMap(({ name, figures: values, error }) => {
    const value = values?.[first.name]
    if (value === undefined || error !== undefined || value <= 0) return []
    return { name, value, label: figure(value, first.unit), color: isOurs(name) ? OURS : THEIRS }
  })
}

/** Bars of one measure, on a scale of their own. */
function panel(measure: MeasureOutcome): object {
  const values = barsOf(measure)
  const costs = values.map(({ value }) => value)
  const [least, most] = [Math.min(...costs), Math.max(...costs)]
  // What differs by orders of magnitude is seen on a logarithmic scale only.
  const isWide = most > 20 * least
  const scale = isWide
    ? { type: 'log', domain: [least / 3, most * 6], nice: false }
    : { type: 'linear', domain: [0, most * 1.25], nice: false }
  const y = { field: 'name', type: 'nominal', sort: null, title: null, axis: { labelLimit: 260 } }
  const x = { field: 'value', type: 'quantitative', scale, axis: null }
  const from = isWide ? { x2: { datum: least / 3 } } : {}
  return {
    title: { text: `${measure.title}${isWide ? ' (logarithmic)' : ''}`, anchor: 'start' },
    width: 420,
    height: { step: 20 },
    data: { values },
    layer: [
      {
        mark: { type: 'bar' },
        encoding: { y, x, ...from, color: { field: 'color', type: 'nominal', scale: null } },
      },
      {
        mark: { type: 'text', align: 'left', dx: 4, color: INK },
        encoding: { y, x, text: { field: 'label', type: 'nominal' } },
      },
    ],
  }
}

function specOf(measures: MeasureOutcome[]): object {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    vconcat: measures.map(panel),
    resolve: { scale: { x: 'independent', y: 'independent' } },
    config: {
      font: 'sans-serif',
      view: { stroke: null },
      title: { color: INK, fontSize: 13, fontWeight: 600, offset: 6 },
      axis: { labelColor: INK, labelFontSize: 11, ticks: false, domain: false },
      text: { fontSize: 11 },
    },
  }
}

/** Draws all charts that there are results for. */
export async function drawCharts(folder: string, { measures }: Results): Promise<void> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')])
  mkdirSync(folder, { recursive: true })
  for (const [name, names] of Object.entries(CHARTS)) {
    const chosen = names.flatMap((one) => measures.filter((measure) => measure.name === one))
    const drawable = chosen.filter((measure) => barsOf(measure).length > 0)
    if (drawable.length === 0) continue
    const view = new vega.View(
      vega.parse(lite.compile(specOf(drawable) as Parameters<typeof lite.compile>[0]).spec),
      { renderer: 'none' },
    )
    writeFileSync(join(folder, `${name}.svg`), `${await view.toSVG()}\n`)
  }
}
