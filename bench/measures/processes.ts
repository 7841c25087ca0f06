/** Eight processes that need the same file: the memory that they take together. */
import { type ChildProcess, spawn } from 'node:child_process'
import { freemem } from 'node:os'
import { type Answer, type Contender, GiB, MiB, type Measure } from '../measure'

const PROCESSES = 8

/** What each process does: says what it takes before and after it has the file, and waits until it is ended. */
function member(load: string, path: string): string {
  return `
    const pss = () => Number(/^Pss:\\s+(\\d+)/m.exec(require('fs').readFileSync('/proc/self/smaps_rollup', 'latin1'))[1]) * 1024
    const load = ${load}
    let bytes
    process.stdin.on('data', (step) => {
      if (step.toString() === 'load') {
        bytes = load(${JSON.stringify(path)})
        let sum = 0
        for (let at = 0; at < bytes.length; at += 4096) sum += bytes[at]
        process.stdout.write(String(sum))
      } else process.stdout.write(String(pss()))
    }).on('end', () => process.exit(bytes?.length < 0 ? 1 : 0))
    process.stdout.write('ready')`
}

function answer(child: ChildProcess, question?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (text: Buffer) => {
      child.off('close', fail)
      resolve(text.toString())
    })
    const fail = (code: number | null, signal: string | null) =>
      reject(new Error(`a process ended: ${signal ?? code}`))
    child.once('close', fail)
    if (question !== undefined) child.stdin?.write(question)
  })
}

const add = (numbers: string[]) => numbers.reduce((sum, number) => sum + Number(number), 0)

const together =
  (load: string): NonNullable<Contender['start']> =>
  ({ files }) => {
    const source = member(load, files['file'] as string)
    return async (): Promise<Answer> => {
      const children = Array.from({ length: PROCESSES }, () =>
        spawn(process.execPath, ['--eval', source], { stdio: ['pipe', 'pipe', 'ignore'], cwd: __dirname }),
      )
      try {
        await Promise.all(children.map((child) => answer(child)))
        const before = add(await Promise.all(children.map((child) => answer(child, 'pss'))))
        const sums: string[] = []
        for (const child of children) sums.push(await answer(child, 'load'))
        const after = add(await Promise.all(children.map((child) => answer(child, 'pss'))))
        return { result: add(sums), figures: { file: after - before, all: after } }
      } finally {
        for (const child of children) child.kill()
      }
    }
  }

export const processes: Measure = {
  name: 'processes',
  title: '8 processes with the same file of 1 GiB: memory',
  about:
    'Each touches every page. The sum of their proportional set sizes (PSS), in which a page that several share counts once; and how much of ' +
    'it came with the file, without what the runtime takes by itself. On a machine with less than 12 GiB free the file has 256 MiB.',
  figures: [
    { name: 'file', unit: 'bytes', title: 'with the file' },
    { name: 'all', unit: 'bytes', title: 'in all' },
  ],
  turns: 1,
  contenders: [
    {
      name: 'fs.readFileSync',
      runtime: 'node',
      start: together("(path) => require('fs').readFileSync(path)"),
    },
    {
      name: 'mmap-native',
      ours: true,
      runtime: 'node',
      start: together("(path) => require('mmap-native').Mapping.open(path).bytes"),
    },
  ],
  targets: [
    {
      text: 'memory that came with the file, times its size',
      value: ({ figure }, { size }) => {
        const bytes = figure('mmap-native', 'file')
        return bytes === undefined ? undefined : bytes / size
      },
      atMost: 1.1,
    },
  ],
  missing: () => (process.platform === 'linux' ? undefined : '/proc/self/smaps_rollup is of Linux'),
  prepare: ({ pick, file }) => {
    const size = pick(freemem() < 12 * GiB ? 256 * MiB : GiB, 64 * MiB, MiB)
    return { count: 1, size, files: { file: file('text', size) } }
  },
}
