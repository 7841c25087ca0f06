/** Errors as Node's own: with `code`, and for system errors `errno`, `syscall` and `path`. */
import { constants } from 'node:os'
import { getSystemErrorMap, inspect } from 'node:util'
import { type Fault, type FaultKind, describe as describeFault } from './faults'

/** A failed system call, as Node's `fs` reports one. */
export interface SystemError extends Error {
  /** The name of the error number: `'EACCES'`. */
  code: string
  /** The error number, negative. */
  errno: number
  /** The name of the call: `'mmap'`. */
  syscall: string
  /** The file, if one was named; a Buffer as UTF-8. */
  path?: string
}

/** A method met bytes that are not the file's, since a fault. */
export interface MappingFaultError extends Error, Fault {
  /** Which error it is. */
  code: 'ERR_MAPPING_FAULT'
  /** The file, if one was named. */
  path?: string | Buffer
}

type ErrorClass = new (message: string) => Error

/** An error whose stack reads `TypeError [CODE]: message`, as Node's own do. */
function coded(Class: ErrorClass, code: string, message: string): Error & { code: string } {
  const error = new Class(message)
  const name = error.name
  error.name = `${name} [${code}]`
  void error.stack // written now, with the code in it
  Object.defineProperty(error, 'name', { value: name, configurable: true, enumerable: false, writable: true })
  return Object.assign(error, { code })
}

function received(value: unknown): string {
  if (value === null || value === undefined) return `Received ${value}`
  if (typeof value === 'function') return `Received function ${value.name}`
  if (typeof value === 'object') {
    const name: unknown = value.constructor?.name
    return typeof name === 'string' && name !== ''
      ? `Received an instance of ${name}`
      : `Received ${inspect(value, { depth: -1 })}`
  }
  let text = inspect(value, { colors: false })
  if (text.length > 28) text = `${text.slice(0, 25)}...`
  return `Received type ${typeof value} (${text})`
}

export function invalidArgType(name: string, expected: string, value: unknown): Error {
  const what = name.includes('.') ? 'property' : 'argument'
  return coded(
    TypeError,
    'ERR_INVALID_ARG_TYPE',
    `The "${name}" ${what} must be ${expected}. ${received(value)}`,
  )
}

export function invalidArgValue(name: string, reason: string, value: unknown): Error {
  const what = name.includes('.') ? 'property' : 'argument'
  const text = inspect(value, { depth: 0 }).slice(0, 128)
  return coded(TypeError, 'ERR_INVALID_ARG_VALUE', `The ${what} '${name}' ${reason}. Received ${text}`)
}

export function outOfRange(name: string, range: string, value: unknown): Error {
  const text = typeof value === 'bigint' ? `${value}n` : inspect(value)
  return coded(
    RangeError,
    'ERR_OUT_OF_RANGE',
    `The value of "${name}" is out of range. It must be ${range}. Received ${text}`,
  )
}

export function closed(what = 'The mapping was unmapped'): Error {
  return coded(Error, 'ERR_MAPPING_CLOSED', what)
}

export function tooLarge(length: number, largest: number): Error {
  const message =
    `The mapping has ${length} bytes, and one view in this runtime spans at most ${largest}. ` +
    'Use view(constructor, byteOffset, length) or read(position, length) for a part of it'
  return coded(RangeError, 'ERR_BUFFER_TOO_LARGE', message)
}

export function unavailable(feature: string, reason: string): Error {
  const message = `The feature ${feature} is unavailable here: ${reason}`
  return coded(TypeError, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', message)
}

export function mainThread(): Error {
  const message =
    'wait() stops the event loop of the main thread: use waitAsync(), or the option { allowMainThread: true }'
  return coded(Error, 'ERR_INVALID_STATE', message)
}

export function illegalConstructor(): Error {
  return coded(
    TypeError,
    'ERR_ILLEGAL_CONSTRUCTOR',
    'Illegal constructor: use Mapping.open(), anonymous(), shared(), memfd() or attach()',
  )
}

export function aborted(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason })
  error.name = 'AbortError'
  return Object.assign(error, { code: 'ABORT_ERR' })
}

/** The number that Node has for a positive error number of C, its name and its description. */
function describeErrno(errno: number): [errno: number, code: string, text: string] {
  const known = getSystemErrorMap?.()
  if (process.platform !== 'win32') {
    const entry = known?.get(-errno)
    if (entry !== undefined) return [-errno, ...entry]
  }
  const code = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0]
  if (code === undefined) return [-errno, `E${errno}`, `unknown system error ${errno}`]
  // On Windows libuv's numbers are not those of C.
  const entry = [...(known ?? [])].find(([, [name]]) => name === code)
  return entry === undefined ? [-errno, code, code] : [entry[0], ...entry[1]]
}

function systemError(
  errno: number,
  syscall: string,
  detail: string,
  path: string | Buffer | undefined,
): SystemError {
  const [number, code, text] = describeErrno(errno)
  const file = path === undefined ? '' : ` '${path}'`
  const why = detail === '' ? '' : ` (${detail})`
  const error = new Error(`${code}: ${text}, ${syscall}${file}${why}`)
  return Object.assign(error, { errno: number, code, syscall }, path === undefined ? {} : { path: `${path}` })
}

/**
 * The error that a failure in native code stands for: its message has the fields that
 * `crates/node/src/error.rs` wrote. Anything else is passed on as it is. `prefix` is where the named arguments came from.
 */
export function fromNative(thrown: unknown, path?: string | Buffer, prefix = ''): unknown {
  if (!(thrown instanceof Error)) return thrown
  const [kind, ...fields] = thrown.message.split('\u001f')
  const [first = '', second = '', third = ''] = fields
  if (kind === 'closed') return closed()
  if (kind === 'fault') {
    const fault: Fault = { offset: Number(first), length: Number(second), kind: third as FaultKind }
    const error = coded(
      Error,
      'ERR_MAPPING_FAULT',
      describeFault(fault) + (path === undefined ? '' : ` '${path}'`),
    )
    return Object.assign(error, fault, path === undefined ? {} : { path }) satisfies Error
  }
  if (kind === 'range') {
    return coded(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `The value of "${prefix}${first}" is out of range. It must be >= 0 and <= ${second} (${third})`,
    )
  }
  if (kind === 'unavailable') return unavailable(first, second)
  if (kind === 'system') return systemError(Number(first), second, third, path)
  return thrown
}
