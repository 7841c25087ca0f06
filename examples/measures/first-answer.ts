/**
 * The first answer out of a large file, in a process that has the library loaded and nothing else: the time from opening the file on, and
 * the memory that came with it.
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Answer, Contender, Figure, Measure, Setup } from '../../bench/measure'

/** What a way of reading came to. */
export interface First {
  result: number | string
  /** What a program would keep for the next question: it is in memory when that is measured. */
  keep: unknown
}

/** Opens the file and answers; made by what loads the library, off the clock. */
export type Ask = (file: string) => First | Promise<First>

export interface Way extends Pick<Contender, 'name' | 'ours'> {
  /** Loads what is needed. */
  load: () => Ask | Promise<Ask>
}

export const FIRST_ANSWER: readonly Figure[] = [
  { name: 'ns', unit: 'ns', title: 'to the first answer' },
  { name: 'cpu', unit: 'ns', title: 'CPU time' },
  { name: 'own', unit: 'bytes', title: 'own memory (RssAnon)' },
  { name: 'file', unit: 'bytes', title: 'pages of files (RssFile)' },
  { name: 'peak', unit: 'bytes', title: 'in all, at most (VmHWM)' },
]

/** A field of /proc/self/status, in bytes. */
export function status(field: string): number {
  const [, kib] =
    new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'latin1')) ?? []
  if (kib === undefined) throw new Error(`/proc/self/status has no ${field}`)
  return Number(kib) * 1024
}

/** Pages of files; those of tmpfs are counted apart. */
const pagesOfFiles = () => status('RssFile') + status('RssShmem')

async function first(ask: Ask, file: string): Promise<Answer> {
  const [own, pages] = [status('RssAnon'), pagesOfFiles()]
  const cpuBefore = process.cpuUsage()
  const start = process.hrtime.bigint()
  const { result, keep } = await ask(file)
  const ns = Number(process.hrtime.bigint() - start)
  const { user, system } = process.cpuUsage(cpuBefore)
  const memory = { own: status('RssAnon') - own, file: pagesOfFiles() - pages, peak: status('VmHWM') }
  const figures = { ns, cpu: (user + system) * 1000, ...memory }
  // Named here, what is kept outlives the look at memory.
  return { result: keep === undefined ? Number.NaN : result, figures }
}

/** The two ways of a library that takes the bytes of a file. */
export function readOrMapped(load: () => Promise<(bytes: Buffer) => First>): Way[] {
  return [
    {
      name: 'fs.readFile',
      async load() {
        const ask = await load()
        return async (file) => ask(await readFile(file))
      },
    },
    {
      name: 'mmap-native',
      ours: true,
      async load() {
        const [ask, { Mapping }] = await Promise.all([load(), import('mmap-native')])
        return (file) => ask(Mapping.open(file).bytes)
      },
    },
  ]
}

/** A measure of the first answer, way by way; the first of them is what the others are compared with. */
export function firstAnswer(
  facts: Pick<Measure, 'name' | 'title' | 'about' | 'prepare'>,
  ways: readonly Way[],
): Measure {
  const contender = ({ load, ...way }: Way): Contender => ({
    ...way,
    runtime: 'node',
    start: async ({ files }: Setup) => {
      const ask = await load()
      return () => first(ask, files['file'] as string)
    },
  })
  return {
    ...facts,
    figures: FIRST_ANSWER,
    contenders: ways.map(contender),
    targets: [],
    fresh: true,
    missing: () => (process.platform === 'linux' ? undefined : '/proc/self/status is of Linux'),
  }
}
