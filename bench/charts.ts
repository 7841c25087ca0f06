/** The results as charts, drawn by Vega-Lite as SVG files that look the same everywhere. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { figure as format } from './format'
import type { Figure } from './measure'
import type { MeasureOutcome } from './harness'
import type { Results } from './report'

/**
 * The charts, and what is in each: measures, by their first figure unless another one is named behind a `#`. `cost` is the one of
 * the project's README.
 */
const CHARTS: Record<string, readonly string[]> = {
  cost: ['large-opens', 'cold-file#max', 'search/repeated', 'small-maps/path', 'processes'],
  opening: ['small-maps/descriptor', 'small-maps/path', 'sizes', 'many-opens'],
  reading: ['random-reads', 'first-touch/pages', 'first-touch/all', 'cold-file', 'cold-file#max'],
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
/** Pixels for the names of contenders: the same for all, so that bars stand in line. */
const LABELS = 230
const INK = '#24292f'

interface Bar {
  name: string
  value: number
  label: string
  color: string
}

/** A measure, and the figure of it that is drawn. */
interface Drawing {
  measure: MeasureOutcome
  figure: Figure
}

function drawingsOf(names: readonly string[], measures: MeasureOutcome[]): Drawing[] {
  return names.flatMap((name) => {
    const [wanted = '', figureName] = name.split('#')
    const measure = measures.find(({ name }) => name === wanted)
    const figure = measure?.figures.find(({ name }) => figureName === undefined || name === figureName)
    return measure && figure ? [{ measure, figure }] : []
  })
}

function barsOf({ measure, figure }: Drawing): Bar[] {
  return measure.contenders.flatMap(({ name, figures: values, error, ours }) => {
    const value = values?.[figure.name]
    if (value === undefined || error !== undefined || value <= 0) return []
    return { name, value, label: format(value, figure.unit), color: ours ? OURS : THEIRS }
  })
}

/** Bars of one measure, on a scale of their own. */
function panel(drawing: Drawing): object {
  const { measure, figure } = drawing
  const values = barsOf(drawing)
  const costs = values.map(({ value }) => value)
  const [least, most] = [Math.min(...costs), Math.max(...costs)]
  const [first] = measure.figures
  const plain = measure.title.replaceAll('`', '')
  const title = figure === first ? plain : `${plain}: ${figure.title}`
  // What differs by orders of magnitude is seen on a logarithmic scale only.
  const isWide = most > 20 * least
  const scale = isWide
    ? { type: 'log', domain: [least / 3, most * 6], nice: false }
    : { type: 'linear', domain: [0, most * 1.25], nice: false }
  const y = {
    field: 'name',
    type: 'nominal',
    sort: null,
    title: null,
    axis: { labelLimit: 2 * LABELS, minExtent: LABELS, maxExtent: LABELS },
  }
  const x = { field: 'value', type: 'quantitative', scale, axis: null }
  const from = isWide ? { x2: { datum: least / 3 } } : {}
  return {
    title: { text: `${title}${isWide ? ' (logarithmic)' : ''}`, anchor: 'start', frame: 'group' },
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

function specOf(drawings: Drawing[]): object {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    vconcat: drawings.map(panel),
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
  for (const [name, names] of Object.entries(CHARTS)) {
    const drawable = drawingsOf(names, measures).filter((drawing) => barsOf(drawing).length > 0)
    if (drawable.length === 0) continue
    mkdirSync(folder, { recursive: true })
    const view = new vega.View(
      vega.parse(lite.compile(specOf(drawable) as Parameters<typeof lite.compile>[0]).spec),
      { renderer: 'none' },
    )
    writeFileSync(join(folder, `${name}.svg`), `${await view.toSVG()}\n`)
  }
}
