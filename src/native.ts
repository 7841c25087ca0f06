/** The native addon: finds the binary of this platform and loads it. Every other file gets it from here. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type * as Binding from '../native/binding'

/** That of package.json, and of the binaries that belong to it. */
const VERSION = '0.1.0'

/** The platforms that have a binary, by the names of their packages: see `scripts/platforms.mjs`. */
const PLATFORMS = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-arm-gnueabihf',
  'linux-s390x-gnu',
  'linux-ppc64-gnu',
  'linux-riscv64-gnu',
  'win32-x64-msvc',
  'win32-arm64-msvc',
  'darwin-x64',
  'darwin-arm64',
  'freebsd-x64',
]

type Failure = Error & { code?: unknown }

/** The first bytes of a file; empty if it may not be read. */
function beginning(path: string): Buffer {
  const head = Buffer.alloc(4096)
  try {
    const file = openSync(path, 'r')
    try {
      return head.subarray(0, readSync(file, head))
    } finally {
      closeSync(file)
    }
  } catch {
    return head.subarray(0, 0)
  }
}

/** Whether this process runs on musl. */
function isMusl(): boolean {
  // A program names its loader, most often right behind its headers: /lib/ld-musl-x86_64.so.1, /lib64/ld-linux-x86-64.so.2.
  const head = beginning(process.execPath)
  if (head.includes('/ld-musl-')) return true
  if (head.includes('/ld')) return false
  // One that was patched names it at its end, and the permission model may forbid to look. This is slower.
  const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined
  if (report === undefined) return false
  const { excludeNetwork = false } = report
  report.excludeNetwork = true // else it may look up names of hosts
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } }
  report.excludeNetwork = excludeNetwork
  return header.glibcVersionRuntime === undefined
}

/** What the package for this process is called behind `mmap-native-`, whether or not there is one. */
function platformName(): string {
  const { platform, arch } = process
  if (platform === 'win32') return `${platform}-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  if (isMusl()) return `${platform}-${arch}-musl`
  return `${platform}-${arch}-${arch === 'arm' ? 'gnueabihf' : 'gnu'}`
}

/** The binary that this process uses: its file, and why it is that one. */
export interface NativeBinary {
  /** The path of the file. */
  readonly path: string
  /** `'named'`: by MMAP_NATIVE_BINARY. `'built'`: from source, in the folder of the package. `'installed'`: with the package for this platform. */
  readonly origin: 'named' | 'built' | 'installed'
}

let loaded: NativeBinary | undefined

function checked(module: string, origin: NativeBinary['origin']): typeof Binding {
  const binding = require(module) as typeof Binding
  loaded = { path: require.resolve(module), origin }
  if (binding.VERSION === VERSION) return binding
  throw new Error(`it is version ${binding.VERSION}, and ${VERSION} is needed`)
}

/** What to do about a package that is there and does not load. */
function advice({ code, message }: Failure): string {
  if (code === 'ERR_DLOPEN_DISABLED')
    return " Node's permission model allows no addons: run it with --allow-addons."
  return /allow-ffi/.test(message) ? ' Run deno with --allow-ffi.' : ''
}

function failure(what: string, cause?: unknown): Error {
  const error = new Error(`mmap-native has no native binary here: ${what}`, { cause })
  return Object.assign(error, { code: 'ERR_MMAP_NATIVE_BINARY' })
}

/** Loads the binary of one platform; `undefined` if its package is not installed. */
function tryToLoad(name: string): typeof Binding | undefined {
  const local = join(__dirname, '..', 'native', `mmap-native.${name}.node`)
  const isBuilt = existsSync(local)
  const module = isBuilt ? local : `mmap-native-${name}`
  try {
    return checked(module, isBuilt ? 'built' : 'installed')
  } catch (cause) {
    const error = cause as Failure
    if (String(error.code).endsWith('MODULE_NOT_FOUND') && error.message.includes(module)) return undefined
    throw failure(`${module} does not load: ${error.message}.${advice(error)}`, cause)
  }
}

function load(): typeof Binding {
  const named = process.env['MMAP_NATIVE_BINARY']
  if (named) {
    try {
      return checked(resolve(named), 'named')
    } catch (cause) {
      const error = cause as Failure
      throw failure(
        `MMAP_NATIVE_BINARY is ${named}, which does not load: ${error.message}.${advice(error)}`,
        cause,
      )
    }
  }
  const name = platformName()
  if (!PLATFORMS.includes(name)) {
    throw failure(
      `there is none for ${name}; there are ones for ${PLATFORMS.join(', ')}. ` +
        'To use one that was built from source, name it in the environment variable MMAP_NATIVE_BINARY.',
    )
  }
  const binding = tryToLoad(name)
  if (binding !== undefined) return binding
  throw failure(
    `the package mmap-native-${name} is not installed. It is an optional dependency of mmap-native, which a package manager ` +
      'leaves out when it is told to (--omit=optional, --no-optional), or when the lockfile or node_modules was made on ' +
      `another platform. Install again without that and on this platform, or: npm install mmap-native-${name}@${VERSION}`,
  )
}

export const native = load()

/** The binary that this process uses. `npx mmap-native doctor` shows it, with the limits of the system. */
export const nativeBinary = Object.freeze(loaded as unknown as NativeBinary)
export type Handle = ReturnType<typeof native.mappingAnonymous>

/** As `mod open_flags` in `crates/node/src/mapping.rs`. */
export const OpenFlags = {
  create: 1,
  exclusive: 2,
  grow: 4,
  preallocate: 8,
  populate: 16,
  noReserve: 32,
  stack: 1 << 8,
  sync: 1 << 9,
} as const
