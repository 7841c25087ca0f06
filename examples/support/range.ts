/** Bytes of a file, without the one at `end`. */
export interface Range {
  start: number
  end: number
}

/**
 * What a `Range` header asks for of a file of `size` bytes; nothing is left of it (`start >= end`) where the file has none of them.
 * `undefined` is all of the file: there is no header, or it has several ranges, another unit, or no meaning, and RFC 9110 has it ignored.
 */
export function rangeOf(header: string | undefined, size: number): Range | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/i.exec(header ?? '') ?? []
  if (first === '') return last === '' ? undefined : { start: Math.max(0, size - Number(last)), end: size }
  if (last !== '' && Number(last) < Number(first)) return undefined
  return { start: Number(first), end: last === '' ? size : Math.min(Number(last) + 1, size) }
}
