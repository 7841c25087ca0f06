/** What the kernel says of this process's memory: /proc/self/maps and /proc/self/smaps (Linux). */
import { readFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'

/** One line of /proc/self/maps: a range of addresses mapped in one way. */
export interface MapsEntry {
  start: bigint
  end: bigint
  /** As `rw-s`: read, write, execute, shared or private. */
  perms: string
  /** In the file, in bytes. */
  offset: bigint
  /** The file, a name in brackets, or empty. */
  path: string
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *(.*)$/

function parse(line: string): MapsEntry | undefined {
  const [, start = '', end = '', perms = '', offset = '', path = ''] = LINE.exec(line) ?? []
  if (start === '') return undefined
  return { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), perms, offset: BigInt(`0x${offset}`), path }
}

/** Everything that is mapped, by address. */
export function maps(): MapsEntry[] {
  const lines = readFileSync('/proc/self/maps', 'latin1').split('\n')
  return lines.map(parse).filter((entry) => entry !== undefined)
}

/** What is mapped in a range, cut to it, in a form to compare: `[offset in the range, length, perms, path]`. */
export function mappedIn(addr: bigint, length: number): [number, number, string, string][] {
  const limit = addr + BigInt(length)
  return maps()
    .filter(({ start, end }) => start < limit && end > addr)
    .map(({ start, end, perms, path }) => {
      const from = start < addr ? addr : start
      const to = end > limit ? limit : end
      return [Number(from - addr), Number(to - from), perms, path]
    })
}

/** The middle of the widest range without mappings: nobody else is likely to map there. */
export function freeAddress(): bigint {
  let widest = 0n
  let middle = 0n
  let reached = 0n
  for (const { start, end } of maps()) {
    // Above the stack there is nothing that a process may use.
    if (start < 2n ** 47n && start - reached > widest) {
      widest = start - reached
      middle = reached + widest / 2n
    }
    reached = end
  }
  return (middle / 2n ** 30n) * 2n ** 30n
}

/** A field of /proc/self/smaps for the mapping at an address, as it is written. */
function smapsText(addr: bigint, name: string): string {
  let inside = false
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    const entry = parse(line)
    if (entry !== undefined) inside = entry.start <= addr && addr < entry.end
    else if (inside && line.startsWith(`${name}:`)) return line.slice(name.length + 1).trim()
  }
  throw new Error(`/proc/self/smaps has no ${name} for ${addr}`)
}

/** A field of /proc/self/smaps for the mapping at an address, in bytes. */
export function smapsField(addr: bigint, name: string): number {
  return Number.parseInt(smapsText(addr, name), 10) * 1024
}

/** The flags of the mapping at an address, in two letters each: proc(5), VmFlags. */
export function vmFlags(addr: bigint): string[] {
  return smapsText(addr, 'VmFlags').split(' ')
}

/** /proc/self/maps without what the runtime itself may grow at any time. */
function snapshot(): string {
  const lines = readFileSync('/proc/self/maps', 'latin1').split('\n')
  return lines.filter((line) => !line.includes('[heap]') && !line.includes('[stack]')).join('\n')
}

const ATTEMPTS = 25

/** A range of addresses: where it starts, and its length in bytes. */
export type Range = readonly [addr: bigint, length: number]

/**
 * Asserts that a call maps and unmaps nothing, least of all in the ranges to watch. The runtime's own threads may map
 * memory meanwhile, so when something changed outside those ranges the call is tried again: mappings that it leaves
 * behind, it leaves behind every time.
 */
export function mapsUnchanged(t: ExecutionContext, watched: readonly Range[], call: () => void): void {
  const watch = () => watched.map(([addr, length]) => mappedIn(addr, length))
  const expected = watch()
  let before = ''
  let after = ''
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    before = snapshot()
    call()
    after = snapshot()
    t.deepEqual(watch(), expected, 'the ranges to watch')
    if (before === after) return
  }
  t.is(after, before)
}
