/** Searches over 1 GiB in memory, against those of others and against reading memory at all. */
import { createReadStream, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Mapping } from 'mmap-native'
import { type Answer, type Contender, GiB, MiB, type Measure, type Setup, ours } from '../measure'
import { NEEDLES } from '../needles'
import { bunMmap } from '../peers'

const path = ({ files }: Setup) => files['file'] as string

/** One search, over all of the file. */
async function search(size: number, run: () => number | Promise<number>): Promise<Answer> {
  const start = process.hrtime.bigint()
  const result = await run()
  const ns = Number(process.hrtime.bigint() - start)
  return { result, figures: { ns, rate: (size / ns) * 1e9 } }
}

/** With a mapping whose pages are in the page tables already. */
const withMapping =
  (run: (mapping: Mapping, setup: Setup) => number | Promise<number>): NonNullable<Contender['start']> =>
  async (setup) => {
    const mapping = ours().Mapping.open(path(setup))
    await mapping.prefetch()
    return () => search(setup.size, () => run(mapping, setup))
  }

const figures = [
  { name: 'ns', unit: 'ns', title: 'in all' },
  { name: 'rate', unit: 'bytes/s', title: 'speed' },
] as const satisfies Measure['figures']

const bandwidth: Contender = {
  name: 'reading memory',
  runtime: 'rust',
  arguments: (setup) => ['sum', path(setup), ''],
}

interface Case {
  name: string
  title: string
  about: string
  needle: string
  kind?: 'text' | 'run'
  targets?: readonly Measure['targets'][number][]
}

function finding({ name, title, about, needle, kind = 'text', targets = [] }: Case): Measure {
  // One byte is looked for as a number, as a search for it would be written.
  const what = needle.length === 1 ? needle.charCodeAt(0) : Buffer.from(needle)
  return {
    name: `search/${name}`,
    title,
    about,
    figures,
    contenders: [
      bandwidth,
      {
        name: 'memchr crate',
        runtime: 'rust',
        arguments: (setup) => ['find', path(setup), needle],
      },
      {
        name: 'indexOf()',
        ours: true,
        runtime: 'node',
        start: withMapping((mapping) => mapping.indexOf(what)),
      },
      { name: 'find()', ours: true, runtime: 'node', start: withMapping((mapping) => mapping.find(what)) },
      { name: 'Buffer.indexOf', runtime: 'node', start: withMapping(({ bytes }) => bytes.indexOf(what)) },
      {
        ...bunMmap,
        name: 'Bun.mmap, Buffer.indexOf',
        start(setup) {
          const { buffer } = bunMmap.load(setup).fromPath(path(setup), setup.size).bytes
          const bytes = Buffer.from(buffer as ArrayBuffer)
          return () => search(setup.size, () => bytes.indexOf(what))
        },
      },
      {
        name: "Python's mmap.find",
        runtime: 'python',
        arguments: (setup) => ['find', path(setup), needle, String(setup.size)],
      },
    ],
    targets: [
      {
        text: 'indexOf() to reading memory',
        value: ({ ratio }) => ratio('indexOf()', 'reading memory'),
        atLeast: 0.8,
      },
      {
        text: 'indexOf() to Buffer.indexOf, less noise',
        value: ({ ratio }) => ratio('indexOf()', 'Buffer.indexOf'),
        atLeast: 0.95,
      },
      ...targets,
    ],
    turns: 7,
    prepare: ({ pick, file }) => {
      const size = pick(GiB, 64 * MiB, 2 * MiB)
      return { count: 1, size, files: { file: file(kind, size) } }
    },
  }
}

const counting: Measure = {
  name: 'search/count-lines',
  title: 'Counting the newlines of 1 GiB',
  about: 'Lines of 64 bytes. Without `count()` one counts the newlines in a loop over the bytes.',
  figures,
  contenders: [
    bandwidth,
    { name: 'memchr crate', runtime: 'rust', arguments: (setup) => ['count', path(setup), '\n'] },
    { name: 'count()', ours: true, runtime: 'node', start: withMapping((mapping) => mapping.count(10)) },
    { name: 'a loop over the bytes', runtime: 'node', start: withMapping(({ bytes }) => countLoop(bytes)) },
    {
      name: 'a loop of Buffer.indexOf',
      runtime: 'node',
      start: withMapping(({ bytes }) => countByIndexOf(bytes)),
    },
  ],
  targets: [
    {
      text: 'count() to reading memory',
      value: ({ ratio }) => ratio('count()', 'reading memory'),
      atLeast: 0.8,
    },
    {
      text: 'count() to Buffer.indexOf',
      value: ({ ratio }) => ratio('count()', 'a loop of Buffer.indexOf'),
      atLeast: 1,
    },
  ],
  turns: 7,
  prepare: ({ pick, file }) => {
    const size = pick(GiB, 64 * MiB, 2 * MiB)
    return { count: 1, size, files: { file: file('text', size) } }
  },
}

function countLoop(bytes: Uint8Array): number {
  let count = 0
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 10) count++
  return count
}

function countByIndexOf(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) count++
  return count
}

/** Every line in hand: bytes of lines, without the newlines. */
const linesOf: Measure = {
  name: 'search/lines',
  title: 'Every line of 64 MiB',
  about:
    'Lines of 64 bytes, one after the other, as strings or as Buffers. What is added up is their lengths.',
  figures,
  contenders: [
    {
      name: 'node:readline over a stream',
      runtime: 'node',
      start: (setup) => () =>
        search(setup.size, async () => {
          let sum = 0
          for await (const line of createInterface({ input: createReadStream(path(setup)) }))
            sum += line.length
          return sum
        }),
    },
    {
      name: 'readFileSync, split',
      runtime: 'node',
      start: (setup) => () =>
        search(setup.size, () => {
          let sum = 0
          for (const line of readFileSync(path(setup), 'latin1').split('\n')) sum += line.length
          return sum
        }),
    },
    {
      name: 'lines(), Buffers',
      ours: true,
      runtime: 'node',
      start: withMapping((mapping) => addLengths(mapping.lines())),
    },
    {
      name: 'lines(), strings',
      ours: true,
      runtime: 'node',
      start: withMapping((mapping) => addLengths(mapping.lines({ encoding: 'latin1' }))),
    },
    {
      name: "Python's mmap.readline",
      runtime: 'python',
      arguments: (setup) => ['lines', path(setup), '', String(setup.size)],
    },
  ],
  targets: [],
  turns: 7,
  prepare: ({ pick, file }) => {
    const size = pick(64 * MiB, 16 * MiB, MiB)
    return { count: 1, size, files: { file: file('text', size) } }
  },
}

function addLengths(lines: Iterable<{ length: number }>): number {
  let sum = 0
  for (const { length } of lines) sum += length
  return sum
}

export const searching: readonly Measure[] = [
  finding({
    name: 'rare',
    title: 'Search of 1 GiB: bytes that are nowhere else',
    about: 'Lines of lower-case letters, and at their end a needle of six capitals.',
    needle: NEEDLES.rare,
  }),
  finding({
    name: 'repeated',
    title: 'Search of 1 GiB: `AAAAB` in a run of `A`',
    about: 'Every place nearly has the needle.',
    needle: NEEDLES.repeated,
    kind: 'run',
    targets: [
      {
        text: 'indexOf() to Buffer.indexOf, where that is bad',
        value: ({ ratio }) => ratio('indexOf()', 'Buffer.indexOf'),
        atLeast: 50,
      },
    ],
  }),
  finding({
    name: 'byte',
    title: 'Search of 1 GiB: one byte',
    about: 'A byte that is once in the file, at its end.',
    needle: NEEDLES.byte,
  }),
  finding({
    name: 'long',
    title: 'Search of 1 GiB: 64 bytes that are all common',
    about: 'Lines of lower-case letters, and at their end a needle of 64 more: none of its bytes is rare.',
    needle: NEEDLES.long,
  }),
  counting,
  linesOf,
]
