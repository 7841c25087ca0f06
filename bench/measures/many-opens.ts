/** Mappings without end, in one synchronous loop: nothing may pile up. */
import { readFileSync, readdirSync } from 'node:fs'
import { say } from '../say'
import { type Answer, type Contender, type Measure, PAGE, type Setup, ours } from '../measure'
import { type Way, peerContenders } from '../peers'

const PROGRESS = 1000

/** What the process has, by the kernel's account (Linux). */
function possessions(): { maps: number; descriptors: number; addresses: number; resident: number } {
  const status = readFileSync('/proc/self/status', 'latin1')
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1024
  return {
    maps: readFileSync('/proc/self/maps', 'latin1').split('\n').length - 1,
    descriptors: readdirSync('/proc/self/fd').length,
    addresses: bytes('VmSize'),
    resident: bytes('VmRSS'),
  }
}

function loop(count: number, open: () => number): Answer {
  // What a heap that is at work takes is not what piles up.
  for (let i = 0; i < count / 5; i++) open()
  const before = possessions()
  let most = before.maps
  const start = process.hrtime.bigint()
  let sum = 0
  for (let i = 0; i < count; i++) {
    sum += open()
    if (i % PROGRESS === 0) say({ progress: i })
    if (i % 20_000 === 19_999) most = Math.max(most, possessions().maps)
  }
  const ns = Number(process.hrtime.bigint() - start) / count
  const after = possessions()
  const figures = {
    ns,
    maps: Math.max(most, after.maps) - before.maps,
    descriptors: after.descriptors - before.descriptors,
    addresses: after.addresses - before.addresses,
    resident: after.resident - before.resident,
  }
  return { result: sum / count, figures }
}

const start =
  (open: (setup: Setup) => () => number): NonNullable<Contender['start']> =>
  (setup) => {
    const once = open(setup)
    return (check) => (check ? { result: once(), figures: {} } : loop(setup.count, once))
  }

const mine = (setup: Setup) => {
  const { Mapping } = ours()
  const path = setup.files['file'] as string
  return () => {
    const mapping = Mapping.open(path)
    const byte = mapping.bytes[0] as number
    mapping.unmap()
    return byte
  }
}

const theirs = (way: Way) => (setup: Setup) => {
  const { fromPath } = way.load(setup)
  const path = setup.files['file'] as string
  return () => {
    const { bytes, unmap } = fromPath(path, PAGE)
    const byte = bytes[0] as number
    unmap()
    return byte
  }
}

const grown =
  (name: string) =>
  ({ figure }: Parameters<Measure['targets'][number]['value']>[0]) =>
    figure('mmap-native', name)

export const manyOpens: Measure = {
  name: 'many-opens',
  title: 'A million opens and unmaps in one synchronous loop',
  about:
    'The event loop has no turn until the end. What piles up is counted from a fifth of them on: mappings of the process at their most, ' +
    'descriptors, address space, memory.',
  figures: [
    { name: 'ns', unit: 'ns', title: 'each' },
    { name: 'maps', unit: 'times', title: 'mappings more' },
    { name: 'descriptors', unit: 'times', title: 'descriptors more' },
    { name: 'addresses', unit: 'bytes', title: 'address space more' },
    { name: 'resident', unit: 'bytes', title: 'memory more' },
  ],
  turns: 1,
  patience: 180,
  contenders: [
    { name: 'mmap-native', ours: true, runtime: 'node', start: start(mine) },
    ...peerContenders((way) => start(theirs(way))),
  ],
  targets: [
    { text: 'mappings more, at their most', value: grown('maps'), atMost: 20_000 },
    { text: 'descriptors more', value: grown('descriptors'), atMost: 0 },
    { text: 'memory more, bytes', value: grown('resident'), atMost: 64 * 1024 * 1024 },
    { text: 'address space more, bytes', value: grown('addresses'), atMost: 256 * 1024 * 1024 },
  ],
  missing: () => (process.platform === 'linux' ? undefined : '/proc/self is of Linux'),
  prepare: ({ pick, file }) => ({
    count: pick(1_000_000, 100_000, 200),
    files: { file: file('text', PAGE) },
  }),
}
