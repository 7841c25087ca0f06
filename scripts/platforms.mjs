// The platforms that have a binary: the one place where they are listed. What else names them is made from here.
//
//   node scripts/platforms.mjs            writes npm/<platform>/, and `os` and `napi.targets` of package.json
//   node scripts/platforms.mjs --check    writes nothing, and fails if one of these is not what it would write

import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * `target` is the name that Rust has for the platform. `glibc` is the oldest version that a binary may ask for. `here`
 * is the target that stands in for it where its own linker is not to be had: the same code, for another C library.
 */
const table = [
  { name: 'linux-x64-gnu', target: 'x86_64-unknown-linux-gnu', glibc: '2.17' },
  { name: 'linux-x64-musl', target: 'x86_64-unknown-linux-musl' },
  { name: 'linux-arm64-gnu', target: 'aarch64-unknown-linux-gnu', glibc: '2.17' },
  { name: 'linux-arm64-musl', target: 'aarch64-unknown-linux-musl' },
  { name: 'linux-arm-gnueabihf', target: 'armv7-unknown-linux-gnueabihf', glibc: '2.17' },
  { name: 'linux-s390x-gnu', target: 's390x-unknown-linux-gnu', glibc: '2.17' },
  // The oldest glibc that zig has for it.
  { name: 'linux-ppc64-gnu', target: 'powerpc64le-unknown-linux-gnu', glibc: '2.19' },
  // The first glibc for it.
  { name: 'linux-riscv64-gnu', target: 'riscv64gc-unknown-linux-gnu', glibc: '2.27' },
  { name: 'win32-x64-msvc', target: 'x86_64-pc-windows-msvc', here: 'x86_64-pc-windows-gnu' },
  { name: 'win32-arm64-msvc', target: 'aarch64-pc-windows-msvc' },
  { name: 'darwin-x64', target: 'x86_64-apple-darwin' },
  { name: 'darwin-arm64', target: 'aarch64-apple-darwin' },
  { name: 'freebsd-x64', target: 'x86_64-unknown-freebsd' },
]

/** With `os`, `cpu` and `libc` as npm names them: the first two are what Node says of itself. */
export const platforms = table.map((row) => {
  const [os, cpu, abi] = row.name.split('-')
  const libc = os === 'linux' ? (abi === 'musl' ? 'musl' : 'glibc') : undefined
  return Object.assign(row, { os, cpu, libc, binary: `mmap-native.${row.name}.node` })
})

const root = fileURLToPath(new URL('..', import.meta.url))
const toJson = (value) => `${JSON.stringify(value, null, 2)}\n`

/** package.json with what is to be known of the platforms. */
function describe(manifest) {
  const os = [...new Set(platforms.map((platform) => platform.os))]
  const targets = platforms.map((platform) => platform.target)
  return { ...manifest, os, napi: { ...manifest.napi, targets } }
}

/** The package.json of a platform's package. What holds for all of them is that of the whole. */
function packageOf(
  { name, os, cpu, libc, binary },
  { version, description, keywords, license, repository, engines },
) {
  return {
    name: `mmap-native-${name}`,
    version,
    description,
    keywords,
    license,
    repository: { ...repository, directory: `npm/${name}` },
    main: binary,
    files: [binary],
    engines,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
  }
}

const readme = ({ name }) => `# mmap-native-${name}

The native binary of [mmap-native](https://github.com/mmap-native/mmap-native) for ${name}. It is installed with that package, as an optional
dependency, and is of no use without it.
`

/** Every file that is made from the table, and its text. */
function files() {
  const manifest = describe(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')))
  const made = new Map([['package.json', toJson(manifest)]])
  for (const platform of platforms) {
    made.set(join('npm', platform.name, 'package.json'), toJson(packageOf(platform, manifest)))
    made.set(join('npm', platform.name, 'README.md'), readme(platform))
  }
  return made
}

function main([option]) {
  const made = files()
  const stale = [...made].filter(([file, text]) => {
    const path = join(root, file)
    return !existsSync(path) || readFileSync(path, 'utf8') !== text
  })
  const extra = readdirSync(join(root, 'npm')).filter((name) => !platforms.some((one) => one.name === name))
  if (option === '--check') {
    const wrong = [...stale.map(([file]) => file), ...extra.map((name) => join('npm', name))]
    if (wrong.length > 0) {
      console.error(`not as scripts/platforms.mjs makes them: ${wrong.join(', ')}`)
      process.exitCode = 1
    }
    return
  }
  for (const name of extra) rmSync(join(root, 'npm', name), { recursive: true })
  for (const [file, text] of stale) {
    mkdirSync(join(root, file, '..'), { recursive: true })
    writeFileSync(join(root, file), text)
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main(process.argv.slice(2))
