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

/** Bytes that a lane takes at a time. */
const WINDOW = 16 * 1024 * 1024
/** So many work at the same time: half of the thread pool, unless it was made larger, is left to others. */
const LANES = 2

/**
 * Has `work` go through a range window by window, two at a time: the kernel's work on pages is most of what it takes, and it does
 * it on several cores at once. Fails with what the first of the windows failed with that did, in the order of the range, as if they
 * had come one after the other; those before it are finished, and nothing behind it is begun.
 *
 * An empty range has one window.
 */
export async function inLanes(
  start: number,
  end: number,
  work: (from: number, to: number) => Promise<void>,
): Promise<void> {
  let next = start
  let failure: { at: number; error: unknown } | undefined
  const lane = async () => {
    do {
      const from = next
      next = Math.min(end, from + WINDOW)
      try {
        await work(from, next)
      } catch (error) {
        if (failure === undefined || from < failure.at) failure = { at: from, error }
      }
    } while (next < end && failure === undefined)
  }
  const lanes = Math.max(1, Math.min(LANES, Math.ceil((end - start) / WINDOW)))
  await Promise.all(Array.from({ length: lanes }, lane))
  if (failure !== undefined) throw (failure as { error: unknown }).error
}
