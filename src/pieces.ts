/** Long work off the event loop, piece by piece. */
import { aborted } from './errors'

/**
 * Has `piece` work through a range from `start` to `end`. Each call is told where to go on and how many bytes are left, and
 * resolves to how many of them it did. Between calls other work has its turn in the thread pool, and the signal is looked at.
 *
 * An empty range has one piece, for the errors that it may give.
 */
export async function inPieces(
  start: number,
  end: number,
  signal: AbortSignal | undefined,
  piece: (at: number, rest: number) => Promise<number>,
): Promise<void> {
  let at = start
  do {
    if (signal?.aborted) throw aborted(signal)
    at += await piece(at, end - at)
  } while (at < end)
}
