/** How this thread learns that a mapping has another length: any thread may resize it. */
import { native } from './native'

const memory = native.resizes()
const count = memory === undefined ? undefined : new Int32Array(memory)

/**
 * How many resizes there were in the process, modulo 2^32. As long as it stays the same, so does every length. Where the runtime
 * cannot show it, it is never the same: `NaN`. A plain read, as nobody waits for it: it is asked for with every use of a length.
 */
export function resizes(): number {
  return count === undefined ? Number.NaN : (count[0] as number)
}
