/** The addon of support/foreign.c: faults that are not ours, and handlers of others. */
import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './child'

/** Two copies of the addon, which know nothing of each other. */
export interface ForeignAddons {
  first: string
  second: string
}

/** Compiles the addon into a folder; `undefined` where there is no C compiler. */
export function compileForeign(folder: string): ForeignAddons | undefined {
  const [first, second] = [join(folder, 'first.node'), join(folder, 'second.node')]
  const source = join(root, '__test__', 'support', 'foreign.c')
  const undefinedLater = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', ...undefinedLater, '-o', first, source], { stdio: 'pipe' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  copyFileSync(first, second)
  return { first, second }
}
