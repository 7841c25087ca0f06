/** Advice to the kernel: which there is, by name. */
import { unavailable } from './errors'
import { native } from './native'
import * as validate from './validate'

/**
 * What {@link Mapping.advise} takes: the name of the platform's `MADV_*`, in lower case, with hyphens. Which of them the kernel at hand
 * knows is for {@link Mapping.supports} to say. The first six are those of every Unix, the last four those of macOS, all others of Linux.
 */
export type Advice =
  // Every Unix
  | 'normal'
  | 'random'
  | 'sequential'
  | 'willneed'
  | 'dontneed'
  | 'free'
  // Linux
  | 'remove'
  | 'dontfork'
  | 'dofork'
  | 'mergeable'
  | 'unmergeable'
  | 'hugepage'
  | 'nohugepage'
  | 'collapse'
  | 'dontdump'
  | 'dodump'
  | 'wipeonfork'
  | 'keeponfork'
  | 'cold'
  | 'pageout'
  | 'populate-read'
  | 'populate-write'
  | 'dontneed-locked'
  // macOS
  | 'zero-wired-pages'
  | 'free-reusable'
  | 'free-reuse'
  | 'can-reuse'

/** Options of {@link Mapping.advise}. */
export interface AdviseOptions {
  /** Allow advice that loses what the pages hold. Default: `false`. */
  destructive?: boolean | undefined
}

/** The system that alone has an advice; `undefined` for what every Unix has. */
const SYSTEMS: Readonly<Record<Advice, 'Linux' | 'macOS' | undefined>> = {
  normal: undefined,
  random: undefined,
  sequential: undefined,
  willneed: undefined,
  dontneed: undefined,
  free: undefined,
  remove: 'Linux',
  dontfork: 'Linux',
  dofork: 'Linux',
  mergeable: 'Linux',
  unmergeable: 'Linux',
  hugepage: 'Linux',
  nohugepage: 'Linux',
  collapse: 'Linux',
  dontdump: 'Linux',
  dodump: 'Linux',
  wipeonfork: 'Linux',
  keeponfork: 'Linux',
  cold: 'Linux',
  pageout: 'Linux',
  'populate-read': 'Linux',
  'populate-write': 'Linux',
  'dontneed-locked': 'Linux',
  'zero-wired-pages': 'macOS',
  'free-reusable': 'macOS',
  'free-reuse': 'macOS',
  'can-reuse': 'macOS',
}

const NAMES = Object.keys(SYSTEMS) as Advice[]

/** The system at hand, if it is one that has advice of its own. */
const HERE = process.platform === 'linux' ? 'Linux' : process.platform === 'darwin' ? 'macOS' : undefined

export function named(value: unknown): Advice {
  return validate.oneOf('advice', value, NAMES)
}

export function supports(name: Advice): boolean {
  return native.isAdviceKnown(name)
}

/** Checks what {@link Mapping.advise} is asked for. */
export function request(advice: unknown, options: unknown): { name: Advice; destructive: boolean } {
  const name = named(advice)
  const { destructive = false } = validate.options(options, ['destructive'])
  const allowed = validate.boolean('options.destructive', destructive)
  if (!supports(name)) {
    const system = SYSTEMS[name]
    const isOthers = system !== undefined && system !== HERE
    throw unavailable(
      `the advice '${name}'`,
      isOthers ? `it is one of ${system}` : 'the kernel does not know it',
    )
  }
  return { name, destructive: allowed }
}
