/** Figures as people read them. */
import type { Unit } from './measure'

const SCALES: Record<Unit, readonly (readonly [number, string])[]> = {
  ns: [
    [1e9, 's'],
    [1e6, 'ms'],
    [1e3, 'us'],
    [1, 'ns'],
  ],
  bytes: [
    [1024 ** 3, 'GiB'],
    [1024 ** 2, 'MiB'],
    [1024, 'KiB'],
    [1, 'B'],
  ],
  'bytes/s': [
    [1e9, 'GB/s'],
    [1e6, 'MB/s'],
    [1, 'B/s'],
  ],
  times: [[1, '']],
}

/** Three digits that count. */
export function number(value: number): string {
  if (value === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const rounded = Number(value.toFixed(Math.min(digits, 6)))
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 6 })
}

export function figure(value: number | undefined, unit: Unit): string {
  if (value === undefined) return ''
  const scales = SCALES[unit]
  const [size, name] = scales.find(([size]) => Math.abs(value) >= size) ?? (scales.at(-1) as [number, string])
  return `${number(value / size)} ${name}`.trim()
}

/** What is to be reached: `>= 0.85`. */
export function limit({ atLeast, atMost }: { atLeast?: number; atMost?: number }): string {
  return atLeast === undefined ? `<= ${number(atMost ?? 0)}` : `>= ${number(atLeast)}`
}

export function verdict({ met }: { met?: boolean }): string {
  return met === undefined ? 'not measured' : met ? 'met' : 'missed'
}
