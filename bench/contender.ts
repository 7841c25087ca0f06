/**
 * The process of a contender: `contender.js '{"module":"...","measure":"...","contender":"...","setup":{...}}'`. It says `{"ready":true}`, then answers
 * each line on standard input, `check` or `turn`, with a line on standard output, and ends when there are no more.
 */
import { createInterface } from 'node:readline'
import type { Measure, Setup } from './measure'
import { say } from './say'

export interface Job {
  /** The compiled module that has the measure. */
  module: string
  measure: string
  contender: string
  setup: Setup
}

async function main(): Promise<void> {
  const { module, measure, contender, setup } = JSON.parse(process.argv[2] as string) as Job
  const { measures } = require(module) as { measures: readonly Measure[] }
  const all = measures.find(({ name }) => name === measure)?.contenders
  const turn = await all?.find(({ name }) => name === contender)?.start?.(setup)
  if (turn === undefined) throw new Error(`no such contender: ${contender}`)
  say({ ready: true })
  for await (const line of createInterface({ input: process.stdin })) {
    globalThis.gc?.()
    say(await turn(line === 'check'))
  }
  process.exit()
}

main().catch((error: Error) => {
  say({ error: error.message })
  process.exit(1)
})
