/** Memory that several processes share: what the arguments of {@link Mapping.shared} ask for. */
import { invalidArgType, invalidArgValue } from './errors'
import type { Fault } from './faults'
import { OpenFlags } from './native'
import * as validate from './validate'
import { VIEWS, type Views } from './views'

/** How to open an object for {@link Mapping.shared}. */
export interface SharedOptions {
  /** What the mapping allows. Default: `'write'`. */
  access?: 'read' | 'write'
  /**
   * Make the object if there is none (`true`), or fail with `EEXIST` if there is one (`'exclusive'`). Needs `length` and access `'write'`.
   * Default: `false`.
   */
  create?: boolean | 'exclusive'
  /** Let an object that is shorter grow to `length` bytes. Needs access `'write'`. Default: as `create`. */
  grow?: boolean
  /** Permission bits of an object that is made, less the umask. Default: `0o600`. */
  mode?: number
  /** Give memory to what grows, so that too little of it is `ENOSPC` now and not a fault later. Default: `true`. */
  preallocate?: boolean
  /** So many bytes of addresses are kept for {@link Mapping.resize}. Default: none beyond `length`. */
  maxLength?: number | bigint
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views
  /** As for {@link Mapping.open}. */
  onFault?: (fault: Fault) => void
}

/** The longest name, in bytes, without the slash. */
const LONGEST_NAME = process.platform === 'darwin' ? 30 : 255

/** The name of a shared memory object, with its slash. */
export function sharedName(name: unknown): string {
  if (typeof name !== 'string') throw invalidArgType('name', 'of type string', name)
  const bare = name.startsWith('/') ? name.slice(1) : name
  if (bare === '' || bare === '.' || bare === '..') throw invalidArgValue('name', 'must name an object', name)
  if (bare.includes('/')) throw invalidArgValue('name', 'must have no slash, but for one at its start', name)
  if (bare.includes('\0')) throw invalidArgValue('name', 'must be without null bytes', name)
  if (Buffer.byteLength(bare) > LONGEST_NAME) {
    throw invalidArgValue('name', `must have at most ${LONGEST_NAME} bytes here`, name)
  }
  return `/${bare}`
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
  const creates = create === 'exclusive' || validate.boolean('options.create', create)
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
    room: maxLength === undefined ? undefined : validate.integer('options.maxLength', maxLength),
    views,
    flags,
    mode: validate.integer('options.mode', mode, 0, 0o7777),
    onFault,
  }
}
