/** Reads of 8 bytes all over memory, in small pages and in huge ones: what looking up a page costs the processor. */
import { type Contender, GiB, MiB, type Measure, ours, timed } from '../measure'

function readAll(values: Float64Array, count: number): number {
  const mask = values.length - 1
  let [sum, state] = [0, 12345]
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    sum += values[(state >>> 3) & mask] as number
  }
  return sum
}

const contender = (name: string, advice: 'nohugepage' | 'hugepage'): Contender => ({
  name,
  ours: true,
  runtime: 'node',
  start({ size, count }) {
    const mapping = ours().Mapping.anonymous(size)
    mapping.advise(advice)
    mapping.fill(1)
    const values = mapping.view(Float64Array)
    const { hugeBytes = 0 } = mapping.statSync()
    return (check) => {
      const { result, figures } = timed(check ? 10_000 : count, (count) => readAll(values, count))
      return { result, figures: { ...figures, huge: hugeBytes } }
    }
  },
})

export const hugePages: Measure = {
  name: 'huge-pages',
  title: 'Random 8-byte reads in 1 GiB of memory, by pages',
  about: 'One read anywhere in memory of `Mapping.anonymous()` that is warm.',
  figures: [
    { name: 'ns', unit: 'ns', title: 'each' },
    { name: 'huge', unit: 'bytes', title: 'in huge pages' },
  ],
  contenders: [contender('small pages', 'nohugepage'), contender("hugePages: 'transparent'", 'hugepage')],
  targets: [],
  prepare: ({ pick }) => ({ count: pick(5_000_000, 1_000_000, 10_000), size: pick(GiB, 256 * MiB, MiB) }),
  missing: () =>
    ours().Mapping.supports('hugepage') ? undefined : 'the kernel makes no transparent huge pages',
}
