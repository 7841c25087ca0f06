/** Mapping.memfd(), fd, seal() and seals: files without a name, for other processes. */
import test from 'ava'
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { inspect } from 'node:util'
import { Mapping, pageSize, type MemfdOptions, type Seal, type SystemError } from 'mmap-native'
import { root, runScript } from './support/child'
import { scratchFile } from './support/files'
import { growth } from './support/leaks'
import { maps, smapsField } from './support/maps'

const onLinux = process.platform === 'linux' ? test : test.skip

const errorOf = (work: () => unknown): SystemError => {
  try {
    work()
  } catch (error) {
    return error as SystemError
  }
  throw new Error('nothing was thrown')
}

/** Runs a script in another process that has `fd` as its descriptor 3. */
function inChild(fd: number, script: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['--eval', script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', fd],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += String(text)))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

// ---- The memory --------------------------------------------------------------------------------------------------

onLinux('memfd() is memory with a descriptor, zeroed, shared and under its name', (t) => {
  using mapping = Mapping.memfd(10_000, { name: 'my memory' })
  t.deepEqual(
    [mapping.length, mapping.access, mapping.offset, mapping.path, mapping.seals],
    [10_000, 'write', 0, undefined, []],
  )
  t.true(mapping.bytes.every((byte) => byte === 0))
  const entry = maps().find(({ start }) => start === mapping.address)
  t.deepEqual([entry?.perms, entry?.path], ['rw-s', '/memfd:my memory (deleted)'])
  t.is(fs.readlinkSync(`/proc/self/fd/${mapping.fd}`), '/memfd:my memory (deleted)')
  t.is(fs.fstatSync(mapping.fd).size, 10_000)
})

onLinux(
  'more memory than there is cannot be preallocated: ENOMEM, and nobody is killed for it',
  async (t) => {
    const ending = await runScript(`
    const { Mapping } = require('mmap-native')
    const tries = [
      () => Mapping.memfd(2 ** 50, { preallocate: true }),
      () => Mapping.memfd(4096, { preallocate: true, maxLength: 2 ** 40 }).resize(2 ** 40),
    ]
    for (const attempt of tries) {
      try { attempt(); console.log('made') } catch ({ code, syscall }) { console.log(code, syscall) }
    }
    console.log(Mapping.memfd(2 ** 40).length)`)
    t.deepEqual(ending, {
      code: 0,
      signal: null,
      stdout: `ENOMEM fallocate\nENOMEM fallocate\n${2 ** 40}\n`,
      stderr: '',
    })
  },
)

onLinux('memory that is never touched costs nothing, unless it is preallocated', (t) => {
  using lazy = Mapping.memfd(100 * pageSize)
  using eager = Mapping.memfd(100 * pageSize, { preallocate: true })
  t.deepEqual([fs.fstatSync(lazy.fd).blocks, fs.fstatSync(eager.fd).blocks * 512], [0, 100 * pageSize])
  t.is(smapsField(lazy.address, 'Rss'), 0)
})

onLinux('the descriptor is for fs, too', (t) => {
  using mapping = Mapping.memfd(5)
  fs.writeSync(mapping.fd, 'hello', 0)
  t.is(mapping.bytes.toString(), 'hello')
  mapping.write('H')
  const bytes = Buffer.alloc(5)
  fs.readSync(mapping.fd, bytes, 0, 5, 0)
  t.is(bytes.toString(), 'Hello')
})

onLinux('unmap() closes the descriptor', (t) => {
  const mapping = Mapping.memfd(5, { name: 'to be closed' })
  const { fd } = mapping
  const file = fs.fstatSync(fd).ino
  mapping.unmap()
  t.is(errorOf(() => mapping.fd).code, 'ERR_MAPPING_CLOSED')
  t.is(errorOf(() => mapping.seals).code, 'ERR_MAPPING_CLOSED')
  t.is(errorOf(() => mapping.seal(['grow'])).code, 'ERR_MAPPING_CLOSED')
  const open = fs.readdirSync('/proc/self/fd').map((one) => {
    try {
      return fs.fstatSync(Number(one)).ino
    } catch {
      return 0
    }
  })
  t.false(open.includes(file))
})

test('a mapped file has its descriptor, and memory has none', (t) => {
  const path = scratchFile(t, 'content')
  using mapping = Mapping.open(path)
  t.is(fs.fstatSync(mapping.fd).ino, fs.statSync(path).ino)
  using memory = Mapping.anonymous(10)
  using empty = Mapping.open(scratchFile(t))
  t.deepEqual([memory.fd, empty.fd], [-1, -1])
  t.deepEqual([memory.seals, empty.seals, mapping.seals.filter((seal) => seal !== 'seal')], [[], [], []])
})

// ---- Another process ---------------------------------------------------------------------------------------------

onLinux(
  'a child maps the descriptor that it was given in stdio; each sees what the other writes',
  async (t) => {
    using mapping = Mapping.memfd(10_000)
    mapping.write('from the parent', 9000)
    const { code, output } = await inChild(
      mapping.fd,
      `const { Mapping } = require('mmap-native')
     const mapping = Mapping.open(3, { access: 'write' })
     console.log(mapping.length, mapping.read(9000, 15).toString())
     mapping.write('from the child', 100)`,
    )
    t.deepEqual([code, output], [0, '10000 from the parent\n'])
    t.is(mapping.read(100, 14).toString(), 'from the child')
  },
)

onLinux('the memory outlives the process that made it, in the child', async (t) => {
  const mapping = Mapping.memfd(8)
  mapping.write('stays on')
  const ending = inChild(
    mapping.fd,
    `process.stdout.write(require('mmap-native').Mapping.open(3).bytes.toString())`,
  )
  mapping.unmap()
  t.deepEqual(await ending, { code: 0, output: 'stays on' })
})

onLinux('a file sealed against shrinking cannot be truncated under a reader, by any process', async (t) => {
  using mapping = Mapping.memfd(2 * pageSize, { seal: ['shrink', 'grow'] })
  mapping.fill('x')
  const { code, output } = await inChild(
    mapping.fd,
    `const { Mapping } = require('mmap-native')
     const fs = require('fs')
     for (const size of [0, ${pageSize}, ${3 * pageSize}]) {
       try { fs.ftruncateSync(3, size) } catch (error) { console.log(error.code) }
       try { fs.truncateSync('/proc/self/fd/3', size) } catch (error) { console.log(error.code) }
     }
     const mapping = Mapping.open(3, { access: 'write' })
     console.log(mapping.seals.join(), mapping.count('x'))
     mapping.write('y', ${2 * pageSize - 1})`,
  )
  t.deepEqual([code, output], [0, `${'EPERM\n'.repeat(6)}shrink,grow ${2 * pageSize}\n`])
  t.is(mapping.read(2 * pageSize - 1, 1).toString(), 'y')
  t.is(mapping.faults.count, 0)
})

onLinux('without the seal it is truncated, and that is a fault', async (t) => {
  using mapping = Mapping.memfd(2 * pageSize, { onFault() {} })
  await inChild(mapping.fd, `require('fs').ftruncateSync(3, ${pageSize})`)
  const error = errorOf(() => mapping.read(pageSize, 1))
  t.is(error.code, 'ERR_MAPPING_FAULT')
  t.is(mapping.faults.list[0]?.kind, 'truncated')
})

onLinux("after 'future-write' only this mapping writes", async (t) => {
  using mapping = Mapping.memfd(100)
  mapping.seal(['future-write', 'shrink'])
  mapping.write('first')
  const { output } = await inChild(
    mapping.fd,
    `const { Mapping } = require('mmap-native')
     for (const work of [
       () => Mapping.open(3, { access: 'write' }),
       () => require('fs').writeSync(3, 'x', 0),
       () => Mapping.open('/proc/self/fd/3', { access: 'write' }),
     ]) {
       try { work(); console.log('done') } catch (error) { console.log(error.code) }
     }
     const mapping = Mapping.open(3)
     console.log(mapping.read(0, 5).toString(), mapping.seals.join())
     const copy = Mapping.open(3, { access: 'copy' })
     copy.write('mine')
     console.log(copy.read(0, 5).toString())`,
  )
  t.is(output, 'EPERM\nEPERM\nEPERM\nfirst shrink,future-write\nminet\n')
  mapping.write('second')
  t.is(mapping.read(0, 6).toString(), 'second')
})

// ---- Seals -------------------------------------------------------------------------------------------------------

onLinux("'write' is EBUSY while the file is mapped for writing, and the message knows what to do", (t) => {
  using mapping = Mapping.memfd(100)
  const error = errorOf(() => mapping.seal(['write']))
  t.deepEqual([error.code, error.syscall], ['EBUSY', 'fcntl'])
  t.regex(error.message, /'future-write'/)
  t.deepEqual(mapping.seals, [])
  t.is(errorOf(() => Mapping.memfd(100, { seal: ['write'] })).code, 'EBUSY')
  mapping.write('still')
})

onLinux("'write' is for a file that is open and mapped for reading only", (t) => {
  const writer = Mapping.memfd(100)
  writer.write('final')
  using reader = Mapping.open(`/proc/self/fd/${writer.fd}`)
  t.is(errorOf(() => reader.seal(['write'])).code, 'EBUSY')
  writer.unmap()
  reader.seal(['write', 'shrink', 'grow', 'seal'])
  t.deepEqual(reader.seals, ['seal', 'shrink', 'grow', 'write'])
  const path = `/proc/self/fd/${reader.fd}`
  t.is(errorOf(() => Mapping.open(path, { access: 'write' })).code, 'EPERM')
  t.is(errorOf(() => fs.writeFileSync(path, 'x', { flag: 'r+' })).code, 'EPERM')
  t.is(reader.read(0, 5).toString(), 'final')
})

onLinux("after 'seal' there are no more", (t) => {
  using mapping = Mapping.memfd(100, { seal: ['seal'] })
  const error = errorOf(() => mapping.seal(['grow']))
  t.is(error.code, 'EPERM')
  t.regex(error.message, /takes no more seals/)
  t.deepEqual(mapping.seals, ['seal'])
})

onLinux('seals add up, and the same twice is once', (t) => {
  using mapping = Mapping.memfd(100, { seal: ['grow', 'grow'] })
  mapping.seal(['shrink'])
  mapping.seal(['shrink', 'grow'])
  mapping.seal([])
  t.deepEqual(mapping.seals, ['shrink', 'grow'])
})

onLinux('what is no file of memory cannot be sealed', (t) => {
  using memory = Mapping.anonymous(10)
  const error = errorOf(() => memory.seal(['grow']))
  t.is(error.code, 'EINVAL')
  t.regex(error.message, /without a file/)
  using mapping = Mapping.open(scratchFile(t, 'content'), { access: 'write' })
  t.true(['EINVAL', 'EPERM'].includes(errorOf(() => mapping.seal(['grow'])).code))
})

// ---- What must not be passed -------------------------------------------------------------------------------------

const bad: [call: (value: never) => unknown, values: unknown[], code: string, message: RegExp][] = [
  [(length) => Mapping.memfd(length), ['1', undefined, null, {}], 'ERR_INVALID_ARG_TYPE', /"length"/],
  [
    (length) => Mapping.memfd(length),
    [0, -1, 1.5, NaN, Infinity, 2 ** 53, 2n ** 64n],
    'ERR_OUT_OF_RANGE',
    /"length"/,
  ],
  [(length) => Mapping.memfd(length), [Number.MAX_SAFE_INTEGER], 'ENOMEM', /mmap/],
  [
    (name) => Mapping.memfd(1, { name }),
    [1, null, Buffer.from('x')],
    'ERR_INVALID_ARG_TYPE',
    /options\.name/,
  ],
  [
    (name) => Mapping.memfd(1, { name }),
    ['a\0', 'x'.repeat(250), 'é'.repeat(125)],
    'ERR_INVALID_ARG_VALUE',
    /options\.name/,
  ],
  [
    (seal) => Mapping.memfd(1, { seal }),
    ['grow', 1, null, { 0: 'grow' }],
    'ERR_INVALID_ARG_TYPE',
    /options\.seal/,
  ],
  [
    (seal) => Mapping.memfd(1, { seal }),
    [['grw'], ['grow', 1], [null]],
    'ERR_INVALID_ARG_VALUE',
    /options\.seal\[/,
  ],
  [
    (preallocate) => Mapping.memfd(1, { preallocate }),
    [1, 'yes', null],
    'ERR_INVALID_ARG_TYPE',
    /options\.preallocate/,
  ],
  [(views) => Mapping.memfd(1, { views }), ['both', null], 'ERR_INVALID_ARG_VALUE', /options\.views/],
  [(onFault) => Mapping.memfd(1, { onFault }), [1, null], 'ERR_INVALID_ARG_TYPE', /options\.onFault/],
  [
    () => Mapping.memfd(1, { seals: ['grow'] } as MemfdOptions),
    [0],
    'ERR_INVALID_ARG_VALUE',
    /options\.seals/,
  ],
]

for (const [call, values, code, message] of bad) {
  onLinux(
    `memfd(): ${code} that says ${String(message)}, for ${inspect(values).replaceAll('\n', '').slice(0, 60)}`,
    (t) => {
      for (const value of values) {
        const error = errorOf(() => call(value as never))
        t.is(error.code, code, inspect(value))
        t.regex(error.message, message)
      }
    },
  )
}

onLinux('seal() takes a list of names, and changes nothing for anything else', (t) => {
  using mapping = Mapping.memfd(10)
  for (const value of ['grow', undefined, null, 1, {}]) {
    t.is(errorOf(() => mapping.seal(value as unknown as Seal[])).code, 'ERR_INVALID_ARG_TYPE')
  }
  for (const value of [['Grow'], ['grow', 'shrinks'], [1], [undefined]]) {
    t.is(errorOf(() => mapping.seal(value as unknown as Seal[])).code, 'ERR_INVALID_ARG_VALUE')
  }
  t.deepEqual(mapping.seals, [])
})

onLinux('a name may have up to 249 bytes', (t) => {
  using mapping = Mapping.memfd(1, { name: 'x'.repeat(249) })
  t.is(mapping.length, 1)
})

onLinux('a thousand of them leave nothing behind', async (t) => {
  const { descriptors, mappings, threads } = await growth(1000, () => {
    const mapping = Mapping.memfd(5000, { seal: ['shrink'] })
    mapping.write('x')
    const reader = Mapping.open(mapping.fd)
    t.is(errorOf(() => Mapping.memfd(5000, { seal: ['write'] })).code, 'EBUSY')
    mapping.unmap()
    reader.unmap()
  })
  t.deepEqual([descriptors, threads], [0, 0])
  t.true(mappings < 100, `${mappings} mappings`)
})
