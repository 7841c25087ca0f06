/** Huge pages of the system's default size, borrowed for a test (Linux; it needs root). */
import { mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SETTING = '/proc/sys/vm/nr_hugepages'
/** Held by the process that changes the setting, which is the system's. */
const LOCK = join(tmpdir(), 'mmap-native-huge-pages')
const STALE = 60_000

function meminfo(): string {
  return process.platform === 'linux' ? readFileSync('/proc/meminfo', 'latin1') : ''
}

/** Bytes in a huge page of the default size; 0 where there are none. */
export const hugePageSize = Number(/^Hugepagesize: *(\d+) kB$/m.exec(meminfo())?.[1] ?? 0) * 1024

function take(): void {
  for (;;) {
    try {
      mkdirSync(LOCK)
      return
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
      // Whoever took it may have been killed.
      const age = Date.now() - (statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
      if (age > STALE) rmdirSync(LOCK)
    }
  }
}

/** Does `work` while so many huge pages are free. Returns whether they could be had. */
export function borrowHugePages(count: number, work: () => void): boolean {
  if (hugePageSize === 0) return false
  const areFree = () => Number(/^HugePages_Free: *(\d+)$/m.exec(meminfo())?.[1] ?? 0) >= count
  take()
  let before: string | undefined
  try {
    if (!areFree()) {
      try {
        const current = readFileSync(SETTING, 'latin1').trim()
        writeFileSync(SETTING, String(Number(current) + count))
        before = current
      } catch {
        // No right to ask for them.
        return false
      }
    }
    if (!areFree()) return false
    work()
    return true
  } finally {
    if (before !== undefined) writeFileSync(SETTING, before)
    rmdirSync(LOCK)
  }
}
