/** Bytes that have to outlive a loss of power: written and stored by a mapping, and by `fs`. */
import { fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs'
import type { Mapping } from 'mmap-native'
import { type Answer, type Contender, MiB, type Measure, PAGE, type Setup, ours } from '../measure'

/** Writes and stores one record; each at another place, in turn. */
type Store = (record: Buffer, position: number) => void | Promise<void>

/** Records lie a step apart, so that no two of a turn are in one page. */
const turn =
  ({ size, count }: Setup, store: Store) =>
  async (check: boolean): Promise<Answer> => {
    const records = check ? 2 : count
    const record = Buffer.alloc(PAGE, records)
    const times: number[] = []
    for (let i = 0; i < records; i++) {
      const start = process.hrtime.bigint()
      await store(record, (i * 37 * PAGE) % size)
      times.push(Number(process.hrtime.bigint() - start))
    }
    // Devices pause now and then: the mean would be of that.
    const [median] = times.toSorted((one, other) => one - other).slice(records / 2)
    return { result: records, figures: { ns: median as number } }
  }

const byFs =
  (sync: (fd: number) => void): NonNullable<Contender['start']> =>
  (setup) => {
    const fd = openSync(setup.files['file'] as string, 'r+')
    return turn(setup, (record, position) => {
      writeSync(fd, record, 0, record.length, position)
      sync(fd)
    })
  }

const byMapping = (store: (mapping: Mapping, position: number) => void | Promise<void>) => (setup: Setup) => {
  const mapping = ours().Mapping.open(setup.files['file'] as string, { access: 'write' })
  return turn(setup, (record, position) => {
    mapping.write(record, position)
    return store(mapping, position)
  })
}

export const storing: Measure = {
  name: 'storing',
  title: 'Writing 4 KiB to a file of 64 MiB, and storing it',
  about:
    'One record after the other, each at another place; the next one begins when the device has the one before. The median of each turn counts.',
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  contenders: [
    { name: 'fs.writeSync, fdatasync', runtime: 'node', start: byFs(fdatasyncSync) },
    { name: 'fs.writeSync, fsync', runtime: 'node', start: byFs(fsyncSync) },
    {
      name: 'write(), flushSync() of the record',
      ours: true,
      runtime: 'node',
      start: byMapping((mapping, position) => mapping.flushSync(position, PAGE)),
    },
    {
      name: 'write(), flush() of the record',
      ours: true,
      runtime: 'node',
      start: byMapping((mapping, position) => mapping.flush(position, PAGE)),
    },
    {
      name: 'write(), flush() of all',
      ours: true,
      runtime: 'node',
      start: byMapping((mapping) => mapping.flush()),
    },
    {
      name: "write(), flush() of the record, mode: 'async'",
      ours: true,
      runtime: 'node',
      start: byMapping((mapping, position) => mapping.flush(position, PAGE, { mode: 'async' })),
    },
  ],
  targets: [],
  // Devices have moods: many short turns, so that all contenders meet the same.
  turns: 41,
  prepare: ({ pick, file }) => {
    const size = pick(64 * MiB, 64 * MiB, MiB)
    return { count: pick(40, 20, 2), size, files: { file: file('scratch', size) } }
  },
}
