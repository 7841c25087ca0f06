/** Moving and setting 64 MiB: by the methods of a mapping, and by those of a Buffer of the heap. */
import type { Mapping } from 'mmap-native'
import { type Contender, MiB, type Measure, type Setup, ours, timed } from '../measure'

interface Moves {
  fill(byte: number): void
  copyWithin(target: number, start: number, end: number): void
  readInto(target: Buffer): void
  write(data: Buffer): void
  /** A byte, to see what was done. */
  at(position: number): number
}

function moves(mapping: Mapping): Moves {
  const { bytes } = mapping
  return {
    fill: (byte) => void mapping.fill(byte),
    copyWithin: (target, start, end) => void mapping.copyWithin(target, start, end),
    readInto: (target) => void mapping.read(0, target),
    write: (data) => void mapping.write(data),
    at: (position) => bytes[position] as number,
  }
}

const ofFile = ({ files }: Setup) => moves(ours().Mapping.open(files['file'] as string, { access: 'write' }))

const ofMemory = ({ size }: Setup) => moves(ours().Mapping.anonymous(size))

function ofHeap({ size }: Setup): Moves {
  const bytes = Buffer.from(new ArrayBuffer(size))
  return {
    fill: (byte) => void bytes.fill(byte),
    copyWithin: (target, start, end) => void bytes.copyWithin(target, start, end),
    readInto: (target) => void bytes.copy(target),
    write: (data) => void data.copy(bytes),
    at: (position) => bytes[position] as number,
  }
}

/** Each does its work `count` times and returns something of what came out. */
const WORK = {
  fill: (memory: Moves) => (count: number) => {
    for (let i = 0; i < count; i++) memory.fill(i + 1)
    return memory.at(1000)
  },
  copyWithin: (memory: Moves, { size }: Setup) => {
    memory.fill(7)
    return (count: number) => {
      for (let i = 0; i < count; i++) memory.copyWithin(size / 2, 0, size / 2)
      return memory.at(size - 1)
    }
  },
  read: (memory: Moves, { size }: Setup) => {
    memory.fill(7)
    const target = Buffer.alloc(size)
    return (count: number) => {
      for (let i = 0; i < count; i++) memory.readInto(target)
      return target[size - 1] as number
    }
  },
  write: (memory: Moves, { size }: Setup) => {
    memory.fill(7)
    const data = Buffer.alloc(size, 9)
    return (count: number) => {
      for (let i = 0; i < count; i++) memory.write(data)
      return memory.at(size - 1)
    }
  },
}

type WorkName = keyof typeof WORK

const start =
  (name: WorkName, memory: (setup: Setup) => Moves): NonNullable<Contender['start']> =>
  (setup) => {
    const run = WORK[name](memory(setup), setup)
    return (check) => timed(check ? 1 : setup.count, run)
  }

const ABOUT: Record<WorkName, string> = {
  fill: 'One byte, everywhere.',
  copyWithin: 'The first half to the second.',
  read: '`read(0, target)`, to `buffer.copy(target)`.',
  write: '`write(data)`, to `data.copy(buffer)`.',
}

export const copying: readonly Measure[] = (Object.keys(WORK) as WorkName[]).map((name) => ({
  name: `copying/${name}`,
  title: `${name} of 64 MiB`,
  about: ABOUT[name],
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  contenders: [
    { name: 'a Buffer of the heap', runtime: 'node', start: start(name, ofHeap) },
    { name: 'a mapping of a file', ours: true, runtime: 'node', start: start(name, ofFile) },
    { name: 'a mapping of memory', ours: true, runtime: 'node', start: start(name, ofMemory) },
  ],
  targets: [
    {
      text: 'a file to the heap',
      value: ({ ratio }) => ratio('a mapping of a file', 'a Buffer of the heap'),
      atLeast: 0.9,
    },
    {
      text: 'memory to the heap',
      value: ({ ratio }) => ratio('a mapping of memory', 'a Buffer of the heap'),
      atLeast: 0.9,
    },
  ],
  prepare: ({ pick, file }) => {
    const size = pick(64 * MiB, 64 * MiB, MiB)
    return { count: pick(20, 4, 1), size, files: { file: file('scratch', size) } }
  },
}))
