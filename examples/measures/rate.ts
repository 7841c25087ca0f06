/** What a service does over and over: how long one takes of it. */
import type { Answer, Figure } from '../../bench/measure'

export const RATE: readonly Figure[] = [
  { name: 'ns', unit: 'ns', title: 'time for each' },
  { name: 'rate', unit: 'times', title: 'a second' },
]

/** Times `count` of something. */
export async function rate(count: number, work: () => Promise<number | string>): Promise<Answer> {
  const start = process.hrtime.bigint()
  const result = await work()
  const ns = Number(process.hrtime.bigint() - start) / count
  return { result, figures: { ns, rate: 1e9 / ns } }
}
