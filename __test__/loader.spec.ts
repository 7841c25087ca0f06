import { parseTriple } from '@napi-rs/cli'
import test from 'ava'
import { spawnSync } from 'node:child_process'
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
import type { ExecutionContext } from 'ava'
import { runScript } from './support/child'

const root = process.cwd()
const { version } = readManifest('.') as { version: string }
const binary = readdirSync('native').find((file) => file.endsWith('.node'))
if (binary === undefined) throw new Error('there is no binary in native/')
const platform = binary.slice('mmap-native.'.length, -'.node'.length)
const binaryPath = join(root, 'native', binary)

/** A folder with the package as it is installed, without any binary. */
function installed(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'loader-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const home = join(folder, 'node_modules', 'mmap-native')
  cpSync(join(root, 'dist'), join(home, 'dist'), { recursive: true })
  cpSync(join(root, 'package.json'), join(home, 'package.json'))
  return folder
}

/** A package for the platform, in the same folder. */
function addBinary(folder: string, main: string, content: string | undefined): void {
  const home = join(folder, 'node_modules', `mmap-native-${platform}`)
  mkdirSync(home)
  writeFileSync(
    join(home, 'package.json'),
    JSON.stringify({ name: `mmap-native-${platform}`, version, main }),
  )
  if (content === undefined) cpSync(binaryPath, join(home, main))
  else writeFileSync(join(home, main), content)
}

/** The text of a script that makes the process say of itself what it is not. */
function pretend(properties: Record<string, string>): string {
  const descriptors = Object.entries(properties).map(([name, value]) => [name, { value }])
  return `Object.defineProperties(process, ${JSON.stringify(Object.fromEntries(descriptors))})`
}

function readManifest(folder: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
}

async function load(
  folder: string,
  { prelude = '', env = {}, nodeArgs = [] as string[] } = {},
): Promise<string> {
  const path = join(folder, 'node_modules', 'mmap-native')
  const script = `${prelude}
    try { console.log('loaded', require(${JSON.stringify(path)}).pageSize > 0) }
    catch (error) { console.log(error.code, error.message) }`
  const ending = await runScript(script, { nodeArgs, env })
  if (ending.code !== 0) throw new Error(`the child ended with ${JSON.stringify(ending)}`)
  return ending.stdout
}

test('the version in the code and of the crates is that of the package', (t) => {
  const source = readFileSync('src/native.ts', 'utf8')
  t.is(/const VERSION = '([^']+)'/.exec(source)?.[1], version)
  t.is(/^version = "([^"]+)"$/m.exec(readFileSync('Cargo.toml', 'utf8'))?.[1], version)
})

test('package.json and the packages of the platforms are those that scripts/platforms.mjs makes', (t) => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/platforms.mjs', '--check'], {
    encoding: 'utf8',
  })
  t.is(stderr, '')
  t.is(status, 0)
})

test('each platform has a package for its system, its CPU and its C library, and for nothing else', (t) => {
  const { napi, os } = readManifest('.') as unknown as { napi: { targets: string[] }; os: string[] }
  const targets = new Map(napi.targets.map((target) => [parseTriple(target).platformArchABI, target]))
  t.deepEqual([...targets.keys()].toSorted(), readdirSync('npm').toSorted())
  const { license, engines, repository } = readManifest('.')
  const systems = new Set<string>()
  for (const [name, target] of targets) {
    const { platform: system, arch, abi } = parseTriple(target)
    systems.add(system)
    const file = `mmap-native.${name}.node`
    const manifest = readManifest(join('npm', name))
    t.like(manifest, { name: `mmap-native-${name}`, version, main: file, files: [file] })
    t.like(manifest, { os: [system], cpu: [arch], license, engines })
    t.deepEqual(manifest['libc'], system === 'linux' ? [abi === 'musl' ? 'musl' : 'glibc'] : undefined)
    t.deepEqual(manifest['repository'], { ...(repository as object), directory: `npm/${name}` })
    t.is(manifest['scripts'], undefined)
    t.true(existsSync(join('npm', name, 'README.md')))
  }
  t.deepEqual(os.toSorted(), [...systems].toSorted())
})

test('the loader knows the platforms that have a package, and no others', async (t) => {
  const prelude = pretend({ platform: 'sunos' })
  const message = await load(installed(t), { prelude })
  const known = /there are ones for (.*)\. To use/.exec(message)?.[1]?.split(', ')
  t.deepEqual(known?.toSorted(), readdirSync('npm').toSorted())
})

/** What the beginning of a program for Linux says of its C library. */
const LOADERS = { gnu: '/lib64/ld-linux-x86-64.so.2', musl: '/lib/ld-musl-x86_64.so.1' }

for (const [system, arch, libc, name] of [
  ['linux', 'x64', 'gnu', 'linux-x64-gnu'],
  ['linux', 'x64', 'musl', 'linux-x64-musl'],
  ['linux', 'arm64', 'gnu', 'linux-arm64-gnu'],
  ['linux', 'arm64', 'musl', 'linux-arm64-musl'],
  ['linux', 'arm', 'gnu', 'linux-arm-gnueabihf'],
  ['linux', 's390x', 'gnu', 'linux-s390x-gnu'],
  ['linux', 'ppc64', 'gnu', 'linux-ppc64-gnu'],
  ['linux', 'riscv64', 'gnu', 'linux-riscv64-gnu'],
  ['win32', 'x64', 'gnu', 'win32-x64-msvc'],
  ['win32', 'arm64', 'gnu', 'win32-arm64-msvc'],
  ['darwin', 'x64', 'gnu', 'darwin-x64'],
  ['darwin', 'arm64', 'gnu', 'darwin-arm64'],
  ['freebsd', 'x64', 'gnu', 'freebsd-x64'],
] as const) {
  const where = system === 'linux' ? `${system}, ${arch}, ${libc}` : `${system}, ${arch}`
  test(`the package for ${where} is mmap-native-${name}`, async (t) => {
    const folder = installed(t)
    const program = join(folder, 'program')
    writeFileSync(program, `\x7fELF ${LOADERS[libc]}\0`)
    const message = await load(folder, { prelude: pretend({ platform: system, arch, execPath: program }) })
    t.true(message.includes(`the package mmap-native-${name} is not installed`), message)
  })
}

for (const [libc, version] of [
  ['gnu', '2.36'],
  ['musl', undefined],
] as const) {
  test(`a program that does not name its loader at its beginning says in its report that it runs on ${libc}`, async (t) => {
    const folder = installed(t)
    const program = join(folder, 'program')
    writeFileSync(program, '\x7fELF')
    const report = `{ getReport: () => ({ header: ${JSON.stringify({ glibcVersionRuntime: version })} }) }`
    const prelude = `${pretend({ platform: 'linux', arch: 'x64', execPath: program })}
      Object.defineProperty(process, 'report', { value: ${report} })`
    const message = await load(folder, { prelude })
    t.true(message.includes(`the package mmap-native-linux-x64-${libc} is not installed`), message)
  })
}

test('a program that may not be read, and the real report of this process, lead to its own package', async (t) => {
  const folder = installed(t)
  addBinary(folder, binary, undefined)
  t.is(await load(folder, { prelude: pretend({ execPath: join(folder, 'nothing') }) }), 'loaded true\n')
})

for (const [arch, libc, name] of [
  ['loong64', 'gnu', 'linux-loong64-gnu'],
  ['arm', 'musl', 'linux-arm-musl'],
] as const) {
  test(`there is no package for linux, ${arch}, ${libc}, and the error says so`, async (t) => {
    const folder = installed(t)
    const program = join(folder, 'program')
    writeFileSync(program, LOADERS[libc])
    const message = await load(folder, { prelude: pretend({ platform: 'linux', arch, execPath: program }) })
    t.true(message.includes(`there is none for ${name};`), message)
  })
}

test('a platform without a binary is an error that names it', async (t) => {
  const prelude = pretend({ platform: 'sunos' })
  t.regex(
    await load(installed(t), { prelude }),
    /^ERR_MMAP_NATIVE_BINARY .*there is none for sunos-\w+;.*MMAP_NATIVE_BINARY/,
  )
})

test('a package that is not installed is named, with what to do', async (t) => {
  const message = await load(installed(t))
  t.regex(message, /^ERR_MMAP_NATIVE_BINARY /)
  t.true(message.includes(`the package mmap-native-${platform} is not installed`))
  t.regex(message, /--omit=optional/)
  t.true(message.includes(`npm install mmap-native-${platform}@${version}`))
})

test('the package of the platform is loaded', async (t) => {
  const folder = installed(t)
  addBinary(folder, binary, undefined)
  t.is(await load(folder), 'loaded true\n')
})

test('a binary that is broken is an error that says so', async (t) => {
  const folder = installed(t)
  addBinary(folder, binary, 'no binary')
  const message = await load(folder)
  t.true(
    message.startsWith(
      `ERR_MMAP_NATIVE_BINARY mmap-native has no native binary here: mmap-native-${platform} does not load: `,
    ),
  )
})

test('a binary of another version is an error that names both', async (t) => {
  const folder = installed(t)
  addBinary(folder, 'binary.js', "exports.VERSION = '9.9.9'")
  t.true((await load(folder)).includes(`it is version 9.9.9, and ${version} is needed`))
})

test('MMAP_NATIVE_BINARY names a binary, and nothing else is tried', async (t) => {
  const folder = installed(t)
  t.is(await load(folder, { env: { MMAP_NATIVE_BINARY: binaryPath } }), 'loaded true\n')
  addBinary(folder, binary, undefined)
  const message = await load(folder, { env: { MMAP_NATIVE_BINARY: './nowhere.node' } })
  t.regex(message, /^ERR_MMAP_NATIVE_BINARY .*MMAP_NATIVE_BINARY is \.\/nowhere\.node, which does not load: /)
})

test("Node's permission model without --allow-addons is an error that says what to do", async (t) => {
  const major = Number(process.versions.node.split('.')[0])
  const model = major < 22 ? '--experimental-permission' : '--permission'
  const nodeArgs = [model, '--allow-fs-read=*', '--no-warnings']
  const folder = installed(t)
  addBinary(folder, binary, undefined)
  t.regex(await load(folder, { nodeArgs }), /^ERR_MMAP_NATIVE_BINARY .* run it with --allow-addons\./)
  if (major >= 22) t.is(await load(folder, { nodeArgs: [...nodeArgs, '--allow-addons'] }), 'loaded true\n')
})
