/** What a process holds of the kernel's: descriptors, mappings, threads (Linux). For scripts of their own, too. */
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Holdings {
  descriptors: number
  mappings: number
  threads: number
}

export function holdings(): Holdings {
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    mappings: readFileSync('/proc/self/maps', 'latin1').split('\n').length,
    threads: readdirSync('/proc/self/task').length,
  }
}

/**
 * Does `round` so many times, after a tenth as many to warm up, and returns by how much the counts have risen when they have
 * settled. Heap that the runtime took meanwhile shows as some mappings more: far fewer than one a round.
 */
export async function growth(rounds: number, round: (index: number) => unknown): Promise<Holdings> {
  for (let i = 0; i < rounds / 10; i++) await round(i)
  await sleep(50)
  const before = holdings()
  for (let i = 0; i < rounds; i++) await round(i)
  let now = holdings()
  // Threads that are about to end, and ranges that wait to be unmapped together.
  for (let i = 0; i < 100 && (now.threads > before.threads || now.descriptors > before.descriptors); i++) {
    await sleep(50)
    now = holdings()
  }
  return {
    descriptors: Math.max(0, now.descriptors - before.descriptors),
    mappings: Math.max(0, now.mappings - before.mappings),
    threads: Math.max(0, now.threads - before.threads),
  }
}
