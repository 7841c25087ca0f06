// The commands of the README on a fresh clone: each installs and builds what is missing or stale, then does its work.
//
//   node scripts/run.mjs start | test | build | lint | bench | examples [argument...]

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)
const OLDEST_RUST = [1, 88]

/** npm and the programs of packages are scripts on Windows, which only a shell starts. */
const asScript = { shell: process.platform === 'win32' }

/** Runs a command and ends this process if it fails. */
function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, { stdio: 'inherit', ...options })
  if (error) fail(`${command} does not start: ${error.message}`)
  if (status !== 0) process.exit(status ?? (signal ? 1 : 0))
}

/** Runs a program of a package among the dependencies. */
function bin(name, args, options) {
  run(join('node_modules', '.bin', name), args, { ...asScript, ...options })
}

function fail(message) {
  console.error(message)
  process.exit(1)
}

const hashOf = (...files) => {
  const hash = createHash('sha256')
  for (const file of files) hash.update(file).update(readFileSync(file))
  return hash.digest('hex')
}

/** Does `work` unless `stamp` says that it was done for these very inputs. */
function once(stamp, hash, work) {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return
  work()
  writeFileSync(stamp, hash)
}

function install() {
  once('node_modules/.installed', hashOf('package-lock.json'), () => {
    run('npm', ['ci', '--ignore-scripts', '--loglevel=error'], asScript)
  })
}

function checkRust() {
  const { stdout, error } = spawnSync('cargo', ['--version'], { encoding: 'utf8' })
  const wanted = `Rust ${OLDEST_RUST.join('.')} or newer is needed to build the addon: install it with rustup (https://rustup.rs)`
  if (error) fail(`${wanted}.`)
  const [, major, minor] = /cargo (\d+)\.(\d+)/.exec(stdout) ?? fail(`cargo --version says ${stdout}`)
  if (major * 1000 + Number(minor) < OLDEST_RUST[0] * 1000 + OLDEST_RUST[1])
    fail(`${wanted}; this is ${stdout.trim()}.`)
}

function buildAddon() {
  checkRust()
  const crate = ['--manifest-path', 'crates/node/Cargo.toml', '--package', 'mmap-native-node']
  const output = ['--output-dir', 'native', '--no-js', '--dts', 'binding.d.ts']
  bin('napi', ['build', '--release', '--platform', ...crate, ...output], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

/**
 * index.d.ts: the whole public API on one page, with the comments, which dist/ goes without: editors show them. And docs/api.md, which is
 * made of it.
 */
function buildTypes() {
  const names = readdirSync('src').filter((file) => file.endsWith('.ts'))
  const sources = names.map((file) => join('src', file))
  const configs = ['tsconfig.json', 'package-lock.json', 'scripts/run.mjs', 'scripts/api.mjs']
  const inputs = [...sources, ...configs, 'native/binding.d.ts', 'index.d.ts', 'docs/api.md']
  const hash = () => hashOf(...inputs.filter((file) => existsSync(file)))
  const stamp = 'dist/.types'
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash()) return
  bin('dts-bundle-generator', [
    '--silent',
    '--no-banner',
    '--sort',
    '--export-referenced-types=false',
    '-o',
    'index.d.ts',
    'src/index.ts',
  ])
  bin('prettier', ['--log-level=warn', '--write', 'index.d.ts'])
  run(process.execPath, ['scripts/api.mjs'])
  writeFileSync(stamp, hash())
}

function build() {
  install()
  buildAddon()
  bin('tsc', ['-p', 'tsconfig.json'])
  // One file: it loads in half the time that one for each module takes.
  const format = ['--bundle', '--platform=node', '--format=cjs', '--target=node20', '--log-level=warning']
  // A twentieth of what is installed is white space. Names stay as they are: stack traces have them. Lines are short: of an error that
  // nobody catches Node.js prints the line.
  const how = [...format, '--minify-whitespace', '--minify-syntax', '--line-limit=120']
  bin('esbuild', ['src/index.ts', ...how, '--outfile=dist/index.js'])
  bin('esbuild', ['src/cli/main.ts', ...how, '--external:mmap-native', '--outfile=dist/cli.js'])
  chmodSync('dist/cli.js', 0o755)
  buildTypes()
  bin('tsc', ['-p', 'tsconfig.build.json'])
}

const commands = {
  build,

  start(files) {
    build()
    // A file is named from where npm was called, and this runs at the root.
    const from = process.env.INIT_CWD ?? root
    run(process.execPath, ['build/examples/synopsis.js', ...files.map((file) => resolve(from, file))])
  },

  test(args) {
    build()
    // The core's tests ask the kernel what is mapped: one at a time, so that none maps what another has just unmapped.
    run('cargo', ['test', '--quiet', '--package', 'mmap-native-core', '--', '--test-threads=1'])
    bin('ava', args)
  },

  bench(args) {
    build()
    run(process.execPath, ['--expose-gc', 'build/bench/index.js', ...args])
  },

  /** Runs those that are named, or all; `--measure` measures them. */
  examples([first, ...rest]) {
    build()
    if (first === '--measure')
      return run(process.execPath, ['--expose-gc', 'build/examples/measure.js', ...rest])
    const known = readdirSync('examples')
      .filter((file) => file.endsWith('.ts') && file !== 'measure.ts')
      .map((file) => file.slice(0, -'.ts'.length))
    for (const name of first === undefined ? known : [first, ...rest]) {
      if (!known.includes(name)) fail(`there is no example '${name}'; there are: ${known.join(', ')}`)
      console.log(`\n${name}`)
      run(process.execPath, [`build/examples/${name}.js`])
    }
  },

  /** Formats, lints and types; then that the generated files are those of these sources. */
  lint() {
    install()
    run('cargo', ['fmt', '--check'])
    run('cargo', ['clippy', '--workspace', '--quiet', '--', '-D', 'warnings'])
    run('cargo', [
      'clippy',
      '--package',
      'mmap-native-core',
      '--all-targets',
      '--quiet',
      '--',
      '-D',
      'warnings',
    ])
    const generated = ['index.d.ts', 'native/binding.d.ts', 'docs/api.md']
    const before = generated.map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
    rmSync('dist', { recursive: true, force: true })
    build()
    const stale = generated.filter((file, index) => readFileSync(file, 'utf8') !== before[index])
    if (stale.length > 0) fail(`generated files were stale, and have been made anew: ${stale.join(', ')}`)
    bin('prettier', ['--log-level=warn', '--check', '.'])
    bin('oxlint', ['--deny-warnings'])
  },
}

const [command = '', ...args] = process.argv.slice(2)
const work = commands[command] ?? fail(`usage: node scripts/run.mjs ${Object.keys(commands).join(' | ')}`)
work(args)
