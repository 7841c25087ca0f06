/** examples/log.ts: what has been flushed is there, whatever became of the process or of the machine. */
import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { Mapping } from 'mmap-native'
import { Log } from '../examples/log'
import { noCold } from './support/cold'
import { canMountTmpfs, tmpfs } from './support/disks'
import { scratchFolder } from './support/files'
import { kill, recordOf } from './support/kills'

const isTmpfs = canMountTmpfs()
const onDevice = noCold === undefined ? test : test.skip
const onTmpfs = isTmpfs ? test : test.skip

const logFile = (t: ExecutionContext) => join(scratchFolder(t), 'log')

/** As `deepEqual()`, which is slow for many bytes. */
const areEqual = (records: Buffer[], expected: Buffer[]) =>
  records.length === expected.length && records.every((record, i) => record.equals(expected[i] as Buffer))

function recordsOf(path: string): Buffer[] {
  using log = new Log(path)
  return [...log].map((record) => Buffer.from(record))
}

test('records are there again, in order, after the log was opened anew', async (t) => {
  const path = logFile(t)
  const written: Buffer[] = []
  for (let life = 0; life < 4; life++) {
    using log = new Log(path)
    t.true(areEqual([...log], written))
    for (let i = 0; i < 300; i++) {
      const record = recordOf(written.length)
      log.append(record)
      written.push(record)
    }
    await log.flush()
  }
  t.true(areEqual(recordsOf(path), written))
})

test('records without bytes, and of zeros, are records', (t) => {
  const path = logFile(t)
  const records = [0, 1, 8, 0, 0, 4096].map((length) => Buffer.alloc(length))
  {
    using log = new Log(path)
    for (const record of records) log.append(record)
  }
  t.deepEqual(recordsOf(path), records)
})

onDevice(
  `flush() leaves no page of a record that is not stored${noCold === undefined ? '' : ` (${noCold})`}`,
  async (t) => {
    const path = logFile(t)
    using log = new Log(path)
    await log.flush()
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 20; i++) log.append(recordOf(round * 50 + i))
      using other = Mapping.open(path)
      const dirtyBytes = async () => {
        await other.prefetch() // only pages that it has are counted
        return other.statSync().dirtyBytes
      }
      t.true(((await dirtyBytes()) ?? 0) > 0)
      await log.flush()
      t.is(await dirtyBytes(), 0)
    }
  },
)

test('what is not whole is no record, and does not come back behind a new one', (t) => {
  const path = logFile(t)
  {
    using log = new Log(path)
    for (const text of ['first', 'second', 'third']) log.append(Buffer.from(text))
  }
  const file = fs.readFileSync(path)
  const at = file.indexOf('second')
  fs.writeFileSync(path, Buffer.concat([file.subarray(0, at), Buffer.from('S'), file.subarray(at + 1)]))
  {
    using log = new Log(path)
    t.deepEqual([...log].map(String), ['first'])
    log.append(Buffer.from('second'))
  }
  t.deepEqual(recordsOf(path).map(String), ['first', 'second'])
})

/** The log as a device may have it after a loss of power: of each sector what was stored last, or anything written since. */
function afterPowerLoss(stored: Buffer, written: Buffer): Buffer {
  const SECTOR = 512
  const left = Buffer.from(written)
  for (let at = 0; at < written.length; at += SECTOR) {
    // What the file did not have when it was stored is zeros: its blocks were given to it, and not written.
    if (Math.random() < 0.5)
      left
        .subarray(at, at + SECTOR)
        .fill(0)
        .set(stored.subarray(at, at + SECTOR))
  }
  return left
}

test('after a loss of power all records that were flushed are there, and none that is not whole', async (t) => {
  const path = logFile(t)
  let [lost, kept] = [0, 0]
  const sure: Buffer[] = []
  for (let round = 0; round < 100; round++) {
    let stored: Buffer
    const unsure: Buffer[] = []
    {
      using log = new Log(path)
      const append = (to: Buffer[]) => {
        const record = Buffer.alloc(Math.random() * 2000, `${round} ${to.length} `)
        log.append(record)
        to.push(record)
      }
      for (let i = 0; i < 3; i++) append(sure)
      await log.flush()
      stored = fs.readFileSync(path)
      for (let i = Math.random() * 4; i > 0; i--) append(unsure)
    }
    fs.writeFileSync(path, afterPowerLoss(stored, fs.readFileSync(path)))
    const found = recordsOf(path)
    const more = found.length - sure.length
    t.true(more >= 0 && more <= unsure.length, `round ${round}`)
    sure.push(...unsure.slice(0, more))
    t.true(areEqual(found, sure), `round ${round}`)
    kept += more
    lost += unsure.length - more
  }
  t.log({ kept, lost })
  t.true(kept > 10 && lost > 10, 'both came about')
})

onTmpfs(
  `a full disk is ENOSPC, and the log goes on${isTmpfs ? '' : ' (no tmpfs can be mounted)'}`,
  async (t) => {
    const path = join(tmpfs(t, 1), 'log')
    const record = Buffer.alloc(10_000, 1)
    let count = 0
    {
      using log = new Log(path)
      const error = t.throws<NodeJS.ErrnoException>(() => {
        for (;;) {
          log.append(record)
          count++
        }
      })
      t.is(error?.code, 'ENOSPC')
      t.true(count > 10)
      await log.flush()
    }
    t.is(recordsOf(path).length, count)
  },
)

test('a writer that is killed at random, 40 times: all that it had flushed is there', async (t) => {
  const toll = await kill(40, scratchFolder(t))
  t.log(toll)
  t.is(toll.kills, 40)
  t.true(toll.told > 40, 'there was something to lose')
})

test('what is cut off because it is no record stays in a copy', (t) => {
  const path = logFile(t)
  {
    using log = new Log(path)
    for (const text of ['one', 'two', 'three']) log.append(Buffer.from(text))
  }
  const file = fs.openSync(path, 'r+')
  fs.writeSync(file, 'X', 16 + 8) // of the second record
  fs.closeSync(file)
  const damaged = fs.readFileSync(path)
  t.deepEqual(recordsOf(path).map(String), ['one'])
  t.deepEqual(recordsOf(path).map(String), ['one'])
  const folder = dirname(path)
  const copies = fs.readdirSync(folder).filter((name) => name.includes('.damaged-'))
  t.is(copies.length, 1)
  t.deepEqual(fs.readFileSync(join(folder, copies[0] as string)), damaged)
})

test('a file that is no log is not lost when it is taken for one', (t) => {
  const path = logFile(t)
  fs.writeFileSync(path, 'notes of somebody')
  t.deepEqual(recordsOf(path), [])
  const copy = fs.readdirSync(dirname(path)).find((name) => name.includes('.damaged-')) as string
  t.is(fs.readFileSync(join(dirname(path), copy), 'utf8').replaceAll('\0', ''), 'notes of somebody')
})
