/** Loops over typed arrays of the heap, which have nothing to do with mappings, in a process that has unmapped some. */
import { type Contender, type Measure, PAGE, type Setup, ours, timed } from '../measure'

const LENGTH = 64 * 1024

/** As compiled for typed arrays of the heap. */
function addUp(bytes: Uint8Array, times: number): number {
  let sum = 0
  for (let i = 0; i < times; i++) {
    for (let at = 0; at < bytes.length; at++) sum = (sum + (bytes[at] as number)) | 0
  }
  return sum
}

const start =
  (before: (setup: Setup) => void): NonNullable<Contender['start']> =>
  (setup) => {
    const bytes = new Uint8Array(LENGTH).fill(3)
    before(setup)
    return () => timed(setup.count, (count) => addUp(bytes, count))
  }

const unmapping =
  (views: 'auto' | 'detachable') =>
  ({ files }: Setup) => {
    const { Mapping } = ours()
    for (let i = 0; i < 100; i++) {
      const mapping = Mapping.open(files['file'] as string, { views })
      if (mapping.bytes.length !== PAGE) throw new Error('not the file')
      mapping.unmap()
    }
  }

export const loops: Measure = {
  name: 'loops',
  title: 'A loop over a typed array, after unmap()',
  about:
    'Bytes of an array of the heap are added up, 64 KiB a time, in a process where nothing was unmapped, and in one where 100 mappings were. ' +
    "`views: 'detachable'` is not the default: it detaches, and that slows down typed arrays in V8.",
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  contenders: [
    { name: 'nothing unmapped', runtime: 'node', start: start(() => {}) },
    { name: 'after unmap()', ours: true, runtime: 'node', start: start(unmapping('auto')) },
    {
      name: "after unmap(), views: 'detachable'",
      ours: true,
      runtime: 'node',
      start: start(unmapping('detachable')),
    },
  ],
  targets: [
    {
      text: 'after unmap() to before',
      value: ({ ratio }) => ratio('after unmap()', 'nothing unmapped'),
      atLeast: 0.95,
    },
  ],
  prepare: ({ pick, file }) => ({ count: pick(2000, 500, 5), files: { file: file('text', PAGE) } }),
}
