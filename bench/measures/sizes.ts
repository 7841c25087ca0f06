/** Whether the size of a mapping has a price. */
import { GiB, type Measure, type Medians, PAGE, ours, timed } from '../measure'

const SIZES = { '4 KiB': PAGE, '1 GiB': GiB, '1 TiB': 1024 * GiB }
/** So many before the collector runs, off the clock: addresses stay taken until then, and there are 128 TiB of them. */
const ROUND = 50
type SizeName = keyof typeof SIZES
const NAMES = Object.keys(SIZES) as SizeName[]

/** How many times as dear the dearest size is as the cheapest. */
function spread({ figure }: Medians): number {
  const costs = NAMES.map((name) => figure(name, 'ns') ?? Number.NaN)
  return Math.max(...costs) / Math.min(...costs)
}

export const sizes: Measure = {
  name: 'sizes',
  title: 'Open, touch one page and unmap, by size',
  about: 'The same as above with an empty heap, for sparse files of three sizes.',
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  contenders: NAMES.map((name) => ({
    name,
    ours: true,
    runtime: 'node',
    start({ count, files }) {
      const { Mapping } = ours()
      const path = files[name] as string
      const open = (times: number) => {
        let sum = 0
        for (let i = 0; i < times; i++) {
          const mapping = Mapping.open(path)
          sum += mapping.bytes[0] as number
          mapping.unmap()
        }
        return sum
      }
      return (check) => {
        let [sum, ns] = [0, 0]
        const rounds = check ? 1 : count / ROUND
        for (let round = 0; round < rounds; round++) {
          globalThis.gc?.()
          const { result, figures } = timed(ROUND, open)
          sum += Number(result)
          ns += figures['ns'] ?? 0
        }
        return { result: sum, figures: { ns: ns / rounds } }
      }
    },
  })),
  targets: [{ text: 'dearest to cheapest', value: spread, atMost: 1.5 }],
  prepare: ({ pick, file }) => ({
    count: pick(5000, 1000, 50),
    files: Object.fromEntries(NAMES.map((name) => [name, file('sparse', SIZES[name])])),
  }),
}
