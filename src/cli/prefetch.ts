/** `mmap-native prefetch`: brings files into memory. */
import { parseArgs } from 'node:util'
import { eachFile } from './files'
import { type Output, CELLS, barLine, plain, size } from './output'

/** Milliseconds from one picture of the bar to the next. */
const PAUSE = 50

/** The start of a text that has room in so many columns of a terminal, where some characters take two. */
function fitting(text: string, columns: number): string {
  let room = columns
  let end = 0
  for (const character of text) {
    room -= (character.codePointAt(0) as number) < 0x1100 ? 1 : 2
    if (room < 0) return text.slice(0, end)
    end += character.length
  }
  return text
}

/** A bar on the last line of the terminal, if standard error is one that has such lines. */
class Progress {
  readonly #isShown = process.stderr.isTTY === true && process.env['TERM'] !== 'dumb'
  #next = 0

  show(done: number, total: number, file: string): void {
    const now = performance.now()
    if (!this.#isShown || now < this.#next) return
    this.#next = now + PAUSE
    const bar = `[${'O'.repeat(Math.floor((CELLS * done) / total)).padEnd(CELLS)}]`
    const line = barLine(bar, done, total, plain(file))
    // In the last column some terminals begin another line.
    process.stderr.write(`\r${fitting(line, (process.stderr.columns || 80) - 1)}\u001b[K`)
  }

  clear(): void {
    if (this.#isShown && this.#next > 0) process.stderr.write('\r\u001b[K')
    this.#next = 0
  }
}

export async function prefetch(args: string[], output: Output): Promise<number> {
  const { positionals: files } = parseArgs({ args, allowPositionals: true })
  const interruption = new AbortController()
  const { signal } = interruption
  const interrupt = () => interruption.abort()
  process.once('SIGINT', interrupt)
  const progress = new Progress()
  let reached = ''
  try {
    const isWell = await eachFile(files, output, async (mapping, file) => {
      const start = performance.now()
      const onProgress = (done: number, total: number) => {
        reached = `${file}: interrupted at ${size(done)} of ${size(total)}`
        if (total > 0) progress.show(done, total, file)
      }
      onProgress(0, mapping.length)
      try {
        await mapping.prefetch({ signal, onProgress })
      } finally {
        progress.clear()
      }
      const seconds = ((performance.now() - start) / 1000).toFixed(2)
      await output.print(`${plain(file)}: ${size(mapping.length)} in memory, ${seconds} s\n`)
    })
    return isWell ? 0 : 1
  } catch (error) {
    if (!signal.aborted) throw error
    output.complain(reached)
    // Whoever has started this process, a loop of a shell too, hears that it was interrupted: by the signal, which is not heard any more.
    process.kill(process.pid, 'SIGINT')
    return 130
  } finally {
    process.removeListener('SIGINT', interrupt)
  }
}
