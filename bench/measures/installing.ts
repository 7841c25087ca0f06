/** What a package takes on the disk, with all that comes with it, on one platform. */
import { execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../launch'
import { type Contender, KOFFI, MMAP_IO, type Measure, type Setup } from '../measure'

function bytesUnder(path: string): number {
  const stat = lstatSync(path)
  if (!stat.isDirectory()) return stat.size
  return readdirSync(path).reduce((sum, name) => sum + bytesUnder(join(path, name)), 0)
}

/** The files that npm would pack, and the binary with what its package says of it. */
function packed(): number {
  const text = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ unpackedSize }] = JSON.parse(text) as [{ unpackedSize: number }]
  const native = join(root, 'native')
  const [binary] = readdirSync(native).filter((name) => name.endsWith('.node')) as [string]
  const platform = /^mmap-native\.(.*)\.node$/.exec(binary)?.[1] as string
  return unpackedSize + statSync(join(native, binary)).size + bytesUnder(join(root, 'npm', platform))
}

const start =
  (bytes: (setup: Setup) => number): NonNullable<Contender['start']> =>
  (setup) =>
  () => ({ result: 'installed', figures: { bytes: bytes(setup) } })

/** A peer's whole `node_modules`, which has nothing else. */
const installed = ({ peer }: Setup) => {
  const path = peer as string
  return bytesUnder(path.slice(0, path.lastIndexOf('node_modules') + 'node_modules'.length))
}

export const installing: Measure = {
  name: 'install-size',
  title: 'Installed size',
  about: 'All files that `npm install` leaves, with dependencies, for one platform.',
  figures: [{ name: 'bytes', unit: 'bytes', title: 'on disk' }],
  turns: 1,
  contenders: [
    { name: 'mmap-native', ours: true, runtime: 'host', start: start(packed) },
    { name: 'koffi', runtime: 'host', peer: KOFFI, start: start(installed) },
    { name: '@riaskov/mmap-io', runtime: 'host', peer: MMAP_IO, start: start(installed) },
  ],
  targets: [
    {
      text: 'MB on disk',
      value: ({ figure }) => {
        const bytes = figure('mmap-native', 'bytes')
        return bytes === undefined ? undefined : bytes / 1e6
      },
      atMost: 1,
    },
  ],
  prepare: () => ({ count: 1 }),
}
