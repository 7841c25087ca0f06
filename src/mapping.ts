/** {@link Mapping}: a typed, disposable object over a mapped file or memory. */
import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { inspect, type InspectOptions } from 'node:util'
import * as advising from './advice'
import type { Advice, AdviseOptions } from './advice'
import * as chunking from './chunks'
import type { ChunksOptions } from './chunks'
import {
  closed,
  fromNative,
  illegalConstructor,
  invalidArgType,
  invalidArgValue,
  outOfRange,
  tooLarge,
} from './errors'
import { resizes } from './extent'
import * as faults from './faults'
import * as huge from './huge'
import type { HugePageSize } from './huge'
import { native, OpenFlags, type Handle } from './native'
import { inLanes, inPieces } from './pieces'
import * as residence from './residency'
import type { EvictOptions, Eviction, LockOptions, Residency, ResidencyOptions } from './residency'
import * as search from './search'
import type { FindOptions, LinesOptions } from './search'
import * as sharing from './sharing'
import type { AttachOptions, MappingToken, MemfdOptions, Seal, SharedOptions } from './sharing'
import { type MappingStat, statOf } from './stat'
import type { ReadStreamOptions } from './stream'
import * as validate from './validate'
import { LARGEST_VIEW, VIEWS, type Views, areShared, leadOf } from './views'
import * as waiting from './wait'
import type { WaitAsyncOptions, WaitOptions, WaitResult } from './wait'

/**
 * What a mapping allows. `'read'`: reading. `'write'`: reading and writing, into the file. `'copy'`: reading and
 * writing, but what is written stays in this process.
 */
export type Access = 'read' | 'write' | 'copy'

/** How to open a file for {@link Mapping.open}. */
export interface OpenOptions {
  /** What the mapping allows. Default: `'read'`. */
  access?: Access | undefined
  /** The first byte, any. Default: 0. */
  offset?: number | bigint | undefined
  /** Bytes. Default: all from `offset` to the end of the file. */
  length?: number | bigint | undefined
  /**
   * Make the file if there is none (`true`), or fail with `EEXIST` if there is one (`'exclusive'`). Lets the file grow, too:
   * without `length` a new file stays empty, and so is the mapping. Needs access `'write'`, and a path. Default: `false`.
   */
  create?: boolean | 'exclusive' | undefined
  /** Let the file grow to `offset + length` bytes. Needs access `'write'`. Default: as `create`. */
  grow?: boolean | undefined
  /** Permission bits of a file that is made, as a number or in octal digits. Default: `0o666`, less the umask. */
  mode?: number | string | undefined
  /**
   * Give disk blocks to what grows, so that a full disk is `ENOSPC` from `open()` and not a lost write later.
   * Default: `true`.
   */
  preallocate?: boolean | undefined
  /** Bring all pages into memory before returning (Linux). It blocks: {@link Mapping.prefetch} does not. Default: `false`. */
  populate?: boolean | undefined
  /**
   * Take addresses for a mapping of so many bytes. They cost no memory. {@link Mapping.resize} then never moves the mapping: views stay
   * valid, and `address` the same. More than that it cannot become. Default: none.
   */
  maxLength?: number | bigint | undefined
  /** Set no swap space aside for what is written (`MAP_NORESERVE`, Linux). Needs access `'copy'`. Default: `false`. */
  noReserve?: boolean | undefined
  /**
   * `'transparent'`: let the kernel put huge pages in the place of small ones (`MADV_HUGEPAGE`, Linux), for file systems that can: tmpfs, and
   * read-only files in some kernels. `EINVAL` from a kernel that makes none, unless with `{ size: 'transparent', fallback: true }`.
   */
  hugePages?: 'transparent' | { size: 'transparent'; fallback?: boolean | undefined } | undefined
  /**
   * Map with `MAP_SYNC` (Linux): what is written to a file on persistent memory (DAX) is there once the processor's caches are flushed, without
   * `flush()`. `ENOTSUP` (EOPNOTSUPP) for every other file, before anything is made or grows. Needs access `'write'`. Default: `false`.
   */
  mapSync?: boolean | undefined
  /**
   * Let {@link Mapping.unmap} wait until the device has what was written, as {@link Mapping.flushSync} does. If it cannot be stored, `unmap()` throws,
   * and the mapping stays with all that was written. A mapping that is dropped without `unmap()` is not waited for. Needs access `'write'`. Default:
   * `false`.
   */
  syncOnUnmap?: boolean | undefined
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
  /**
   * Called from the event loop for each fault of the mapping (see docs/safety.md), as long as the mapping or a buffer of it is in use.
   * Without it the process gives one warning with the code `MMAP_FAULT` for the mapping.
   */
  onFault?: ((fault: faults.Fault) => void) | undefined
}

/** How to make memory for {@link Mapping.anonymous}. */
export interface AnonymousOptions {
  /** Bring all pages into memory before returning (Linux; blocks). Default: `false`. */
  populate?: boolean | undefined
  /** Set no swap space aside: `length` may be larger than the machine (`MAP_NORESERVE`, Linux). Default: `false`. */
  noReserve?: boolean | undefined
  /** Take addresses for so many bytes, as for {@link Mapping.open}. Default: none. */
  maxLength?: number | bigint | undefined
  /**
   * Memory that is to be a stack (`MAP_STACK`): Linux (6.7) gives it no transparent huge pages. Nothing grows by itself: `MAP_GROWSDOWN` is
   * not offered, as what grows can run into what lies below. Default: `false`.
   */
  stack?: boolean | undefined
  /**
   * Larger pages, which cost the processor less to look up (Linux). `'transparent'`: the kernel puts huge ones in the place of small ones when
   * it has some. `'2MB'` and `'1GB'`: reserved ones (`/proc/sys/vm/nr_hugepages`), or an error. With `{ size, fallback: true }` those that there
   * are: the size, or else transparent ones, or else the system's; {@link Mapping.stat} tells which. Elsewhere than on Linux they need `fallback`.
   */
  hugePages?: HugePageSize | { size: HugePageSize; fallback?: boolean | undefined } | undefined
  /**
   * A name for the memory, shown as `[anon:name]` in `/proc/self/maps` (Linux 5.17, where it was built with CONFIG_ANON_VMA_NAME;
   * elsewhere it has no effect): 1 to 79 printable ASCII characters, without `` [ ] \\ $ ` ``.
   */
  name?: string | undefined
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
}

/**
 * What {@link Mapping.flush} waits for.
 * - `'sync'`: the device has what was written (`MS_SYNC`). It resolves only if all of it could be stored.
 * - `'async'`: it is on its way there (`MS_ASYNC`; on Linux that call does nothing, and sync_file_range(2) begins). Errors of the device are told
 *   by the next `'sync'`.
 * - `'invalidate'`: as `'sync'`, and then other mappings of the file show what it has, with access `'read'`, too (`MS_INVALIDATE`). On Linux they
 *   always do, and it only fails, with `EBUSY`, while a page is locked.
 */
export type FlushMode = 'sync' | 'async' | 'invalidate'

/** Options of {@link Mapping.flushSync}. */
export interface FlushSyncOptions {
  /** What is waited for. Default: `'sync'`. */
  mode?: FlushMode | undefined
}

/** Options of {@link Mapping.flush}. */
export interface FlushOptions extends FlushSyncOptions {
  /** Aborts between pieces of 64 MiB: what is written by then is written. */
  signal?: AbortSignal | undefined
}

/** Options of {@link Mapping.prefetch}. */
export interface PrefetchOptions {
  /** Aborts within a few milliseconds: what is in memory by then is in memory. */
  signal?: AbortSignal | undefined
  /**
   * Called from the event loop as the work goes on, every few milliseconds: how many bytes of the range are in memory, and how
   * many it has. The last call has the same number twice. What it throws ends the work and rejects the promise.
   */
  onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined
}

/** The constructor of a typed array or of DataView. */
export interface ViewConstructor<T> {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T
  /** Bytes of an element; a DataView has none. */
  readonly BYTES_PER_ELEMENT?: number
}

const TypedArray = Object.getPrototypeOf(Uint8Array) as abstract new () => NodeJS.TypedArray

const ACCESSES = ['read', 'write', 'copy'] as const
const RIGHTS = ['none', 'read', 'write'] as const
const PAGE = native.pageSize()
const FLUSH_MODES = ['sync', 'async', 'invalidate'] as const
const FLUSH_PIECE = 64 * 1024 * 1024

/** What a new Mapping is made of; only this file has one. */
interface Parts {
  handle: Handle
  offset: number
  access: Access
  views: Views
  path: string | Buffer | undefined
  syncOnUnmap?: boolean
}

const PARTS = Symbol('parts')

function isFileHandle(value: unknown): value is FileHandle {
  return typeof value === 'object' && value !== null && 'fd' in value && typeof value.fd === 'number'
}

/** What native code opens, and the path for messages. */
function source(file: unknown): { file: string | Uint8Array | number; path: string | Buffer | undefined } {
  if (typeof file === 'number') return { file: validate.fileDescriptor('file', file), path: undefined }
  if (isFileHandle(file)) return { file: validate.fileDescriptor('file.fd', file.fd), path: undefined }
  const path = file instanceof URL ? fileURLToPath(file) : file
  if (typeof path !== 'string' && !(path instanceof Uint8Array)) {
    throw invalidArgType('file', 'a string, a URL, a Buffer, a file descriptor, or a FileHandle', file)
  }
  if (typeof path === 'string' ? path.includes('\0') : path.includes(0)) {
    throw invalidArgValue('file', 'must be without null bytes', file)
  }
  return { file: path, path: typeof path === 'string' ? path : Buffer.from(path) }
}

/**
 * A range of bytes of a file, or of memory, mapped into the process.
 *
 * ```js
 * using mapping = Mapping.open('data.bin')
 * mapping.bytes.readUInt32LE(0)
 * ```
 *
 * `unmap()`, or the end of a `using` block, lets go of the file and its memory at once; a mapping that is dropped
 * without it is freed when it and its views have been collected. Views that are left over after `unmap()` read
 * zeros, or have length 0 with `views: 'detachable'`; they never reach memory of anybody else.
 *
 * A Mapping is not itself an array of bytes: `Buffer.from(mapping)` is zeros. Use `bytes`, or `read()` for a copy.
 *
 * Every method and view property throws `ERR_MAPPING_CLOSED` after `unmap()`.
 */
export class Mapping implements Disposable {
  /** Where in the file the mapping starts, in bytes. */
  readonly offset: number
  /** What the mapping allows. */
  readonly access: Access
  /** The file, as it was named to {@link Mapping.open}, or the name of {@link Mapping.shared}; `undefined` for a descriptor and for other memory. */
  readonly path: string | Buffer | undefined

  readonly #handle: Handle
  readonly #shared: boolean
  /** Whether `unmap()` detaches buffers. */
  readonly #detaches: boolean
  /** Whether `unmap()` stores what was written first. */
  readonly #syncs: boolean
  #closed = false
  /** Bytes, as of so many resizes in the process; and how often the mapping had moved by then. */
  #length: number
  #asOf: number
  #moves = 0
  #buffer: ArrayBuffer | SharedArrayBuffer | undefined
  #bytes: Buffer | undefined
  /** Buffers over parts, to detach when the mapping goes. */
  #detachable: WeakRef<ArrayBuffer>[] = []
  /** How many of them there may be before those that are gone are left out. */
  #detachableLimit = 64

  private constructor(key: symbol, parts: unknown) {
    if (key !== PARTS) throw illegalConstructor()
    const { handle, offset, access, views, path, syncOnUnmap = false } = parts as Parts
    this.#handle = handle
    sharing.forbidCloning(this)
    this.#shared = areShared(views)
    this.#detaches = views === 'detachable'
    this.#syncs = syncOnUnmap
    this.#asOf = resizes()
    this.#length = native.mappingLength(handle)
    this.offset = offset
    this.access = access
    this.path = path
  }

  /**
   * Maps a file, or a part of it, at any byte offset.
   *
   * An empty file gives an empty mapping. The file may be closed, renamed or removed afterwards: the mapping keeps
   * a descriptor of its own until {@link unmap}. What has no bytes to map is `ENODEV`: pipes, sockets, terminals, `/dev/zero`, the files of `/proc`.
   * A file that the call made is removed again when it fails.
   *
   * @param file a path, a file URL, a path as a Buffer, an open descriptor or a FileHandle. The latter two stay open, and yours; they have to
   *   be open for reading, and for access `'write'` for reading and writing
   * @throws system errors as `fs.open()` and mmap(2): `ENOENT`, `EACCES`, `EISDIR`, `ENODEV` for what cannot be mapped,
   *   `ENOMEM`, `ENOSPC` and `EFBIG` if the file cannot grow; `ERR_OUT_OF_RANGE` for a range that the file does not have;
   *   `ERR_INVALID_ARG_VALUE` for an option that does not exist, or does not go with the access
   * @see open(2), mmap(2)
   * @example
   * ```js
   * using mapping = Mapping.open('index.bin', { access: 'write', create: true, length: 1 << 30, syncOnUnmap: true })
   * ```
   */
  static open(file: string | URL | Buffer | number | FileHandle, options?: OpenOptions): Mapping {
    const given = validate.options(options, [
      'access',
      'offset',
      'length',
      'create',
      'grow',
      'mode',
      'preallocate',
      'populate',
      'maxLength',
      'noReserve',
      'hugePages',
      'mapSync',
      'syncOnUnmap',
      'views',
      'onFault',
    ])
    const what = source(file)
    const {
      access: how = 'read',
      offset: from = 0,
      length: size,
      create = false,
      grow = create !== false,
    } = given
    const {
      mode = 0o666,
      preallocate = true,
      populate = false,
      maxLength,
      views: kind = 'auto',
      onFault,
    } = given

    const access = validate.oneOf('options.access', how, ACCESSES)
    const views = validate.oneOf('options.views', kind, VIEWS)
    const offset = validate.integer('options.offset', from)
    const length = validate.optionalInteger('options.length', size)
    const room = validate.optionalInteger('options.maxLength', maxLength)
    const creates = validate.creates('options.create', create)
    const grows = validate.boolean('options.grow', grow)
    const permissions = validate.permissions('options.mode', mode)
    if ((creates || grows) && access !== 'write') {
      throw invalidArgValue('options.access', "must be 'write' for a file to be made or to grow", access)
    }
    if (creates && typeof what.file === 'number') {
      throw invalidArgValue('options.create', 'must not be given with an open file', create)
    }
    const { noReserve = false, mapSync = false, syncOnUnmap = false } = given
    const [reservesNothing, isSync, syncs] = [
      validate.boolean('options.noReserve', noReserve),
      validate.boolean('options.mapSync', mapSync),
      validate.boolean('options.syncOnUnmap', syncOnUnmap),
    ]
    if ((isSync || syncs) && access !== 'write') {
      throw invalidArgValue('options.access', "must be 'write' for mapSync and syncOnUnmap", access)
    }
    if (reservesNothing && access !== 'copy') {
      throw invalidArgValue('options.access', "must be 'copy' for noReserve", access)
    }
    const hugeFlags = huge.flags(given.hugePages, ['transparent'])
    if (isSync) huge.needsLinux('mapSync')
    const listener = validate.callback<(fault: faults.Fault) => void>('options.onFault', onFault)
    const flags =
      (creates ? OpenFlags.create : 0) |
      (create === 'exclusive' ? OpenFlags.exclusive : 0) |
      (grows ? OpenFlags.grow : 0) |
      (validate.boolean('options.preallocate', preallocate) ? OpenFlags.preallocate : 0) |
      (validate.boolean('options.populate', populate) ? OpenFlags.populate : 0) |
      (reservesNothing ? OpenFlags.noReserve : 0) |
      (isSync ? OpenFlags.sync : 0) |
      hugeFlags
    return Mapping.#make(
      { offset, access, views, path: what.path, syncOnUnmap: syncs, onFault: listener },
      () => native.mappingOpen(what.file, access, offset, length, flags, permissions, room),
      'options.',
    )
  }

  /**
   * Maps zeroed memory of this process, with access `'write'`. Memory that is never touched costs nothing.
   *
   * A size of huge pages that is not to be had fails: `ENOMEM` when too few are free, `EINVAL` when the system has none of that size. With `noReserve`
   * they are looked for when they are used, and a use without any is a fault: zeros, told.
   *
   * @param length bytes
   * @throws `ENOMEM`; `EINVAL`; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM` for `hugePages` without `fallback` elsewhere than on Linux
   * @see mmap(2), MAP_ANONYMOUS, MAP_HUGETLB; prctl(2), PR_SET_VMA_ANON_NAME
   * @example
   * ```js
   * const cache = Mapping.anonymous(1 << 30, { hugePages: { size: '2MB', fallback: true }, name: 'cache' })
   * cache.statSync().hugeBytes
   * ```
   */
  static anonymous(length: number | bigint, options?: AnonymousOptions): Mapping {
    const given = validate.options(options, [
      'populate',
      'noReserve',
      'stack',
      'hugePages',
      'name',
      'maxLength',
      'views',
    ])
    const { populate = false, noReserve = false, stack = false, maxLength, views: kind = 'auto' } = given
    const size = validate.integer('length', length)
    const room = validate.optionalInteger('options.maxLength', maxLength)
    const views = validate.oneOf('options.views', kind, VIEWS)
    const flags =
      (validate.boolean('options.populate', populate) ? OpenFlags.populate : 0) |
      (validate.boolean('options.noReserve', noReserve) ? OpenFlags.noReserve : 0) |
      (validate.boolean('options.stack', stack) ? OpenFlags.stack : 0) |
      huge.flags(given.hugePages, huge.SIZES)
    const name = huge.memoryName(given.name)
    return Mapping.#make({ access: 'write', views, path: undefined }, () =>
      native.mappingAnonymous(size, flags, room, name),
    )
  }

  /**
   * Opens shared memory by name: an object that every process of the system can open, and that stays, with its contents, until
   * {@link Mapping.unlinkShared} or the next start of the system; on Windows, until the last process has unmapped it or ended. What one process writes, the others see at once; faults, `flush()`, `refresh()`
   * and the rest are as for a file.
   *
   * An object is made before it has a length: who opens it in between gets `EAGAIN`, unless it may give it a length itself (`create: true`).
   *
   * Leftovers of processes that were killed: on Linux objects are the files in `/dev/shm`; `ls -l /dev/shm` lists them and `rm` removes them. Nothing
   * lists them on macOS. On Windows there are none. In a container `/dev/shm` has 64 MB unless `--shm-size` says otherwise.
   *
   * @param name a slash at its start may be left out, and there is no other; at most 255 bytes without it, on macOS 30. On Windows
   *   it is one of the user's session, unless it starts with `Global\`
   * @param length bytes, from the start of the object. Default: all of it.
   * @throws `ENOENT`, `EEXIST`, `EACCES`; `ENOSPC` if there is no memory for what grows; `EAGAIN` for an object that was made but has
   *   no length yet; `ERR_OUT_OF_RANGE` for a length that the object does not have, and may not grow to; `ERR_INVALID_ARG_VALUE` for what is no name:
   *   empty, `.` or `..`, with another slash, too long
   * @platform Linux; macOS, where an object gets its length once, in whole pages; Windows, where it keeps the length that it was made with
   *   (`grow`, `maxLength` and {@link resize} are `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`), who opens it sees whole pages, and `mode` has no effect.
   * @see shm_open(3), shm_overview(7)
   * @example
   * ```js
   * const mapping = Mapping.shared('/my-service', 1 << 20, { create: true })   // makes it, or takes the one that is there
   * const other = Mapping.shared('/my-service')                                // in another process: all of it
   * Mapping.unlinkShared('/my-service')                                        // the name goes; mappings stay
   * ```
   */
  static shared(name: string, length?: number | bigint, options?: SharedOptions): Mapping
  static shared(name: string, options: SharedOptions): Mapping
  static shared(name: string, length?: number | bigint | SharedOptions, options?: SharedOptions): Mapping {
    if (typeof length === 'object' && length !== null) return Mapping.shared(name, undefined, length)
    const request = sharing.sharedRequest(name, length, options)
    const { access, onFault, flags, mode } = request
    return Mapping.#make({ ...request, path: request.name, onFault }, () =>
      native.mappingShared(request.name, access, request.length, flags, mode, request.room),
    )
  }

  /**
   * Removes the name of shared memory. Who has it mapped keeps it; the memory goes with the last mapping of it.
   *
   * @throws `ENOENT`, `EACCES`; `ERR_INVALID_ARG_VALUE` for what is no name
   * @platform Linux, macOS. On Windows a name goes with the last mapping, and not before.
   * @see shm_unlink(3)
   */
  static unlinkShared(name: string): void {
    const checked = sharing.sharedName(name)
    try {
      native.unlinkShared(checked)
    } catch (error) {
      throw fromNative(error, checked)
    }
  }

  /**
   * Maps a new file without a name, in memory, with access `'write'`. Its descriptor, {@link fd}, can go to another process, which maps it
   * with `Mapping.open(fd)`; nobody else can open it. Nothing is left over: the file goes with the last mapping and descriptor of it.
   *
   * A file that is sealed against `'shrink'` cannot be truncated under a reader, whatever the process at the other end does.
   *
   * @param length bytes
   * @throws `ENOMEM`, `EMFILE`; `EBUSY` for `seal: ['write']`; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM` elsewhere than on Linux
   * @platform Linux.
   * @see memfd_create(2)
   * @example
   * ```js
   * using mapping = Mapping.memfd(1 << 20, { name: 'my memory', seal: ['shrink'] })
   * spawn('node', ['child.js'], { stdio: ['inherit', 'inherit', 'inherit', mapping.fd] })
   * // child.js: const mapping = Mapping.open(3, { access: 'write' })
   * ```
   */
  static memfd(length: number | bigint, options?: MemfdOptions): Mapping {
    const request = sharing.memfdRequest(length, options)
    const { name, length: size, seals, flags } = request
    return Mapping.#make({ ...request, access: 'write', path: undefined }, () =>
      native.mappingMemfd(name, size, seals, flags, request.room),
    )
  }

  /**
   * Another Mapping of the memory that {@link share} made the token of: in this thread or, sent there, in another one of the same process.
   * Nothing is opened or mapped: both are the same memory at the same address, with the same access. It costs some microseconds.
   *
   * Each of them is unmapped, or dropped, by itself, and the memory is unmapped with the last one: views that are left over in a thread
   * whose Mapping is unmapped go on to show it until then. A worker that ends lets go of its own; what it had opened stays for those who attached.
   * Faults are told in the thread that opened the mapping, and, when that one is done with it, in another that has it. Methods throw
   * `ERR_MAPPING_FAULT` wherever they are called.
   *
   * @throws `ERR_MAPPING_CLOSED` if all of them were unmapped or collected before; `ERR_INVALID_ARG_VALUE` for what is no token of
   *   this process, or of another copy of the package
   */
  static attach(token: MappingToken, options?: AttachOptions): Mapping {
    const { id, key, path, views } = sharing.attachRequest(token, options)
    areShared(views)
    faults.watch()
    const handle = sharing.attach(id, key, token)
    const [access, offset] = [native.mappingAccess(handle), native.mappingOffset(handle)]
    return new Mapping(PARTS, { handle, offset, access, views, path } satisfies Parts)
  }

  /** A mapping of what `open` returns. Arguments that native code names are those of `prefix`. */
  static #make(
    parts: Omit<Parts, 'handle' | 'offset'> & {
      offset?: number
      onFault?: ((fault: faults.Fault) => void) | undefined
    },
    open: () => Handle,
    prefix?: string,
  ): Mapping {
    areShared(parts.views)
    faults.watch()
    try {
      const { offset = 0, onFault, ...others } = parts
      const handle = open()
      const mapping = new Mapping(PARTS, { handle, offset, ...others } satisfies Parts)
      if (onFault !== undefined) faults.listen(mapping, native.mappingId(handle), onFault)
      return mapping
    } catch (error) {
      throw fromNative(error, parts.path, prefix)
    }
  }

  /** Bytes. {@link resize} changes it, in whatever thread it is called; `unmap()` does not. */
  get length(): number {
    if (resizes() !== this.#asOf) this.#renew()
    return this.#length
  }

  /** Whether the mapping was unmapped. */
  get closed(): boolean {
    return this.#closed
  }

  /**
   * The accesses to this mapping that the kernel refused, and that would have ended the process: a file truncated by
   * somebody else, a write to memory that may only be read, a view used after `unmap()`... They can be read after `unmap()`, too. See docs/safety.md.
   */
  get faults(): faults.Faults {
    return native.mappingFaults(this.#handle) as faults.Faults
  }

  /** The address of the first byte, for the POSIX calls; 0 for an empty mapping and after `unmap()`. */
  get address(): bigint {
    return this.#closed ? 0n : native.mappingAddress(this.#handle)
  }

  /**
   * The descriptor of the mapped file, to hand to a child process in `stdio` or to `fs`; -1 for memory without a file and for an empty
   * mapping. It belongs to the mapping, which closes it in `unmap()`: do not close it, and do not keep the number. A child has a
   * copy of its own.
   */
  get fd(): number {
    this.#check()
    return this.#native(() => native.mappingFd(this.#handle))
  }

  /**
   * What the mapped file is sealed against: a reader that finds `'shrink'` there knows that nobody can truncate it. Empty for
   * files that have no seals, and elsewhere than on Linux.
   *
   * @see fcntl(2), F_GET_SEALS
   */
  get seals(): Seal[] {
    this.#check()
    return sharing.sealNames(this.#native(() => native.mappingSeals(this.#handle)))
  }

  /**
   * Adds seals to the mapped file, which is one of {@link Mapping.memfd}: they hold in every process, and no seal is ever taken off.
   *
   * `'write'` is `EBUSY` as long as any process has the file mapped for writing, as this mapping has: `'future-write'` forbids all
   * writing but that. A mapping of a descriptor that is open for writing counts as one, even with access `'read'`. To seal against all
   * writing, open the file for reading, `Mapping.open('/proc/self/fd/' + mapping.fd)`, unmap the writable mapping, and seal the other.
   *
   * @throws `EBUSY`; `EPERM` if the file is sealed with `'seal'`; `EINVAL` for a file that cannot be sealed
   * @platform Linux.
   * @see fcntl(2), F_ADD_SEALS
   */
  seal(seals: readonly Seal[]): void {
    this.#check()
    const bits = sharing.sealRequest(seals)
    this.#native(() => native.mappingSeal(this.#handle, bits))
  }

  /**
   * The memory under {@link bytes}: a SharedArrayBuffer where the runtime can make one over mapped memory, otherwise
   * an ArrayBuffer (see the option `views`, and docs/views.md). If `offset` is not a multiple of 8 it starts `offset % 8` bytes before the mapping, so
   * that typed arrays over it can be aligned; `bytes.byteOffset` says so, and {@link view} allows for it.
   *
   * Made on first use and kept until the mapping has another length or moves.
   *
   * @throws `ERR_BUFFER_TOO_LARGE` if the mapping is larger than one view of this runtime spans: {@link view} and {@link read} reach every byte
   */
  get buffer(): ArrayBuffer | SharedArrayBuffer {
    this.#check()
    const length = this.length
    // One that somebody has transferred is replaced by another, too.
    if (this.#buffer?.byteLength === leadOf(this.offset) + length) return this.#buffer
    return this.#renewBuffer(length)
  }

  /**
   * All bytes of the mapping as a Buffer, without a copy. Made on first use and kept until the mapping has another length or moves. What is
   * written to it with access `'read'` stays in this process, and is a fault: see docs/safety.md.
   *
   * @throws `ERR_BUFFER_TOO_LARGE` if the mapping is larger than one view of this runtime spans
   * @example
   * ```js
   * mapping.bytes.readUInt32LE(0)                          // single numbers, of any byte order
   * mapping.bytes.subarray(64, 128).toString('latin1')
   * ```
   */
  get bytes(): Buffer {
    const bytes = this.#bytes
    // Nothing was resized, nor unmapped, nor transferred by somebody.
    if (bytes !== undefined && resizes() === this.#asOf && bytes.length === this.#length) return bytes
    const buffer = this.buffer as ArrayBuffer
    if (this.#bytes?.buffer !== buffer) this.#bytes = Buffer.from(buffer, leadOf(this.offset))
    return this.#bytes
  }

  /**
   * All bytes of the mapping as a DataView, without a copy.
   *
   * @throws `ERR_BUFFER_TOO_LARGE` if the mapping is larger than one view of this runtime spans
   */
  get dataView(): DataView {
    return new DataView(this.buffer, leadOf(this.offset))
  }

  /**
   * A part of the mapping as a typed array, a DataView or a Buffer, without a copy: of any part of a mapping of any size. Numbers are in
   * the byte order of the machine.
   *
   * It takes every typed array that the runtime has, Float16Array and BigInt64Array among them, and classes that extend one. Making a view costs
   * under a microsecond once the mapping has a buffer; keep views in hot loops. `examples/struct-of-arrays.ts` keeps a table in a file, an
   * array for each column.
   *
   * @param constructor `Float64Array`, `Uint8Array`, `DataView`, `Buffer`...
   * @param byteOffset where to start, in bytes from the start of the mapping. `offset + byteOffset` must be a multiple of the
   *   element size. Default: 0.
   * @param length elements; bytes for DataView and Buffer. Default: as many whole ones as there are.
   * @throws `ERR_OUT_OF_RANGE`; `ERR_INVALID_ARG_TYPE` for what is no view; `ERR_BUFFER_TOO_LARGE` for more than one view of the runtime spans
   * @example
   * ```js
   * const header = mapping.view(DataView, 0, 64)
   * const weights = mapping.view(Float32Array, 64, rows * columns)
   * const halves = mapping.view(Float16Array, 64 + weights.byteLength)      // Node.js 24, Bun, Deno
   * ```
   */
  view(constructor: typeof Buffer, byteOffset?: number | bigint, length?: number | bigint): Buffer
  view<T extends ArrayBufferView>(
    constructor: ViewConstructor<T>,
    byteOffset?: number | bigint,
    length?: number | bigint,
  ): T
  view(constructor: unknown, byteOffset: number | bigint = 0, length?: number | bigint): ArrayBufferView {
    this.#check()
    const Class = constructor as ViewConstructor<ArrayBufferView> & { prototype: unknown }
    const isTypedArray = typeof constructor === 'function' && Class.prototype instanceof TypedArray
    if (!isTypedArray && constructor !== DataView) {
      throw invalidArgType('constructor', 'a typed array constructor, DataView, or Buffer', constructor)
    }
    const size = (isTypedArray && Class.BYTES_PER_ELEMENT) || 1
    const whole = this.length
    const start = validate.integer('byteOffset', byteOffset, 0, whole)
    if ((this.offset + start) % size !== 0) {
      const where =
        this.offset % size === 0
          ? ''
          : ` from ${size - (this.offset % size)} on, as the mapping starts at offset ${this.offset}`
      throw outOfRange('byteOffset', `a multiple of ${size}${where}`, byteOffset)
    }
    const room = Math.floor((whole - start) / size)
    const count = length === undefined ? room : validate.integer('length', length, 0, room)

    const [buffer, at] = this.#window(start, count * size)
    // Another thread has cut bytes off since the length was asked for.
    if (at + count * size > buffer.byteLength)
      throw outOfRange('length', `<= ${this.length}`, start + count * size)
    if (Class.prototype instanceof Buffer || constructor === Buffer)
      return Buffer.from(buffer as ArrayBuffer, at, count)
    return new Class(buffer as ArrayBuffer, at, count)
  }

  /**
   * Copies bytes out of the mapping. Works for every part of a mapping of any size, in every runtime.
   *
   * @param position where to start, in bytes from the start of the mapping
   * @param length bytes to copy into a new Buffer
   * @returns the copy
   * @throws `ERR_OUT_OF_RANGE` if the mapping does not have these bytes, `ERR_MAPPING_FAULT` if the file has not
   * @example
   * ```js
   * mapping.read(0, 16)                          // a new Buffer
   * mapping.read(0, new Float64Array(2))         // into an array of yours, as many bytes as it has
   * ```
   */
  read(position: number | bigint, length: number | bigint): Buffer
  /**
   * Copies bytes out of the mapping into `target`, as many as it takes.
   *
   * @param position where to start, in bytes from the start of the mapping
   * @param target what to fill
   * @returns `target`
   * @throws `ERR_OUT_OF_RANGE` if the mapping does not have these bytes, `ERR_MAPPING_FAULT` if the file has not
   */
  read<T extends ArrayBufferView>(position: number | bigint, target: T): T
  read(position: number | bigint, into: unknown): ArrayBufferView {
    this.#check()
    const start = validate.integer('position', position, 0, this.length)
    const room = this.length - start
    const target = ArrayBuffer.isView(into)
      ? into
      : Buffer.allocUnsafe(validate.integer('length', into, 0, room))
    const bytes = validate.bytesOf('target', target)
    if (bytes.length > room) throw outOfRange('target.byteLength', `<= ${room}`, bytes.length)
    this.#native(() => native.mappingRead(this.#handle, start, bytes))
    return target
  }

  /**
   * Copies bytes into the mapping. The range is checked first: nothing is written if there is no room for all.
   *
   * @param data a string is written as UTF-8
   * @param position where to start, in bytes from the start of the mapping. Default: 0.
   * @returns the number of bytes written: all of `data`
   * @throws `EACCES` with access `'read'`; `ERR_OUT_OF_RANGE` if the mapping has no room for all of them; `ERR_MAPPING_FAULT` if a part
   *   of the range is not the file's: the rest is written
   * @example
   * ```js
   * mapping.write('hello', 100)
   * mapping.write(new Float64Array([1, 2]), 128)
   * ```
   */
  write(data: string | ArrayBufferView, position: number | bigint = 0): number {
    this.#check()
    const start = validate.integer('position', position, 0, this.length)
    const bytes =
      typeof data === 'string' ? Buffer.from(data) : validate.bytesOf('data', data, 'of type string or ')
    const room = this.length - start
    if (bytes.length > room) throw outOfRange('data.byteLength', `<= ${room}`, bytes.length)
    this.#native(() => native.mappingWrite(this.#handle, start, bytes))
    return bytes.length
  }

  /**
   * Fills a range, repeating `value`, at the speed of C: also where `bytes.fill()` is slow, over a SharedArrayBuffer.
   *
   * @param value a byte (a number, of which the lowest 8 bits count), a string (UTF-8) or bytes; an empty string stands for zeros
   * @param start in bytes from the start of the mapping. Default: 0.
   * @param end in bytes, not included. Default: the end of the mapping.
   * @returns this mapping
   * @throws `EACCES` with access `'read'`; `ERR_OUT_OF_RANGE`; `ERR_MAPPING_FAULT` if a part of the range is not the file's
   * @example
   * ```js
   * mapping.fill(0, 100, 200).fill('-=', 200, 300)
   * ```
   */
  fill(value: number | string | ArrayBufferView, start: number | bigint = 0, end?: number | bigint): this {
    this.#check()
    const from = validate.integer('start', start, 0, this.length)
    const to = end === undefined ? this.length : validate.integer('end', end, from, this.length)
    const pattern =
      typeof value === 'number'
        ? Uint8Array.of(validate.integer('value', value, Number.MIN_SAFE_INTEGER))
        : typeof value === 'string'
          ? Buffer.from(value)
          : validate.bytesOf('value', value, 'of type number or string or ')
    if (pattern.length === 0 && typeof value !== 'string')
      throw invalidArgValue('value', 'must not be empty', value)
    this.#native(() => native.mappingFill(this.#handle, pattern, from, to - from))
    return this
  }

  /**
   * Copies a range to another place of the mapping; the two may overlap.
   *
   * @param target where to copy to, in bytes from the start of the mapping
   * @param start where to copy from. Default: 0.
   * @param end where to stop, not included. Default: the end of the mapping. Only what fits behind `target` is copied.
   * @returns this mapping
   * @throws `EACCES` with access `'read'`; `ERR_OUT_OF_RANGE`; `ERR_MAPPING_FAULT` if a part of the range is not the file's
   * @example
   * ```js
   * mapping.copyWithin(0, 100, 200)
   * ```
   */
  copyWithin(target: number | bigint, start: number | bigint = 0, end?: number | bigint): this {
    this.#check()
    const to = validate.integer('target', target, 0, this.length)
    const from = validate.integer('start', start, 0, this.length)
    const stop = end === undefined ? this.length : validate.integer('end', end, from, this.length)
    const count = Math.min(stop - from, this.length - to)
    this.#native(() => native.mappingCopyWithin(this.#handle, to, from, count))
    return this
  }

  /**
   * The first place of `needle`, exactly as `Buffer.indexOf()` finds it, in a mapping of any length.
   *
   * A search goes through memory at its speed, up to several GB a second, and blocks the event loop until it ends: use
   * {@link find} for what may take long. The time is linear in the length of the mapping and of the needle, whatever they are.
   *
   * @param needle a string (UTF-8), bytes, or one byte (a number, of which the lowest 8 bits count). May lie in this mapping. An
   *   empty one is found at `from`.
   * @param from where to start, in bytes from the start of the mapping, or, if negative, from its end. Default: 0.
   * @returns bytes from the start of the mapping; -1 if it is not there
   * @throws `ERR_MAPPING_FAULT` if bytes that it had to look at are not the file's
   * @example
   * ```js
   * mapping.indexOf('needle')                    // -1 if it is not there
   * mapping.indexOf(10, -100)                    // a byte, in the last 100 bytes
   * ```
   */
  indexOf(needle: string | Uint8Array | number, from?: number | bigint): number {
    this.#check()
    const [bytes, start] = [search.needleOf(needle), search.first(from, this.length)]
    return this.#native(() => native.mappingIndexOf(this.#handle, bytes, start))
  }

  /**
   * The last place of `needle`, exactly as `Buffer.lastIndexOf()` finds it, in a mapping of any length. Otherwise as {@link indexOf}.
   *
   * @param needle a string (UTF-8), bytes, or one byte. An empty one is found at `from`.
   * @param from where the needle may start at the latest, in bytes from the start of the mapping, or, if negative, from its
   *   end. Default: the end of the mapping.
   * @returns bytes from the start of the mapping; -1 if it is not there
   * @throws `ERR_MAPPING_FAULT` if bytes that it had to look at are not the file's
   * @example
   * ```js
   * mapping.lastIndexOf(Buffer.from([0xff, 0]))
   * ```
   */
  lastIndexOf(needle: string | Uint8Array | number, from?: number | bigint): number {
    this.#check()
    const [bytes, start] = [search.needleOf(needle), search.last(from, this.length)]
    return this.#native(() => native.mappingLastIndexOf(this.#handle, bytes, start))
  }

  /** Whether {@link indexOf} finds `needle`. */
  includes(needle: string | Uint8Array | number, from?: number | bigint): boolean {
    return this.indexOf(needle, from) !== -1
  }

  /**
   * How often `needle` is in a range. Places that overlap the one counted before are not counted: `'aa'` is twice in `'aaaaa'`.
   * Blocks the event loop while it goes through the range.
   *
   * @param needle a string (UTF-8), bytes, or one byte. An empty one is counted at each offset, the end of the range included.
   * @param from where the range starts, as for `Buffer.subarray()`: in bytes, from the end of the mapping if negative. Default: 0.
   * @param to where it ends, not included, likewise. Default: the end of the mapping.
   * @throws `ERR_MAPPING_FAULT` if bytes of the range are not the file's
   * @example
   * ```js
   * mapping.count('\n')
   * ```
   */
  count(needle: string | Uint8Array | number, from?: number | bigint, to?: number | bigint): number {
    this.#check()
    const [bytes, [start, end]] = [search.needleOf(needle), search.range(from, to, this.length)]
    return this.#native(() => native.mappingCount(this.#handle, bytes, start, end))
  }

  /**
   * As {@link indexOf}, off the event loop: in the thread pool, in slices of 32 MiB (or of the length of the needle, if that is more),
   * with other work of the pool in between.
   *
   * `needle` is copied first. An abort is noticed when a slice ends; once aborted, the promise always rejects.
   *
   * @param needle a string (UTF-8), bytes, or one byte
   * @returns (resolves to) bytes from the start of the mapping; -1 if it is not there
   * @throws (rejects) `ERR_MAPPING_FAULT` if bytes that it had to look at are not the file's; `ERR_MAPPING_CLOSED` if the mapping is
   *   unmapped meanwhile; `AbortError`
   * @example
   * ```js
   * await mapping.find('needle', { from: 1000, signal: AbortSignal.timeout(1000) })
   * ```
   */
  async find(needle: string | Uint8Array | number, options?: FindOptions): Promise<number> {
    this.#check()
    const [bytes, request] = [search.needleOf(needle), search.findRequest(options, this.length)]
    try {
      return await search.find(this.#handle, bytes, request)
    } catch (error) {
      throw fromNative(error, this.path)
    }
  }

  /**
   * The lines of the mapping, one after the other. A line ends with `\n` or `\r\n`, which are not part of it; what follows the
   * last of them is a line if it has any bytes. A `\r` without `\n` behind it is a byte like any other.
   *
   * With `encoding` the lines are strings. Without it they are Buffers over the mapping, without a copy: what is written to one is
   * written to the mapping, and after `unmap()` they are as any view is. In a mapping that is larger than one view of this
   * runtime spans, they are over parts of it.
   *
   * Lines are looked up some 256 KiB ahead (a line longer than that, at once, which blocks until its end is found), so that
   * what is written there while the iteration goes on may not show in where they end. Looking for them blocks while pages come from the device.
   *
   * @throws `ERR_OUT_OF_RANGE`. The iterator throws `ERR_MAPPING_FAULT` when it comes to bytes that are not the file's,
   *   `ERR_MAPPING_CLOSED` after `unmap()`, and `ERR_BUFFER_TOO_LARGE` for a line larger than one view.
   * @example
   * ```js
   * for (const line of mapping.lines({ encoding: 'utf8' })) console.log(line)
   * ```
   */
  lines(options: LinesOptions & { encoding: BufferEncoding }): IterableIterator<string>
  lines(options?: LinesOptions & { encoding?: undefined }): IterableIterator<Buffer>
  lines(options?: LinesOptions): IterableIterator<Buffer | string>
  lines(options?: LinesOptions): IterableIterator<Buffer | string> {
    this.#check()
    const request = search.linesRequest(options, this.length)
    return search.lines(this, request, (start, table) =>
      this.#native(() => native.mappingLines(this.#handle, start, request.end, table)),
    )
  }

  /**
   * Writes changed pages to the file and resolves when the device has them. What is written to a mapping is the kernel's at once, and seen by
   * everybody who maps or reads the file; this is for what has to outlive a loss of power. Runs off the event loop, in pieces of 64 MiB. With access
   * `'read'` and `'copy'`, and for memory, there is nothing to write.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws (rejects) `EIO`, `ENOSPC`, `EDQUOT`; `EBUSY` for `'invalidate'` while a page is locked; `ERR_MAPPING_FAULT` if a part of the range
   *   could not be stored; `ERR_MAPPING_CLOSED` if the mapping is unmapped meanwhile; `AbortError`
   * @see msync(2), MS_SYNC, MS_ASYNC, MS_INVALIDATE
   * @example
   * ```js
   * await mapping.flush()                                    // the device has it
   * mapping.flushSync(0, 4096, { mode: 'async' })            // it is on its way
   * ```
   */
  async flush(offset?: number | bigint, length?: number | bigint, options?: FlushOptions): Promise<void>
  async flush(options: FlushOptions): Promise<void>
  async flush(
    offset?: number | bigint | FlushOptions,
    length?: number | bigint,
    options?: FlushOptions,
  ): Promise<void> {
    this.#check()
    if (typeof offset === 'object' && offset !== null) return this.flush(undefined, undefined, offset)
    const { mode: how = 'sync', signal: given } = validate.options(options, ['mode', 'signal'])
    const mode = validate.oneOf('options.mode', how, FLUSH_MODES)
    const signal = validate.signal('options.signal', given)
    const range = this.#range(offset, length)
    await inPieces(range.start, range.end, signal, async (at, rest) => {
      const length = Math.min(FLUSH_PIECE, rest)
      await this.#later(() => native.mappingFlush(this.#handle, at, length, mode))
      return length
    })
  }

  /**
   * As {@link flush}, on this thread.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws `EIO`, `ENOSPC`, `EDQUOT`; `EBUSY` for `'invalidate'` while a page is locked; `ERR_MAPPING_FAULT` if a part of the range could not be stored
   * @see msync(2), MS_SYNC, MS_ASYNC, MS_INVALIDATE
   */
  flushSync(offset?: number | bigint, length?: number | bigint, options?: FlushSyncOptions): void
  flushSync(options: FlushSyncOptions): void
  flushSync(
    offset?: number | bigint | FlushSyncOptions,
    length?: number | bigint,
    options?: FlushSyncOptions,
  ): void {
    this.#check()
    if (typeof offset === 'object' && offset !== null) return this.flushSync(undefined, undefined, offset)
    const { mode: how = 'sync' } = validate.options(options, ['mode'])
    const mode = validate.oneOf('options.mode', how, FLUSH_MODES)
    const { start, end } = this.#range(offset, length)
    this.#native(() => native.mappingFlushSync(this.#handle, start, end - start, mode))
  }

  /**
   * Brings a range into memory and resolves when it is there, so that the event loop does not wait for the device when it is
   * first used. Runs off the event loop, in pieces of a few milliseconds. Nothing is changed: pages of a file
   * are read, and not marked as written, whatever the access; memory of {@link Mapping.anonymous} is given.
   *
   * The kernel may take pages away again when memory is short: {@link lock} keeps them. Where it cannot populate (macOS, Linux before 5.14), one
   * byte of each page is read.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws (rejects) `ERR_MAPPING_FAULT` for bytes that are not in the file any more or that the device cannot deliver; `ENOMEM`;
   *   `EACCES` for pages without access; `ERR_MAPPING_CLOSED` if the mapping is unmapped meanwhile; `AbortError`
   * @see madvise(2), MADV_POPULATE_READ, MADV_WILLNEED
   * @example
   * ```js
   * await mapping.prefetch()
   * await mapping.prefetch(0, 1 << 20, { onProgress: (done, total) => console.log(done / total) })
   * ```
   */
  async prefetch(offset?: number | bigint, length?: number | bigint, options?: PrefetchOptions): Promise<void>
  async prefetch(options: PrefetchOptions): Promise<void>
  async prefetch(
    offset?: number | bigint | PrefetchOptions,
    length?: number | bigint,
    options?: PrefetchOptions,
  ): Promise<void> {
    this.#check()
    if (typeof offset === 'object' && offset !== null) return this.prefetch(undefined, undefined, offset)
    const given = validate.options(options, ['signal', 'onProgress'])
    const signal = validate.signal('options.signal', given.signal)
    const onProgress = validate.callback<NonNullable<PrefetchOptions['onProgress']>>(
      'options.onProgress',
      given.onProgress,
    )
    const { start, end } = this.#range(offset, length)
    let sum = 0
    let failed = false
    const piece = async (at: number, rest: number, ahead: number) => {
      const done = await this.#later(() => native.mappingPrefetch(this.#handle, at, rest, ahead))
      sum += done
      if (!failed) onProgress?.(sum, end - start)
      return done
    }
    await inLanes(start, end, async (from, to) => {
      try {
        await inPieces(from, to, signal, (at, rest) => piece(at, rest, end - to))
      } catch (error) {
        failed = true
        throw error
      }
    })
  }

  /**
   * A stream of the bytes of a range. Its chunks are views of the mapping, without a copy, and each is brought into memory off
   * the event loop before it is handed out.
   *
   * A chunk that is still in use when the mapping is unmapped reads as zeros or has length 0, as every view: unmap when its
   * consumer is done, not when the stream has ended. With access `'write'` and `'copy'`, writing to a chunk writes to the mapping.
   * Where the runtime allows no buffers over mapped memory (Electron), chunks are copies.
   *
   * @throws `ERR_OUT_OF_RANGE`. The stream ends with `ERR_MAPPING_CLOSED` if the mapping is unmapped before all is handed out, with
   *   `ERR_MAPPING_FAULT` at bytes that are not in the file any more, and with `AbortError`.
   * @see `fs.createReadStream()`
   * @example
   * ```js
   * await pipeline(mapping.createReadStream({ start: 1000 }), response)
   * ```
   */
  createReadStream(options?: ReadStreamOptions): Readable {
    this.#check()
    // Loaded when it is used first: streams are most of what this package would load.
    const { readStream } = require('./stream') as typeof import('./stream')
    return readStream(
      this,
      (at, length, ahead) => this.#later(() => native.mappingPrefetch(this.#handle, at, length, ahead)),
      options,
    )
  }

  /**
   * The bytes of the mapping in chunks of 64 KiB (the last one may have fewer): Buffers over the mapping, without a copy, as from
   * {@link chunks}.
   *
   * @example
   * ```js
   * for (const chunk of mapping) hash.update(chunk)
   * ```
   */
  [Symbol.iterator](): IterableIterator<Buffer> {
    return this.chunks()
  }

  /**
   * The bytes of a range in chunks: Buffers over the mapping, without a copy. What is written to one is written to the mapping, and
   * after `unmap()` they are as any view is. A chunk that is not in memory blocks when it is read: {@link createReadStream} does not.
   * Bytes that the file does not have any more read as zeros: look at {@link faults} afterwards.
   *
   * @throws `ERR_OUT_OF_RANGE`. The iterator throws `ERR_MAPPING_CLOSED` after `unmap()`.
   * @example
   * ```js
   * for (const record of mapping.chunks({ start: 16, size: 128 })) handle(record)
   * ```
   */
  chunks(options?: ChunksOptions): IterableIterator<Buffer> {
    this.#check()
    return chunking.chunks(this, chunking.chunksRequest(options, this.length))
  }

  /**
   * Whether the kernel that this process runs on knows an advice; `false` for what the platform does not have. The kernel may
   * still refuse it for pages of some kinds. macOS has the six that all systems have, and four of its own.
   *
   * @see madvise(2)
   */
  static supports(advice: Advice): boolean {
    return advising.supports(advising.named(advice))
  }

  /**
   * Tells the kernel how a range will be used, or what to do with its pages. It is the kernel's choice to follow.
   *
   * | advice | needs `destructive: true`, because |
   * | --- | --- |
   * | `'dontneed'`, `'dontneed-locked'` | with access `'copy'` and for memory what was written is gone. With `'read'` and `'write'` nothing is lost, and it is not needed |
   * | `'free'` | the kernel takes what was written, at a time of its choice |
   * | `'remove'` | the range is taken out of the file, for everybody: it reads as zeros |
   * | `'dontfork'`, `'wipeonfork'` | a child that is forked does not find the data. Node.js forks none without starting another program in it; addons may |
   * | all others | it is not needed: no byte changes |
   *
   * Advice that can lose data is given for the whole pages within the range, so that no byte outside it is lost; the ends of the mapping
   * count as ends of pages, but for `'remove'`, as the file goes on there. All other advice is given for all pages that hold a part of the range. What
   * a full disk could not take yet is never dropped: `ERR_MAPPING_FAULT`.
   *
   * It is given on this thread: `'populate-read'`, `'populate-write'`, `'collapse'` and `'pageout'` block until the kernel is done; `'dontneed'` takes
   * some 100 ms for each GiB in memory. {@link prefetch} populates, and {@link evict} drops pages, off the event loop.
   *
   * Not offered: `MADV_HWPOISON` and `MADV_SOFT_OFFLINE`, which take memory from the machine to test the kernel, and `MADV_GUARD_INSTALL`, which is
   * about rights and not about use. The raw {@link madvise} takes any number.
   *
   * @param advice the name of the platform's `MADV_*`, in lower case, with hyphens: `MADV_POPULATE_READ` is `'populate-read'`
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @returns the bytes of the pages that it was given for
   * @throws `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM` for an advice that the platform or the kernel does not have; `EPERM` without
   *   `destructive: true`; `EINVAL` for an advice that is not for pages of this kind (`'free'` for a file) or not while they are locked;
   *   `EACCES` for `'remove'` without access `'write'`; `EFAULT` when a page that is to be populated is not in the file any more; `ENOMEM`;
   *   `ERR_MAPPING_FAULT` if it would lose what a full disk could not take yet
   * @see madvise(2)
   * @example
   * ```js
   * mapping.advise('random')                               // no reading ahead
   * if (Mapping.supports('cold')) mapping.advise('cold', 0, 1 << 20)
   * scratch.advise('dontneed', { destructive: true })      // gives the memory back; it reads as zeros
   * ```
   */
  advise(advice: Advice, offset?: number | bigint, length?: number | bigint, options?: AdviseOptions): number
  advise(advice: Advice, options: AdviseOptions): number
  advise(
    advice: Advice,
    offset?: number | bigint | AdviseOptions,
    length?: number | bigint,
    options?: AdviseOptions,
  ): number {
    this.#check()
    if (typeof offset === 'object' && offset !== null)
      return this.advise(advice, undefined, undefined, offset)
    const { name, destructive } = advising.request(advice, options)
    const { start, end } = this.#range(offset, length)
    return this.#native(() => native.mappingAdvise(this.#handle, name, start, end - start, destructive))
  }

  /**
   * Which pages of a range are in memory, so that an access would not wait for a device. Nothing is read for it. Runs off the event
   * loop, in slices of a few milliseconds; other threads and processes change the answer meanwhile.
   *
   * For a file that the process may not write and whose owner it is not, Linux says of all pages that they are in memory, since 5.2.
   * Pages of memory without a file are in memory once they were touched, and not while they are swapped out. Pages of a file are in memory when
   * anybody has them: what this process has in its page tables is `residentBytes` of {@link stat}.
   *
   * It keeps a bit a page: a terabyte is 32 MiB of bitmap, and some 2 s where nothing is mapped.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws (rejects) `ERR_OUT_OF_RANGE`; `EAGAIN`, `ENOMEM`; `ERR_MAPPING_CLOSED` if the mapping is unmapped meanwhile; `AbortError`
   * @see mincore(2)
   * @example
   * ```js
   * const { residentBytes, residentPages, pages, ranges, bitmap } = await mapping.residency()
   * const isResident = (page) => (bitmap[page >> 3] >> (page & 7)) & 1
   * ```
   */
  async residency(
    offset?: number | bigint,
    length?: number | bigint,
    options?: ResidencyOptions,
  ): Promise<Residency>
  async residency(options: ResidencyOptions): Promise<Residency>
  async residency(
    offset?: number | bigint | ResidencyOptions,
    length?: number | bigint,
    options?: ResidencyOptions,
  ): Promise<Residency> {
    this.#check()
    if (typeof offset === 'object' && offset !== null) return this.residency(undefined, undefined, offset)
    const request = residence.request(options)
    const { start, end } = this.#range(offset, length)
    return residence.residency({ lead: this.offset, start, end }, request, (at, rest) =>
      this.#later(() => native.mappingResidency(this.#handle, at, rest)),
    )
  }

  /**
   * Brings a range into memory and keeps it there until {@link unlock}, `unmap()` or the end of the process: no access to it waits for a
   * device, and none of it is written to swap. Resolves when all of it is there; with `onFault` each page comes in, and is kept, when it is first used.
   *
   * Locks do not count up: one `unlock()` undoes any number of them. Pages are whole. With access `'copy'` each page gets its copy now. What was
   * locked when the call fails or is aborted stays locked.
   *
   * It runs off the event loop, in slices of a few milliseconds, because it reads from the device, and because the kernel takes some 100 ms
   * for each GiB even of pages that are in memory, during which nobody in the process can map memory, the runtime's heap included. It needs the limit
   * `RLIMIT_MEMLOCK` (8 MiB on most systems; `ulimit -l`) or CAP_IPC_LOCK.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws (rejects) `ENOMEM` beyond the limit `RLIMIT_MEMLOCK`, which the message has, and `EPERM` where that is 0 (a process with
   *   CAP_IPC_LOCK has no limit); `EAGAIN`; `ERR_MAPPING_FAULT` for bytes that are not in the file any more or that the device cannot deliver;
   *   `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM` for `onFault` elsewhere than on Linux; `ERR_MAPPING_CLOSED` if the mapping is unmapped
   *   meanwhile; `AbortError`
   * @platform all; `onFault`: Linux 4.4.
   * @see mlock(2), mlock2(2)
   * @example
   * ```js
   * await index.lock(0, 1 << 20)                 // the part that every request needs
   * await keys.lock({ onFault: true })           // each page from when it is first used
   * keys.unlock()
   * ```
   */
  async lock(offset?: number | bigint, length?: number | bigint, options?: LockOptions): Promise<void>
  async lock(options: LockOptions): Promise<void>
  async lock(
    offset?: number | bigint | LockOptions,
    length?: number | bigint,
    options?: LockOptions,
  ): Promise<void> {
    this.#check()
    if (typeof offset === 'object' && offset !== null) return this.lock(undefined, undefined, offset)
    const { onFault, signal } = residence.lockRequest(options)
    const { start, end } = this.#range(offset, length)
    await inPieces(start, end, signal, (at, rest) =>
      this.#later(() => native.mappingLock(this.#handle, at, rest, onFault)),
    )
  }

  /**
   * Lets the system take pages away again that {@link lock} kept: all that hold a part of the range. Pages that are not locked are no error.
   * On this thread, in steps: nothing is read or written for it; it takes about 100 ms for each GiB in memory, as `unmap()` of the same pages does.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws `ENOMEM` if the process has too many mappings
   * @see munlock(2)
   */
  unlock(offset?: number | bigint, length?: number | bigint): void {
    this.#check()
    const { start, end } = this.#range(offset, length)
    // Without a length, to the end as it is then: another thread may resize meanwhile.
    const rest = length === undefined ? undefined : end - start
    this.#native(() => native.mappingUnlock(this.#handle, start, rest))
  }

  /**
   * Takes the pages of a range from this process, and with `pageCache` from the page cache of the system, too, so that the next access reads
   * them from the device. Nothing is lost: what was written is in the page cache, and leaves it only when it is stored (`flush()`
   * first). Pages that other processes have mapped, or that the kernel is busy with, stay in the page cache; what a full disk could not take yet stays
   * in the process. Runs off the event loop, in pieces of a few milliseconds.
   *
   * For access `'read'` and `'write'`. Private pages (access `'copy'`, memory without a file) may hold what was written and are
   * refused: `advise('pageout')` swaps them out, and `advise('dontneed', { destructive: true })` throws them away.
   *
   * @param offset bytes from the start of the mapping. Default: 0. Pages that hold a part of the range are dropped from the process; the page
   *   cache keeps pages in larger units, and of those only whole ones go.
   * @param length bytes. Default: to the end.
   * @throws (rejects) `EINVAL` for private pages and for locked ones; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM` for `pageCache` elsewhere than
   *   on Linux; `ERR_MAPPING_CLOSED` if the mapping is unmapped meanwhile; `AbortError`
   * @platform Linux; macOS without `pageCache`.
   * @see madvise(2), MADV_DONTNEED; posix_fadvise(2), POSIX_FADV_DONTNEED
   * @example
   * ```js
   * await log.flush()                                        // what is not stored stays in the page cache
   * const { fromProcess, fromPageCache } = await log.evict({ pageCache: true })
   * ```
   */
  async evict(offset?: number | bigint, length?: number | bigint, options?: EvictOptions): Promise<Eviction>
  async evict(options: EvictOptions): Promise<Eviction>
  async evict(
    offset?: number | bigint | EvictOptions,
    length?: number | bigint,
    options?: EvictOptions,
  ): Promise<Eviction> {
    this.#check()
    if (typeof offset === 'object' && offset !== null) return this.evict(undefined, undefined, offset)
    const request = residence.evictRequest(options)
    const { start, end } = this.#range(offset, length)
    return residence.evict(start, end, request, (at, rest, behind) =>
      this.#later(() => native.mappingEvict(this.#handle, at, rest, behind, request.pageCache)),
    )
  }

  /**
   * Waits until somebody {@link notify notifies} the cell at `offset`, a 32-bit integer, if it has the value `expected`: in any thread of any
   * process that has the same file, shared memory or memfd mapped. Blocks the thread, without using the processor: in the main thread it is
   * refused without `allowMainThread`.
   *
   * Who changes the cell and then notifies misses nobody. Look at the cell again after `'ok'`: it may have changed again, or nobody may have
   * notified. It returns to JavaScript every 100 ms, so that a worker can be terminated meanwhile; a notification in the microseconds between, without a
   * change of the cell, finds nobody and says so (0). `Atomics.wait()` and `Atomics.notify()` are of one process, and know nothing of these.
   *
   * A message there and back between two processes takes 7 to 18 us with `wait()`, 53 to 160 us with `waitAsync()` on both sides, and 21 to 48 us with
   * `process.send()` (a busy machine with two processors, Node.js 20, one run for all). So for the shortest delay let a worker `wait()`;
   * `waitAsync()` is for event loops that have other things to do.
   *
   * @param offset bytes from the start of the mapping; with the mapping's own offset in the file a multiple of 4
   * @param expected the value, as a signed or an unsigned 32-bit integer
   * @returns `'ok'`, or `'not-equal'` if the cell has another value, or `'timed-out'`
   * @throws `ERR_INVALID_STATE` in the main thread unless that is allowed; `ERR_OUT_OF_RANGE`; `ERR_MAPPING_FAULT` if the cell is not in the
   *   file any more (a wait that had begun before goes on); `EACCES` for memory that may not be written; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`
   * @platform Linux; macOS 14.4.
   * @see futex(2), FUTEX_WAIT; `Atomics.wait()`
   */
  wait(offset: number | bigint, expected: number, options?: WaitOptions): WaitResult {
    this.#check()
    const at = waiting.cell(offset, this.length, this.offset)
    return this.#native(() => waiting.wait(this.#handle, at, expected, options))
  }

  /**
   * As {@link wait}, without blocking: a thread of the package sleeps for it, none of the runtime's pool. When it has returned, the wait has
   * begun: a {@link notify} of the next line finds it. A process can have 1024 of them at a time; four threads are kept for the next waits. When
   * {@link resize} moves the mapping its waits end with `'ok'`. On Linux before 5.16 and on macOS it looks every 20 ms whether it was ended.
   *
   * @returns (resolves to) `'ok'`, `'not-equal'` or `'timed-out'`
   * @throws (rejects) `ERR_MAPPING_CLOSED` if the mapping is unmapped meanwhile; `AbortError`; `EAGAIN` for too many waits;
   *   `ERR_MAPPING_FAULT`; `EACCES`; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`
   * @platform Linux; macOS 14.4.
   * @see futex(2); `Atomics.waitAsync()`
   * @example
   * ```js
   * const cell = mapping.view(Int32Array)                        // process A
   * while (Atomics.load(cell, 0) === 0) await mapping.waitAsync(0, 0)
   *
   * Atomics.store(cell, 0, 1)                                    // process B: first change, then notify
   * mapping.notify(0)
   * ```
   */
  async waitAsync(
    offset: number | bigint,
    expected: number,
    options?: WaitAsyncOptions,
  ): Promise<WaitResult> {
    this.#check()
    const at = waiting.cell(offset, this.length, this.offset)
    return this.#later(() => waiting.waitAsync(this, this.#handle, at, expected, options))
  }

  /**
   * Wakes those who wait for the cell at `offset`, in any thread of any process, the first to come first.
   *
   * @param offset as for {@link wait}
   * @param count how many at most. Default: all.
   * @returns how many were woken
   * @throws `EACCES` with access `'read'`: the kernel takes no such memory for this; `ERR_OUT_OF_RANGE`; `ERR_MAPPING_FAULT` if the cell is not in
   *   the file any more; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`
   * @platform Linux; macOS 14.4.
   * @see futex(2), FUTEX_WAKE; `Atomics.notify()`
   */
  notify(offset: number | bigint, count?: number): number {
    this.#check()
    const at = waiting.cell(offset, this.length, this.offset)
    const most = waiting.waiters(count)
    return this.#native(() => native.mappingNotify(this.#handle, at, most))
  }

  /**
   * A token by which another thread of this process attaches to the same memory: send it there, and call {@link Mapping.attach}.
   * It may be attached any number of times. It does not keep the memory: keep this mapping until the other thread has it. A Mapping itself
   * cannot be cloned: `postMessage(mapping)` is a `DataCloneError` that says so.
   *
   * It works in every runtime, whatever kind its views are. Where they are SharedArrayBuffers, {@link buffer} itself can be sent, too, without the
   * methods.
   *
   * @example
   * ```js
   * const worker = new Worker('./worker.js', { workerData: mapping.share() })
   * worker.once('exit', () => mapping.unmap())             // the mapping is kept until then; a token keeps nothing
   * // worker.js: const mapping = Mapping.attach(workerData)
   * ```
   */
  share(): MappingToken {
    this.#check()
    return this.#native(() => sharing.tokenOf(this.#handle, this.path))
  }

  /**
   * What the mapping really is, by the kernel's account and not by what was asked for: its protection and flags, what of it is in memory, changed,
   * locked, in huge pages or swapped out, and the size of its file now. Runs off the event loop.
   *
   * The figures are of `/proc/self/smaps`. The kernel counts pages one by one, 30 to 100 ms for each GiB in memory, and cannot be asked for one
   * mapping: those that lie below it in the address space are counted, too, and forgotten.
   *
   * @throws (rejects) `ERR_MAPPING_CLOSED`; errors of reading `/proc/self/smaps`
   * @see proc_pid_smaps(5)
   * @example
   * ```js
   * const stat = await mapping.stat()
   * stat.protection                     // { read: true, write: false, execute: false }: of all of it
   * stat.residentBytes; stat.dirtyBytes; stat.hugeBytes; stat.swappedBytes; stat.lockedBytes
   * stat.flags                          // ['readable', 'may-share', 'sequential', ...]
   * stat.fileSize; stat.truncated       // now
   * ```
   */
  async stat(): Promise<MappingStat> {
    return statOf(await this.#later(() => native.mappingStat(this.#handle)), this)
  }

  /**
   * As {@link stat}, on this thread.
   *
   * @throws `ERR_MAPPING_CLOSED`; errors of reading `/proc/self/smaps`
   */
  statSync(): MappingStat {
    this.#check()
    return statOf(
      this.#native(() => native.mappingStatSync(this.#handle)),
      this,
    )
  }

  /**
   * Makes all pages the file's again that faults had replaced by others: after a file that was truncated has grown
   * back. Views stay valid. What was written to such pages and not stored is lost. See docs/safety.md#after-a-fault.
   *
   * @throws `ENOMEM`
   */
  refresh(): void {
    this.#check()
    this.#native(() => native.mappingRefresh(this.#handle))
  }

  /**
   * Gives the mapping, and its file, another length. What is added is zeros, or what the file has there.
   *
   * | | access `'write'` | access `'read'` | access `'copy'` | memory |
   * | --- | --- | --- | --- | --- |
   * | more | the file grows if it has to | up to the end of the file | up to the end of the file | zeros |
   * | less | the file shrinks, if it ends where the mapping does | the file stays | the file stays; what was written is lost | zeros when it returns |
   *
   * **Room.** The option `maxLength` takes addresses, which cost no memory: the mapping never moves, and is never longer. Without it a mapping goes
   * back to any length that it had before in place; for more it takes addresses behind it if they are free, and otherwise **moves**, to twice the
   * room that it needs: {@link address} is another.
   *
   * **Views.** Those that were handed out keep their length and show the same memory; {@link bytes}, {@link buffer} and {@link dataView} are new ones, of
   * the new length. Where bytes are cut off, older views read zeros (a fault of the kind `'closed'`), and have the bytes again when the mapping has. When
   * it moves, all older views read zeros, as after `unmap()`; with `views: 'detachable'` their length is 0. A move lets go of what faults had put in the
   * place of pages of a file, as {@link refresh} does.
   *
   * **Threads.** A method that another thread has under way on the mapping is waited for. `flush`, `find` and `prefetch` in the thread pool go on with what
   * there is; what was cut off is `ERR_OUT_OF_RANGE`, as it is for `lines()` and streams. What a thread writes through a view while another moves the
   * mapping may be lost, and is told.
   *
   * **Cost.** Growing gives a file its blocks (fallocate(2)), unless the option `preallocate` was `false`; pages are added with one `mmap`. Shrinking is one
   * `ftruncate`. Moving copies nothing on Linux. Ten thousand resizes leave as many mappings as one.
   *
   * **Not followed.** {@link protect} and advice are for the pages that there are: those added allow what the mapping does. A page of a `'copy'` that
   * was written does not show what others append to it.
   *
   * @param length bytes. Default: up to the end of the file, as it is now, to follow a file that others write.
   * @returns the length
   * @throws `ERR_OUT_OF_RANGE` for more than `maxLength`, or than a file has that may not grow; `ENOSPC`, `EDQUOT`; `EFBIG`, also for `RLIMIT_FSIZE`,
   *   whose signal would end the process; `EPERM` for a sealed or append-only file; `EIO`, `ENOMEM`; `ENOTSUP` for huge pages; `ERR_MAPPING_FAULT` if a
   *   mapping would move that has bytes which the file could not take. Mapping and file are then as before.
   * @platform Linux (private memory moves on 5.7 and newer, a `'copy'` on 5.13 and newer); macOS, where memory is copied when it moves;
   *   Windows, where a file without `maxLength` always moves, and does not shrink while somebody else has it mapped (`EBUSY`).
   * @see ftruncate(2), fallocate(2), mmap(2), mremap(2)
   * @example
   * ```js
   * using table = Mapping.open('table.bin', { access: 'write', create: true, maxLength: 2 ** 40 })
   * const before = table.bytes
   * table.resize(table.length + 4096)     // table.address is the same, table.bytes is longer; `before` shows the same memory
   *
   * using log = Mapping.open('app.log', { maxLength: 2 ** 40 })
   * log.resize()                          // what was appended is there
   * ```
   */
  resize(length?: number | bigint): number {
    this.#check()
    const bytes = length === undefined ? undefined : validate.integer('length', length)
    this.#native(() => native.mappingResize(this.#handle, bytes))
    return this.length
  }

  /**
   * Sets what may be done with a range of pages: `'none'`, `'read'`, or `'write'` (and read). One system call; each border between rights is one more
   * mapping of the process. `mprotect()` on the same pages is the same thing.
   *
   * Methods refuse with `EACCES` what the pages do not allow, before they touch anything. A search needs all of its range, whatever it would find first.
   *
   * Views cannot throw: there it is a fault, which the process survives. A write to pages that may only be read stays in this process (kind
   * `'read-only'`), and methods say so with `ERR_MAPPING_FAULT` until {@link refresh}; with access `'copy'` and in memory, where it is nobody else's, it is
   * just told. Pages without access become readable (kind `'protected'`) until they are protected again, and a write is then one to pages that may only be
   * read. With the fault guard off either ends the process.
   *
   * @param access what the pages allow; not more than the access of the mapping
   * @param offset bytes from the start of the mapping. A page of the file starts there (`mapping.offset + offset` is a multiple of the
   *   page size), or the mapping does. Default: 0.
   * @param length bytes. The range ends where a page does, or the mapping. Default: to the end. Pages are protected as a whole, those
   *   at the ends of the mapping, too.
   * @throws `ERR_OUT_OF_RANGE` for a range that is not of whole pages; `EACCES` for `'write'` with access `'read'`; `ENOMEM` when the process has too many
   *   mappings; `ERR_MAPPING_FAULT` for pages with bytes that a full disk could not take yet
   * @see mprotect(2)
   * @example
   * ```js
   * using mapping = Mapping.open('state.bin', { access: 'write' })
   * mapping.protect('read', 0, pageSize)   // the header is not to be written
   * mapping.write('x', 0)                  // EACCES: permission denied, write 'state.bin' (protect() lets no byte be written from 0 on)
   * mapping.bytes[0] = 1                   // survives; the file does not see it; mapping.faults has { kind: 'read-only', offset: 0, ... }
   * ```
   */
  protect(access: 'none' | 'read' | 'write', offset?: number | bigint, length?: number | bigint): void {
    this.#check()
    const rights = validate.oneOf('access', access, RIGHTS)
    const { start, end } = this.#range(offset, length)
    this.#checkBorder('offset', start, offset)
    this.#checkBorder('offset + length', end, end)
    const rest = length === undefined ? undefined : end - start
    this.#native(() => native.mappingProtect(this.#handle, rights, start, rest))
  }

  /**
   * Lets go of the file and its memory at once. A second call does nothing.
   *
   * What was written is not lost: the kernel has it, as after `fs.write()`. To know that it is on the device, {@link flush} first, or open with
   * `syncOnUnmap`.
   *
   * Afterwards every method and every view property throws `ERR_MAPPING_CLOSED`. `closed`, `length`, `offset`, `access`, `path` and `faults` can still be asked;
   * `address` is `0n`. Views that are left over read zeros: see docs/views.md. A mapping that is just dropped goes when it and its views were collected.
   *
   * @throws with `syncOnUnmap` as {@link flushSync}, and the mapping stays: make room and try again, or {@link refresh} to give up what was written to
   *   pages that cannot be stored, and then `unmap()`
   * @see munmap(2)
   */
  unmap(): void {
    if (this.#closed) return
    if (this.#syncs) this.#store()
    this.#native(() => native.mappingUnmap(this.#handle))
    this.#closed = true
    waiting.close(this)
    this.#dropBuffers()
  }

  /** The same as {@link unmap}: `using mapping = Mapping.open(...)`. */
  [Symbol.dispose](): void {
    this.unmap()
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, offset, length, access, closed } = this
    return `Mapping ${inspect({ path, offset, length, access, closed }, options)}`
  }

  #check(): void {
    if (this.#closed) throw closed()
  }

  /** Asks how long the mapping is now, and whether it has moved. */
  #renew(): void {
    // In this order: what changes in between is asked for again.
    this.#asOf = resizes()
    this.#length = native.mappingLength(this.#handle)
    const moves = native.mappingMoves(this.#handle)
    if (moves !== this.#moves) this.#dropBuffers()
    this.#moves = moves
  }

  #renewBuffer(length: number): ArrayBuffer | SharedArrayBuffer {
    const largest = LARGEST_VIEW - leadOf(this.offset)
    if (length > largest) throw tooLarge(length, largest)
    if (this.#detaches && this.#buffer !== undefined) this.#detachLater(this.#buffer as ArrayBuffer)
    this.#buffer = undefined
    try {
      return (this.#buffer = this.#makeBuffer(0, length))
    } catch (error) {
      // Another thread may have cut it off in between.
      if (this.length === length) throw error
      return this.buffer
    }
  }

  /** Lets go of buffers over addresses that the mapping has no longer. */
  #dropBuffers(): void {
    const buffers = this.#detaches ? [this.#buffer, ...this.#detachable.map((one) => one.deref())] : []
    this.#buffer = undefined
    this.#bytes = undefined
    this.#detachable = []
    for (const buffer of buffers) {
      if (buffer instanceof ArrayBuffer) native.detach(buffer)
    }
  }

  /** Checks that a page, or the mapping, starts or ends at `at`. */
  #checkBorder(name: string, at: number, given: unknown): void {
    if (at === 0 || at === this.length || (this.offset + at) % PAGE === 0) return
    const first = PAGE - (this.offset % PAGE)
    const where =
      first === PAGE ? '' : ` from ${first} on, or 0, as the mapping starts at offset ${this.offset}`
    throw outOfRange(name, `a multiple of ${PAGE}${where}, or the end of the mapping`, given)
  }

  /** Stores everything, for `unmap()`. What a raw `munmap()` has taken away is the kernel's, and no reason to keep the rest. */
  #store(): void {
    try {
      this.flushSync()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_MAPPING_CLOSED') throw error
    }
  }

  /** Runs a native call, and makes its failure an error of this file. */
  #native<T>(call: () => T): T {
    try {
      return call()
    } catch (error) {
      throw fromNative(error, this.path)
    }
  }

  /** As {@link #native}, for a call that goes on off the event loop. */
  async #later<T>(call: () => Promise<T>): Promise<T> {
    this.#check()
    try {
      return await call()
    } catch (error) {
      throw fromNative(error, this.path)
    }
  }

  /** Checks an optional `(offset, length)`. */
  #range(offset: unknown = 0, length?: unknown): { start: number; end: number } {
    const start = validate.integer('offset', offset, 0, this.length)
    const room = this.length - start
    return { start, end: start + (length === undefined ? room : validate.integer('length', length, 0, room)) }
  }

  /** The buffer that has a range, and where in it the range starts. */
  #window(start: number, length: number): [ArrayBuffer | SharedArrayBuffer, number] {
    const lead = leadOf(this.offset)
    // Who asks for a window has just asked for the length.
    if (this.#length <= LARGEST_VIEW - lead) return [this.buffer, lead + start]
    const windowLead = leadOf(this.offset + start)
    if (length > LARGEST_VIEW - windowLead) throw tooLarge(length, LARGEST_VIEW - windowLead)
    const buffer = this.#makeBuffer(start, length)
    if (this.#detaches) this.#detachLater(buffer as ArrayBuffer)
    return [buffer, length === 0 ? 0 : windowLead]
  }

  #makeBuffer(start: number, length: number): ArrayBuffer | SharedArrayBuffer {
    // No memory can be mapped for no bytes; the lead, which is in the file's page, is left out with them.
    if (length === 0) return new (this.#shared ? SharedArrayBuffer : ArrayBuffer)(leadOf(this.offset + start))
    const buffer = this.#native(() => native.mappingView(this.#handle, start, length, this.#shared))
    faults.listenWith(buffer, this)
    return buffer
  }

  /** Remembers a buffer, and forgets those that were collected, so that a mapping with millions of views does not grow. */
  #detachLater(buffer: ArrayBuffer): void {
    if (this.#detachable.length >= this.#detachableLimit) {
      this.#detachable = this.#detachable.filter((reference) => reference.deref() !== undefined)
      this.#detachableLimit = Math.max(64, 2 * this.#detachable.length)
    }
    this.#detachable.push(new WeakRef(buffer))
  }
}
