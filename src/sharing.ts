/** Memory that several processes or threads share: what arguments of `Mapping` ask for, and tokens. */
import { closed, fromNative, invalidArgType, invalidArgValue, unavailable } from './errors'
import type { Fault } from './faults'
import { native, OpenFlags, type Handle } from './native'
import * as validate from './validate'
import { VIEWS, type Views } from './views'

/** How to open an object for {@link Mapping.shared}. */
export interface SharedOptions {
  /** What the mapping allows. Default: `'write'`. */
  access?: 'read' | 'write' | undefined
  /**
   * Make the object if there is none (`true`), or fail with `EEXIST` if there is one (`'exclusive'`). Needs `length` and access `'write'`.
   * Default: `false`.
   */
  create?: boolean | 'exclusive' | undefined
  /** Let an object that is shorter grow to `length` bytes. Needs access `'write'`. Default: as `create`. */
  grow?: boolean | undefined
  /** Permission bits of an object that is made, as a number or in octal digits, less the umask. Default: `0o600`. */
  mode?: number | string | undefined
  /** Give memory to what grows, so that too little of it is `ENOSPC` now and not a fault later. Default: `true`. */
  preallocate?: boolean | undefined
  /** So many bytes of addresses are kept for {@link Mapping.resize}. Default: none beyond `length`. */
  maxLength?: number | bigint | undefined
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
  /** As for {@link Mapping.open}. */
  onFault?: ((fault: Fault) => void) | undefined
}

/**
 * What a file can be sealed against, by whoever has it open.
 * - `'grow'`, `'shrink'`: getting longer or shorter.
 * - `'write'`: being written.
 * - `'future-write'`: being written but through writable mappings that exist already (Linux 5.1).
 * - `'seal'`: more seals.
 */
export type Seal = 'grow' | 'shrink' | 'write' | 'future-write' | 'seal'

/** How to make a file for {@link Mapping.memfd}. */
export interface MemfdOptions {
  /** What `/proc/PID/maps` and `/proc/PID/fd` call it, up to 249 bytes; it need not be the only one. Default: `'mmap-native'`. */
  name?: string | undefined
  /** What it is sealed against from the start. `'write'` cannot be among them, as it is mapped for writing. Default: nothing. */
  seal?: readonly Seal[] | undefined
  /** Take all of its memory now. Default: `false`: what is never touched costs nothing. */
  preallocate?: boolean | undefined
  /** So many bytes of addresses are kept for {@link Mapping.resize}. Default: none beyond `length`. */
  maxLength?: number | bigint | undefined
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
  /** As for {@link Mapping.open}. */
  onFault?: ((fault: Fault) => void) | undefined
}

/**
 * What names a mapping to the other threads of its process: of {@link Mapping.share}, for {@link Mapping.attach}. A plain object, which
 * `postMessage()`, `workerData` and `structuredClone()` copy. It is good in this process only, and does not keep the memory.
 */
export interface MappingToken {
  /** The version of the token. */
  readonly mmapNative: 1
  /** Its number. */
  readonly id: number
  /** Its secret. */
  readonly key: string
  /** The file, as it was named. */
  readonly path: string | Uint8Array | undefined
}

/** Options of {@link Mapping.attach}. */
export interface AttachOptions {
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
}

/** As `mod seal` in `crates/core/src/memfd.rs`: the kernel's numbers. */
const SEALS: Record<Seal, number> = { seal: 1, shrink: 2, grow: 4, write: 8, 'future-write': 16 }

/** The longest name of a memfd, in bytes. */
const LONGEST_MEMFD_NAME = 249

const isWindows = process.platform === 'win32'

/** The longest name, in bytes, without the slash. */
const LONGEST_NAME = process.platform === 'darwin' ? 30 : 255

/** What Windows has folders for names with: those of the user's session, and those of all sessions. */
const FOLDER = /^(Local|Global)\\/

/** The name of a shared memory object, with its slash. */
export function sharedName(name: unknown): string {
  if (typeof name !== 'string') throw invalidArgType('name', 'of type string', name)
  const whole = name.startsWith('/') ? name.slice(1) : name
  const bare = isWindows ? whole.replace(FOLDER, '') : whole
  if (bare === '' || bare === '.' || bare === '..') throw invalidArgValue('name', 'must name an object', name)
  if (bare.includes('/')) throw invalidArgValue('name', 'must have no slash, but for one at its start', name)
  if (isWindows && bare.includes('\\')) {
    throw invalidArgValue('name', "must have no backslash, but for that of 'Local\\' or 'Global\\'", name)
  }
  if (bare.includes('\0')) throw invalidArgValue('name', 'must be without null bytes', name)
  if (Buffer.byteLength(whole) > LONGEST_NAME) {
    throw invalidArgValue('name', `must have at most ${LONGEST_NAME} bytes here`, name)
  }
  return `/${whole}`
}

/** The arguments of {@link Mapping.shared}, checked. */
export function sharedRequest(givenName: unknown, givenLength: unknown, options: unknown) {
  const name = sharedName(givenName)
  const given = validate.options(options, [
    'access',
    'create',
    'grow',
    'mode',
    'preallocate',
    'maxLength',
    'views',
    'onFault',
  ])
  const { access: how = 'write', create = false, grow = create !== false } = given
  const { mode = 0o600, preallocate = true, maxLength, views: kind = 'auto' } = given
  const access = validate.oneOf('options.access', how, ['read', 'write'])
  const views = validate.oneOf('options.views', kind, VIEWS)
  const length = givenLength === undefined ? undefined : validate.integer('length', givenLength, 1)
  const creates = validate.creates('options.create', create)
  const grows = validate.boolean('options.grow', grow)
  if ((creates || grows) && access !== 'write') {
    throw invalidArgValue('options.access', "must be 'write' for an object to be made or to grow", access)
  }
  if ((creates || grows) && length === undefined) {
    throw invalidArgValue('length', 'must be given for an object to be made or to grow', length)
  }
  const flags =
    (creates ? OpenFlags.create : 0) |
    (create === 'exclusive' ? OpenFlags.exclusive : 0) |
    (grows ? OpenFlags.grow : 0) |
    (validate.boolean('options.preallocate', preallocate) ? OpenFlags.preallocate : 0)
  const onFault = validate.callback<(fault: Fault) => void>('options.onFault', given.onFault)
  return {
    name,
    access,
    length,
    room: validate.optionalInteger('options.maxLength', maxLength),
    views,
    flags,
    mode: validate.permissions('options.mode', mode),
    onFault,
  }
}

/** A list of seals as the kernel's bits. */
function sealBits(name: string, value: unknown): number {
  if (!Array.isArray(value)) throw invalidArgType(name, 'an instance of Array', value)
  const names = Object.keys(SEALS) as Seal[]
  return value.reduce<number>(
    (bits, one, index) => bits | SEALS[validate.oneOf(`${name}[${index}]`, one, names)],
    0,
  )
}

/** The argument of `Mapping.seal()`, checked. */
export function sealRequest(seals: unknown): number {
  if (process.platform !== 'linux') throw unavailable('seal()', 'only Linux has seals')
  return sealBits('seals', seals)
}

/** The kernel's bits as a list of seals. */
export function sealNames(bits: number): Seal[] {
  return (Object.keys(SEALS) as Seal[]).filter((name) => (bits & SEALS[name]) !== 0)
}

/** The arguments of {@link Mapping.memfd}, checked. */
export function memfdRequest(givenLength: unknown, options: unknown) {
  if (process.platform !== 'linux')
    throw unavailable('Mapping.memfd()', 'only Linux has files without a name')
  const given = validate.options(options, ['name', 'seal', 'preallocate', 'maxLength', 'views', 'onFault'])
  const { name = 'mmap-native', seal = [], preallocate = false, maxLength, views: kind = 'auto' } = given
  if (typeof name !== 'string') throw invalidArgType('options.name', 'of type string', name)
  if (name.includes('\0')) throw invalidArgValue('options.name', 'must be without null bytes', name)
  if (Buffer.byteLength(name) > LONGEST_MEMFD_NAME) {
    throw invalidArgValue('options.name', `must have at most ${LONGEST_MEMFD_NAME} bytes`, name)
  }
  return {
    name,
    length: validate.integer('length', givenLength, 1),
    room: validate.optionalInteger('options.maxLength', maxLength),
    seals: sealBits('options.seal', seal),
    flags:
      OpenFlags.grow | (validate.boolean('options.preallocate', preallocate) ? OpenFlags.preallocate : 0),
    views: validate.oneOf('options.views', kind, VIEWS),
    onFault: validate.callback<(fault: Fault) => void>('options.onFault', given.onFault),
  }
}

/** Nothing clones a symbol; the error shows what it says. */
const UNCLONEABLE = Symbol(
  'a Mapping is not cloned but shared: mapping.share() here, Mapping.attach(token) there',
)

/** Makes `structuredClone()` and `postMessage()` of an object fail: what they would make of it has no memory and no methods. */
export function forbidCloning(object: object): void {
  ;(object as { uncloneable?: symbol }).uncloneable = UNCLONEABLE
}

/** A token of the region of a mapping. */
export function tokenOf(handle: Handle, path: string | Buffer | undefined): MappingToken {
  const { id, key } = native.mappingShare(handle)
  // A Buffer of its own: what is cloned is all of the memory under it.
  return { mmapNative: 1, id, key, path: typeof path === 'object' ? Uint8Array.from(path) : path }
}

/** The arguments of {@link Mapping.attach}, checked. */
export function attachRequest(token: unknown, options: unknown) {
  const { views = 'auto' } = validate.options(options, ['views'])
  if (token === null || typeof token !== 'object') throw invalidArgType('token', 'of type object', token)
  const { mmapNative, id, key, path } = token as { [name in keyof MappingToken]?: unknown }
  const isPath = path === undefined || typeof path === 'string' || path instanceof Uint8Array
  if (
    mmapNative !== 1 ||
    !Number.isSafeInteger(id) ||
    (id as number) < 0 ||
    typeof key !== 'string' ||
    !isPath
  ) {
    throw invalidArgValue('token', 'must be what share() returned', token)
  }
  return {
    id: id as number,
    key,
    path: path instanceof Uint8Array ? Buffer.from(path) : path,
    views: validate.oneOf('options.views', views, VIEWS),
  }
}

/** The region of a token. */
export function attach(id: number, key: string, token: unknown): Handle {
  let handle: Handle | null
  try {
    handle = native.mappingAttach(id, key)
  } catch (error) {
    const known = fromNative(error) as NodeJS.ErrnoException
    if (known.code !== 'ERR_MAPPING_CLOSED') throw known
    throw closed('The mapping of the token was unmapped, or collected, before it was attached')
  }
  if (handle !== null) return handle
  const reason =
    'must be of share() in this process: a token of another process, or of another copy of the package, is none here'
  throw invalidArgValue('token', reason, token)
}
