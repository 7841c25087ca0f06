// Makes the packages as they are published: one of JavaScript and types, and one for each platform whose binary is at hand.
//
//   node scripts/pack.mjs OUTPUT [BINARIES]    BINARIES: a folder with mmap-native.<platform>.node; default: native
//
// Prints the paths of the tarballs, those of the platforms first: the order in which to publish them.

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [output, binaries = join(root, 'native')] = process.argv.slice(2)
if (output === undefined) {
  console.error('usage: node scripts/pack.mjs OUTPUT [BINARIES]')
  process.exit(1)
}

const read = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8'))

/** Packs a package: `files` of it are taken from `source`. */
function pack(manifest, sources) {
  const stage = join(resolve(output), `.${manifest.name}`)
  rmSync(stage, { recursive: true, force: true })
  mkdirSync(stage, { recursive: true })
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  for (const [from, name] of sources) cpSync(from, join(stage, name), { recursive: true })
  copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'))
  const args = [
    'pack',
    '--ignore-scripts',
    '--loglevel=error',
    '--json',
    '--pack-destination',
    resolve(output),
  ]
  const [{ filename }] = JSON.parse(execFileSync('npm', args, { cwd: stage, encoding: 'utf8' }))
  rmSync(stage, { recursive: true })
  return join(resolve(output), filename)
}

if (!existsSync(join(root, 'dist', 'index.js'))) throw new Error('there is no dist: npm run build makes it')
mkdirSync(output, { recursive: true })
const platforms = readdirSync(join(root, 'npm')).filter((name) =>
  existsSync(join(binaries, `mmap-native.${name}.node`)),
)
if (platforms.length === 0) throw new Error(`there is no binary in ${binaries}`)
for (const name of platforms) {
  const binary = `mmap-native.${name}.node`
  const sources = [
    [join(binaries, binary), binary],
    [join(root, 'npm', name, 'README.md'), 'README.md'],
  ]
  console.log(pack(read('npm', name, 'package.json'), sources))
}

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
  platforms.map((name) => [`mmap-native-${name}`, manifest.version]),
)
const sources = ['dist/index.js', 'dist/cli.js', 'index.d.ts', 'README.md'].map((name) => [
  join(root, name),
  name,
])
console.log(pack({ ...manifest, optionalDependencies }, sources))
