// Makes the packages as they are published: one of JavaScript and types, and one for each platform.
//
//   node scripts/pack.mjs OUTPUT [BINARIES]    BINARIES: a folder with every mmap-native.<platform>.node; default: build/platforms
//
// Prints the paths of the tarballs, those of the platforms first: the order in which to publish them.

import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { platforms } from './platforms.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const [output, binaries = join(root, 'build', 'platforms')] = process.argv.slice(2)
if (output === undefined) {
  console.error('usage: node scripts/pack.mjs OUTPUT [BINARIES]')
  process.exit(1)
}

const read = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8'))

/** Lays out a package: the manifest, the licence, and files of others by their names in it. Returns its folder. */
function layOut(manifest, sources) {
  const stage = join(resolve(output), `.${manifest.name}`)
  rmSync(stage, { recursive: true, force: true })
  mkdirSync(stage, { recursive: true })
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  for (const [from, name] of sources) cpSync(from, join(stage, name), { recursive: true })
  copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'))
  return stage
}

/** Packs packages and returns the paths of the tarballs. */
function pack(stages) {
  const how = ['--ignore-scripts', '--loglevel=error', '--json', '--pack-destination', resolve(output)]
  const packed = JSON.parse(execFileSync('npm', ['pack', ...how, ...stages], { encoding: 'utf8' }))
  for (const stage of stages) rmSync(stage, { recursive: true })
  return packed.map(({ filename }) => join(resolve(output), filename))
}

if (!existsSync(join(root, 'dist', 'index.js'))) throw new Error('there is no dist: npm run build makes it')
mkdirSync(output, { recursive: true })
const missing = platforms.filter(({ binary }) => !existsSync(join(binaries, binary)))
if (missing.length > 0) {
  console.error(`no binary in ${binaries} for ${missing.map(({ name }) => name).join(', ')}`)
  process.exit(1)
}
const stages = platforms.map(({ name, binary }) =>
  layOut(read('npm', name, 'package.json'), [
    [join(binaries, binary), binary],
    [join(root, 'npm', name, 'README.md'), 'README.md'],
  ]),
)

// What only development needs stays behind, and with it every script.
const {
  scripts: _scripts,
  devDependencies: _dev,
  overrides: _overrides,
  napi: _napi,
  ava: _ava,
  prettier: _prettier,
  ...manifest
} = read('package.json')
const optionalDependencies = Object.fromEntries(
  platforms.map(({ name }) => [`mmap-native-${name}`, manifest.version]),
)
const sources = ['dist/index.js', 'dist/cli.js', 'index.d.ts', 'README.md'].map((name) => [
  join(root, name),
  name,
])
stages.push(layOut({ ...manifest, optionalDependencies }, sources))
for (const tarball of pack(stages)) console.log(tarball)
