/** What of a file, or of the package, is still in this process; and a garbage collector that is given time. */
import * as assert from 'node:assert/strict'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as Binding from '../../../native/binding'

/** Why the process cannot be looked into, if it cannot. */
export const noProc = process.platform === 'linux' ? undefined : 'only Linux has /proc/self'

/** What the package holds in this process. */
export function census(): Binding.Census {
  return (require(binary()) as typeof Binding).census()
}

/** The addon that the package has loaded. */
function binary(): string {
  const named = process.env['MMAP_NATIVE_BINARY']
  if (named) return named
  const folder = join(__dirname, '..', '..', '..', '..', 'native')
  const start = `mmap-native.${process.platform}-${process.arch}`
  const file = readdirSync(folder).find((name) => name.startsWith(start) && name.endsWith('.node'))
  if (file === undefined) throw new Error(`there is no ${start}*.node in ${folder}`)
  return join(folder, file)
}

/** The ranges of addresses in use, one a line. */
export function addressSpace(): string[] {
  return readFileSync('/proc/self/maps', 'latin1').trimEnd().split('\n')
}

/** The ranges of addresses where a file is mapped. */
export function mapped(path: string): number {
  return addressSpace().filter((line) => line.endsWith(path)).length
}

/** The descriptors that a file is open under. */
export function descriptors(path: string): number {
  let found = 0
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === path) found++
    } catch {
      // The descriptor that the list was read with is closed by now.
    }
  }
  return found
}

/** Collects garbage and lets finalizers run until `done` returns true; fails after some seconds with what `describe` tells. */
export async function collected(done: () => boolean, describe: () => unknown = done): Promise<void> {
  const collect = (globalThis as { gc?: () => void }).gc
  assert.ok(collect, 'the process was not started with --expose-gc')
  const deadline = performance.now() + 20_000
  for (;;) {
    // A turn between a look and a collection: what deref() returned is kept until the end of that turn.
    await sleep(1)
    collect()
    await sleep(4)
    if (done()) return
    if (performance.now() > deadline) assert.fail(`not collected: ${JSON.stringify(describe())}`)
  }
}
