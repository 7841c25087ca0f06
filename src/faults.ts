/** Faults: what mappings and the process are told of accesses that the kernel refused. */
import { native } from './native'

/**
 * What an access met:
 * - `'truncated'`: the file has become shorter. The bytes read as zeros; what is written to them is lost.
 * - `'not-stored'`: the file system had no room for a page that was written. It is kept in memory; `flush()` tries again.
 * - `'read-only'`: memory that may only be read was written. The write stays in a copy of the page; the file does not see it.
 * - `'closed'`: a view was used after `unmap()`, or where `resize()` has cut off its bytes or moved them elsewhere. It reads zeros; what is
 *   written to it is lost.
 * - `'io-error'`: the device could not deliver a page. It reads as zeros.
 * - `'protected'`: memory without access was accessed. The page was made readable; what is nobody else's, for a write, writable.
 */
export type FaultKind = 'truncated' | 'not-stored' | 'read-only' | 'closed' | 'io-error' | 'protected'

/** An access that the kernel refused. */
export interface Fault {
  /** The first byte concerned, from the start of the mapping. */
  offset: number
  /** Bytes concerned: whole pages, or all up to the end of the mapping. */
  length: number
  /** What happened. */
  kind: FaultKind
}

/** All faults of a mapping. */
export interface Faults {
  /** How many there were. */
  count: number
  /** The first 1024 of them, in order. */
  list: Fault[]
}

type Listener = (fault: Fault) => void

/** By mapping and by buffer. Held by them alone: a listener may refer to its mapping, which is to be collected all the same. */
const listeners = new WeakMap<object, Listener>()
/** By the number of the mapping. */
const listening = new Map<number, WeakRef<Listener>>()
const dropped = new FinalizationRegistry((id: number) => listening.delete(id))
const warned = new Set<number>()
let isWatching = false

/** Has this thread told of the faults of its mappings. Called before the first of them is made. */
export function watch(): void {
  if (isWatching) return
  isWatching = true
  native.watchFaults(tell)
  // A listener for one of the two signals puts a handler above ours, and the last one to go takes all handlers away.
  for (const event of ['newListener', 'removeListener']) {
    process.on(event as 'newListener', (name) => {
      if (name !== 'SIGBUS' && name !== 'SIGSEGV') return
      native.ensureFaultGuard()
      // Bun installs and removes its handler after it has told of the listener.
      queueMicrotask(native.ensureFaultGuard)
    })
  }
}

/** Calls `onFault` for the faults of a mapping, as long as the object of that mapping exists. */
export function listen(mapping: object, id: number, onFault: Listener): void {
  const listener: Listener = (fault) => onFault(fault)
  listeners.set(mapping, listener)
  listening.set(id, new WeakRef(listener))
  dropped.register(listener, id)
}

/** The same, as long as a buffer of that mapping exists. */
export function listenWith(buffer: object, mapping: object): void {
  const listener = listeners.get(mapping)
  if (listener !== undefined) listeners.set(buffer, listener)
}

function tell(): void {
  for (const { id, fault, path } of native.takeFaults()) {
    const listener = listening.get(id)?.deref()
    // On its own: what one listener throws does not keep the others from hearing.
    if (listener !== undefined) queueMicrotask(() => listener(fault as Fault))
    else if (!warned.has(id)) warn(id, fault as Fault, path)
  }
}

const WHAT: Record<FaultKind, string> = {
  truncated:
    'the file was truncated under a mapping: these bytes read as zeros, and what is written to them is lost',
  'not-stored': 'the file system had no room for what was written to a mapping: it is only in memory',
  'read-only': 'a mapping that may only be read was written: the file does not see it',
  closed: 'a view of a mapping was used after unmap(), or after resize() took its bytes away: it reads zeros',
  'io-error': 'the device could not deliver a part of a mapping: it reads as zeros',
  protected: 'a part of a mapping without access was accessed',
}

/** What a fault means, in words. */
export function describe({ offset, length, kind }: Fault): string {
  return `${WHAT[kind]} (${length} bytes at ${offset})`
}

function warn(id: number, fault: Fault, path: string | undefined): void {
  warned.add(id)
  process.emitWarning(`${describe(fault)}${path === undefined ? '' : ` '${path}'`}`, {
    type: 'MappingWarning',
    code: 'MMAP_FAULT',
    detail:
      'Given once for each mapping. mapping.faults has all of them; the option onFault of Mapping.open() replaces it.',
  })
}

/**
 * Whether faults are caught in this process: true unless the environment variable `MMAP_NATIVE_FAULTS` is `off` or
 * {@link setFaultGuard} said no.
 */
export function isFaultGuarded(): boolean {
  return native.isFaultGuarded()
}

/**
 * Turns the catching of faults on or off, for the whole process. Off, an access to a truncated or read-only mapping ends the
 * process, as it would in C; views left over after `unmap()` still read zeros.
 */
export function setFaultGuard(on: boolean): void {
  native.setFaultGuard(on)
}
