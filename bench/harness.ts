/**
 * Runs a measure. Every contender has a process of its own, with a heap, a collector and compiled code that nobody else has
 * touched. They do their turns one after the other, over and over, so that what else the machine does meets all of them alike;
 * what counts is the median. Before the clock starts their results have to be the same.
 */
import type { Command } from './conversation'
import { Conversation, NoAnswer } from './conversation'
import type { Answer, Contender, Measure, Medians, Scale, Setup } from './measure'

/** What a contender came to. */
export interface Outcome {
  name: string
  /** It is this package. */
  ours?: true
  /** What ran it: `Node.js 24.21.0`. */
  runtime?: string
  /** Medians, by name. */
  figures?: Record<string, number>
  /** How many times as cheap as the first contender. */
  ratio?: number
  /** Half of the turns were this close to each other, as a part of the median. */
  spread?: number
  turns?: number
  /** Why there are no figures. */
  error?: string
  /** How many operations it did before it failed. */
  reached?: number
}

export interface TargetOutcome {
  text: string
  value?: number
  atLeast?: number
  atMost?: number
  /** `undefined`: what it is compared with did not run. */
  met?: boolean
}

export interface MeasureOutcome {
  name: string
  title: string
  about: string
  figures: Measure['figures']
  count: number
  size?: number
  contenders: Outcome[]
  targets: TargetOutcome[]
  /** Why it was not measured. */
  skipped?: string
}

/** What to start for a contender, and the name of what runs it. */
export type Launch = (
  contender: Contender,
  measure: Measure,
  setup: Setup,
) => Promise<Command & { runtime: string }>

const TURNS: Record<Scale, number> = { full: 9, quick: 3, smoke: 2 }
/** Seconds after which there is no further turn, if there were three. */
const BUDGET: Record<Scale, number> = { full: 60, quick: 5, smoke: 5 }
const FEWEST_TURNS = 3

interface Runner {
  contender: Contender
  outcome: Outcome
  conversation?: Conversation
  answers: Answer[]
}

export async function run(
  measure: Measure,
  setup: Setup,
  scale: Scale,
  launch: Launch,
): Promise<Pick<MeasureOutcome, 'contenders' | 'targets'>> {
  const runners: Runner[] = measure.contenders.map((contender) => ({
    contender,
    outcome: { name: contender.name, ...(contender.ours && { ours: contender.ours }) },
    answers: [],
  }))
  try {
    for (const runner of runners) await start(runner, measure, setup, launch)
    await checkResults(measure.name, runners)
    await takeTurns(measure, runners, scale, (runner) => restart(runner, measure, setup, launch))
  } finally {
    await Promise.all(runners.map(({ conversation }) => conversation?.end()))
  }
  for (const runner of runners) summarize(runner, measure)
  const medians = mediansOf(runners, measure)
  const [baseline] = measure.contenders as [Contender]
  for (const { outcome } of runners) {
    const ratio = medians.ratio(outcome.name, baseline.name)
    if (ratio !== undefined) outcome.ratio = ratio
  }
  return {
    contenders: runners.map(({ outcome }) => outcome),
    targets: measure.targets.map((target) => judge(target, medians, setup)),
  }
}

async function start(runner: Runner, measure: Measure, setup: Setup, launch: Launch): Promise<void> {
  await attempt(runner, async () => {
    const command = await launch(runner.contender, measure, setup)
    runner.outcome.runtime = command.runtime
    runner.conversation = new Conversation(command, measure.patience ?? 90)
    await runner.conversation.ready()
  })
}

async function restart(runner: Runner, measure: Measure, setup: Setup, launch: Launch): Promise<void> {
  if (!measure.fresh || runner.outcome.error !== undefined) return
  await runner.conversation?.end()
  await start(runner, measure, setup, launch)
}

/** What fails is a contender's outcome, and does not end the run. */
async function attempt(runner: Runner, work: () => Promise<void>): Promise<void> {
  if (runner.outcome.error !== undefined) return
  try {
    await work()
  } catch (error) {
    runner.outcome.error = (error as Error).message
    if (error instanceof NoAnswer && error.progress !== undefined) runner.outcome.reached = error.progress
  }
}

async function checkResults(measure: string, runners: Runner[]): Promise<void> {
  const results = new Map<string, number | string>()
  for (const runner of runners) {
    await attempt(runner, async () => {
      const answer = await runner.conversation?.ask('check')
      const result = answer?.result ?? null
      if (result !== null) results.set(runner.contender.name, result)
    })
  }
  if (new Set(results.values()).size > 1) {
    const text = [...results].map(([name, result]) => `${name}: ${result}`).join('; ')
    throw new Error(`${measure}: the results differ: ${text}`)
  }
}

async function takeTurns(
  measure: Measure,
  runners: Runner[],
  scale: Scale,
  refresh: (runner: Runner) => Promise<void>,
): Promise<void> {
  const turns = Math.min(measure.turns ?? TURNS.full, TURNS[scale])
  const deadline = performance.now() + BUDGET[scale] * 1000
  for (let turn = 0; turn < turns; turn++) {
    if (turn >= FEWEST_TURNS && performance.now() > deadline) break
    // Another one goes first each time.
    for (let index = 0; index < runners.length; index++) {
      const runner = runners[(index + turn) % runners.length] as Runner
      await refresh(runner)
      await attempt(runner, async () => {
        const answer = await runner.conversation?.ask('turn')
        if (answer !== undefined) runner.answers.push(answer)
      })
    }
    const results = new Set(runners.flatMap(({ answers }) => answers.map(({ result }) => result)))
    results.delete(null)
    if (results.size > 1) throw new Error(`${measure.name}: the results differ: ${[...results].join('; ')}`)
  }
}

function summarize({ outcome, answers }: Runner, measure: Measure): void {
  if (answers.length === 0) return
  const named = measure.figures.map(({ name }) => {
    const values = answers.map(({ figures }) => figures[name]).filter((value) => value !== undefined)
    return [name, values.toSorted((a, b) => a - b)] as const
  })
  const known = named.filter(([, values]) => values.length > 0)
  outcome.figures = Object.fromEntries(known.map(([name, values]) => [name, quantile(values, 0.5)]))
  const [, costs] = named[0] as readonly [string, number[]]
  const median = quantile(costs, 0.5)
  outcome.spread = median === 0 ? 0 : (quantile(costs, 0.75) - quantile(costs, 0.25)) / median
  outcome.turns = answers.length
}

function quantile(sorted: number[], part: number): number {
  const at = part * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(at)] as number, sorted[Math.ceil(at)] as number]
  return low + (high - low) * (at - Math.floor(at))
}

function mediansOf(runners: Runner[], measure: Measure): Medians {
  const [first] = measure.figures as [Measure['figures'][number]]
  // Who failed on the way has figures of the turns before, but is compared with nobody.
  const figure = (contender: string, name: string) => {
    const outcome = runners.find((runner) => runner.contender.name === contender)?.outcome
    return outcome?.error === undefined ? outcome?.figures?.[name] : undefined
  }
  const ratio = (contender: string, other: string) => {
    const [mine, theirs] = [figure(contender, first.name), figure(other, first.name)]
    return mine && theirs ? theirs / mine : undefined
  }
  return { figure, ratio }
}

function judge(target: Measure['targets'][number], medians: Medians, setup: Setup): TargetOutcome {
  const { text, value, atLeast, atMost } = target
  const limits = { ...(atLeast !== undefined && { atLeast }), ...(atMost !== undefined && { atMost }) }
  const reached = value(medians, setup)
  if (reached === undefined || Number.isNaN(reached)) return { text, ...limits }
  const met = (atLeast === undefined || reached >= atLeast) && (atMost === undefined || reached <= atMost)
  return { text, ...limits, value: reached, met }
}
