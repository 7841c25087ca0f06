/** Full disks and broken ones: nothing is lost silently, and nothing kills the process. */
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type Ending, runScript } from './support/child'
import { type Disk, canMountExt4, canMountTmpfs, ext4, remount, tmpfs } from './support/disks'

const SPARSE = 256 * 1024
const PAGE = 4096

/** What all scripts begin with. */
const PRELUDE = `
const fs = require('node:fs')
const { join } = require('node:path')
const { execFileSync } = require('node:child_process')
const { Mapping } = require('mmap-native')
const [folder] = process.argv.slice(-1)
const [sparse, filler] = [join(folder, 'sparse'), join(folder, 'filler')]
const PAGE = ${PAGE}
process.on('warning', () => {})
const say = (...words) => fs.writeSync(1, words.join(' ') + '\\n')
function makeSparse() {
  fs.writeFileSync(sparse, '')
  fs.truncateSync(sparse, ${SPARSE})
}
/** Leaves no block free. */
function fillDisk() {
  const fd = fs.openSync(filler, 'w')
  for (let size = 1 << 20; size >= 512; ) {
    try {
      fs.writeSync(fd, Buffer.alloc(size, 1))
      fs.fsyncSync(fd)
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error
      size /= 2
    }
  }
  fs.closeSync(fd)
}
const later = () => new Promise((resolve) => setTimeout(resolve, 100))
const makeSpace = () => fs.rmSync(filler)
function write(bytes, round) {
  for (let at = 0; at < bytes.length; at += PAGE) {
    bytes[at] = round + at / PAGE
    bytes[at + PAGE - 1] = 255 - round
  }
}
function holds(bytes, round) {
  const expected = Buffer.alloc(bytes.length)
  write(expected, round)
  return expected.equals(bytes)
}
const told = ({ kind, offset, length }) => kind + ' ' + offset + '+' + length
function attempt(what, call) {
  try {
    call()
    say(what, 'ok')
  } catch (error) {
    say(what, error.code, error.kind === undefined ? '' : told(error))
  }
}
const flush = (mapping, ...range) =>
  mapping.flush(...range).then(() => say('flush ok'), (error) => say('flush', error.code, error.kind === undefined ? '' : told(error)))
const count = (mapping) => say('faults', mapping.faults.count, new Set(mapping.faults.list.map((fault) => fault.kind)).size)
`

const run = (folder: string, script: string): Promise<Ending> =>
  runScript(`${PRELUDE};(async () => {${script}})()`, { args: [folder] })

function printed(
  t: ExecutionContext,
  { code, signal, stdout, stderr }: Ending,
  lines: readonly string[],
): void {
  const trimmed = stdout.split('\n').map((line) => line.trimEnd())
  t.deepEqual({ how: signal ?? code, lines: trimmed.slice(0, -1) }, { how: 0, lines: [...lines] }, stderr)
}

/** What the scripts' write() makes of a file, as this process sees it. */
function isWritten(path: string, round: number): boolean {
  const bytes = readFileSync(path)
  const isRight = (at: number) => bytes[at] === round + at / PAGE && bytes[at + PAGE - 1] === 255 - round
  const pages = Array.from({ length: SPARSE / PAGE }, (_, index) => index * PAGE)
  return bytes.length === SPARSE && pages.every(isRight)
}

const onTmpfs = canMountTmpfs() ? test : test.skip
const onExt4 = canMountExt4() ? test : test.skip

const FILE_SYSTEMS = [
  { name: 'tmpfs', test: onTmpfs, mount: (t: ExecutionContext) => tmpfs(t, 1) },
  { name: 'ext4', test: onExt4, mount: (t: ExecutionContext) => ext4(t, 2).folder },
]

for (const { name, test: mounted, mount } of FILE_SYSTEMS) {
  mounted(
    `what is written into a hole of a full ${name} is kept, told, and stored once there is room`,
    async (t) => {
      const folder = mount(t)
      const ending = await run(
        folder,
        `makeSparse()
      const mapping = Mapping.open(sparse, { access: 'write', onFault: () => events++ })
      let events = 0
      fillDisk()
      write(mapping.bytes, 1)
      say('view', holds(mapping.bytes, 1))
      const { count, list } = mapping.faults
      say(count > 0, list.every(({ kind, offset, length }) => kind === 'not-stored' && offset % PAGE === 0 && length === PAGE))
      const error = await mapping.flush().catch((error) => error)
      const patched = list.some((fault) => fault.offset === error.offset)
      say(error.code, error.kind, patched, error.offset + error.length <= mapping.length, error.path === sparse)
      attempt('sync', () => mapping.flushSync(error.offset, 1))
      say('view', holds(mapping.bytes, 1))
      await later()
      say('events', events === count)
      makeSpace()
      await flush(mapping)
      say('stored', execFileSync('cat', [sparse]).equals(mapping.bytes), holds(mapping.bytes, 1))
      write(mapping.bytes, 2)
      await flush(mapping)
      say('no more', mapping.faults.count === count, holds(mapping.bytes, 2))`,
      )
      const sync = ending.stdout.split('\n')[3]?.trimEnd() ?? ''
      t.regex(sync, /^sync ERR_MAPPING_FAULT not-stored \d+\+\d+$/)
      printed(t, ending, [
        'view true',
        'true true',
        'ERR_MAPPING_FAULT not-stored true true true',
        sync,
        'view true',
        'events true',
        'flush ok',
        'stored true true',
        'flush ok',
        'no more true true',
      ])
      t.true(isWritten(join(folder, 'sparse'), 2))
    },
  )

  mounted(
    `with default options a full ${name} is ENOSPC from open(), and the file has its old length`,
    async (t) => {
      const folder = mount(t)
      const ending = await run(
        folder,
        `fs.writeFileSync(sparse, 'old contents')
      fillDisk()
      attempt('grow', () => Mapping.open(sparse, { access: 'write', grow: true, length: 1 << 20 }))
      attempt('create', () => Mapping.open(join(folder, 'new'), { access: 'write', create: true, length: 1 << 20 }))
      makeSpace()
      const mapping = Mapping.open(sparse, { access: 'write', grow: true, length: 1 << 16 })
      fillDisk()
      mapping.fill(7)
      await flush(mapping)
      count(mapping)`,
      )
      printed(t, ending, ['grow ENOSPC', 'create ENOSPC', 'flush ok', 'faults 0 0'])
      t.deepEqual(
        readdirSync(folder)
          .filter((file) => file !== 'lost+found')
          .toSorted(),
        ['filler', 'sparse'],
      )
      t.is(statSync(join(folder, 'sparse')).size, 1 << 16)
      t.true(readFileSync(join(folder, 'sparse')).every((byte) => byte === 7))
    },
  )

  mounted(`a failure to grow on a full ${name} leaves the file as it was`, async (t) => {
    const folder = mount(t)
    const ending = await run(
      folder,
      `fs.writeFileSync(sparse, 'old contents')
      fillDisk()
      attempt('grow', () => Mapping.open(sparse, { access: 'write', grow: true, length: 1 << 20 }))`,
    )
    printed(t, ending, ['grow ENOSPC'])
    t.is(readFileSync(join(folder, 'sparse'), 'utf8'), 'old contents')
  })

  mounted(`a hole of a full ${name} can be written through read-only and private mappings`, async (t) => {
    const ending = await run(
      mount(t),
      `makeSparse()
      const [read, copy] = ['read', 'copy'].map((access) => Mapping.open(sparse, { access, onFault: () => {} }))
      fillDisk()
      for (const { bytes } of [read, copy]) {
        bytes[PAGE] = 1
        bytes[2 * PAGE + bytes[2 * PAGE]] = 2
        say(bytes[PAGE], bytes[PAGE + 1], bytes[2 * PAGE])
      }
      say(read.faults.list.at(-1).kind)
      makeSpace()
      say(execFileSync('cat', [sparse]).every((byte) => byte === 0))`,
    )
    printed(t, ending, ['1 0 2', '1 0 2', 'read-only', 'true'])
  })
}

onTmpfs('a hole of a full tmpfs that is only read has nothing to store', async (t) => {
  const folder = tmpfs(t, 1)
  const ending = await run(
    folder,
    `makeSparse()
    const mapping = Mapping.open(sparse, { access: 'write', onFault: () => {} })
    fillDisk()
    say('hole', mapping.bytes[0], mapping.bytes[PAGE])
    await flush(mapping)
    mapping.bytes[2 * PAGE] += 1
    mapping.bytes[3 * PAGE]
    mapping.bytes[3 * PAGE] = 2
    await flush(mapping, 0, 2 * PAGE)
    await flush(mapping, 3 * PAGE, 10)
    makeSpace()
    await flush(mapping)
    execFileSync('sh', ['-c', 'printf x | dd conv=notrunc status=none of="$0"', sparse])
    say('shared', mapping.bytes[0] === 120)`,
  )
  printed(t, ending, [
    'hole 0 0',
    'flush ok',
    'flush ok',
    `flush ERR_MAPPING_FAULT not-stored ${2 * PAGE}+${2 * PAGE}`,
    'flush ok',
    'shared true',
  ])
  const bytes = readFileSync(join(folder, 'sparse'))
  t.deepEqual([bytes[2 * PAGE], bytes[3 * PAGE]], [1, 2])
})

/** A file of 4 MiB on a disk of 8 MiB, of which nothing is cached; scripts find the disk as `disk`. */
async function onBreakingDisk(t: ExecutionContext, script: string): Promise<{ ending: Ending; disk: Disk }> {
  const disk = ext4(t, 8)
  const content = Buffer.alloc(4 * 1024 * 1024)
  for (let at = 0; at < content.length; at += PAGE) content.fill(1 + ((at / PAGE) % 200), at, at + PAGE)
  writeFileSync(join(disk.folder, 'file'), content)
  remount(disk)
  const ending = await run(
    disk.folder,
    `const { breakDisk, repairDisk } = require('./build/__test__/support/disks')
    const disk = ${JSON.stringify(disk)}
    const path = join(folder, 'file')
    /** How many pages are right, and how many are zeros. */
    function survey({ bytes }) {
      const pages = Array.from({ length: bytes.length / PAGE }, (_, page) => bytes.readUInt16LE(page * PAGE + 100))
      const right = pages.filter((value, page) => value === (1 + (page % 200)) * 257).length
      return [right, pages.filter((value) => value === 0).length]
    }
    ${script}`,
  )
  return { ending, disk }
}

onExt4('pages that the device cannot deliver read as zeros and are told; others are right', async (t) => {
  const { ending } = await onBreakingDisk(
    t,
    `const mapping = Mapping.open(path, { onFault: () => {} })
    const first = mapping.bytes[0]
    breakDisk(disk, 1)
    const [right, zeros] = survey(mapping)
    const { count, list } = mapping.faults
    say('found', right > 0, zeros > 0, right + zeros, zeros === count)
    say('told', list.every(({ kind, length }) => kind === 'io-error' && length === PAGE))
    attempt('read', () => mapping.read(0, mapping.length))
    repairDisk(disk)
    mapping.refresh()
    say('again', survey(mapping))
    attempt('read', () => mapping.read(0, mapping.length))`,
  )
  const [, , read = ''] = ending.stdout.split('\n')
  t.regex(read, /^read ERR_MAPPING_FAULT io-error \d+\+\d+$/)
  printed(t, ending, ['found true true 1024 true', 'told true', read, 'again 1024,0', 'read ok'])
})

onExt4('what the device cannot take makes flush() reject, and stays in the view', async (t) => {
  const { ending, disk } = await onBreakingDisk(
    t,
    `const mapping = Mapping.open(path, { access: 'write' })
    say(survey(mapping))
    breakDisk(disk, 1)
    mapping.fill(9)
    await flush(mapping)
    say(mapping.bytes.every((byte) => byte === 9), mapping.faults.count)
    // Nothing was written since: the pages that failed are tried again, and not taken for stored.
    await flush(mapping)
    repairDisk(disk)
    await flush(mapping)`,
  )
  printed(t, ending, ['1024,0', 'flush EIO', 'true 0', 'flush EIO', 'flush ok'])
  remount(disk)
  t.true(readFileSync(join(disk.folder, 'file')).every((byte) => byte === 9))
})
