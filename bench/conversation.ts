/** A contender's process, and what is said to it: see `contender.ts`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Answer } from './measure'

/** How a program is started. */
export interface Command {
  command: string
  args: string[]
}

interface Said {
  ready?: boolean
  error?: string
  /** How far a long turn has got, in operations. */
  progress?: number
}

/** A contender that did not answer: it ended, or it was given up. */
export class NoAnswer extends Error {
  constructor(
    why: string,
    /** How far it had got. */
    readonly progress: number | undefined,
  ) {
    super(why)
  }
}

/** One process, which is asked and answers. */
export class Conversation {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #patience: number
  #complaints = ''
  #progress: number | undefined
  readonly #ended: Promise<string>

  constructor({ command, args }: Command, seconds: number) {
    this.#patience = seconds * 1000
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    // A process that has ended does not read what it is told: that shows when it is asked for its answer.
    child.stdin.on('error', () => {})
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints = `${this.#complaints}${text}`.slice(-2000)
    })
    this.#ended = new Promise((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('close', (code, signal) => resolve(signal ?? `exit status ${code}`))
    })
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  /** Waits until it is ready. */
  async ready(): Promise<void> {
    await this.#hear()
  }

  /** Has it do a turn. */
  async ask(what: 'check' | 'turn'): Promise<Answer> {
    this.#child.stdin?.write(`${what}\n`)
    return (await this.#hear()) as unknown as Answer
  }

  /** Lets it end by itself, or ends it. */
  async end(): Promise<void> {
    this.#child.stdin?.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await this.#ended
    clearTimeout(timer)
  }

  async #hear(): Promise<Said> {
    let timer: NodeJS.Timeout | undefined
    const tired = new Promise<'tired'>((resolve) => {
      timer = setTimeout(() => resolve('tired'), this.#patience)
    })
    try {
      for (;;) {
        const line = await Promise.race([this.#lines.next(), tired])
        if (line === 'tired') {
          this.#child.kill('SIGKILL')
          throw this.#noAnswer(`no answer within ${this.#patience / 1000} s`)
        }
        if (line.done) throw this.#noAnswer(await this.#ended)
        if (!line.value.startsWith('{')) continue
        const said = JSON.parse(line.value) as Said
        if (said.error !== undefined) throw this.#noAnswer(said.error)
        if (said.progress === undefined) return said
        this.#progress = said.progress
      }
    } finally {
      clearTimeout(timer)
    }
  }

  #noAnswer(why: string): NoAnswer {
    const complaint = /^.*(?:error|fatal|abort|panic).*$/im.exec(this.#complaints)?.[0].trim()
    return new NoAnswer(complaint === undefined ? why : `${why}: ${complaint}`, this.#progress)
  }
}
