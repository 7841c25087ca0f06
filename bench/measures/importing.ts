/** What it takes to load a package, in a process that has loaded nothing else. */
import { execFileSync } from 'node:child_process'
import { type Contender, KOFFI, MMAP_IO, type Measure, type Setup } from '../measure'

/** Nanoseconds that `require` takes. */
const script = (name: string) => `
  const start = process.hrtime.bigint()
  require(${JSON.stringify(name)})
  process.stdout.write(String(process.hrtime.bigint() - start))`

const start =
  (name: (setup: Setup) => string): NonNullable<Contender['start']> =>
  (setup) => {
    const source = script(name(setup))
    return () => {
      const ns = Number(
        execFileSync(process.execPath, ['--eval', source], { encoding: 'utf8', cwd: __dirname }),
      )
      return { result: 'loaded', figures: { ns } }
    }
  }

const peer = ({ peer }: Setup) => peer as string

export const importing: Measure = {
  name: 'import',
  title: 'Loading the package',
  about: '`require()` in a new process; its files are in the page cache.',
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  turns: 25,
  contenders: [
    { name: 'mmap-native', ours: true, runtime: 'node', start: start(() => 'mmap-native') },
    { name: 'koffi', runtime: 'node', peer: KOFFI, start: start(peer) },
    { name: '@riaskov/mmap-io', runtime: 'host', peer: MMAP_IO, start: start(peer) },
  ],
  targets: [
    {
      text: 'loading, in ms',
      value: ({ figure }) => {
        const ns = figure('mmap-native', 'ns')
        return ns === undefined ? undefined : ns / 1e6
      },
      atMost: 3,
    },
  ],
  prepare: () => ({ count: 1 }),
}
