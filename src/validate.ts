/** Checks of arguments. They look at types and values, and never call into the value. */
import { types } from 'node:util'
import { invalidArgType, invalidArgValue, outOfRange } from './errors'

const MAX = Number.MAX_SAFE_INTEGER

/** A count or an offset in bytes: a number or bigint from `min` to `max`, whole. */
export function integer(name: string, value: unknown, min = 0, max: number = MAX): number {
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    throw invalidArgType(name, 'of type number or bigint', value)
  }
  if (typeof value === 'number' && !Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < min || value > max) throw outOfRange(name, `>= ${min} and <= ${max}`, value)
  return Number(value) + 0 // -0 becomes 0
}

/** The same for an option without a default. */
export function optionalInteger(name: string, value: unknown): number | undefined {
  return value === undefined ? undefined : integer(name, value)
}

/** The permissions of a file, as `fs` takes them: a number, or a string of octal digits. */
export function permissions(name: string, value: unknown): number {
  if (typeof value !== 'string') return integer(name, value, 0, 0o7777)
  if (!/^[0-7]+$/.test(value))
    throw invalidArgValue(name, 'must be an integer or a string of octal digits', value)
  return integer(name, Number.parseInt(value, 8), 0, 0o7777)
}

/** The bits of a C `int`: any 32-bit integer, signed or unsigned. */
export function flags(name: string, value: unknown): number {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value)
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < -(2 ** 31) || value > 2 ** 32 - 1)
    throw outOfRange(name, '>= -2147483648 and <= 4294967295', value)
  return value
}

/**
 * An address. No process has one beyond 2^53, so what lies there becomes an address up there that nobody has
 * either, at the same place in its page.
 */
export function pointer(name: string, value: unknown): number {
  if (typeof value === 'bigint') {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw outOfRange(name, '>= 0 and <= 2^64 - 1', value)
    return value > BigInt(MAX) ? MAX - 65535 + Number(value % 65536n) : Number(value)
  }
  return integer(name, value)
}

export function fileDescriptor(name: string, value: unknown): number {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value)
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value)
  if (value < -(2 ** 31) || value > 2 ** 31 - 1)
    throw outOfRange(name, '>= -2147483648 and <= 2147483647', value)
  return value
}

export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value)
  return value
}

/** The option `create`: whether a file may be made. */
export function creates(name: string, value: unknown): boolean {
  if (value === 'exclusive') return true
  if (typeof value !== 'boolean') throw invalidArgType(name, "of type boolean or 'exclusive'", value)
  return value
}

export function oneOf<const T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (!(allowed as readonly unknown[]).includes(value)) {
    throw invalidArgValue(name, `must be one of: ${allowed.map((one) => `'${one}'`).join(', ')}`, value)
  }
  return value as T
}

/** The bytes of a view, whatever its element type. `others` are the types that the caller takes as well. */
export function bytesOf(name: string, value: unknown, others = ''): Uint8Array {
  // Not `instanceof`: an object can have the prototype of a typed array and be none.
  if (types.isUint8Array(value)) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  throw invalidArgType(name, `${others}an instance of Buffer, TypedArray, or DataView`, value)
}

export function signal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined
  if (value === null || typeof value !== 'object' || !('aborted' in value)) {
    throw invalidArgType(name, 'an instance of AbortSignal', value)
  }
  return value as AbortSignal
}

export function callback<F>(name: string, value: unknown): F | undefined {
  if (value !== undefined && typeof value !== 'function')
    throw invalidArgType(name, 'of type function', value)
  return value as F | undefined
}

/** A plain object with these keys only: a misspelt one is an error, not a default. */
export function options<K extends string>(value: unknown, known: readonly K[]): { [key in K]?: unknown } {
  if (value === undefined) return {}
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidArgType('options', 'of type object', value)
  }
  const unknown = Object.keys(value).find((key) => !(known as readonly string[]).includes(key))
  if (unknown !== undefined) {
    throw invalidArgValue(
      `options.${unknown}`,
      `is not an option; known are ${known.join(', ')}`,
      (value as Record<string, unknown>)[unknown],
    )
  }
  return value
}
