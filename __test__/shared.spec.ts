/** Mapping.shared() and Mapping.unlinkShared(): shared memory by name. */
import test, { type ExecutionContext } from 'ava'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { inspect } from 'node:util'
import { Mapping, pageSize, type SharedOptions, type SystemError } from 'mmap-native'
import { root, runScript } from './support/child'
import { growth } from './support/leaks'

const isLinux = process.platform === 'linux'
const onLinux = isLinux ? test : test.skip

let names = 0

/** A name of this test's own, removed with it. */
function scratchName(t: ExecutionContext): string {
  const name = `/mn-${process.pid}-${names++}`
  t.teardown(() => {
    try {
      Mapping.unlinkShared(name)
    } catch {
      // The test has removed it.
    }
  })
  return name
}

const fileOf = (name: string): string => `/dev/shm${name}`

function create(t: ExecutionContext, length: number, options?: SharedOptions): [Mapping, string] {
  const name = scratchName(t)
  const mapping = Mapping.shared(name, length, { create: 'exclusive', ...options })
  t.teardown(() => mapping.unmap())
  return [mapping, name]
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as SystemError).code
  }
}

// ---- What one writes, the others see -----------------------------------------------------------------------------

test('two mappings of one name are the same memory', (t) => {
  const [one, name] = create(t, 10_000)
  const two = Mapping.shared(name)
  t.deepEqual([two.length, two.access, two.offset, two.path], [isLinux ? 10_000 : 16_384, 'write', 0, name])
  one.write('from one', 9000)
  t.is(two.bytes.toString('latin1', 9000, 9008), 'from one')
  two.bytes.write('from two', 100)
  t.is(one.read(100, 8).toString(), 'from two')
  two.unmap()
  t.is(one.read(100, 8).toString(), 'from two')
})

test('another process sees what this one writes, and the other way round', async (t) => {
  const [mapping, name] = create(t, 4096)
  mapping.write('hello', 4000)
  const { stdout, stderr } = await runScript(
    `const { Mapping } = require('mmap-native')
     const mapping = Mapping.shared(process.argv[1])
     console.log(mapping.length, mapping.read(4000, 5).toString())
     mapping.write('answer', 1)`,
    { args: [name] },
  )
  t.deepEqual([stdout, stderr], ['4096 hello\n', ''])
  t.is(mapping.read(1, 6).toString(), 'answer')
})

test('an object outlives the process that made it', async (t) => {
  const name = scratchName(t)
  const { stdout } = await runScript(
    `const { Mapping } = require('mmap-native')
     Mapping.shared(process.argv[1], 100, { create: true }).write('left')
     console.log('made')`,
    { args: [name] },
  )
  t.is(stdout, 'made\n')
  using mapping = Mapping.shared(name, { access: 'read' })
  t.is(mapping.read(0, 4).toString(), 'left')
})

onLinux('an object is a file in /dev/shm, with memory behind all of it', (t) => {
  const [mapping, name] = create(t, 100_000)
  const stat = fs.statSync(fileOf(name))
  t.deepEqual([stat.size, stat.mode & 0o777], [100_000, 0o600])
  t.true(stat.blocks * 512 >= 100_000)
  mapping.write('seen')
  t.is(fs.readFileSync(fileOf(name), 'latin1').slice(0, 4), 'seen')
})

onLinux('an object without preallocation has no memory until it is written', (t) => {
  const [mapping, name] = create(t, 100_000, { preallocate: false })
  t.deepEqual([fs.statSync(fileOf(name)).size, fs.statSync(fileOf(name)).blocks], [100_000, 0])
  mapping.write('x')
  t.is(fs.statSync(fileOf(name)).blocks * 512, pageSize)
})

onLinux('the mode is that asked for, less the umask', (t) => {
  const umask = process.umask(0o027)
  t.teardown(() => process.umask(umask))
  for (const mode of [0o666, '666']) {
    const [, name] = create(t, 1, { mode })
    t.is(fs.statSync(fileOf(name)).mode & 0o777, 0o640)
  }
})

// ---- Making, and finding -----------------------------------------------------------------------------------------

test('the slash at the start of a name may be left out', (t) => {
  const [mapping, name] = create(t, 8)
  mapping.write('same')
  using other = Mapping.shared(name.slice(1))
  t.is(other.path, name)
  t.is(other.read(0, 4).toString(), 'same')
  Mapping.unlinkShared(name.slice(1))
  t.is(
    codeOf(() => Mapping.shared(name)),
    'ENOENT',
  )
})

test('what is not there is ENOENT, with the name', (t) => {
  const name = scratchName(t)
  const error = t.throws(() => Mapping.shared(name)) as SystemError
  t.deepEqual([error.code, error.syscall, error.path], ['ENOENT', 'shm_open', name])
  const unlinking = t.throws(() => Mapping.unlinkShared(name)) as SystemError
  t.deepEqual([unlinking.code, unlinking.syscall, unlinking.path], ['ENOENT', 'shm_unlink', name])
})

test("create: 'exclusive' fails if there is an object, and leaves it as it is", (t) => {
  const [mapping, name] = create(t, 5)
  mapping.write('first')
  t.is(
    codeOf(() => Mapping.shared(name, 10, { create: 'exclusive' })),
    'EEXIST',
  )
  t.is(mapping.bytes.toString(), 'first')
  t.is(Mapping.shared(name, 5, { create: true }).bytes.toString(), 'first')
})

onLinux('an object grows only for who may let it', (t) => {
  const [, name] = create(t, 1000)
  for (const options of [undefined, { create: true, grow: false }, { access: 'read' }] as const) {
    const error = t.throws(() => Mapping.shared(name, 1001, options)) as SystemError
    t.is(error.code, 'ERR_OUT_OF_RANGE')
    t.regex(error.message, /length.*<= 1000/)
  }
  t.is(fs.statSync(fileOf(name)).size, 1000)
  t.is(Mapping.shared(name, 2000, { grow: true }).length, 2000)
  t.is(Mapping.shared(name, 3000, { create: true }).length, 3000)
  t.is(Mapping.shared(name, 100, { create: true }).length, 100)
  t.is(fs.statSync(fileOf(name)).size, 3000)
})

onLinux('an object that has no length yet is EAGAIN, but for who may give it one', (t) => {
  const name = scratchName(t)
  fs.writeFileSync(fileOf(name), '')
  t.is(
    codeOf(() => Mapping.shared(name)),
    'EAGAIN',
  )
  t.is(
    codeOf(() => Mapping.shared(name, 10)),
    'EAGAIN',
  )
  t.is(Mapping.shared(name, 10, { create: true }).length, 10)
})

onLinux('processes that make one object at the same time all get it, with its length', async (t) => {
  const name = scratchName(t)
  const script = `
    const { Mapping } = require('mmap-native')
    const mapping = Mapping.shared(process.argv[1], 65536, { create: true })
    Atomics.add(mapping.view(Int32Array), 16383, 1)
    console.log(mapping.length)`
  const endings = await Promise.all(Array.from({ length: 4 }, () => runScript(script, { args: [name] })))
  t.deepEqual(
    endings.map(({ stdout, stderr }) => stdout + stderr),
    Array.from({ length: 4 }, () => '65536\n'),
  )
  t.is(Mapping.shared(name).view(Int32Array)[16_383], 4)
})

test('an object that was unlinked lives on in its mappings, and its name is free', (t) => {
  const [mapping, name] = create(t, 6)
  mapping.write('before')
  Mapping.unlinkShared(name)
  t.is(mapping.bytes.toString(), 'before')
  using second = Mapping.shared(name, 6, { create: 'exclusive' })
  second.write('second')
  t.is(mapping.bytes.toString(), 'before')
})

test("access 'read' reads, and does not write", (t) => {
  const [mapping, name] = create(t, 4)
  mapping.write('text')
  using reader = Mapping.shared(name, { access: 'read' })
  t.is(reader.bytes.toString(), 'text')
  t.is(
    codeOf(() => reader.write('x')),
    'EACCES',
  )
})

onLinux('an object of another user is EACCES', async (t) => {
  const name = scratchName(t)
  const script = `
    const { Mapping } = require('mmap-native')
    Mapping.shared(process.argv[1], 10, { create: true, mode: 0o600 })
    process.setgid(65534)
    process.setuid(65534)
    for (const access of ['read', 'write']) {
      try { Mapping.shared(process.argv[1], { access }) } catch (error) { console.log(error.code) }
    }
    try { Mapping.unlinkShared(process.argv[1]) } catch (error) { console.log(error.code) }`
  if (process.getuid?.() !== 0) return t.pass('only root can become another user')
  const { stdout, stderr } = await runScript(script, { args: [name] })
  t.is(stderr, '')
  // /dev/shm has the sticky bit: EPERM for removing a file of somebody else.
  t.regex(stdout, /^EACCES\nEACCES\n(EACCES|EPERM)\n$/)
})

// ---- What goes wrong ---------------------------------------------------------------------------------------------

onLinux('a full /dev/shm is ENOSPC from the call, and nothing is left behind', async (t) => {
  const script = `
    const { Mapping } = require('mmap-native')
    const fs = require('fs')
    const code = (work) => { try { return work() } catch (error) { return error.code } }
    console.log(code(() => Mapping.shared('big', 2 << 20, { create: true })), fs.readdirSync('/dev/shm'))
    const half = Mapping.shared('half', 1 << 19, { create: true })
    half.fill('x')
    console.log(code(() => Mapping.shared('half', 2 << 20, { grow: true })), fs.statSync('/dev/shm/half').size)
    console.log(half.count('x'), half.faults.count)`
  const command = `mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" --eval "$1"`
  const arguments_ = ['--mount', 'sh', '-c', command, process.execPath, script]
  let output: string
  try {
    output = execFileSync('unshare', arguments_, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  } catch (error) {
    if (/not permitted|permission denied/i.test(String((error as { stderr?: string }).stderr)))
      return t.pass('no right to mount')
    throw error
  }
  t.is(output, `ENOSPC []\nENOSPC ${1 << 19}\n${1 << 19} 0\n`)
})

onLinux('an object that is truncated by another process is a fault, as a file is', async (t) => {
  const [, name] = create(t, 3 * pageSize)
  const { code, stdout, stderr } = await runScript(
    `const { Mapping, pageSize } = require('mmap-native')
     const mapping = Mapping.shared(process.argv[1], { onFault: (fault) => console.log(fault.kind) })
     require('fs').truncateSync('/dev/shm' + process.argv[1], pageSize)
     console.log(mapping.bytes[pageSize])
     try { mapping.read(pageSize, 1) } catch (error) { console.log(error.code, error.path) }
     setTimeout(() => {}, 500)`,
    { args: [name] },
  )
  t.deepEqual([code, stdout, stderr], [0, `0\nERR_MAPPING_FAULT ${name}\ntruncated\n`, ''])
})

const bad: [call: (value: never) => unknown, values: unknown[], code: string, message: RegExp][] = [
  [
    (name) => Mapping.shared(name, 1),
    [undefined, null, 1, {}, Buffer.from('x')],
    'ERR_INVALID_ARG_TYPE',
    /"name"/,
  ],
  [
    (name) => Mapping.shared(name, 1, { create: true }),
    ['', '/', '.', '/..', '..', 'a/b', '//a', '/a/', 'a\0', 'x'.repeat(256), `/${'é'.repeat(128)}`],
    'ERR_INVALID_ARG_VALUE',
    /'name'/,
  ],
  [
    (name) => Mapping.unlinkShared(name),
    ['', '/', '..', 'a/b', 'a\0', 'x'.repeat(256)],
    'ERR_INVALID_ARG_VALUE',
    /'name'/,
  ],
  [(name) => Mapping.unlinkShared(name), [undefined, 1, {}], 'ERR_INVALID_ARG_TYPE', /"name"/],
  [
    (length) => Mapping.shared('mn-none', length, { create: true }),
    ['1', true, Symbol('1')],
    'ERR_INVALID_ARG_TYPE',
    /"length"/,
  ],
  [
    (length) => Mapping.shared('mn-none', length, { create: true }),
    [0, -1, 1.5, NaN, Infinity, 2 ** 53, -1n, 2n ** 64n],
    'ERR_OUT_OF_RANGE',
    /"length"/,
  ],
  [
    (create) => Mapping.shared('mn-none', 1, { create }),
    [1, 'yes', null],
    'ERR_INVALID_ARG_TYPE',
    /options\.create/,
  ],
  [
    (grow) => Mapping.shared('mn-none', 1, { grow }),
    [1, 'yes', null],
    'ERR_INVALID_ARG_TYPE',
    /options\.grow/,
  ],
  [
    (access) => Mapping.shared('mn-none', 1, { access }),
    ['copy', 'rw', 1],
    'ERR_INVALID_ARG_VALUE',
    /options\.access/,
  ],
  [
    (mode) => Mapping.shared('mn-none', 1, { create: true, mode }),
    [-1, 0o10000, 1.5],
    'ERR_OUT_OF_RANGE',
    /options\.mode/,
  ],
  [
    (views) => Mapping.shared('mn-none', 1, { views }),
    ['both', 1, null],
    'ERR_INVALID_ARG_VALUE',
    /options\.views/,
  ],
  [
    (onFault) => Mapping.shared('mn-none', 1, { onFault }),
    [1, 'x', null],
    'ERR_INVALID_ARG_TYPE',
    /options\.onFault/,
  ],
  [
    (options) => Mapping.shared('mn-none', 1, options),
    [1, 'x', [], null],
    'ERR_INVALID_ARG_TYPE',
    /"options"/,
  ],
  [
    () => Mapping.shared('mn-none', 1, { acess: 'read' } as SharedOptions),
    [0],
    'ERR_INVALID_ARG_VALUE',
    /options\.acess/,
  ],
  [() => Mapping.shared('mn-none', { create: true }), [0], 'ERR_INVALID_ARG_VALUE', /'length' must be given/],
  [
    () => Mapping.shared('mn-none', 1, { create: true, access: 'read' }),
    [0],
    'ERR_INVALID_ARG_VALUE',
    /options\.access/,
  ],
]

for (const [call, values, code, message] of bad) {
  test(`${code} that says ${String(message)}, for ${inspect(values).replaceAll('\n', '').slice(0, 60)}: ${String(call)}`, (t) => {
    for (const value of values) {
      const error = t.throws(() => call(value as never)) as SystemError
      t.is(error.code, code, inspect(value))
      t.regex(error.message, message)
    }
    if (isLinux) t.false(fs.existsSync('/dev/shm/mn-none'))
  })
}

onLinux('a thousand objects leave nothing behind', async (t) => {
  const name = scratchName(t)
  const { descriptors, mappings, threads } = await growth(1000, () => {
    const mapping = Mapping.shared(name, 5000, { create: 'exclusive' })
    mapping.write('x')
    Mapping.shared(name).unmap()
    t.is(
      codeOf(() => Mapping.shared(name, 10_000)),
      'ERR_OUT_OF_RANGE',
    )
    t.is(
      codeOf(() => Mapping.shared(name, 10, { create: 'exclusive' })),
      'EEXIST',
    )
    mapping.unmap()
    Mapping.unlinkShared(name)
  })
  t.deepEqual([descriptors, threads], [0, 0])
  t.true(mappings < 100, `${mappings} mappings`)
})
