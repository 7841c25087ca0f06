import { closeSync, fdatasync, openSync, rmSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import type { Contender, Measure } from '../../bench/measure'
import { Log } from '../log'
import { RATE, rate } from './rate'

const RECORD = Buffer.alloc(100, 'record ')

/** A log that is being written. */
interface Writer {
  append: (bytes: Buffer) => void
  flush: () => Promise<void>
  close: () => void
}

/** Records as the log has them, as `fs` writes them. */
function openFile(path: string): Writer {
  const fd = openSync(path, 'a')
  return {
    append(bytes) {
      const record = Buffer.alloc(8 + bytes.length)
      record.writeUInt32LE(record.length, 0)
      record.writeUInt32LE(crc32(bytes), 4)
      record.set(bytes, 8)
      writeSync(fd, record)
    },
    flush: () => promisify(fdatasync)(fd),
    close: () => closeSync(fd),
  }
}

function openLog(path: string): Writer {
  const log = new Log(path)
  return {
    append: (bytes) => log.append(bytes),
    flush: () => log.flush(),
    close: () => log[Symbol.dispose](),
  }
}

/** Adds so many records to a new log, and flushes after each batch. */
const writes =
  (open: (path: string) => Writer, batch: number): NonNullable<Contender['start']> =>
  ({ files, count }) =>
  async () => {
    const path = `${files['file']}-${process.pid}`
    const writer = open(path)
    const answer = await rate(count, async () => {
      for (let i = 1; i <= count; i++) {
        writer.append(RECORD)
        if (i % batch === 0 || i === count) await writer.flush()
      }
      return count
    })
    writer.close()
    rmSync(path)
    return answer
  }

/** `counts`: records of a full, a quick and a smoke run. */
const measure = (
  facts: Pick<Measure, 'name' | 'title' | 'about'>,
  batch: number,
  counts: readonly [number, number, number],
): Measure => ({
  ...facts,
  figures: RATE,
  contenders: [
    { name: 'fs.writeSync, fs.fdatasync', runtime: 'node', start: writes(openFile, batch) },
    { name: 'mmap-native', ours: true, runtime: 'node', start: writes(openLog, batch) },
  ],
  targets: [],
  prepare: ({ pick, newFile }) => ({ count: pick(...counts), files: { file: newFile('records.log') } }),
})

export const log: readonly Measure[] = [
  measure(
    {
      name: 'log/append',
      title: 'Log: records of 100 bytes',
      about: 'They are written, and stored when all are there.',
    },
    Infinity,
    [100_000, 20_000, 1000],
  ),
  measure(
    {
      name: 'log/flush',
      title: 'Log: records of 100 bytes, stored after every tenth',
      about: 'It is the device that takes the time.',
    },
    10,
    [5000, 1000, 100],
  ),
]
