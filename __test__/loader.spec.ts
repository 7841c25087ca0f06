import test from 'ava'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { runScript } from './support/child'

const root = process.cwd()
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
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

test('the version in the code, of the crates and of the packages is one', (t) => {
  const source = readFileSync('src/native.ts', 'utf8')
  t.is(/const VERSION = '([^']+)'/.exec(source)?.[1], version)
  t.is(/^version = "([^"]+)"$/m.exec(readFileSync('Cargo.toml', 'utf8'))?.[1], version)
  for (const name of readdirSync('npm')) {
    const manifest = JSON.parse(readFileSync(join('npm', name, 'package.json'), 'utf8')) as Record<
      string,
      unknown
    >
    t.like(manifest, { name: `mmap-native-${name}`, version, main: `mmap-native.${name}.node` })
  }
})

test('the loader knows the platforms that have a package, and no others', async (t) => {
  const prelude = "Object.defineProperty(process, 'platform', { value: 'sunos' })"
  const message = await load(installed(t), { prelude })
  const known = /there are ones for (.*)\. To use/.exec(message)?.[1]?.split(', ')
  t.deepEqual(known?.toSorted(), readdirSync('npm').toSorted())
})

test('a platform without a binary is an error that names it', async (t) => {
  const prelude = "Object.defineProperty(process, 'platform', { value: 'sunos' })"
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
