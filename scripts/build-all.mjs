// Builds the native binary of every platform that this machine can build for.
//
//   node scripts/build-all.mjs [--only PLATFORM]... [--output FOLDER] [--strict]
//
//   --only     a name of scripts/platforms.mjs; default: all of them
//   --output   where mmap-native.<platform>.node go; default: build/platforms, where scripts/pack.mjs looks
//   --strict   a platform that is skipped is a failure
//
// One line for each platform goes to standard output: "ok", with the size; "skipped" and why; or "FAILED". Then the counts.
//
// zig links for all systems but Windows; it has their C libraries, and glibc in each of its versions, so that a binary
// asks for no newer one than it has to. Rust's standard library is built from its source together with the addon: so it
// needs no copy of it for each platform, and is without the parts that print backtraces, a sixth of the addon. The source
// is that of the toolchain on the PATH (rustup component add rust-src) or the distribution's, which is installed where
// this is Debian, as root.
//
// What is installed and built is kept outside the repository: in $MMAP_NATIVE_CACHE or else mmap-native in the user's
// cache directory, about 3 GB. It is safe to delete.

import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { checkBinary } from './binary.mjs'
import { cache, installPackages, SKIPPED, skipped } from './machine.mjs'
import { platforms } from './platforms.mjs'

/** Exact versions, so that a build means the same tomorrow as it does today. */
const ZIG = ['ziglang==0.15.1', 'cargo-zigbuild==0.24.0']
const DEBIAN_RUST = ['rustc-web', 'cargo-web', 'rust-web-src']

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    output: { type: 'string', default: join('build', 'platforms') },
    strict: { type: 'boolean', default: false },
  },
})
const unknown = (options.only ?? []).filter((name) => !platforms.some((one) => one.name === name))
if (unknown.length > 0) {
  console.error(
    `unknown platform: ${unknown.join(', ')} (known: ${platforms.map((one) => one.name).join(', ')})`,
  )
  process.exit(1)
}
const output = resolve(options.output)

/** Runs a command whose output is for people, and throws if it fails. */
function run(command, args, env) {
  const { status, error, signal } = spawnSync(command, args, { stdio: ['ignore', 2, 2], env })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ended with ${signal ?? `exit code ${status}`}`)
}

const ask = (command, ...args) => {
  const { stdout, status } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

/** Calls `work` once and gives everybody what came of it, an error too. */
function once(work) {
  let result
  return () => {
    if (result === undefined) {
      try {
        result = { value: work() }
      } catch (error) {
        result = { error }
      }
    }
    if (result.error) throw result.error
    return result.value
  }
}

/** The folder of a compiler that has the source of its standard library. */
function findRust() {
  const onPath = ask('sh', '-c', 'command -v rustc')
  return [onPath && dirname(onPath), '/usr/bin'].find((bin) => {
    const sysroot = bin && ask(join(bin, 'rustc'), '--print', 'sysroot')
    return sysroot && existsSync(join(sysroot, 'lib/rustlib/src/rust/library/Cargo.lock'))
  })
}

const rust = once(() => {
  const bin = findRust()
  if (bin) return bin
  installPackages('no source of Rust’s standard library: rustup component add rust-src', DEBIAN_RUST)
  return findRust() ?? skipped(`${DEBIAN_RUST.join(', ')} brought no source of the standard library`)
})

/** The folder of zig and cargo-zigbuild. Both are Python packages with the program inside. */
const zig = once(() => {
  const target = join(cache, `zig-${ZIG.map((name) => name.split('==')[1]).join('-')}`)
  if (existsSync(target)) return target
  if (!ask('python3', '-m', 'pip', '--version')) installPackages('there is no pip', ['python3-pip'])
  const temp = `${target}.tmp-${process.pid}`
  try {
    run('python3', [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--target',
      temp,
      ...ZIG,
    ])
    renameSync(temp, target)
  } finally {
    rmSync(temp, { recursive: true, force: true })
  }
  return target
})

function flagsFor(os, libc) {
  const flags = []
  // What an old C library lacks is an error now, and not when the addon is loaded there.
  if (os === 'linux') flags.push('-C link-arg=-Wl,-z,defs')
  // Rust strips Mach-O with a program that few installations of it have; zig's linker needs none.
  if (os === 'darwin') flags.push('-C strip=none -C link-arg=-s')
  // musl is linked statically unless told otherwise, and then there are no shared libraries.
  if (libc === 'musl') flags.push('-C target-feature=-crt-static')
  return flags.join(' ')
}

/** Builds with zig as the linker, and returns the path of the library. */
function buildWithZig({ target, here = target, glibc, libc, os }) {
  if (os === 'win32')
    skipped('it takes Microsoft’s linker, and mingw for this CPU is not among the packages of Debian')
  const bin = rust()
  const tools = zig()
  const version = ask(join(bin, 'rustc'), '--version').split(' ')[1]
  const folder = join(cache, 'build', version)
  const env = {
    ...process.env,
    PATH: [bin, join(tools, 'bin'), process.env.PATH].join(':'),
    PYTHONPATH: tools,
    CARGO: join(bin, 'cargo'),
    RUSTC: join(bin, 'rustc'),
    CARGO_ZIGBUILD_ZIG_PATH: join(tools, 'ziglang', 'zig'),
    // For -Z, which a stable compiler takes from nobody else.
    RUSTC_BOOTSTRAP: '1',
    RUSTFLAGS: flagsFor(os, libc),
  }
  delete env.CARGO_TARGET_DIR
  delete env.CARGO_BUILD_TARGET
  const std = ['-Zbuild-std=std,panic_unwind', '-Zbuild-std-features=']
  const what = ['--release', '--locked', '--package', 'mmap-native-node', '--target-dir', folder]
  const triple = glibc ? `${here}.${glibc}` : here
  run(join(tools, 'bin', 'cargo-zigbuild'), ['zigbuild', ...what, ...std, '--target', triple], env)
  const file = { win32: 'mmap_native.dll', darwin: 'libmmap_native.dylib' }[os] ?? 'libmmap_native.so'
  return join(folder, here, 'release', file)
}

/** Builds with mingw: what the tests on Windows take. */
function buildWithMingw() {
  const script = join(root, 'scripts', 'test-windows.sh')
  return execFileSync(script, ['--build-only'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 2] }).trim()
}

function build(platform) {
  const built = platform.name === 'win32-x64-msvc' ? buildWithMingw() : buildWithZig(platform)
  const what = checkBinary(built, platform)
  mkdirSync(output, { recursive: true })
  copyFileSync(built, join(output, platform.binary))
  return platform.here ? `${what}, as ${platform.here}` : what
}

const counts = { ok: 0, failed: 0, skipped: 0 }
for (const platform of platforms.filter(({ name }) => options.only?.includes(name) ?? true)) {
  try {
    console.log(`ok ${platform.name}: ${build(platform)}`)
    counts.ok++
  } catch (error) {
    // What an earlier build left must not be taken for this one's.
    rmSync(join(output, platform.binary), { force: true })
    const wasSkipped = error.code === SKIPPED
    counts[wasSkipped ? 'skipped' : 'failed']++
    console.log(`${wasSkipped ? 'skipped' : 'FAILED'} ${platform.name}: ${error.message}`)
  }
}
console.log(`platforms: ${counts.ok} built, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed > 0 || (options.strict && counts.skipped > 0) ? 1 : 0
