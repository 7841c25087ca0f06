/** The command line, as a process of its own: what it prints, how it ends, and what it says of files that it cannot read. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { join } from 'node:path'
import anyTest, { type ExecutionContext } from 'ava'
import { Mapping, pageSize } from 'mmap-native'
import { root } from './support/child'
import { evict, noCold, residency } from './support/cold'
import { scratchFolder } from './support/files'

// One after the other: most wait for a process, and some fill the memory that others look at.
const test = anyTest.serial
const CLI = join(root, 'dist', 'cli.js')
const MiB = 1024 * 1024
const isLinux = process.platform === 'linux'
const isRoot = process.getuid?.() === 0
const NOBODY = 65534
const { version } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }

interface Settings {
  /** The folder that names of files are in. */
  cwd?: string
  /** What standard output is. Default: a pipe. */
  stdout?: number | 'pipe'
  env?: Record<string, string>
  uid?: number
}

/** Runs the program to its end. */
async function cli(args: string[], { cwd = root, stdout = 'pipe', env, uid }: Settings = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  const printed = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (printed.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (printed.stderr += text))
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { code, signal, ...printed }
}

/** A folder with these files. */
function filesOf(t: ExecutionContext, files: Record<string, string | Uint8Array>): string {
  const folder = scratchFolder(t)
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(join(folder, name), content)
  return folder
}

/** How the program ends when all is well. */
const well = (stdout: string, code = 0) => ({ code, signal: null, stdout, stderr: '' })

// ---- The program -------------------------------------------------------------------------------------------------

test('--help fits a terminal of 24 lines of 80, and names every command', async (t) => {
  const { stdout, ...ending } = await cli(['--help'])
  t.deepEqual(ending, { code: 0, signal: null, stderr: '' })
  const lines = stdout.trimEnd().split('\n')
  t.true(lines.length <= 23, `${lines.length} lines`)
  for (const line of lines) t.true(line.length <= 80, line)
  const commands = fs.readdirSync(join(root, 'src', 'cli')).map((file) => file.replace('.ts', ''))
  const parts = new Set(['main', 'errors', 'output', 'files', 'version'])
  for (const name of commands.filter((one) => !parts.has(one)))
    t.regex(stdout, new RegExp(`^  ${name} `, 'm'))
})

test('--help is there behind a command, too, and without a binary', async (t) => {
  const { stdout } = await cli(['--help'])
  t.deepEqual(await cli(['find', '-h'], { env: { MMAP_NATIVE_BINARY: './nowhere.node' } }), well(stdout))
})

test('--version prints that of the package', async (t) => {
  t.deepEqual(await cli(['--version']), well(`${version}\n`))
  t.deepEqual(await cli(['-v']), well(`${version}\n`))
})

for (const [args, message] of [
  [[], 'a command is missing'],
  [['fnord'], "there is no command 'fnord'"],
  [['constructor'], "there is no command 'constructor'"],
  [['residency'], 'a file is missing'],
  [['prefetch'], 'a file is missing'],
  [['evict'], 'a file is missing'],
  [['find'], 'a text to find is missing'],
  [['find', 'text'], 'a file is missing'],
  [['find', '', 'file'], 'the text to find is empty'],
  [['find', '--count', '--lines', 'text', 'file'], '--count and --lines exclude each other'],
  [['find', '--fnord', 'text', 'file'], "Unknown option '--fnord'"],
  [['doctor', 'file'], "Unexpected argument 'file'"],
] as [string[], string][]) {
  test(`a command line that is wrong is refused with 2: ${args.join(' ') || 'none'}`, async (t) => {
    const { code, stdout, stderr } = await cli(args)
    t.deepEqual({ code, stdout }, { code: 2, stdout: '' })
    const [first, ...rest] = stderr.split('\n')
    t.true(first?.startsWith(`mmap-native: ${message}`), first)
    t.deepEqual(rest, ["Try 'mmap-native --help'.", ''])
  })
}

test('the program is a file of its own that does not contain the library', (t) => {
  const text = fs.readFileSync(CLI, 'utf8')
  t.true(text.startsWith('#!/usr/bin/env node\n'))
  t.true(text.includes('require("mmap-native")'))
  t.false(text.includes('mappingOpen'))
  const manifest = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  t.deepEqual(manifest['bin'], { 'mmap-native': 'dist/cli.js' })
  t.true((manifest['files'] as string[]).includes('dist/cli.js'))
  if (process.platform !== 'win32') t.notThrows(() => fs.accessSync(CLI, fs.constants.X_OK))
})

// ---- find ----------------------------------------------------------------------------------------------------------

const TEXT = 'one needle\ntwo\r\nneedle needle three\r\n\nlast needle'

test('find prints the offsets of a text, a line each', async (t) => {
  const cwd = filesOf(t, { text: TEXT, other: 'a needle', none: 'n' })
  t.deepEqual(await cli(['find', 'needle', 'text'], { cwd }), well('4\n16\n23\n43\n'))
  t.deepEqual(
    await cli(['find', 'needle', 'text', 'none', 'other'], { cwd }),
    well('text:4\ntext:16\ntext:23\ntext:43\nother:2\n'),
  )
})

test('find --count prints how often a text is there, and 0', async (t) => {
  const cwd = filesOf(t, { text: TEXT, none: 'n' })
  t.deepEqual(await cli(['find', '--count', 'needle', 'text'], { cwd }), well('4\n'))
  t.deepEqual(await cli(['find', 'needle', 'text', 'none', '-c'], { cwd }), well('text:4\nnone:0\n'))
})

test('find --lines prints each line that has a text once, behind the offset where it starts', async (t) => {
  const cwd = filesOf(t, { text: TEXT, other: 'a needle' })
  const lines = ['0:one needle\n', '16:needle needle three\r\n', '38:last needle\n']
  t.deepEqual(await cli(['find', '--lines', 'needle', 'text'], { cwd }), well(lines.join('')))
  const named = [...lines.map((line) => `text:${line}`), 'other:0:a needle\n']
  t.deepEqual(await cli(['find', '-l', 'needle', 'text', 'other'], { cwd }), well(named.join('')))
})

test('places that overlap the one before are not found', async (t) => {
  const cwd = filesOf(t, { text: 'aaaaa' })
  t.deepEqual(await cli(['find', 'aa', 'text'], { cwd }), well('0\n2\n'))
  t.deepEqual(await cli(['find', '-c', 'aa', 'text'], { cwd }), well('2\n'))
})

test('a text may be of several bytes a letter, have newlines, or start with a hyphen', async (t) => {
  const cwd = filesOf(t, { text: '–ä\n--count\nä\n' })
  t.deepEqual(await cli(['find', 'ä', 'text'], { cwd }), well('3\n14\n'))
  t.deepEqual(await cli(['find', 'ä\n', 'text'], { cwd }), well('3\n14\n'))
  t.deepEqual(await cli(['find', '-l', 'ä\n', 'text'], { cwd }), well('0:–ä\n14:ä\n'))
  t.deepEqual(await cli(['find', '-l', '\n--', 'text'], { cwd }), well('0:–ä\n--count\n'))
  t.deepEqual(await cli(['find', '--', '--count', 'text'], { cwd }), well('6\n'))
})

test('find finds what grep finds, and prints the bytes of lines as they are', async (t) => {
  const bytes = Buffer.alloc(3 * MiB)
  for (let i = 0, state = 1; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    bytes[i] = state >>> 24 || 1 // a zero makes a file one of zeros between lines for grep
  }
  for (let at = 1000; at < bytes.length; at += 70_001) bytes.write('needle', at)
  const cwd = filesOf(t, { bytes })
  const grep = (...args: string[]) => {
    const { status, stdout } = spawnSync('grep', ['-a', '-b', '-F', ...args, 'needle', 'bytes'], {
      cwd,
      env: { ...process.env, LC_ALL: 'C' },
    })
    t.is(status, 0)
    return stdout
  }
  const offsets = grep('-o').toString('latin1').replaceAll(':needle', '')
  t.is(offsets.split('\n').length, 46)
  t.is((await cli(['find', 'needle', 'bytes'], { cwd })).stdout, offsets)
  const found = spawnSync(process.execPath, [CLI, 'find', '--lines', 'needle', 'bytes'], { cwd })
  t.true(found.stdout.equals(grep()))
})

test('find says with its status whether the text was found: 0, 1, and 2 if anything failed', async (t) => {
  const cwd = filesOf(t, { text: 'needle' })
  const statusOf = async (...args: string[]) => (await cli(['find', ...args], { cwd })).code
  t.is(await statusOf('needle', 'text'), 0)
  for (const option of ['-c', '-l', '--']) t.is(await statusOf(option, 'other', 'text'), 1, option)
  t.is(await statusOf('needle', 'text', 'missing'), 2)
  t.is(await statusOf('other', 'missing'), 2)
})

test('a line that is as long as its file is printed whole', async (t) => {
  const line = Buffer.alloc(5 * MiB + 3, 'x-needle-')
  const cwd = filesOf(t, { line })
  const { stdout, code } = await cli(['find', '-l', 'needle', 'line'], { cwd })
  t.is(code, 0)
  t.true(stdout === `0:${line}\n`)
})

test('a file that is larger than one view of the runtime is searched, and looked at', async (t) => {
  const cwd = filesOf(t, { large: '' })
  const path = join(cwd, 'large')
  const length = 6 * 1024 * MiB
  fs.truncateSync(path, length)
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, '\nneedle', length - 7)
  fs.closeSync(fd)
  t.deepEqual(await cli(['find', 'needle', 'large'], { cwd }), well(`${length - 6}\n`))
  const { stdout } = await cli(['residency', '--json', 'large'], { cwd })
  t.like(JSON.parse(stdout), { length, pages: length / pageSize })
})

// ---- residency, prefetch, evict ----------------------------------------------------------------------------------

const cold = noCold === undefined ? test : test.skip
const coldly = noCold === undefined ? '' : ` (skipped: ${noCold})`

/** A file of so many bytes in a folder of its own; none of them in memory. */
function coldFile(t: ExecutionContext, size: number): { cwd: string; path: string } {
  const cwd = filesOf(t, { file: Buffer.alloc(size, 'cold') })
  const path = join(cwd, 'file')
  evict(path)
  return { cwd, path }
}

function residentPages(path: string): number {
  const mapping = Mapping.open(path)
  const count = residency(mapping).filter(Boolean).length
  mapping.unmap()
  return count
}

cold(`residency draws none, some and all of a part${coldly}`, async (t) => {
  const { cwd, path } = coldFile(t, 64 * pageSize)
  const blank = `[${' '.repeat(32)}]   0%      0 B of  256 KiB  file\n`
  t.deepEqual(await cli(['residency', 'file'], { cwd }), well(blank.replace('256', `${pageSize / 16}`)))
  const mapping = Mapping.open(path)
  mapping.advise('random') // no reading ahead
  for (const page of [0, 1, 2, 63]) mapping.read(page * pageSize, 1)
  mapping.unmap()
  const { stdout } = await cli(['residency', 'file'], { cwd })
  t.true(stdout.startsWith(`[Oo${' '.repeat(29)}o]   6% `), stdout)
})

test('residency draws a cell for each page of a small file', async (t) => {
  const cwd = filesOf(t, { three: Buffer.alloc(2 * pageSize + 1, 1) })
  const { stdout, code } = await cli(['residency', 'three'], { cwd })
  t.is(code, 0)
  t.regex(stdout, /^\[OOO\] {29} 100% .* three\n$/)
})

cold(`residency --json prints an object for each file, as residency() has it${coldly}`, async (t) => {
  const { cwd, path } = coldFile(t, 100 * pageSize + 5)
  fs.writeFileSync(join(cwd, 'two\n'), 'x')
  const mapping = Mapping.open(path)
  mapping.advise('random')
  for (const page of [7, 8, 100]) mapping.read(page * pageSize, 1)
  const { bitmap: _, ...figures } = await mapping.residency()
  mapping.unmap()
  const { stdout } = await cli(['residency', '--json', 'file', 'two\n'], { cwd })
  const [first, second, rest] = stdout.split('\n')
  t.deepEqual(JSON.parse(first as string), { file: 'file', length: 100 * pageSize + 5, ...figures })
  t.like(JSON.parse(second as string), { file: 'two\n', length: 1, residentPages: 1 })
  t.is(rest, '')
})

test('residency sums several files up', async (t) => {
  const cwd = filesOf(t, { one: Buffer.alloc(3000, 1), two: Buffer.alloc(72, 1), empty: '' })
  const { stdout } = await cli(['residency', 'one', 'two', 'empty'], { cwd })
  const lines = stdout.split('\n')
  t.is(lines.length, 5)
  t.regex(lines[2] as string, /^\[\] +- +0 B of +0 B {2}empty$/)
  t.regex(lines[3] as string, /^ +100% +3\.0 KiB of +3\.0 KiB {2}total$/)
})

cold(
  `prefetch brings files into memory, and says so in plain lines where there is no terminal${coldly}`,
  async (t) => {
    const { cwd, path } = coldFile(t, 4 * MiB)
    t.is(residentPages(path), 0)
    const { stdout, ...ending } = await cli(['prefetch', 'file'], { cwd })
    t.deepEqual(ending, { code: 0, signal: null, stderr: '' })
    t.regex(stdout, /^file: 4\.0 MiB in memory, \d+\.\d\d s\n$/)
    // The kernel may have taken some away again.
    t.true(residentPages(path) > (0.9 * 4 * MiB) / pageSize)
  },
)

cold(`evict drops files from memory, and says how much${coldly}`, async (t) => {
  const { cwd, path } = coldFile(t, 4 * MiB)
  fs.readFileSync(path)
  t.deepEqual(await cli(['evict', 'file'], { cwd }), well('file: 4.0 MiB dropped, 0 B still in memory\n'))
  t.is(residentPages(path), 0)
})

/** Runs the program in a terminal: standard output and standard error are one. */
function inTerminal(args: string[], cwd: string, env: Record<string, string> = {}) {
  const command = [process.execPath, CLI, ...args].map((part) => `'${part}'`).join(' ')
  return spawn('script', ['--quiet', '--return', '--command', `exec ${command}`, '/dev/null'], {
    cwd,
    env: { ...process.env, TERM: 'xterm', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
}

const noTerminal =
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true
    ? undefined
    : 'there is no script(1) of util-linux'
const terminal = noTerminal === undefined ? test : test.skip
const terminally = noTerminal === undefined ? '' : ` (skipped: ${noTerminal})`

/** What a terminal is sent, with `<erase>` for the sequence that erases the rest of a line; and the exit status. */
async function shownBy(child: ReturnType<typeof inTerminal>): Promise<[text: string, code: number | null]> {
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
  const [code] = (await once(child, 'close')) as [number | null]
  return [text.replaceAll('\u001b[K', '<erase>'), code]
}

terminal(`prefetch shows a bar in a terminal, and takes it away${terminally}`, async (t) => {
  const cwd = filesOf(t, { file: Buffer.alloc(40 * MiB, 1) })
  const [text, code] = await shownBy(inTerminal(['prefetch', 'file'], cwd))
  t.is(code, 0)
  const [bar, ...pictures] = text.split('\r').filter((part) => part.startsWith('['))
  t.is(bar, `[${' '.repeat(32)}]   0%      0 B of   40 MiB  file<erase>`)
  for (const picture of pictures) t.regex(picture, /^\[O* *\] +\d+% .* of {3}40 MiB {2}file<erase>$/)
  t.regex(text, /\r<erase>file: 40 MiB in memory, \d+\.\d\d s\r\n$/)
})

terminal(`a terminal that cannot erase lines is shown no bar${terminally}`, async (t) => {
  const cwd = filesOf(t, { file: 'x' })
  const [text, code] = await shownBy(inTerminal(['prefetch', 'file'], cwd, { TERM: 'dumb' }))
  t.is(code, 0)
  t.regex(text, /^file: 1 B in memory, \d+\.\d\d s\r\n$/)
})

terminal(`a name that is longer than the line of the terminal is cut in the bar${terminally}`, async (t) => {
  const name = `${'宽'.repeat(50)}${'x'.repeat(50)}`
  const cwd = filesOf(t, { [name]: 'x' })
  const [text] = await shownBy(inTerminal(['prefetch', name], cwd))
  const bar = text.split('\r').find((part) => part.startsWith('[')) ?? ''
  const [, shown = ''] = /B {2}(宽*)<erase>$/.exec(bar) ?? []
  // A character of two columns has no room in the last one.
  const columns = bar.length - '<erase>'.length + shown.length
  t.true(columns === 78 || columns === 79, bar)
  t.true(text.includes(`<erase>${name}: 1 B`))
})

terminal(`Ctrl-C ends prefetch, which tidies up and says how far it came${terminally}`, async (t) => {
  const cwd = filesOf(t, { large: '', next: 'x' })
  fs.truncateSync(join(cwd, 'large'), 8 * 1024 * MiB)
  const child = inTerminal(['prefetch', 'large', 'next'], cwd)
  child.stdout.once('data', () => child.stdin.write('\u0003'))
  const [text, code] = await shownBy(child)
  t.regex(text, /\r<erase>mmap-native: large: interrupted at [\d.]+ [KMG]?i?B of 8\.0 GiB\r\n$/)
  t.is(code, 128 + 2)
})

if (process.platform !== 'win32') {
  test('who started prefetch hears that a signal has interrupted it', async (t) => {
    const cwd = filesOf(t, { small: 'x', large: '' })
    fs.truncateSync(join(cwd, 'large'), 8 * 1024 * MiB)
    const child = spawn(process.execPath, [CLI, 'prefetch', 'small', 'large'], { cwd, timeout: 60_000 })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdout.once('data', () => child.kill('SIGINT'))
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    t.deepEqual({ code, signal }, { code: null, signal: 'SIGINT' })
    t.regex(stderr, /^mmap-native: large: interrupted at [\d.]+ [KMG]?i?B of 8\.0 GiB\n$/)
  })
}

// ---- Files and pipes that fail ---------------------------------------------------------------------------------------

const ALL = [['residency'], ['residency', '--json'], ['prefetch'], ['evict'], ['find', 'x']]

for (const command of ALL) {
  const name = command.join(' ')
  const fails = command[0] === 'find' ? 2 : 1

  test(`${name}: what cannot be read is said, and the other files have their turn`, async (t) => {
    const cwd = filesOf(t, { one: 'x', two: 'x' })
    fs.mkdirSync(join(cwd, 'folder'))
    const { code, stdout, stderr } = await cli([...command, 'one', 'folder', 'missing', 'two'], { cwd })
    t.is(code, fails)
    t.is(
      stderr,
      'mmap-native: folder: illegal operation on a directory\nmmap-native: missing: no such file or directory\n',
    )
    t.regex(stdout, /\bone\b[^]*\btwo\b/)
  })

  test(`${name}: an empty file is one without bytes`, async (t) => {
    const cwd = filesOf(t, { empty: '' })
    const { code, stderr } = await cli([...command, 'empty'], { cwd })
    t.deepEqual({ code, stderr }, { code: command[0] === 'find' ? 1 : 0, stderr: '' })
  })

  test(`${name}: no name drives a terminal, or starts a line`, async (t) => {
    const name = `a\nb\t\u001b[31m\u009b\u202e\u007f`
    const shown = String.raw`a\nb\t\x1b[31m\x9b\u{202e}\x7f`
    const cwd = filesOf(t, { [name]: 'x', other: 'x' })
    const { stdout, stderr } = await cli([...command, name, 'other', `no ${name}`], { cwd })
    for (const text of [stdout, stderr]) t.notRegex(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
    t.is(stderr, `mmap-native: no ${shown}: no such file or directory\n`)
    if (command[1] === '--json')
      t.is((JSON.parse(stdout.split('\n')[0] as string) as { file: string }).file, name)
    else t.true(stdout.includes(shown))
  })
}

if (isLinux) {
  test('a pipe, a device and a file of /proc are said to be none that can be mapped, at once', async (t) => {
    const cwd = scratchFolder(t)
    t.is(spawnSync('mkfifo', ['pipe'], { cwd }).status, 0)
    const { code, stderr } = await cli(['find', 'x', 'pipe', '/dev/zero', '/proc/cpuinfo'], { cwd })
    t.is(code, 2)
    const lines = stderr.split('\n')
    for (const [index, name] of ['pipe', '/dev/zero', '/proc/cpuinfo'].entries())
      t.true(lines[index]?.startsWith(`mmap-native: ${name}: no such device (`), stderr)
  })
}

const noUnreadable =
  process.platform === 'win32'
    ? 'Windows has no permission bits'
    : isRoot && spawnSync(process.execPath, [CLI, '--version'], { uid: NOBODY, gid: NOBODY }).status !== 0
      ? 'root reads everything, and nobody else may run the program'
      : undefined
const unreadable = noUnreadable === undefined ? test : test.skip

unreadable(
  `a file that may not be read is said${noUnreadable ? ` (skipped: ${noUnreadable})` : ''}`,
  async (t) => {
    const cwd = filesOf(t, { secret: 'x', open: 'x' })
    fs.chmodSync(cwd, 0o755)
    fs.chmodSync(join(cwd, 'secret'), 0)
    const { code, stdout, stderr } = await cli(['find', 'x', 'secret', 'open'], {
      cwd,
      ...(isRoot ? { uid: NOBODY } : {}),
    })
    t.deepEqual(
      { code, stdout, stderr },
      { code: 2, stdout: 'open:0\n', stderr: 'mmap-native: secret: permission denied\n' },
    )
  },
)

test('a file that is truncated meanwhile is said, after what was found', async (t) => {
  const cwd = filesOf(t, { file: 'needle\n'.repeat(1_000_000), other: 'needle\n' })
  const child = spawn(process.execPath, [CLI, 'find', 'needle', 'file', 'other'], { cwd, timeout: 60_000 })
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  // It waits for a pipe that nobody reads on.
  await once(child.stdout, 'readable')
  fs.truncateSync(join(cwd, 'file'))
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  const [code] = (await once(child, 'close')) as [number | null]
  t.is(code, 2)
  t.regex(stderr, /^mmap-native: file: [^\n]+\n$/)
  t.notRegex(stderr, /Warning|ERR_/)
  t.true(stdout.startsWith('file:0\nfile:7\n'))
  t.true(stdout.endsWith('\nother:0\n'))
})

test('a reader that has had enough, as head has, ends the program without a word', async (t) => {
  const cwd = filesOf(t, { file: 'needle\n'.repeat(1_000_000) })
  for (const args of [['needle'], ['--lines', 'needle']]) {
    const child = spawn(process.execPath, [CLI, 'find', ...args, 'file'], { cwd, timeout: 60_000 })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdout.once('data', () => child.stdout.destroy())
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  }
})

if (isLinux) {
  test('standard output that takes nothing is an error', async (t) => {
    const cwd = filesOf(t, { file: 'x' })
    const stdout = fs.openSync('/dev/full', 'w')
    t.teardown(() => fs.closeSync(stdout))
    for (const args of [['--help'], ['find', 'x', 'file'], ['residency', 'file'], ['doctor']]) {
      const { code, stderr } = await cli(args, { cwd, stdout })
      t.is(code, 2)
      t.is(stderr, 'mmap-native: standard output: no space left on device\n')
    }
  })
}

terminal(`lines that are shown in a terminal do not drive it${terminally}`, async (t) => {
  const cwd = filesOf(t, { file: 'needle\t\u001b]0;title\u0007ä\n' })
  const [text] = await shownBy(inTerminal(['find', '--lines', 'needle', 'file'], cwd))
  t.is(text, '0:needle\t\\x1b]0;title\\x07ä\r\n')
})

// ---- doctor ----------------------------------------------------------------------------------------------------------

const rowsOf = (text: string) =>
  Object.fromEntries([...text.matchAll(/^(\w[\w ]*?) {2,}(.*)$/gm)].map(([, label, value]) => [label, value]))

test('doctor tells what there is, and that the package works', async (t) => {
  const { stdout, ...ending } = await cli(['doctor'])
  t.deepEqual(ending, { code: 0, signal: null, stderr: '' })
  const lines = stdout.trimEnd().split('\n')
  t.is(lines[0], `mmap-native ${version}`)
  t.regex(lines.at(-1) as string, /^ok: /)
  const rows = rowsOf(stdout)
  t.regex(rows['platform'] as string, new RegExp(`^${process.platform} ${process.arch}, `))
  t.is(rows['runtime'], `Node.js ${process.versions.node}`)
  t.regex(rows['binary'] as string, /native[\\/]mmap-native\.[\w-]+\.node$/)
  t.true(stdout.includes('it was built here'))
  t.is(rows['page size'], `${pageSize} bytes`)
  t.is(rows['fault guard'], 'on')
  const isShared = (() => {
    try {
      Mapping.anonymous(1, { views: 'shared' }).unmap()
      return true
    } catch {
      return false
    }
  })()
  t.true(rows['views']?.startsWith(isShared ? 'SharedArrayBuffer; ' : 'ArrayBuffer, '))
  if (!isLinux) return
  const limit = fs.readFileSync('/proc/sys/vm/max_map_count', 'utf8').trim()
  t.regex(rows['mappings'] as string, new RegExp(`^${limit} for a process .*; \\d+ are taken$`))
  t.true('locked memory' in rows)
})

if (isLinux) {
  test('doctor tells the limit of locked memory that it has itself', (t) => {
    const { stdout } = spawnSync('sh', ['-c', `ulimit -l 64; exec "${process.execPath}" "${CLI}" doctor`], {
      encoding: 'utf8',
    })
    t.is(rowsOf(stdout)['locked memory'], '64 KiB (RLIMIT_MEMLOCK, ulimit -l)')
  })
}

test('doctor says why there is no binary, with what it knows without one', async (t) => {
  const { code, stdout, stderr } = await cli(['doctor'], { env: { MMAP_NATIVE_BINARY: './nowhere.node' } })
  t.deepEqual({ code, stderr }, { code: 1, stderr: '' })
  const rows = rowsOf(stdout)
  t.is(rows['runtime'], `Node.js ${process.versions.node}`)
  t.false('binary' in rows)
  t.regex(stdout, /\nnot ok: [^\n]*MMAP_NATIVE_BINARY is \.\/nowhere\.node, which does not load: [^\n]*\n$/)
})

test('without a binary the other commands say so', async (t) => {
  const { code, stdout, stderr } = await cli(['residency', 'package.json'], {
    env: { MMAP_NATIVE_BINARY: './nowhere.node' },
  })
  t.deepEqual({ code, stdout }, { code: 2, stdout: '' })
  t.regex(stderr, /^mmap-native: [^\n]*MMAP_NATIVE_BINARY is \.\/nowhere\.node[^\n]*\n$/)
})

test('doctor says whether the binary was named or installed', async (t) => {
  const binary = fs.readdirSync(join(root, 'native')).find((file) => file.endsWith('.node')) as string
  const path = join(root, 'native', binary)
  const named = await cli(['doctor'], { env: { MMAP_NATIVE_BINARY: path } })
  t.is(rowsOf(named.stdout)['binary'], path)
  t.true(named.stdout.includes('the one that MMAP_NATIVE_BINARY names'))

  const folder = fs.realpathSync(scratchFolder(t))
  const home = join(folder, 'node_modules', 'mmap-native')
  fs.cpSync(join(root, 'dist'), join(home, 'dist'), { recursive: true })
  fs.cpSync(join(root, 'package.json'), join(home, 'package.json'))
  const platform = `mmap-native-${binary.slice('mmap-native.'.length, -'.node'.length)}`
  const its = join(folder, 'node_modules', platform)
  fs.mkdirSync(its)
  fs.writeFileSync(join(its, 'package.json'), JSON.stringify({ name: platform, version, main: binary }))
  fs.cpSync(path, join(its, binary))
  const installed = spawnSync(process.execPath, [join(home, 'dist', 'cli.js'), 'doctor'], {
    encoding: 'utf8',
  })
  t.is(installed.status, 0)
  t.is(rowsOf(installed.stdout)['binary'], join(its, binary))
  t.true(installed.stdout.includes('in the package for this platform'))
})
