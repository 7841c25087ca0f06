/** Mapping.open() and Mapping.anonymous(): what can be mapped, which part of it, and what happens when it cannot. */
import test, { type ExecutionContext } from 'ava'
import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Mapping, mincore, pageSize, type OpenOptions, type SystemError } from 'mmap-native'
import { root, runScript } from './support/child'
import { contentOf, scratchFile, scratchFolder, sparseFile } from './support/files'
import { patternOf } from './support/random'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const isRoot = process.getuid?.() === 0
const isLinux = process.platform === 'linux'
const onLinux = isLinux ? test : test.skip
const asRoot = isRoot ? test : test.skip

/** Opens what must not open, and returns the error. */
function failure(t: ExecutionContext, file: unknown, options?: OpenOptions): SystemError {
  const error = t.throws(() => {
    Mapping.open(file as string, options).unmap()
  })
  return error as SystemError
}

/** What `work` throws, as plain data. */
function factsOf(t: ExecutionContext, work: () => unknown) {
  const { code, errno, syscall, path, message } = t.throws(work) as SystemError
  return { code, errno, syscall, path, message }
}

// ---- What can be named -------------------------------------------------------------------------------------------

test('open() takes a path', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  t.is(mapping.bytes.toString(), 'content')
  t.is(mapping.path, path)
  t.is(mapping.length, 7)
  t.is(mapping.offset, 0)
  t.is(mapping.access, 'read')
  t.false(mapping.closed)
  mapping.unmap()
})

test('open() takes a file URL, with escapes in it', (t) => {
  const path = join(scratchFolder(t), 'a b%#?é.bin')
  fs.writeFileSync(path, 'content')
  const mapping = Mapping.open(pathToFileURL(path))
  t.is(mapping.bytes.toString(), 'content')
  t.is(mapping.path, path)
  mapping.unmap()
})

test('open() takes a path in a Buffer', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(Buffer.from(path))
  t.is(mapping.bytes.toString(), 'content')
  t.deepEqual(mapping.path, Buffer.from(path))
  mapping.unmap()
})

onLinux('open() takes a path that is not UTF-8', (t) => {
  const path = Buffer.concat([Buffer.from(scratchFolder(t)), Buffer.from('2fff80c3', 'hex')])
  fs.writeFileSync(path, 'content')
  const mapping = Mapping.open(path)
  t.is(mapping.bytes.toString(), 'content')
  t.deepEqual(mapping.path, path)
  mapping.unmap()
})

test('open() keeps its own copy of a path in a Buffer', (t) => {
  const path = Buffer.from(scratchFile(t, 'content'))
  const before = Buffer.from(path)
  const mapping = Mapping.open(path)
  path.fill(0)
  t.deepEqual(mapping.path, before)
  mapping.unmap()
})

test('open() takes a descriptor, and leaves it open', (t) => {
  const fd = fs.openSync(scratchFile(t, 'content'), 'r')
  const mapping = Mapping.open(fd)
  t.is(mapping.bytes.toString(), 'content')
  t.is(mapping.path, undefined)
  mapping.unmap()
  t.is(fs.fstatSync(fd).size, 7)
  fs.closeSync(fd)
})

test('open() takes a FileHandle, and leaves it open', async (t) => {
  const handle = await fs.promises.open(scratchFile(t, 'content'))
  const mapping = Mapping.open(handle)
  t.is(mapping.bytes.toString(), 'content')
  t.is(mapping.path, undefined)
  mapping.unmap()
  t.is((await handle.stat()).size, 7)
  await handle.close()
})

test('a descriptor may be closed once it is mapped', (t) => {
  const path = scratchFile(t, 'content')
  const fd = fs.openSync(path, 'r+')
  const mapping = Mapping.open(fd, { access: 'write' })
  fs.closeSync(fd)
  mapping.write('CON')
  t.is(mapping.bytes.toString(), 'CONtent')
  t.is(fs.readFileSync(path, 'utf8'), 'CONtent')
  mapping.unmap()
})

test('the position of a descriptor neither matters nor changes', (t) => {
  const fd = fs.openSync(scratchFile(t, 'content'), 'r')
  fs.readSync(fd, Buffer.alloc(3))
  const mapping = Mapping.open(fd)
  t.is(mapping.bytes.toString(), 'content')
  mapping.unmap()
  const rest = Buffer.alloc(4)
  t.is(fs.readSync(fd, rest), 4)
  t.is(rest.toString(), 'tent')
  fs.closeSync(fd)
})

test('a file may be renamed or removed once it is mapped', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  fs.renameSync(path, `${path}.new`)
  t.is(mapping.read(0, 7).toString(), 'content')
  fs.rmSync(`${path}.new`)
  t.is(mapping.read(0, 7).toString(), 'content')
  t.is(mapping.path, path)
  mapping.unmap()
})

test('open() follows a symbolic link', (t) => {
  const path = scratchFile(t, 'content')
  fs.symlinkSync(path, `${path}.link`)
  const mapping = Mapping.open(`${path}.link`)
  t.is(mapping.bytes.toString(), 'content')
  mapping.unmap()
})

// ---- Access ------------------------------------------------------------------------------------------------------

test("access 'read' shows what others write to the file", (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, 'CON', 0)
  fs.closeSync(fd)
  t.is(mapping.bytes.toString(), 'CONtent')
  mapping.unmap()
})

test("access 'write' writes into the file", (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path, { access: 'write' })
  t.is(mapping.access, 'write')
  mapping.bytes.write('CON')
  t.is(fs.readFileSync(path, 'utf8'), 'CONtent')
  mapping.unmap()
  t.is(fs.readFileSync(path, 'utf8'), 'CONtent')
})

test("access 'copy' keeps what is written out of the file, which need not be writable", (t) => {
  const path = scratchFile(t, 'content')
  const fd = fs.openSync(path, 'r')
  const mapping = Mapping.open(fd, { access: 'copy' })
  t.is(mapping.access, 'copy')
  mapping.bytes.write('CON')
  mapping.write('TENT', 3)
  t.is(mapping.bytes.toString(), 'CONTENT')
  t.is(fs.readFileSync(path, 'utf8'), 'content')
  mapping.unmap()
  t.is(fs.readFileSync(path, 'utf8'), 'content')
  fs.closeSync(fd)
})

test('two mappings of a file see what the other writes', (t) => {
  const path = scratchFile(t, 'content')
  const one = Mapping.open(path, { access: 'write' })
  const other = Mapping.open(path, { offset: 3 })
  one.write('CONTENT')
  t.is(other.bytes.toString(), 'TENT')
  one.unmap()
  t.is(other.bytes.toString(), 'TENT')
  other.unmap()
})

// ---- Ranges ------------------------------------------------------------------------------------------------------

for (const offset of [0, 1, 3, 4095, 4096, 4097, 9999]) {
  test(`a mapping can start at byte ${offset} of a file`, (t) => {
    const content = patternOf(10_000)
    const path = scratchFile(t, content)
    const mapping = Mapping.open(path, { offset, access: 'write' })
    t.is(mapping.offset, offset)
    t.is(mapping.length, 10_000 - offset)
    t.deepEqual(mapping.bytes, content.subarray(offset))
    t.deepEqual(mapping.read(0, mapping.length), content.subarray(offset))
    t.is(mapping.address % BigInt(pageSize), BigInt(offset % pageSize))
    content[offset]! ^= 0xff
    mapping.write(content.subarray(offset, offset + 1))
    t.deepEqual(contentOf(path), content)
    mapping.unmap()
  })

  test(`a mapping from byte ${offset} on can be shorter than the file`, (t) => {
    const content = patternOf(20_000)
    const path = scratchFile(t, content)
    for (const length of [0, 1, 4095, 4096, 4097, 10_000]) {
      const mapping = Mapping.open(path, { offset, length })
      t.is(mapping.length, length)
      t.deepEqual(mapping.bytes, content.subarray(offset, offset + length))
      mapping.unmap()
    }
  })
}

for (const offset of [5 * GiB, 5 * GiB + 1]) {
  test(`a mapping can start at byte ${offset} of a sparse file`, (t) => {
    const path = sparseFile(t, offset + 10)
    const fd = fs.openSync(path, 'r+')
    fs.writeSync(fd, '0123456789', offset)
    const mapping = Mapping.open(path, { offset, access: 'write' })
    t.is(mapping.length, 10)
    t.is(mapping.bytes.toString(), '0123456789')
    mapping.write('end', 7)
    const seen = Buffer.alloc(10)
    fs.readSync(fd, seen, 0, 10, offset)
    t.is(seen.toString(), '0123456end')
    mapping.unmap()
    fs.closeSync(fd)
  })
}

test('offset and length may be bigints', (t) => {
  const mapping = Mapping.open(scratchFile(t, 'content'), { offset: 3n, length: 2n })
  t.is(mapping.offset, 3)
  t.is(mapping.length, 2)
  t.is(mapping.bytes.toString(), 'te')
  mapping.unmap()
})

test('an offset of -0 is 0', (t) => {
  const mapping = Mapping.open(scratchFile(t, 'content'), { offset: -0 })
  t.is(mapping.offset, 0)
  mapping.unmap()
})

test('a length up to the very end of the file is allowed, and one byte more names the limit', (t) => {
  const path = scratchFile(t, patternOf(5000))
  const mapping = Mapping.open(path, { offset: 4097, length: 903 })
  t.is(mapping.length, 903)
  mapping.unmap()
  const error = t.throws(() => Mapping.open(path, { offset: 4097, length: 904 }), {
    instanceOf: RangeError,
    code: 'ERR_OUT_OF_RANGE',
  })
  t.regex(error.message, /length.*<= 903/)
})

test('an offset beyond the end of the file names the limit', (t) => {
  const path = scratchFile(t, patternOf(5000))
  for (const options of [{ offset: 5001 }, { offset: 5001, length: 0 }, { offset: 2 ** 32 + 4096 }]) {
    const error = t.throws(() => Mapping.open(path, options), {
      instanceOf: RangeError,
      code: 'ERR_OUT_OF_RANGE',
    })
    t.regex(error.message, /offset.*<= 5000/)
  }
})

test('an offset and a length that only overflow together are out of range', (t) => {
  const path = scratchFile(t, patternOf(5000))
  const options = { offset: 1, length: Number.MAX_SAFE_INTEGER }
  t.throws(() => Mapping.open(path, options), { instanceOf: RangeError, code: 'ERR_OUT_OF_RANGE' })
})

for (const access of ['read', 'write', 'copy'] as const) {
  test(`an empty file gives an empty mapping with access '${access}'`, (t) => {
    const mapping = Mapping.open(scratchFile(t), { access })
    t.is(mapping.length, 0)
    t.is(mapping.address, 0n)
    t.is(mapping.bytes.length, 0)
    t.is(mapping.dataView.byteLength, 0)
    t.is(mapping.view(Float64Array).length, 0)
    t.is(mapping.read(0, 0).length, 0)
    t.throws(() => mapping.read(0, 1), { code: 'ERR_OUT_OF_RANGE' })
    mapping.flushSync()
    mapping.unmap()
    t.true(mapping.closed)
    t.throws(() => mapping.bytes, { code: 'ERR_MAPPING_CLOSED' })
  })

  test(`an offset at the end of the file gives an empty mapping with access '${access}'`, (t) => {
    for (const size of [3, 4096]) {
      const mapping = Mapping.open(scratchFile(t, patternOf(size)), { access, offset: size })
      t.is(mapping.length, 0)
      t.is(mapping.offset, size)
      t.is(mapping.bytes.length, 0)
      t.is(mapping.view(Uint8Array).length, 0)
      mapping.unmap()
    }
  })
}

// ---- What cannot be mapped ---------------------------------------------------------------------------------------

test('a missing file is ENOENT, as from fs', (t) => {
  const path = join(scratchFolder(t), 'missing')
  const facts = factsOf(t, () => Mapping.open(path))
  t.deepEqual(
    facts,
    factsOf(t, () => fs.openSync(path, 'r')),
  )
  t.is(facts.code, 'ENOENT')
  t.true(facts.errno < 0)
})

test('the error for a Buffer or a URL names the path as fs does', (t) => {
  const folder = scratchFolder(t)
  for (const path of [
    Buffer.from(join(folder, 'missing')),
    Buffer.from(`${join(folder, 'missing')}\u00ff`, 'latin1'),
    pathToFileURL(join(folder, 'missing')),
  ]) {
    t.deepEqual(
      factsOf(t, () => Mapping.open(path)),
      factsOf(t, () => fs.openSync(path, 'r')),
    )
  }
})

test('failures of open(2) are those of fs', (t) => {
  const path = scratchFile(t, 'content')
  const loop = `${path}.loop`
  fs.symlinkSync(loop, loop)
  const cases: [string, string][] = [
    ['ENOTDIR', join(path, 'below')],
    ['ELOOP', loop],
    ['ENAMETOOLONG', join(path, '..', 'x'.repeat(300))],
    ['ENOENT', ''],
  ]
  for (const [code, name] of cases) {
    const facts = factsOf(t, () => Mapping.open(name))
    t.deepEqual(
      facts,
      factsOf(t, () => fs.openSync(name, 'r')),
    )
    t.is(facts.code, code)
  }
})

test('a directory is EISDIR', (t) => {
  const folder = scratchFolder(t)
  for (const access of ['read', 'write', 'copy'] as const) {
    const error = failure(t, folder, { access })
    t.is(error.code, 'EISDIR')
    t.true(error.errno < 0)
    t.is(error.path, folder)
    t.is(error.message, `EISDIR: illegal operation on a directory, open '${folder}'`)
  }
})

test('a FIFO is ENODEV, and opening it does not wait for its other end', async (t) => {
  t.timeout(20_000)
  const path = join(scratchFolder(t), 'fifo')
  execFileSync('mkfifo', [path])
  const script = `
    const { Mapping } = require('mmap-native')
    for (const access of ['read', 'write', 'copy']) {
      try { Mapping.open(process.argv.at(-1), { access }) }
      catch ({ code, errno, syscall, path }) { console.log(code, errno < 0, syscall, path === process.argv.at(-1)) }
    }`
  const { code, signal, stdout, stderr } = await runScript(script, { args: [path] })
  t.is(stdout, 'ENODEV true mmap true\n'.repeat(3))
  t.is(stderr, '')
  t.is(code, 0)
  t.is(signal, null)
})

onLinux('a file of /proc, which tells no size, is ENODEV and not an empty mapping', (t) => {
  for (const path of ['/proc/cpuinfo', '/proc/self/status']) {
    const error = failure(t, path)
    t.like(error, { code: 'ENODEV', syscall: 'mmap', path })
    t.regex(error.message, /has no size.*read it with fs/)
  }
})

onLinux('a descriptor that is not open for what the access needs is EACCES, and the message says so', (t) => {
  const path = scratchFile(t, 'content')
  for (const [flags, access] of [
    ['r', 'write'],
    ['a', 'read'],
  ] as const) {
    const fd = fs.openSync(path, flags)
    const error = failure(t, fd, { access })
    t.is(error.code, 'EACCES')
    t.regex(error.message, /the descriptor has to be open for reading/)
    fs.closeSync(fd)
  }
})

onLinux('a maxLength beyond the address space is ENOMEM, and the message names it', (t) => {
  for (const maxLength of [2 ** 48, Number.MAX_SAFE_INTEGER]) {
    const error = failure(t, scratchFile(t, 'content'), { maxLength })
    t.is(error.code, 'ENOMEM')
    t.regex(error.message, /maxLength/)
  }
})

test('what create may be is in the message', (t) => {
  const create = 'yes' as never
  const message = /"options\.create" property must be of type boolean or 'exclusive'\. Received type string/
  t.regex(failure(t, scratchFile(t), { access: 'write', create }).message, message)
  t.throws(() => Mapping.shared('/no-such-object', 10, { create }), { message })
})

test('/dev/null is ENODEV', (t) => {
  for (const access of ['read', 'write', 'copy'] as const) {
    const error = failure(t, '/dev/null', { access })
    t.is(error.code, 'ENODEV')
    t.true(error.errno < 0)
    t.is(error.syscall, 'mmap')
    t.is(error.path, '/dev/null')
    t.regex(error.message, /^ENODEV: no such device, mmap '\/dev\/null'/)
  }
})

test('a descriptor that is not open is EBADF', async (t) => {
  const path = scratchFile(t, 'content')
  const handle = await fs.promises.open(path)
  await handle.close()
  const fd = fs.openSync(path, 'r')
  fs.closeSync(fd)
  for (const file of [fd, -1, -(2 ** 31), 2 ** 31 - 1, handle]) {
    const error = failure(t, file)
    t.is(error.code, 'EBADF')
    t.true(error.errno < 0)
    t.false('path' in error)
    t.regex(error.message, /^EBADF: bad file descriptor, \w+$/)
  }
})

test('a descriptor that is only open for writing is EACCES', (t) => {
  const fd = fs.openSync(scratchFile(t, 'content'), fs.constants.O_WRONLY)
  for (const access of ['read', 'write', 'copy'] as const) {
    const error = failure(t, fd, { access })
    t.is(error.code, 'EACCES')
    t.is(error.syscall, 'mmap')
    t.false('path' in error)
  }
  fs.closeSync(fd)
})

test("a descriptor that is only open for reading is EACCES with access 'write'", (t) => {
  const path = scratchFile(t, 'content')
  const fd = fs.openSync(path, 'r')
  t.is(failure(t, fd, { access: 'write' }).code, 'EACCES')
  const { code } = failure(t, fd, { access: 'write', grow: true, length: 100 })
  t.true(code === 'EBADF' || code === 'EINVAL', code)
  t.is(fs.readFileSync(path, 'utf8'), 'content')
  fs.closeSync(fd)
})

asRoot('a file without permission is EACCES, as from fs (as another user, which takes root)', async (t) => {
  const folder = scratchFolder(t)
  fs.chmodSync(folder, 0o755)
  fs.writeFileSync(join(folder, 'secret'), 'content', { mode: 0o600 })
  fs.writeFileSync(join(folder, 'readable'), 'content', { mode: 0o644 })
  const script = `
    const fs = require('node:fs')
    const { Mapping } = require('mmap-native')
    process.chdir(process.argv.at(-1))
    process.setgroups([])
    process.setgid(65534)
    process.setuid(65534)
    const facts = (work) => {
      try { work(); return 'nothing thrown' }
      catch ({ code, errno, syscall, path, message }) { return JSON.stringify([code, errno, syscall, path, message]) }
    }
    const compare = (path, options, flags) => {
      const ours = facts(() => Mapping.open(path, options))
      console.log(ours === facts(() => fs.openSync(path, flags)), ours)
    }
    compare('secret', {}, 'r')
    compare('secret', { access: 'write' }, 'r+')
    compare('secret', { access: 'write', create: true }, 'a+')
    compare('readable', { access: 'write' }, 'r+')
    compare('new', { access: 'write', create: true, length: 1 }, 'wx+')
    for (const access of ['read', 'copy']) console.log(Mapping.open('readable', { access }).bytes.toString())`
  const { code, stdout, stderr } = await runScript(script, { args: [folder] })
  const denied = (path: string) =>
    `true ["EACCES",-13,"open","${path}","EACCES: permission denied, open '${path}'"]\n`
  t.is(stdout, `${denied('secret').repeat(3)}${denied('readable')}${denied('new')}content\ncontent\n`, stderr)
  t.is(code, 0)
  t.deepEqual(fs.readdirSync(folder).toSorted(), ['readable', 'secret'])
})

// ---- Making files, and letting them grow -------------------------------------------------------------------------

test('create makes a file of the given length, full of zeros', (t) => {
  const path = join(scratchFolder(t), 'new')
  const mapping = Mapping.open(path, { access: 'write', create: true, offset: 4097, length: 1000 })
  t.is(mapping.length, 1000)
  t.is(fs.statSync(path).size, 5097)
  mapping.write('end', 997)
  mapping.unmap()
  const expected = Buffer.alloc(5097)
  expected.write('end', 5094)
  t.deepEqual(contentOf(path), expected)
})

test('create without a length makes an empty file', (t) => {
  const path = join(scratchFolder(t), 'new')
  const mapping = Mapping.open(path, { access: 'write', create: true })
  t.is(mapping.length, 0)
  t.is(fs.statSync(path).size, 0)
  mapping.unmap()
})

test('create gives the file the permission bits of mode, less the umask', (t) => {
  const folder = scratchFolder(t)
  const before = process.umask()
  try {
    for (const [umask, mode, expected] of [
      [0, undefined, 0o666],
      [0o027, undefined, 0o640],
      [0, 0o600, 0o600],
      [0o022, 0o777, 0o755],
      [0o022, '777', 0o755],
      [0, '0640', 0o640],
    ] as const) {
      process.umask(umask)
      const path = join(folder, `${umask}-${mode}`)
      Mapping.open(path, { access: 'write', create: true, length: 1, ...(mode && { mode }) }).unmap()
      t.is(fs.statSync(path).mode & 0o777, expected)
    }
  } finally {
    process.umask(before)
  }
})

test('create keeps the content and the mode of a file that is there', (t) => {
  const path = scratchFile(t, 'content')
  fs.chmodSync(path, 0o640)
  const mapping = Mapping.open(path, { access: 'write', create: true, length: 10, mode: 0o777 })
  t.is(mapping.bytes.toString(), 'content\0\0\0')
  mapping.unmap()
  t.is(fs.readFileSync(path, 'utf8'), 'content\0\0\0')
  t.is(fs.statSync(path).mode & 0o777, 0o640)
})

test('create makes the target of a symbolic link that leads nowhere', (t) => {
  const folder = scratchFolder(t)
  fs.symlinkSync('target', join(folder, 'link'))
  Mapping.open(join(folder, 'link'), { access: 'write', create: true, length: 5, mode: 0o600 }).unmap()
  t.is(fs.statSync(join(folder, 'target')).size, 5)
  t.is(fs.statSync(join(folder, 'target')).mode & 0o777, 0o600 & ~process.umask())
  t.true(fs.lstatSync(join(folder, 'link')).isSymbolicLink())
})

test("create 'exclusive' makes a file", (t) => {
  const path = join(scratchFolder(t), 'new')
  Mapping.open(path, { access: 'write', create: 'exclusive', length: 5 }).unmap()
  t.is(fs.statSync(path).size, 5)
})

test("create 'exclusive' is EEXIST, as from fs, for a file that is there, which stays as it is", (t) => {
  const path = scratchFile(t, 'content')
  const facts = factsOf(t, () => Mapping.open(path, { access: 'write', create: 'exclusive', length: 100 }))
  t.deepEqual(
    facts,
    factsOf(t, () => fs.openSync(path, 'wx+')),
  )
  t.is(facts.code, 'EEXIST')
  t.is(fs.readFileSync(path, 'utf8'), 'content')
})

test('a file made by a call that fails is removed', (t) => {
  const folder = scratchFolder(t)
  const path = join(folder, 'new')
  for (const create of [true, 'exclusive'] as const) {
    t.throws(() => Mapping.open(path, { access: 'write', create, grow: false, length: 10 }), {
      code: 'ERR_OUT_OF_RANGE',
    })
    t.throws(() => Mapping.open(path, { access: 'write', create, offset: 1 }), { code: 'ERR_OUT_OF_RANGE' })
    t.deepEqual(fs.readdirSync(folder), [])
  }
})

test('a file that was there before a call that fails is not removed', (t) => {
  const path = scratchFile(t, 'content')
  t.throws(() => Mapping.open(path, { access: 'write', create: true, grow: false, length: 10 }), {
    code: 'ERR_OUT_OF_RANGE',
  })
  t.is(fs.readFileSync(path, 'utf8'), 'content')
})

test("a file is made, or grows, with access 'write' only", (t) => {
  const folder = scratchFolder(t)
  const path = join(folder, 'new')
  for (const access of ['read', 'copy'] as const) {
    for (const options of [{ create: true }, { create: 'exclusive' }, { grow: true }] as const) {
      const error = t.throws(() => Mapping.open(path, { access, length: 5, ...options }), {
        instanceOf: TypeError,
        code: 'ERR_INVALID_ARG_VALUE',
      })
      t.regex(error.message, /options\.access.*'write'/)
    }
  }
  t.deepEqual(fs.readdirSync(folder), [])
})

test('a descriptor cannot be made', (t) => {
  const fd = fs.openSync(scratchFile(t, 'content'), 'r+')
  const error = t.throws(() => Mapping.open(fd, { access: 'write', create: true }), {
    instanceOf: TypeError,
    code: 'ERR_INVALID_ARG_VALUE',
  })
  t.regex(error.message, /options\.create/)
  fs.closeSync(fd)
})

test('grow lets a file grow, by path and by descriptor', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path, { access: 'write', grow: true, length: 5000 })
  t.is(fs.statSync(path).size, 5000)
  mapping.unmap()
  const fd = fs.openSync(path, 'r+')
  const longer = Mapping.open(fd, { access: 'write', grow: true, offset: 9000, length: 3 })
  fs.closeSync(fd)
  longer.write('end')
  longer.unmap()
  const expected = Buffer.alloc(9003)
  expected.write('content')
  expected.write('end', 9000)
  t.deepEqual(contentOf(path), expected)
})

test('grow does not make a file', (t) => {
  const folder = scratchFolder(t)
  t.is(failure(t, join(folder, 'new'), { access: 'write', grow: true, length: 5 }).code, 'ENOENT')
  t.deepEqual(fs.readdirSync(folder), [])
})

test('grow does not make a file shorter', (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path, { access: 'write', grow: true, offset: 1, length: 3 })
  t.is(mapping.length, 3)
  mapping.unmap()
  t.is(fs.readFileSync(path, 'utf8'), 'content')
})

test('what grows has disk blocks, unless preallocate is false', (t) => {
  const folder = scratchFolder(t)
  const options = { access: 'write', create: true, length: 2 * MiB } as const
  Mapping.open(join(folder, 'full'), options).unmap()
  Mapping.open(join(folder, 'sparse'), { ...options, preallocate: false }).unmap()
  const full = fs.statSync(join(folder, 'full'))
  const sparse = fs.statSync(join(folder, 'sparse'))
  t.is(full.size, 2 * MiB)
  t.is(sparse.size, 2 * MiB)
  t.true(full.blocks * 512 >= 2 * MiB)
  t.true(sparse.blocks * 512 < MiB)
})

/** Runs `work` in a file system of 1 MiB. */
function onSmallDisk(t: ExecutionContext, work: (folder: string) => void): void {
  const folder = scratchFolder(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'mmap-native-test', folder])
  try {
    work(folder)
  } finally {
    execFileSync('umount', ['--lazy', folder])
  }
}

/** Whether this process may mount file systems. */
function canMount(): boolean {
  if (process.platform !== 'linux' || !isRoot) return false
  const folder = fs.mkdtempSync(join(tmpdir(), 'mmap-native-test-'))
  const mounted =
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'mmap-native-test', folder]).status === 0
  if (mounted) execFileSync('umount', [folder])
  fs.rmdirSync(folder)
  return mounted
}

const withMount = canMount() ? test : test.skip

withMount('a full disk is ENOSPC, and the file keeps its length (where tmpfs can be mounted)', (t) => {
  onSmallDisk(t, (folder) => {
    const path = join(folder, 'file')
    fs.writeFileSync(path, 'content')
    const error = failure(t, path, { access: 'write', grow: true, length: 4 * MiB })
    t.is(error.code, 'ENOSPC')
    t.true(error.errno < 0)
    t.is(error.path, path)
    t.regex(error.message, /^ENOSPC: no space left on device, \w+ '/)
    t.is(fs.readFileSync(path, 'utf8'), 'content')
  })
})

withMount('a file made on a full disk is removed again (where tmpfs can be mounted)', (t) => {
  onSmallDisk(t, (folder) => {
    for (const create of [true, 'exclusive'] as const) {
      const error = failure(t, join(folder, 'new'), { access: 'write', create, length: 4 * MiB })
      t.is(error.code, 'ENOSPC')
    }
    t.deepEqual(fs.readdirSync(folder), [])
  })
})

withMount('preallocate: false promises more than the disk has (where tmpfs can be mounted)', (t) => {
  onSmallDisk(t, (folder) => {
    const path = join(folder, 'new')
    const mapping = Mapping.open(path, { access: 'write', create: true, length: 4 * MiB, preallocate: false })
    t.is(mapping.length, 4 * MiB)
    t.is(fs.statSync(path).size, 4 * MiB)
    mapping.unmap()
  })
})

withMount('preallocated bytes can be written when the disk is full (where tmpfs can be mounted)', (t) => {
  onSmallDisk(t, (folder) => {
    const script = `
      const fs = require('node:fs')
      const { Mapping } = require('mmap-native')
      process.chdir(process.argv.at(-1))
      const mapping = Mapping.open('mapped', { access: 'write', create: true, length: ${MiB / 2} })
      try { fs.writeFileSync('rest', Buffer.alloc(${MiB})) } catch ({ code }) { console.log(code) }
      mapping.fill('x')
      mapping.flushSync()
      console.log(fs.readFileSync('mapped', 'latin1') === 'x'.repeat(${MiB / 2}))`
    const child = spawnSync(process.execPath, ['-e', script, '--', folder], { cwd: root, encoding: 'utf8' })
    t.is(child.stdout, 'ENOSPC\ntrue\n', child.stderr)
    t.is(child.status, 0)
  })
})

test('a file that would be larger than is allowed is EFBIG, and keeps its length', (t) => {
  const folder = scratchFolder(t)
  fs.writeFileSync(join(folder, 'file'), 'content')
  const script = `
    const fs = require('node:fs')
    const { Mapping } = require('mmap-native')
    process.chdir(process.argv.at(-1))
    for (const preallocate of [true, false])
      for (const [path, create] of [['file', false], ['new', true]])
        try { Mapping.open(path, { access: 'write', create, grow: true, length: ${64 * MiB}, preallocate }) }
        catch ({ code, errno, path }) { console.log(code, errno < 0, path) }
    console.log(fs.readdirSync('.').join(), fs.readFileSync('file', 'utf8'))`
  // The limit on the size of files that a shell sets; Node ignores the signal that goes with it.
  const child = spawnSync(
    'sh',
    ['-c', 'ulimit -f 2048; exec "$0" "$@"', process.execPath, '-e', script, '--', folder],
    { cwd: root, encoding: 'utf8' },
  )
  t.is(child.stdout, `${'EFBIG true file\nEFBIG true new\n'.repeat(2)}file content\n`, child.stderr)
  t.is(child.status, 0)
})

test('a length that no file system has is an error, and leaves no file behind', (t) => {
  const folder = scratchFolder(t)
  const options = {
    access: 'write',
    create: true,
    offset: Number.MAX_SAFE_INTEGER,
    length: Number.MAX_SAFE_INTEGER,
  } as const
  for (const preallocate of [true, false]) {
    const error = failure(t, join(folder, 'new'), { ...options, preallocate })
    t.true(['EFBIG', 'ENOSPC', 'EINVAL', 'ENOMEM'].includes(error.code), error.message)
    t.deepEqual(fs.readdirSync(folder), [])
  }
})

// ---- Other options -----------------------------------------------------------------------------------------------

test('a misspelt option is named, and nothing is opened', (t) => {
  const folder = scratchFolder(t)
  const options = { acess: 'write', access: 'write', create: true, length: 5 } as OpenOptions
  const error = t.throws(() => Mapping.open(join(folder, 'new'), options), {
    instanceOf: TypeError,
    code: 'ERR_INVALID_ARG_VALUE',
  })
  t.regex(error.message, /options\.acess.*access.*'write'/s)
  t.deepEqual(fs.readdirSync(folder), [])
  t.throws(() => Mapping.anonymous(1, { access: 'write' } as object), {
    code: 'ERR_INVALID_ARG_VALUE',
    message: /options\.access/,
  })
})

onLinux('populate brings all pages into memory', (t) => {
  const resident = (mapping: Mapping) =>
    mincore(mapping.address, mapping.length).reduce((sum, page) => sum + (page & 1), 0)
  const pages = 64
  const path = sparseFile(t, pages * pageSize)
  const cold = Mapping.open(path)
  t.is(resident(cold), 0)
  const warm = Mapping.open(path, { populate: true })
  t.is(resident(warm), pages)
  cold.unmap()
  warm.unmap()
  const memory = Mapping.anonymous(pages * pageSize, { populate: true })
  t.is(resident(memory), pages)
  memory.unmap()
})

test("views: 'detachable' gives an ArrayBuffer, which is empty after unmap()", (t) => {
  const mapping = Mapping.open(scratchFile(t, 'content'), { views: 'detachable' })
  const { buffer, bytes } = mapping
  t.true(buffer instanceof ArrayBuffer)
  t.is(bytes.toString(), 'content')
  mapping.unmap()
  t.is(buffer.byteLength, 0)
  t.is(bytes.length, 0)
})

test("views: 'shared' gives a SharedArrayBuffer, or says that this runtime has none", (t) => {
  const path = scratchFile(t, 'content')
  const automatic = Mapping.open(path)
  const hasShared = automatic.buffer instanceof SharedArrayBuffer
  automatic.unmap()
  if (hasShared) {
    const mapping = Mapping.open(path, { views: 'shared' })
    t.true(mapping.buffer instanceof SharedArrayBuffer)
    t.is(mapping.bytes.toString(), 'content')
    mapping.unmap()
    return
  }
  for (const open of [
    () => Mapping.open(path, { views: 'shared' }),
    () => Mapping.anonymous(1, { views: 'shared' }),
  ]) {
    t.throws(open, { instanceOf: TypeError, code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', message: /shared/ })
  }
})

// ---- Memory ------------------------------------------------------------------------------------------------------

test('anonymous() gives zeros that can be written', (t) => {
  const mapping = Mapping.anonymous(5000n)
  t.is(mapping.length, 5000)
  t.is(mapping.offset, 0)
  t.is(mapping.access, 'write')
  t.is(mapping.path, undefined)
  t.is(mapping.address % BigInt(pageSize), 0n)
  t.deepEqual(mapping.bytes, Buffer.alloc(5000))
  mapping.write('content', 4993)
  t.is(mapping.bytes.toString('utf8', 4993), 'content')
  mapping.unmap()
})

test('anonymous(0) gives an empty mapping', (t) => {
  const mapping = Mapping.anonymous(0)
  t.is(mapping.length, 0)
  t.is(mapping.bytes.length, 0)
  t.is(mapping.write(''), 0)
  mapping.unmap()
})

test('more memory than there are addresses is ENOMEM', (t) => {
  for (const length of [2 ** 50, Number.MAX_SAFE_INTEGER]) {
    const error = t.throws(() => Mapping.anonymous(length)) as SystemError
    t.is(error.code, 'ENOMEM')
    t.true(error.errno < 0)
    t.is(error.syscall, 'mmap')
    t.false('path' in error)
  }
})

const overcommits =
  process.platform === 'linux' && fs.readFileSync('/proc/sys/vm/overcommit_memory', 'utf8').trim() !== '2'

;(overcommits ? test : test.skip)(
  'noReserve maps more memory than there is (where the kernel may overcommit)',
  (t) => {
    const TiB = 1024 * GiB
    const mapping = Mapping.anonymous(4 * TiB, { noReserve: true })
    mapping.write('end', 4 * TiB - 3)
    t.is(mapping.read(4 * TiB - 4, 4).toString(), '\0end')
    mapping.unmap()
  },
)

// ---- Descriptors -------------------------------------------------------------------------------------------------

const openDescriptors = () => fs.readdirSync('/dev/fd').length

test.serial('a hundred mappings leave no descriptor behind', (t) => {
  const path = scratchFile(t, 'content')
  const fd = fs.openSync(path, 'r+')
  Mapping.open(path).unmap() // the process's first mapping opens the pipe to the watcher thread
  const before = openDescriptors()
  const mappings = Array.from({ length: 100 }, (_, index) =>
    Mapping.open(index % 2 === 0 ? path : fd, {
      access: (['read', 'write', 'copy'] as const)[index % 3]!,
      offset: index % 8,
    }),
  )
  t.true(openDescriptors() > before)
  for (const mapping of mappings) mapping.unmap()
  t.is(openDescriptors(), before)
  fs.closeSync(fd)
})

test.serial('a hundred failed calls leave no descriptor behind', (t) => {
  const folder = scratchFolder(t)
  const path = scratchFile(t, 'content')
  Mapping.open(path).unmap()
  const before = openDescriptors()
  for (let round = 0; round < 20; round++) {
    t.is(failure(t, folder).code, 'EISDIR')
    t.is(failure(t, '/dev/null').code, 'ENODEV')
    t.is(failure(t, path, { offset: 8 }).code, 'ERR_OUT_OF_RANGE')
    t.is(failure(t, path, { length: 8 }).code, 'ERR_OUT_OF_RANGE')
    t.is(
      failure(t, join(folder, 'new'), { access: 'write', create: true, offset: 1 }).code,
      'ERR_OUT_OF_RANGE',
    )
  }
  t.is(openDescriptors(), before)
})

;(isLinux ? test.serial : test.serial.skip)(
  'a descriptor of a mapping does not reach child processes',
  (t) => {
    const path = scratchFile(t, 'content')
    const mapping = Mapping.open(path)
    const listed = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
    t.is(listed.status, 0)
    t.false(listed.stdout.includes(path))
    const own = fs.readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`) === path
      } catch {
        return false
      }
    })
    t.is(own.length, 1)
    mapping.unmap()
  },
)
