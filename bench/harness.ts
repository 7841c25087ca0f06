/** Timing for comparisons: all candidates in the same run, in turns, the median of the turns, as a ratio. */

/** A thing to measure: `run` does `count` operations and returns something that depends on all of them. */
export interface Candidate {
  name: string
  run: (count: number) => unknown
  /** Nanoseconds for one operation, for what is timed elsewhere. Default: `run` is timed. */
  time?: (count: number) => number
}

const TURNS = 9

/** Times the candidates in turns and prints them; the first one is the baseline. Their results must be equal. */
export function compare(measure: string, count: number, candidates: Candidate[]): void {
  const [first, ...others] = candidates.map(({ run }) => run(Math.min(count, 1000)))
  for (const result of others) {
    if (result !== first) throw new Error(`${measure}: results differ: ${first}, ${others.join(', ')}`)
  }
  const turns = candidates.map(() => [] as number[])
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [index, { run, time }] of candidates.entries()) {
      turns[index]?.push(time === undefined ? timed(run, count) : time(count))
    }
  }
  const medians = turns.map((times) => times.toSorted((a, b) => a - b)[Math.floor(TURNS / 2)] as number)
  for (const [index, { name }] of candidates.entries()) {
    const ns = medians[index] as number
    const ratio = (medians[0] as number) / ns
    const figures = `${ns.toFixed(ns < 100 ? 2 : 0).padStart(9)} ns ${ratio.toFixed(2).padStart(7)}`
    console.log(`${measure.padEnd(28)} ${name.padEnd(34)} ${figures}`)
  }
}

function timed(run: (count: number) => unknown, count: number): number {
  globalThis.gc?.()
  const start = process.hrtime.bigint()
  run(count)
  return Number(process.hrtime.bigint() - start) / count
}
