/** Waiting for a 32-bit cell of a mapping, across threads and processes. */
import { aborted, closed, fromNative, invalidArgType, mainThread, outOfRange, unavailable } from './errors'
import { native, type Handle } from './native'
import * as validate from './validate'

/** How a wait ended: notified, or never begun because the cell had another value, or its time was over. */
export type WaitResult = 'ok' | 'not-equal' | 'timed-out'

/** Options of {@link Mapping.wait}. */
export interface WaitOptions {
  /** Milliseconds. Default: `Infinity`. */
  timeout?: number | undefined
  /** Allow it in the main thread, whose event loop stops until it returns. Default: `false`. */
  allowMainThread?: boolean | undefined
}

/** Options of {@link Mapping.waitAsync}. */
export interface WaitAsyncOptions {
  /** Milliseconds. Default: `Infinity`. */
  timeout?: number | undefined
  /** Ends the wait with an `AbortError`, unless it was notified before. */
  signal?: AbortSignal | undefined
  /** Keep the process, or the worker, alive as long as the wait goes on. Default: `true`. */
  ref?: boolean | undefined
}

/**
 * A wait returns to JavaScript so often, in milliseconds: a worker can be terminated only there. What is changed in between is
 * found, as the kernel compares the value anew.
 */
const SLICE = 100

/** The longest time that a timer takes. */
const LONGEST_TIMER = 2 ** 31 - 1

const canWait = native.hasWaiting()

/** The offset of a cell in a mapping of `length` bytes that starts at `start` in its file. */
export function cell(offset: unknown, length: number, start: number): number {
  if (!canWait) {
    throw unavailable('waiting across processes', 'it takes Linux, or macOS 14.4 or newer')
  }
  const at = validate.integer('offset', offset, 0, Math.max(0, length - 4))
  if (length < 4) throw outOfRange('offset', 'in a mapping of at least 4 bytes', offset)
  if ((start + at) % 4 !== 0) {
    const where =
      start % 4 === 0 ? '' : ` from ${4 - (start % 4)} on, as the mapping starts at offset ${start}`
    throw outOfRange('offset', `a multiple of 4${where}`, offset)
  }
  return at
}

/** Loaded when it is asked for: it takes longer to load than all of this package. */
function isMainThread(): boolean {
  return (require('node:worker_threads') as typeof import('node:worker_threads')).isMainThread
}

function milliseconds(value: unknown): number {
  if (value === undefined || value === Infinity) return Infinity
  if (typeof value === 'number' && !(value >= 0)) throw outOfRange('options.timeout', '>= 0', value)
  // Fractions are time, too.
  return typeof value === 'number' ? value : validate.integer('options.timeout', value)
}

/** A signal that can be listened to: where others are only looked at, a wait hears of it. */
function listened(value: unknown): AbortSignal | undefined {
  const signal = validate.signal('options.signal', value)
  const isMute = [signal?.addEventListener, signal?.removeEventListener].some(
    (one) => typeof one !== 'function',
  )
  if (signal !== undefined && isMute)
    throw invalidArgType('options.signal', 'an instance of AbortSignal', value)
  return signal
}

/** The argument `count` of `notify()`. */
export function waiters(count: unknown): number {
  return count === undefined || count === Infinity ? 2 ** 31 - 1 : validate.integer('count', count)
}

/** Waits on this thread. */
export function wait(handle: Handle, offset: number, value: unknown, options: unknown): WaitResult {
  const expected = validate.flags('expected', value)
  const given = validate.options(options, ['timeout', 'allowMainThread'])
  const timeout = milliseconds(given.timeout)
  const { allowMainThread = false } = given
  if (!validate.boolean('options.allowMainThread', allowMainThread) && isMainThread()) throw mainThread()
  const end = performance.now() + timeout
  for (let isFirst = true; ; isFirst = false) {
    const left = Math.max(0, end - performance.now())
    const result = native.mappingWait(handle, offset, expected, Math.min(left, SLICE))
    if (result === 'not-equal' && !isFirst) return 'ok'
    if (result !== 'timed-out' || left <= SLICE) return result
  }
}

/** A wait that goes on. */
interface Pending {
  /** Held as long as it does. */
  mapping: object
  resolve: (result: WaitResult) => void
  reject: (error: unknown) => void
  /** What to do when it has been cancelled. */
  cancelled: () => void
  timer: NodeJS.Timeout | undefined
  signal: AbortSignal | undefined
  onAbort: (() => void) | undefined
  ref: boolean
}

const pending = new Map<number, Pending>()
let isWatching = false
/** How many of them keep the process alive, and what does so. */
let refs = 0
let keeper: NodeJS.Timeout | undefined

function watch(): void {
  if (isWatching) return
  isWatching = true
  native.watchWaits(settle)
}

function settle(): void {
  for (const { id, outcome, error } of native.takeWaits()) {
    const one = pending.get(id)
    if (one === undefined) continue
    pending.delete(id)
    clearTimeout(one.timer)
    if (one.onAbort !== undefined) one.signal?.removeEventListener('abort', one.onAbort)
    if (one.ref && --refs === 0) clearInterval(keeper)
    if (error !== undefined) one.reject(fromNative(new Error(error)))
    else if (outcome === 'cancelled') one.cancelled()
    else one.resolve(outcome as WaitResult)
  }
}

function cancel(id: number, one: Pending, then: () => void): void {
  one.cancelled = then
  native.cancelWait(id)
}

/** Waits without a thread of the runtime. */
export async function waitAsync(
  mapping: object,
  handle: Handle,
  offset: number,
  value: unknown,
  options: unknown,
): Promise<WaitResult> {
  const expected = validate.flags('expected', value)
  const given = validate.options(options, ['timeout', 'signal', 'ref'])
  const timeout = milliseconds(given.timeout)
  const signal = listened(given.signal)
  const { ref: keeps = true } = given
  const ref = validate.boolean('options.ref', keeps)
  if (signal?.aborted) throw aborted(signal)
  if (timeout === 0) return native.mappingWait(handle, offset, expected, 0)
  watch()
  const id = native.mappingWaitAsync(handle, offset, expected)
  if (id === null) return 'not-equal'
  return new Promise<WaitResult>((resolve, reject) => {
    const one: Pending = {
      mapping,
      resolve,
      reject,
      cancelled: () => reject(closed()),
      timer: undefined,
      signal,
      onAbort: undefined,
      ref,
    }
    pending.set(id, one)
    if (ref && ++refs === 1) keeper = setInterval(() => {}, LONGEST_TIMER)
    if (timeout !== Infinity) endAfter(id, one, timeout)
    if (signal !== undefined) {
      one.onAbort = () => cancel(id, one, () => reject(aborted(signal)))
      signal.addEventListener('abort', one.onAbort, { once: true })
    }
  })
}

function endAfter(id: number, one: Pending, timeout: number): void {
  const now = Math.min(timeout, LONGEST_TIMER)
  one.timer = setTimeout(() => {
    if (timeout > now) endAfter(id, one, timeout - now)
    else cancel(id, one, () => one.resolve('timed-out'))
  }, now)
  one.timer.unref()
}

/** A mapping was unmapped: its waits end. */
export function close(mapping: object): void {
  if (pending.size === 0) return
  for (const [id, one] of pending) {
    if (one.mapping === mapping) cancel(id, one, () => one.reject(closed()))
  }
}
