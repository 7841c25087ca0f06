/** What new memory is made of: the options `hugePages` and `name`. */
import { invalidArgType, invalidArgValue, unavailable } from './errors'
import * as validate from './validate'

/** The huge pages that {@link Mapping.anonymous} can ask for. */
export type HugePageSize = 'transparent' | '2MB' | '1GB'

export const SIZES = ['transparent', '2MB', '1GB'] as const

/** As `mod open_flags` in `crates/node/src/mapping.rs`. */
const FLAGS = { transparent: 1 << 10, '2MB': 1 << 11, '1GB': 1 << 12 } as const
const FALLBACK = 1 << 13

/** The flags that stand for the option `hugePages`. */
export function flags(value: unknown, sizes: readonly HugePageSize[]): number {
  if (value === undefined) return 0
  const name = 'options.hugePages'
  if (typeof value !== 'object' || value === null) return flagOf(validate.oneOf(name, value, sizes), false)
  const unknown = Object.keys(value).find((key) => key !== 'size' && key !== 'fallback')
  if (unknown !== undefined) {
    throw invalidArgValue(`${name}.${unknown}`, 'is not an option; known are size, fallback', value)
  }
  const { size, fallback = false } = value as { size?: unknown; fallback?: unknown }
  return flagOf(validate.oneOf(`${name}.size`, size, sizes), validate.boolean(`${name}.fallback`, fallback))
}

function flagOf(size: HugePageSize, fallback: boolean): number {
  if (!fallback) needsLinux(`hugePages: '${size}'`)
  return FLAGS[size] | (fallback ? FALLBACK : 0)
}

/** Throws where there is no Linux for an option. */
export function needsLinux(feature: string): void {
  if (process.platform !== 'linux') throw unavailable(feature, 'it is for Linux')
}

/** The option `name`: what prctl(2) takes. */
export function memoryName(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw invalidArgType('options.name', 'of type string', value)
  if (!/^[\x20-\x7e]{1,79}$/.test(value) || /[[\]\\$`]/.test(value)) {
    const rule = 'must be 1 to 79 printable ASCII characters, without [ ] \\ $ and `'
    throw invalidArgValue('options.name', rule, value)
  }
  return value
}
