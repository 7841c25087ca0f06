/** What a contender's process says, as a line of JSON on standard output. */
import { writeSync } from 'node:fs'

/** At once: a process that is about to be aborted has said it. */
export function say(what: object): void {
  writeSync(1, `${JSON.stringify(what)}\n`)
}
