/** Standard output, in large pieces; and how names and figures are written. */

const PIECE = 64 * 1024

/** Nothing of what a name or a line holds drives a terminal, starts a line or hides: it is written as an escape. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\n') return String.raw`\n`
    if (character === '\t') return String.raw`\t`
    const hex = character.charCodeAt(0).toString(16)
    return character.length === 1 && hex.length <= 2
      ? String.raw`\x${hex.padStart(2, '0')}`
      : String.raw`\u{${character.codePointAt(0)?.toString(16)}}`
  })
}

/** A value as JSON that drives no terminal either: all that is not ASCII is written as an escape. */
export function json(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^ -~]/g,
    (unit) => String.raw`\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Bytes, as `12 MiB`. */
export function size(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.floor(value)} ${UNITS[unit]}`
}

/** The cells of a bar. */
export const CELLS = 32

/** A line of a bar, of what the bar is of, and of the name of that. */
export function barLine(bar: string, part: number, whole: number, name: string): string {
  const share = whole === 0 ? '-' : `${Math.floor((100 * part) / whole)}%`
  return `${bar.padEnd(CELLS + 2)} ${share.padStart(4)} ${size(part).padStart(8)} of ${size(whole).padStart(8)}  ${name}`
}

/** Standard output and standard error. */
export class Output {
  #parts: (string | Uint8Array)[] = []
  #size = 0
  /** What standard output has failed with. */
  failure: unknown

  constructor() {
    // It is told to who writes; without a listener it would end the process.
    process.stdout.on('error', () => {})
    process.stderr.on('error', () => {})
  }

  get isTerminal(): boolean {
    return process.stdout.isTTY === true
  }

  /** Writes, in large pieces: wait for what it returns, as a pipe may be slow. */
  print(data: string | Uint8Array): Promise<void> | undefined {
    this.#parts.push(data)
    this.#size += data.length
    return this.#size >= PIECE ? this.flush() : undefined
  }

  /** Rejects with `failure` if standard output has failed. */
  async flush(): Promise<void> {
    const data = Buffer.concat(this.#parts.map((part) => Buffer.from(part as string)))
    this.#parts = []
    this.#size = 0
    if (data.length === 0) return
    try {
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(data, (error) => (error ? reject(error) : resolve()))
      })
    } catch (error) {
      this.failure = error
      throw error
    }
  }

  /** Writes a message to standard error. */
  complain(message: string): void {
    process.stderr.write(`mmap-native: ${plain(message)}\n`)
  }
}
