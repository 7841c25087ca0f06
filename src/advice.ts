/** Advice to the kernel: which there is, by name. */
import { unavailable } from './errors'
import { native } from './native'
import * as validate from './validate'

/**
 * What {@link Mapping.advise} takes: the name of the platform's `MADV_*`, in lower case, with hyphens. Which of them the kernel at hand
 * knows is for {@link Mapping.supports} to say.
 */
export type Advice = (typeof ADVICE)[number]

/** Options of {@link Mapping.advise}. */
export interface AdviseOptions {
  /** Allow advice that loses what the pages hold. Default: `false`. */
  destructive?: boolean
}

const ADVICE = [
  // Every Unix
  'normal',
  'random',
  'sequential',
  'willneed',
  'dontneed',
  'free',
  // Linux
  'remove',
  'dontfork',
  'dofork',
  'mergeable',
  'unmergeable',
  'hugepage',
  'nohugepage',
  'collapse',
  'dontdump',
  'dodump',
  'wipeonfork',
  'keeponfork',
  'cold',
  'pageout',
  'populate-read',
  'populate-write',
  'dontneed-locked',
  // macOS
  'zero-wired-pages',
  'free-reusable',
  'free-reuse',
  'can-reuse',
] as const

export function named(value: unknown): Advice {
  return validate.oneOf('advice', value, ADVICE)
}

export function supports(name: Advice): boolean {
  return native.isAdviceKnown(name)
}

/** Checks what {@link Mapping.advise} is asked for. */
export function request(advice: unknown, options: unknown): { name: Advice; destructive: boolean } {
  const name = named(advice)
  const { destructive = false } = validate.options(options, ['destructive'])
  const allowed = validate.boolean('options.destructive', destructive)
  if (!supports(name)) throw unavailable(`the advice '${name}'`, 'the kernel does not know it')
  return { name, destructive: allowed }
}
