/** The first read of 1 GiB that is in the page cache, but not in the page tables of the process. */
import { closeSync, openSync, readSync } from 'node:fs'
import { bunMmap } from '../peers'
import { type Answer, type Contender, GiB, MiB, type Measure, PAGE, type Setup, ours } from '../measure'

type Read = (bytes: Uint8Array) => number

function onePerPage(bytes: Uint8Array): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += PAGE) sum += bytes[at] as number
  return sum
}

/** All of them, 4 bytes at a time. Nothing overflows: that would take V8 longer than the reading. */
function every(bytes: Uint8Array): number {
  const numbers = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  let mix = 0
  for (let at = 0; at < numbers.length; at++) mix ^= numbers[at] as number
  return mix
}

/** From opening the file on. */
async function timedFromOpen(work: () => number | Promise<number>): Promise<Answer> {
  const start = process.hrtime.bigint()
  const result = await work()
  return { result, figures: { ns: Number(process.hrtime.bigint() - start) } }
}

function contenders(read: Read): Contender[] {
  const path = ({ files }: Setup) => files['file'] as string
  const withMapping =
    (populate: boolean, prefetch: boolean): NonNullable<Contender['start']> =>
    (setup) => {
      const { Mapping } = ours()
      return () =>
        timedFromOpen(async () => {
          const mapping = Mapping.open(path(setup), { populate })
          if (prefetch) await mapping.prefetch()
          const sum = read(mapping.bytes)
          mapping.unmap()
          return sum
        })
    }
  return [
    { name: 'a plain mapping', ours: true, runtime: 'node', start: withMapping(false, false) },
    { name: 'with populate', ours: true, runtime: 'node', start: withMapping(true, false) },
    { name: 'with prefetch()', ours: true, runtime: 'node', start: withMapping(false, true) },
    {
      name: 'fs.readSync, 1 MiB at a time',
      runtime: 'node',
      start(setup) {
        const chunk = Buffer.alloc(MiB)
        return () =>
          timedFromOpen(() => {
            const fd = openSync(path(setup), 'r')
            let sum = 0
            for (let at = 0; at < setup.size; at += chunk.length) {
              const length = readSync(fd, chunk, 0, chunk.length, at)
              const part = read(chunk.subarray(0, length))
              sum = read === every ? sum ^ part : sum + part
            }
            closeSync(fd)
            return sum
          })
      },
    },
    {
      ...bunMmap,
      start(setup) {
        const { fromPath } = bunMmap.load(setup)
        return () => timedFromOpen(() => read(fromPath(path(setup), setup.size).bytes))
      },
    },
  ]
}

const shared = {
  figures: [{ name: 'ns', unit: 'ns', title: 'in all' }],
  prepare: ({ pick, file }) => {
    const size = pick(GiB, 256 * MiB, 2 * MiB)
    return { count: 1, size, files: { file: file('text', size) } }
  },
} satisfies Partial<Measure>

const best: Measure['targets'][number]['value'] = ({ ratio }) =>
  Math.max(
    ratio('with populate', 'a plain mapping') ?? Number.NaN,
    ratio('with prefetch()', 'a plain mapping') ?? Number.NaN,
  )

export const firstTouch: readonly Measure[] = [
  {
    ...shared,
    name: 'first-touch/pages',
    title: 'First touch: one byte of each page of 1 GiB',
    about:
      'The file is in the page cache. It is opened and mapped anew each time, and one byte of each page added up.',
    contenders: contenders(onePerPage),
    targets: [{ text: 'populate or prefetch to plain', value: best, atLeast: 1.5 }],
  },
  {
    ...shared,
    name: 'first-touch/all',
    title: 'First touch: all of 1 GiB',
    about: 'The same, and all bytes are read, as numbers of 32 bits.',
    contenders: contenders(every),
    targets: [{ text: 'populate or prefetch to plain', value: best, atLeast: 1.5 }],
  },
]
