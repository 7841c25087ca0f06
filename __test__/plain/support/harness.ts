/** Checks without a test runner: for the runtimes that ours does not know. The last line sums up: `N passed, N failed`. */
import { isMainThread } from 'node:worker_threads'

interface Check {
  title: string
  run: () => unknown
  /** Why this runtime cannot do it. */
  skip: string | undefined
}

const checks: Check[] = []

/** The one check that this process was started for, if it was started by `inChild()`. */
export const chosen = process.argv[2]

/**
 * Adds a check; all of them run one after the other when the file has been read.
 *
 * @param title a sentence about behaviour
 * @param run throws or rejects if the behaviour is another
 * @param skip why this runtime cannot do it; `undefined` if it can
 */
export function check(title: string, run: () => unknown, skip?: string): void {
  if (!isMainThread || chosen !== undefined) return
  if (checks.length === 0) setImmediate(runAll)
  checks.push({ title, run, skip })
}

async function runAll(): Promise<void> {
  let passed = 0
  let failed = 0
  for (const { title, run, skip } of checks) {
    if (skip !== undefined) {
      console.log(`skipped ${title}: ${skip}`)
      continue
    }
    const start = performance.now()
    try {
      await run()
      passed++
      console.log(`ok ${title} (${Math.round(performance.now() - start)} ms)`)
    } catch (error) {
      failed++
      console.log(`FAILED ${title}\n${error instanceof Error ? error.stack : error}`)
    }
  }
  if (failed > 0) process.exitCode = 1
  console.log(`${passed} passed, ${failed} failed`)
}
