/**
 * What the benchmark is made of. A {@link Measure} compares contenders by what something costs them; a file in `measures/`
 * has one or more. Each {@link Contender} runs in a process of its own, does a turn whenever it is told to, and answers with
 * what came out and what it cost.
 */

/** How much work a run does: all of it, a little of it, or just enough to see that everything works. */
export type Scale = 'full' | 'quick' | 'smoke'

/** What runs a contender. `host` is the Node.js that runs the benchmark, `node` the one that it is about. */
export type Runtime = 'node' | 'node26' | 'host' | 'bun' | 'python' | 'c' | 'rust'

/** What a measure made ready for its contenders, as JSON. */
export interface Setup {
  /** Operations in a turn; fewer before the clock starts. */
  count: number
  /** Files by name. */
  files: Record<string, string>
  /** Bytes that are looked at. */
  size: number
  /** Where the npm package is that a contender is about. */
  peer?: string
}

/** What a turn came to. */
export interface Answer {
  /** Depends on all of the work: the same for all contenders of a measure. `null` from one that only sets a limit. */
  result: number | string | null
  /** By the names in {@link Measure.figures}. */
  figures: Record<string, number>
}

/** Does the work once: on the clock, or, as a check, less of it where that is enough to compare results. */
export type Turn = (check: boolean) => Answer | Promise<Answer>

/** One of those compared. */
export interface Contender {
  name: string
  /** It is this package. */
  ours?: true
  runtime: Runtime
  /** The npm package that it is about, which is installed on demand. */
  peer?: Peer
  /** Options of the runtime. */
  flags?: readonly string[]
  /** For JavaScript runtimes: makes ready, in the contender's process, and returns what does a turn. */
  start?: (setup: Setup) => Turn | Promise<Turn>
  /** For a program: its arguments. */
  arguments?: (setup: Setup) => string[]
}

/** A package of others. */
export interface Peer {
  name: string
  version: string
  /** It is compiled when it is installed. */
  scripts?: boolean
}

export const KOFFI: Peer = { name: 'koffi', version: '3.3.4' }
export const MMAP_IO: Peer = { name: '@riaskov/mmap-io', version: '1.4.3', scripts: true }

/** What a figure counts. */
export type Unit = 'ns' | 'bytes' | 'bytes/s' | 'times'

export interface Figure {
  name: string
  unit: Unit
  /** The head of its column. */
  title: string
}

/** The medians of a measure. */
export interface Medians {
  /** A figure; `undefined` for a contender that did not run. */
  figure(contender: string, figure: string): number | undefined
  /** How many times as cheap a contender is as another, by the first figure. */
  ratio(contender: string, other: string): number | undefined
}

/** What is to be reached. */
export interface Target {
  /** In words. */
  text: string
  value: (medians: Medians, setup: Setup) => number | undefined
  atLeast?: number
  atMost?: number
}

type Prepared = Partial<Setup> & { count: number }

export interface Measure {
  /** As it is chosen on the command line: `search/rare`. */
  name: string
  title: string
  /** What is done, in a sentence or two. */
  about: string
  /** The first one is what it costs: the less, the better. Ratios are of this one. */
  figures: readonly Figure[]
  /** The first one is what the others are compared with. */
  contenders: readonly Contender[]
  targets: readonly Target[]
  /** Turns of each contender on a full run. Default: 9. */
  turns?: number
  /** Seconds that a turn may take before its contender is given up. Default: 90. */
  patience?: number
  /** Each turn is the first one of a new process: nothing is open, cached or compiled yet. */
  fresh?: true
  prepare: (context: Context) => Prepared | Promise<Prepared>
  /** Why it cannot be measured here. */
  missing?: (context: Context) => string | undefined
}

/** What measures get from the run. */
export interface Context {
  scale: Scale
  /** One of three by the scale. */
  pick<T>(full: T, quick: T, smoke: T): T
  /** A file of `size` bytes, made when it is asked for first. */
  file(kind: FileKind, size: number): string
  /** A path for a file that the measure makes by itself; it is removed after the measure. */
  newFile(name: string): string
}

/**
 * What is in a file. `text`: lines of 64 bytes of lower-case letters, with the needles of `needles.ts` in the last one. `run`: all
 * `A`, and a `B` at the end. `sparse`: zeros, without blocks on the device. `cold`: as `text`, for those who drop it from memory; `scratch`:
 * the same for those who write to it.
 */
export type FileKind = 'text' | 'run' | 'sparse' | 'cold' | 'scratch'

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
export const PAGE = 4 * KiB

/** Times `count` operations. */
export function timed(count: number, run: (count: number) => number | string): Answer {
  const start = process.hrtime.bigint()
  const result = run(count)
  return { result, figures: { ns: Number(process.hrtime.bigint() - start) / count } }
}

/** This package. Loaded only where it is measured. */
export function ours(): typeof import('mmap-native') {
  return require('mmap-native') as typeof import('mmap-native')
}
