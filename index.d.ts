import { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { InspectOptions, inspect } from 'node:util'

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
export declare class Mapping implements Disposable {
  #private
  /** Where in the file the mapping starts, in bytes. */
  readonly offset: number
  /** What the mapping allows. */
  readonly access: Access
  /** The file, as it was named to {@link Mapping.open}, or the name of {@link Mapping.shared}; `undefined` for a descriptor and for other memory. */
  readonly path: string | Buffer | undefined
  private constructor()
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
  static open(file: string | URL | Buffer | number | FileHandle, options?: OpenOptions): Mapping
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
  static anonymous(length: number | bigint, options?: AnonymousOptions): Mapping
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
  /**
   * Removes the name of shared memory. Who has it mapped keeps it; the memory goes with the last mapping of it.
   *
   * @throws `ENOENT`, `EACCES`; `ERR_INVALID_ARG_VALUE` for what is no name
   * @platform Linux, macOS. On Windows a name goes with the last mapping, and not before.
   * @see shm_unlink(3)
   */
  static unlinkShared(name: string): void
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
  static memfd(length: number | bigint, options?: MemfdOptions): Mapping
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
  static attach(token: MappingToken, options?: AttachOptions): Mapping
  /** Bytes. {@link resize} changes it, in whatever thread it is called; `unmap()` does not. */
  get length(): number
  /** Whether the mapping was unmapped. */
  get closed(): boolean
  /**
   * The accesses to this mapping that the kernel refused, and that would have ended the process: a file truncated by
   * somebody else, a write to memory that may only be read, a view used after `unmap()`... They can be read after `unmap()`, too. See docs/safety.md.
   */
  get faults(): Faults
  /** The address of the first byte, for the POSIX calls; 0 for an empty mapping and after `unmap()`. */
  get address(): bigint
  /**
   * The descriptor of the mapped file, to hand to a child process in `stdio` or to `fs`; -1 for memory without a file and for an empty
   * mapping. It belongs to the mapping, which closes it in `unmap()`: do not close it, and do not keep the number. A child has a
   * copy of its own.
   */
  get fd(): number
  /**
   * What the mapped file is sealed against: a reader that finds `'shrink'` there knows that nobody can truncate it. Empty for
   * files that have no seals, and elsewhere than on Linux.
   *
   * @see fcntl(2), F_GET_SEALS
   */
  get seals(): Seal[]
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
  seal(seals: readonly Seal[]): void
  /**
   * The memory under {@link bytes}: a SharedArrayBuffer where the runtime can make one over mapped memory, otherwise
   * an ArrayBuffer (see the option `views`, and docs/views.md). If `offset` is not a multiple of 8 it starts `offset % 8` bytes before the mapping, so
   * that typed arrays over it can be aligned; `bytes.byteOffset` says so, and {@link view} allows for it.
   *
   * Made on first use and kept until the mapping has another length or moves.
   *
   * @throws `ERR_BUFFER_TOO_LARGE` if the mapping is larger than one view of this runtime spans: {@link view} and {@link read} reach every byte
   */
  get buffer(): ArrayBuffer | SharedArrayBuffer
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
  get bytes(): Buffer
  /**
   * All bytes of the mapping as a DataView, without a copy.
   *
   * @throws `ERR_BUFFER_TOO_LARGE` if the mapping is larger than one view of this runtime spans
   */
  get dataView(): DataView
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
  write(data: string | ArrayBufferView, position?: number | bigint): number
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
  fill(value: number | string | ArrayBufferView, start?: number | bigint, end?: number | bigint): this
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
  copyWithin(target: number | bigint, start?: number | bigint, end?: number | bigint): this
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
  indexOf(needle: string | Uint8Array | number, from?: number | bigint): number
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
  lastIndexOf(needle: string | Uint8Array | number, from?: number | bigint): number
  /** Whether {@link indexOf} finds `needle`. */
  includes(needle: string | Uint8Array | number, from?: number | bigint): boolean
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
  count(needle: string | Uint8Array | number, from?: number | bigint, to?: number | bigint): number
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
  find(needle: string | Uint8Array | number, options?: FindOptions): Promise<number>
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
  lines(
    options: LinesOptions & {
      encoding: BufferEncoding
    },
  ): IterableIterator<string>
  lines(
    options?: LinesOptions & {
      encoding?: undefined
    },
  ): IterableIterator<Buffer>
  lines(options?: LinesOptions): IterableIterator<Buffer | string>
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
  flush(offset?: number | bigint, length?: number | bigint, options?: FlushOptions): Promise<void>
  flush(options: FlushOptions): Promise<void>
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
  prefetch(offset?: number | bigint, length?: number | bigint, options?: PrefetchOptions): Promise<void>
  prefetch(options: PrefetchOptions): Promise<void>
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
  createReadStream(options?: ReadStreamOptions): Readable
  /**
   * The bytes of the mapping in chunks of 64 KiB (the last one may have fewer): Buffers over the mapping, without a copy, as from
   * {@link chunks}.
   *
   * @example
   * ```js
   * for (const chunk of mapping) hash.update(chunk)
   * ```
   */
  [Symbol.iterator](): IterableIterator<Buffer>
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
  chunks(options?: ChunksOptions): IterableIterator<Buffer>
  /**
   * Whether the kernel that this process runs on knows an advice; `false` for what the platform does not have. The kernel may
   * still refuse it for pages of some kinds. macOS has the six that all systems have, and four of its own.
   *
   * @see madvise(2)
   */
  static supports(advice: Advice): boolean
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
  residency(
    offset?: number | bigint,
    length?: number | bigint,
    options?: ResidencyOptions,
  ): Promise<Residency>
  residency(options: ResidencyOptions): Promise<Residency>
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
  lock(offset?: number | bigint, length?: number | bigint, options?: LockOptions): Promise<void>
  lock(options: LockOptions): Promise<void>
  /**
   * Lets the system take pages away again that {@link lock} kept: all that hold a part of the range. Pages that are not locked are no error.
   * On this thread, in steps: nothing is read or written for it; it takes about 100 ms for each GiB in memory, as `unmap()` of the same pages does.
   *
   * @param offset bytes from the start of the mapping. Default: 0.
   * @param length bytes. Default: to the end.
   * @throws `ENOMEM` if the process has too many mappings
   * @see munlock(2)
   */
  unlock(offset?: number | bigint, length?: number | bigint): void
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
  evict(offset?: number | bigint, length?: number | bigint, options?: EvictOptions): Promise<Eviction>
  evict(options: EvictOptions): Promise<Eviction>
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
  wait(offset: number | bigint, expected: number, options?: WaitOptions): WaitResult
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
  waitAsync(offset: number | bigint, expected: number, options?: WaitAsyncOptions): Promise<WaitResult>
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
  notify(offset: number | bigint, count?: number): number
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
  share(): MappingToken
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
  stat(): Promise<MappingStat>
  /**
   * As {@link stat}, on this thread.
   *
   * @throws `ERR_MAPPING_CLOSED`; errors of reading `/proc/self/smaps`
   */
  statSync(): MappingStat
  /**
   * Makes all pages the file's again that faults had replaced by others: after a file that was truncated has grown
   * back. Views stay valid. What was written to such pages and not stored is lost. See docs/safety.md#after-a-fault.
   *
   * @throws `ENOMEM`
   */
  refresh(): void
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
  resize(length?: number | bigint): number
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
  protect(access: 'none' | 'read' | 'write', offset?: number | bigint, length?: number | bigint): void
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
  unmap(): void
  /** The same as {@link unmap}: `using mapping = Mapping.open(...)`. */
  [Symbol.dispose](): void
  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string
}
/** Asks whether `MADV_FREE_REUSABLE` may be used for the pages. macOS only. */
export declare const MADV_CAN_REUSE: number
/** The pages are the first to go when memory is needed (Linux 5.4). */
export declare const MADV_COLD: number
/** Puts huge pages in the place of small ones now (Linux 6.1). */
export declare const MADV_COLLAPSE: number
/** Undoes `MADV_DONTDUMP`. Linux only. */
export declare const MADV_DODUMP: number
/** Undoes `MADV_DONTFORK`. Linux only. */
export declare const MADV_DOFORK: number
/** Leaves the pages out of core dumps. Linux only. */
export declare const MADV_DONTDUMP: number
/** A child that is forked does not have the pages. Linux only. */
export declare const MADV_DONTFORK: number
/** Drops the pages from the process. On Linux those of private memory lose what they hold. */
export declare const MADV_DONTNEED: number
/** As `MADV_DONTNEED`, for locked pages too (Linux 5.18). */
export declare const MADV_DONTNEED_LOCKED: number
/** The kernel may take the pages when it needs memory: until then, or until they are written again, they may turn into zeros. */
export declare const MADV_FREE: number
/** The kernel may take the pages, and does not count them to the process. macOS only. */
export declare const MADV_FREE_REUSABLE: number
/** Uses pages again that were `MADV_FREE_REUSABLE`. macOS only. */
export declare const MADV_FREE_REUSE: number
/** Makes every access to the pages a fault (Linux 6.13). */
export declare const MADV_GUARD_INSTALL: number
/** Undoes `MADV_GUARD_INSTALL` (Linux 6.13). */
export declare const MADV_GUARD_REMOVE: number
/** The kernel may put huge pages in the place of small ones. Linux only. */
export declare const MADV_HUGEPAGE: number
/** Takes the memory out of use as if it were broken: for tests of the kernel. Linux only. */
export declare const MADV_HWPOISON: number
/** Undoes `MADV_WIPEONFORK` (Linux 4.14). */
export declare const MADV_KEEPONFORK: number
/** The kernel may keep one page in the place of equal ones. Linux only. */
export declare const MADV_MERGEABLE: number
/** The kernel keeps to small pages. Linux only. */
export declare const MADV_NOHUGEPAGE: number
/** The kernel reads ahead as it usually does. */
export declare const MADV_NORMAL: number
/** Writes the pages to swap or to the file, and drops them (Linux 5.4). */
export declare const MADV_PAGEOUT: number
/** Brings the pages into memory as reading would, or fails (Linux 5.14). */
export declare const MADV_POPULATE_READ: number
/** Brings the pages into memory as writing would, or fails (Linux 5.14). */
export declare const MADV_POPULATE_WRITE: number
/** Accesses are in no order: reads nothing ahead. */
export declare const MADV_RANDOM: number
/** Frees the pages, and the blocks of the file with them: both read as zeros then. Linux only. */
export declare const MADV_REMOVE: number
/** Accesses are in order: reads more ahead. */
export declare const MADV_SEQUENTIAL: number
/** Moves the pages elsewhere, and takes the memory out of use: for tests of the kernel. Linux only. */
export declare const MADV_SOFT_OFFLINE: number
/** Undoes `MADV_MERGEABLE`. Linux only. */
export declare const MADV_UNMERGEABLE: number
/** Begins to bring the pages into memory. */
export declare const MADV_WILLNEED: number
/** A child that is forked has zeros there (Linux 4.14). */
export declare const MADV_WIPEONFORK: number
/** Clears pages that are locked when they are unmapped. macOS only. */
export declare const MADV_ZERO_WIRED_PAGES: number
/** In the first 2 GiB of addresses. Of x86-64. Linux only. */
export declare const MAP_32BIT: number
/** Another name of `MAP_ANONYMOUS`. */
export declare const MAP_ANON: number
/** Zeroed memory without a file. */
export declare const MAP_ANONYMOUS: number
/** As `MAP_PRIVATE`. macOS only. */
export declare const MAP_COPY: number
/** Without effect. Linux only. */
export declare const MAP_DENYWRITE: number
/** Memory that may turn into zeros when the kernel needs it (Linux 6.11). */
export declare const MAP_DROPPABLE: number
/** Without effect. Linux only. */
export declare const MAP_EXECUTABLE: number
/** A file: what is mapped without `MAP_ANONYMOUS` anyway. It is 0. */
export declare const MAP_FILE: number
/** At this very address, in the place of what is mapped there. */
export declare const MAP_FIXED: number
/** At this very address, or `EEXIST` if something is mapped there (Linux 4.17). */
export declare const MAP_FIXED_NOREPLACE: number
/** A stack, which grows by itself. Linux only. */
export declare const MAP_GROWSDOWN: number
/** Pages have semaphores in them. macOS only. */
export declare const MAP_HASSEMAPHORE: number
/** Of reserved huge pages. Their size is a `MAP_HUGE_*`, or the usual one. Linux only. */
export declare const MAP_HUGETLB: number
/** With `MAP_HUGETLB`: pages of 16 GiB. Linux only. */
export declare const MAP_HUGE_16GB: number
/** With `MAP_HUGETLB`: pages of 16 KiB. Linux only. */
export declare const MAP_HUGE_16KB: number
/** With `MAP_HUGETLB`: pages of 16 MiB. Linux only. */
export declare const MAP_HUGE_16MB: number
/** With `MAP_HUGETLB`: pages of 1 GiB. Linux only. */
export declare const MAP_HUGE_1GB: number
/** With `MAP_HUGETLB`: pages of 1 MiB. Linux only. */
export declare const MAP_HUGE_1MB: number
/** With `MAP_HUGETLB`: pages of 256 MiB. Linux only. */
export declare const MAP_HUGE_256MB: number
/** With `MAP_HUGETLB`: pages of 2 GiB. Linux only. */
export declare const MAP_HUGE_2GB: number
/** With `MAP_HUGETLB`: pages of 2 MiB. Linux only. */
export declare const MAP_HUGE_2MB: number
/** With `MAP_HUGETLB`: pages of 32 MiB. Linux only. */
export declare const MAP_HUGE_32MB: number
/** With `MAP_HUGETLB`: pages of 512 KiB. Linux only. */
export declare const MAP_HUGE_512KB: number
/** With `MAP_HUGETLB`: pages of 512 MiB. Linux only. */
export declare const MAP_HUGE_512MB: number
/** With `MAP_HUGETLB`: pages of 64 KiB. Linux only. */
export declare const MAP_HUGE_64KB: number
/** With `MAP_HUGETLB`: pages of 8 MiB. Linux only. */
export declare const MAP_HUGE_8MB: number
/** The bits of the field of `MAP_HUGE_*`, shifted down. Linux only. */
export declare const MAP_HUGE_MASK: number
/** The lowest bit of the field of `MAP_HUGE_*`: they are the binary logarithm of a size in bytes, shifted by it. Linux only. */
export declare const MAP_HUGE_SHIFT: number
/** Memory for code that is made at run time. macOS only. */
export declare const MAP_JIT: number
/** Locks the pages in memory, as far as that succeeds. Linux only. */
export declare const MAP_LOCKED: number
/** Need not keep the pages in memory. macOS only. */
export declare const MAP_NOCACHE: number
/** With `MAP_POPULATE`: reads nothing ahead. It then does nothing at all. Linux only. */
export declare const MAP_NONBLOCK: number
/** Sets no swap space aside. */
export declare const MAP_NORESERVE: number
/** Brings all pages into memory at once. Linux only. */
export declare const MAP_POPULATE: number
/** What is written stays in this process: a page is copied when it is first written. */
export declare const MAP_PRIVATE: number
/** Without effect. macOS only. */
export declare const MAP_RENAME: number
/** What is written goes to the file, and is seen by everybody who has it mapped. */
export declare const MAP_SHARED: number
/** As `MAP_SHARED`, and flags that the kernel does not know are `EOPNOTSUPP`. Linux only. */
export declare const MAP_SHARED_VALIDATE: number
/** Memory that is to be a stack. Linux only. */
export declare const MAP_STACK: number
/** What is written to persistent memory is there once the caches of the processor are flushed. With `MAP_SHARED_VALIDATE`. Linux only. */
export declare const MAP_SYNC: number
/** The bits that tell `MAP_SHARED` from `MAP_PRIVATE`. Linux only. */
export declare const MAP_TYPE: number
/** Does not clear memory: of kernels for small devices, without effect in others. Linux only. */
export declare const MAP_UNINITIALIZED: number
/** Moves the pages, and keeps the mapping without them (Linux 5.7). With `MREMAP_MAYMOVE`. */
export declare const MREMAP_DONTUNMAP: number
/** Moves the mapping to this very address. With `MREMAP_MAYMOVE`. Linux only. */
export declare const MREMAP_FIXED: number
/** May move the mapping, if it does not fit where it is. Linux only. */
export declare const MREMAP_MAYMOVE: number
/** Begins to store what was written, and does not wait. On Linux it does nothing: the kernel stores it in time. */
export declare const MS_ASYNC: number
/** Makes the pages the first to go when memory is needed. macOS only. */
export declare const MS_DEACTIVATE: number
/** Lets other mappings of the file show what it has. */
export declare const MS_INVALIDATE: number
/** Drops the pages. macOS only. */
export declare const MS_KILLPAGES: number
/** Stores what was written, and waits for the device. */
export declare const MS_SYNC: number
/** Pages may be executed. */
export declare const PROT_EXEC: number
/** For `mprotect()`: also the rest of a mapping that grows down. Linux only. */
export declare const PROT_GROWSDOWN: number
/** For `mprotect()`: also the rest of a mapping that grows up. Linux only. */
export declare const PROT_GROWSUP: number
/** No access. */
export declare const PROT_NONE: number
/** Pages may be read. */
export declare const PROT_READ: number
/** Pages may have semaphores in them. Without effect on most processors. Linux only. */
export declare const PROT_SEM: number
/** Pages may be written. */
export declare const PROT_WRITE: number
/**
 * Every constant that this platform has, by name. Each is exported by itself, too, with the type `number`: as `undefined` where the platform
 * does not have it, which its comment says.
 */
export declare const constants: Readonly<Record<string, number>>
/** The binary that this process uses. `npx mmap-native doctor` shows it, with the limits of the system. */
export declare const nativeBinary: Readonly<NativeBinary>
/** Bytes in a page of memory: mappings start at multiples of it. */
export declare const pageSize: number
/**
 * A Buffer over mapped memory, without a copy. It may span adjacent mappings. The memory stays for its sake if it is
 * the last to know of it; after `munmap()` it reads zeros.
 *
 * @param addr any mapped address
 * @param length bytes; 0 gives an empty Buffer
 * @throws `EACCES` where there is no `PROT_READ`, `ENOMEM` where nothing is mapped, `EPERM` for memory that this package did
 *   not map, `ERR_OUT_OF_RANGE` for more than one view of the runtime spans
 */
export declare function bufferFromPointer(addr: Pointer | number, length: number | bigint): Buffer
/**
 * Whether faults are caught in this process: true unless the environment variable `MMAP_NATIVE_FAULTS` is `off` or
 * {@link setFaultGuard} said no.
 */
export declare function isFaultGuarded(): boolean
/**
 * Tells the kernel how the pages of a range will be used, or what to do with them.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes, rounded up to whole pages
 * @param advice one of `MADV_*`. Some destroy contents: `MADV_DONTNEED` on private memory, `MADV_FREE`, `MADV_REMOVE`.
 * @throws `EINVAL` for advice that the kernel does not know, `ENOMEM` where nothing is mapped, `EPERM` for pages that this
 *   package did not map, and others
 * @see madvise(2)
 */
export declare function madvise(addr: Pointer | number, length: number | bigint, advice: number): 0
/**
 * Tells which pages of a range are in memory.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes
 * @returns one byte a page, whose lowest bit is set if the page is in memory; the other bits mean nothing
 * @throws `EINVAL`, `ENOMEM` where nothing is mapped or there is no memory for the result, `EPERM` for pages that this
 *   package did not map, `ERR_OUT_OF_RANGE` for more pages than an array of the runtime has bytes
 * @see mincore(2)
 */
export declare function mincore(addr: Pointer | number, length: number | bigint): Uint8Array
/**
 * Brings the pages of a range into memory and keeps them there.
 *
 * @param addr any address of the first page
 * @param length bytes
 * @throws `EAGAIN`, `ENOMEM` past `RLIMIT_MEMLOCK` or where nothing is mapped, `EPERM`
 * @see mlock(2); POSIX.1-2024 mlock()
 */
export declare function mlock(addr: Pointer | number, length: number | bigint): 0
/**
 * Maps a file, or memory, into the address space of the process.
 *
 * The mapping stays when the descriptor is closed, until {@link munmap} or the end of the process. It covers whole pages:
 * bytes between the end of the file and the end of its last page read as zeros.
 *
 * @param addr where to map; `null`, `undefined` or 0 to let the kernel choose. A hint, unless `flags` has `MAP_FIXED`,
 *   which replaces mappings of this package only.
 * @param length bytes, more than 0
 * @param prot `PROT_NONE`, or any of `PROT_READ`, `PROT_WRITE`, `PROT_EXEC` combined by `|`
 * @param flags `MAP_SHARED` or `MAP_PRIVATE`, and any other `MAP_*`
 * @param fd an open file; -1 with `MAP_ANONYMOUS`
 * @param offset where in the file to start, in bytes: a multiple of {@link pageSize}
 * @returns the address where the mapping really is
 * @throws `EACCES` if `prot` conflicts with how the file was opened, `EBADF`, `EINVAL` for a length of 0 or an offset that
 *   is not a page multiple, `ENODEV`, `ENOMEM`, `EPERM`; `EBUSY` for huge pages in the place of smaller ones of which a Buffer holds some
 * @see mmap(2); POSIX.1-2024 mmap()
 * @example
 * ```js
 * import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, bufferFromPointer, mincore, mmap, munmap, pageSize } from 'mmap-native'
 *
 * const pointer = mmap(null, 2 * pageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
 * bufferFromPointer(pointer, 5).write('hello')     // a Buffer over the memory, without a copy
 * mincore(pointer, 2 * pageSize)                   // a Uint8Array of a byte a page: 1, 0
 * munmap(pointer, 2 * pageSize)
 * ```
 */
export declare function mmap(
  addr: Pointer | number | null | undefined,
  length: number | bigint,
  prot: number,
  flags: number,
  fd: number,
  offset: number | bigint,
): Pointer
/**
 * Sets what may be done with the pages of a range.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes, rounded up to whole pages
 * @param prot as for {@link mmap}
 * @throws `EACCES` for `PROT_WRITE` on a shared mapping of a file opened read-only, `EINVAL`, `ENOMEM` where nothing is mapped,
 *   `EPERM` for pages that this package did not map
 * @see mprotect(2); POSIX.1-2024 mprotect()
 */
export declare function mprotect(addr: Pointer | number, length: number | bigint, prot: number): 0
/**
 * Resizes or moves a mapping. Buffers over pages that moved away read zeros from then on.
 *
 * @param addr a multiple of {@link pageSize}
 * @param oldLength bytes; 0 maps the same shared pages a second time
 * @param newLength bytes, more than 0
 * @param flags `MREMAP_MAYMOVE`, `MREMAP_FIXED`, `MREMAP_DONTUNMAP`
 * @param newAddr where to, with `MREMAP_FIXED`
 * @returns the address where the mapping is now
 * @throws `EFAULT` for a range of more than one mapping, `EINVAL`, `ENOMEM` where it cannot grow, `EPERM` for pages that
 *   this package did not map, at either end; `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM` outside Linux
 * @platform Linux.
 * @see mremap(2)
 */
export declare function mremap(
  addr: Pointer | number,
  oldLength: number | bigint,
  newLength: number | bigint,
  flags: number,
  newAddr?: Pointer | number,
): Pointer
/**
 * Writes changed pages of a shared mapping to its file. With `MS_SYNC` it blocks until the device has them.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes, rounded up to whole pages
 * @param flags `MS_ASYNC` or `MS_SYNC`, and `MS_INVALIDATE`
 * @throws `EBUSY`, `EINVAL`, `EIO`, `ENOMEM` where nothing is mapped, `EPERM` for pages that this package did not map
 * @see msync(2); POSIX.1-2024 msync()
 */
export declare function msync(addr: Pointer | number, length: number | bigint, flags: number): 0
/**
 * Undoes {@link mlock}.
 *
 * @param addr any address of the first page
 * @param length bytes
 * @throws `ENOMEM` where nothing is mapped, `EPERM` for pages that this package did not map
 * @see munlock(2); POSIX.1-2024 munlock()
 */
export declare function munlock(addr: Pointer | number, length: number | bigint): 0
/**
 * Unmaps every page that holds a part of a range. Pages of the range without a mapping are no error. Buffers over
 * the range keep their length and read zeros from then on.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes, more than 0
 * @throws `EINVAL`; `EPERM` for pages that this package did not map
 * @see munmap(2); POSIX.1-2024 munmap()
 */
export declare function munmap(addr: Pointer | number, length: number | bigint): 0
/**
 * Turns the catching of faults on or off, for the whole process. Off, an access to a truncated or read-only mapping ends the
 * process, as it would in C; views left over after `unmap()` still read zeros.
 */
export declare function setFaultGuard(on: boolean): void
/** Options of {@link Mapping.advise}. */
export interface AdviseOptions {
  /** Allow advice that loses what the pages hold. Default: `false`. */
  destructive?: boolean | undefined
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
  hugePages?:
    | HugePageSize
    | {
        size: HugePageSize
        fallback?: boolean | undefined
      }
    | undefined
  /**
   * A name for the memory, shown as `[anon:name]` in `/proc/self/maps` (Linux 5.17, where it was built with CONFIG_ANON_VMA_NAME;
   * elsewhere it has no effect): 1 to 79 printable ASCII characters, without `` [ ] \\ $ ` ``.
   */
  name?: string | undefined
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
}
/** Options of {@link Mapping.attach}. */
export interface AttachOptions {
  /** The kind of buffer that views are made over. Default: `'auto'`. */
  views?: Views | undefined
}
/** A range of bytes of a mapping. */
export interface ByteRange {
  /** From the start of the mapping, in bytes. */
  offset: number
  /** Bytes. */
  length: number
}
/** Options of {@link Mapping.chunks}. */
export interface ChunksOptions {
  /** Where the first chunk starts, in bytes from the start of the mapping. Default: 0. */
  start?: number | bigint | undefined
  /** Where to stop, in bytes, not included. Default: the end of the mapping. */
  end?: number | bigint | undefined
  /** Bytes in a chunk; the last one may have fewer. Default: 64 KiB. */
  size?: number | bigint | undefined
}
/** Options of {@link Mapping.evict}. */
export interface EvictOptions {
  /** Drop pages that are stored from the page cache of the system, too (Linux). Default: `false`. */
  pageCache?: boolean | undefined
  /** Aborts within a few milliseconds: what is dropped by then is dropped. */
  signal?: AbortSignal | undefined
}
/** What {@link Mapping.evict} has dropped. */
export interface Eviction {
  /** Bytes of pages that the process had in its page tables; `undefined` elsewhere than on Linux. */
  fromProcess: number | undefined
  /**
   * Bytes of pages that have gone from the page cache; `undefined` without `pageCache`. 0 for a file that the process may not write and does
   * not own: the kernel does not tell what is in memory of it.
   */
  fromPageCache: number | undefined
}
/** An access that the kernel refused. */
export interface Fault {
  /** The first byte concerned, from the start of the mapping. */
  offset: number
  /** Bytes concerned: whole pages, or all up to the end of the mapping. */
  length: number
  /** What happened. */
  kind: FaultKind
}
/** All faults of a mapping. */
export interface Faults {
  /** How many there were. */
  count: number
  /** The first 1024 of them, in order. */
  list: Fault[]
}
/** Options of {@link Mapping.find}. */
export interface FindOptions {
  /** Where to start, as for {@link Mapping.indexOf}. Default: 0. */
  from?: number | bigint | undefined
  /** Aborts between slices of 32 MiB. */
  signal?: AbortSignal | undefined
}
/** Options of {@link Mapping.flush}. */
export interface FlushOptions extends FlushSyncOptions {
  /** Aborts between pieces of 64 MiB: what is written by then is written. */
  signal?: AbortSignal | undefined
}
/** Options of {@link Mapping.flushSync}. */
export interface FlushSyncOptions {
  /** What is waited for. Default: `'sync'`. */
  mode?: FlushMode | undefined
}
/** Options of {@link Mapping.lines}. */
export interface LinesOptions {
  /**
   * Gives strings, of this encoding, in place of Buffers. It has to be one in which a newline is the one byte 0x0A: not UTF-16.
   */
  encoding?: BufferEncoding | undefined
  /** Where the first line starts, in bytes from the start of the mapping. Default: 0. */
  start?: number | bigint | undefined
  /** Where to stop, in bytes, not included. Default: the end of the mapping. */
  end?: number | bigint | undefined
}
/** Options of {@link Mapping.lock}. */
export interface LockOptions {
  /** Keep each page from when it is first used, and bring none in now (Linux). Default: `false`. */
  onFault?: boolean | undefined
  /** Aborts within a few milliseconds: what is locked by then is locked. */
  signal?: AbortSignal | undefined
}
/** A method met bytes that are not the file's, since a fault. */
export interface MappingFaultError extends Error, Fault {
  /** Which error it is. */
  code: 'ERR_MAPPING_FAULT'
  /** The file, if one was named. */
  path?: string | Buffer
}
/**
 * What {@link Mapping.stat} tells. What only Linux counts is `undefined` elsewhere: macOS has `residentBytes`, `fileSize`, `truncated`,
 * `protection` and `shared`.
 *
 * Figures are of whole pages. The kernel may join memory without a file to memory of the same kind beside it, of whomever, and counts both together
 * then: `neighbourBytes` says how many bytes that are not this mapping's it has looked at. It is 0 for files, and for memory whose flags differ from
 * its neighbour's.
 */
export interface MappingStat {
  /** What the mapping was made to allow. */
  access: Access
  /** Bytes of the mapping. */
  length: number
  /** What the pages allow now; all of them. */
  protection: {
    read: boolean
    write: boolean
    execute: boolean
  }
  /** Whether what is written goes to the file, or to memory that others share. */
  shared: boolean
  /** The size of the file now, in bytes; `undefined` without a file and for devices. */
  fileSize: number | undefined
  /** Whether the file now ends before the mapping does. What happened in between, `faults` tells. */
  truncated: boolean
  /** Bytes in a page of the mapping: more than {@link pageSize} for reserved huge pages, 2 MiB say. */
  pageSize: number
  /** In the page tables of this process. On macOS, in memory. */
  residentBytes: number | undefined
  /** The same, each page divided by how many processes have it. */
  proportionalBytes: number | undefined
  /**
   * Pages that were written and are not stored yet, by this process or others (for memory: that were written):
   * `sharedDirtyBytes + privateDirtyBytes`.
   */
  dirtyBytes: number | undefined
  /** Those of them that other processes, too, have in their page tables. */
  sharedDirtyBytes: number | undefined
  /** Those that only this process has. */
  privateDirtyBytes: number | undefined
  /** Pages without a file behind them: memory, and what was written to a copy. */
  anonymousBytes: number | undefined
  /** In huge pages, reserved or transparent. */
  hugeBytes: number | undefined
  /** Swapped out. */
  swappedBytes: number | undefined
  /** Locked in memory. */
  lockedBytes: number | undefined
  /** As how many mappings the kernel has it (advice and protection split it): of `vm.max_map_count`, 65530 mostly, in a process. */
  mappings: number | undefined
  /** Bytes of other memory that are counted in all of these. */
  neighbourBytes: number | undefined
  /** `VmFlags` by name: `'readable'`, `'shared'`, `'sequential'`, `'locked'`, `'transparent-huge'`...; in two letters what has no name here. */
  flags: string[] | undefined
  /** What `/proc/self/maps` has in place of a file: `'[anon:name]'`. */
  name: string | undefined
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
/** The binary that this process uses: its file, and why it is that one. */
export interface NativeBinary {
  /** The path of the file. */
  readonly path: string
  /** `'named'`: by MMAP_NATIVE_BINARY. `'built'`: from source, in the folder of the package. `'installed'`: with the package for this platform. */
  readonly origin: 'named' | 'built' | 'installed'
}
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
  hugePages?:
    | 'transparent'
    | {
        size: 'transparent'
        fallback?: boolean | undefined
      }
    | undefined
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
  onFault?: ((fault: Fault) => void) | undefined
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
/** Options of {@link Mapping.createReadStream}. */
export interface ReadStreamOptions {
  /** The first byte, from the start of the mapping. Default: 0. */
  start?: number | bigint | undefined
  /** The last byte, included, as in `fs.createReadStream()`. Default: the last byte of the mapping. */
  end?: number | bigint | undefined
  /** Bytes in a chunk; the last one may have fewer. Default: 64 KiB, as in `fs.createReadStream()`. */
  highWaterMark?: number | undefined
  /** Destroys the stream with an `AbortError`. */
  signal?: AbortSignal | undefined
}
/** What of a range is in memory. */
export interface Residency {
  /** Bytes of the range that are in memory. */
  residentBytes: number
  /** Pages that hold a part of the range and are in memory. */
  residentPages: number
  /** Pages that hold a part of the range. */
  pages: number
  /** Bytes in a page. */
  pageSize: number
  /** What is in memory, in order: the first `maxRanges` ranges. */
  ranges: ByteRange[]
  /** How many ranges there are beyond those. */
  omittedRanges: number
  /**
   * A bit for each page, 1 if it is in memory: page `i` is `(bitmap[i >> 3] >> (i & 7)) & 1`, the lowest bit of a byte first. Page 0 is the one
   * that holds the first byte of the range. The bits behind the last page are 0.
   */
  bitmap: Uint8Array
}
/** Options of {@link Mapping.residency}. */
export interface ResidencyOptions {
  /** How many ranges are listed at most. Default: 10,000. */
  maxRanges?: number | undefined
  /** Aborts within a few milliseconds. */
  signal?: AbortSignal | undefined
}
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
/** A failed system call, as Node's `fs` reports one. */
export interface SystemError extends Error {
  /** The name of the error number: `'EACCES'`. */
  code: string
  /** The error number, negative. */
  errno: number
  /** The name of the call: `'mmap'`. */
  syscall: string
  /** The file, if one was named; a Buffer as UTF-8. */
  path?: string
}
/** The constructor of a typed array or of DataView. */
export interface ViewConstructor<T> {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T
  /** Bytes of an element; a DataView has none. */
  readonly BYTES_PER_ELEMENT?: number
}
/** Options of {@link Mapping.waitAsync}. */
export interface WaitAsyncOptions {
  /** Milliseconds. Default: `Infinity`. */
  timeout?: number | undefined
  /** Ends the wait with an `AbortError`, unless it was notified before. */
  signal?: AbortSignal | undefined
  /** Keep the process, or the worker, alive as long as the wait goes on. Default: `true`. */
  ref?: boolean | undefined
}
/** Options of {@link Mapping.wait}. */
export interface WaitOptions {
  /** Milliseconds. Default: `Infinity`. */
  timeout?: number | undefined
  /** Allow it in the main thread, whose event loop stops until it returns. Default: `false`. */
  allowMainThread?: boolean | undefined
}
/**
 * What a mapping allows. `'read'`: reading. `'write'`: reading and writing, into the file. `'copy'`: reading and
 * writing, but what is written stays in this process.
 */
export type Access = 'read' | 'write' | 'copy'
/**
 * What {@link Mapping.advise} takes: the name of the platform's `MADV_*`, in lower case, with hyphens. Which of them the kernel at hand
 * knows is for {@link Mapping.supports} to say. The first six are those of every Unix, the last four those of macOS, all others of Linux.
 */
export type Advice =
  | 'normal'
  | 'random'
  | 'sequential'
  | 'willneed'
  | 'dontneed'
  | 'free'
  | 'remove'
  | 'dontfork'
  | 'dofork'
  | 'mergeable'
  | 'unmergeable'
  | 'hugepage'
  | 'nohugepage'
  | 'collapse'
  | 'dontdump'
  | 'dodump'
  | 'wipeonfork'
  | 'keeponfork'
  | 'cold'
  | 'pageout'
  | 'populate-read'
  | 'populate-write'
  | 'dontneed-locked'
  | 'zero-wired-pages'
  | 'free-reusable'
  | 'free-reuse'
  | 'can-reuse'
/**
 * What an access met:
 * - `'truncated'`: the file has become shorter. The bytes read as zeros; what is written to them is lost.
 * - `'not-stored'`: the file system had no room for a page that was written. It is kept in memory; `flush()` tries again.
 * - `'read-only'`: memory that may only be read was written. The write stays in a copy of the page; the file does not see it.
 * - `'closed'`: a view was used after `unmap()`, or where `resize()` has cut off its bytes or moved them elsewhere. It reads zeros; what is
 *   written to it is lost.
 * - `'io-error'`: the device could not deliver a page. It reads as zeros.
 * - `'protected'`: memory without access was accessed. The page was made readable; what is nobody else's, for a write, writable.
 */
export type FaultKind = 'truncated' | 'not-stored' | 'read-only' | 'closed' | 'io-error' | 'protected'
/**
 * What {@link Mapping.flush} waits for.
 * - `'sync'`: the device has what was written (`MS_SYNC`). It resolves only if all of it could be stored.
 * - `'async'`: it is on its way there (`MS_ASYNC`; on Linux that call does nothing, and sync_file_range(2) begins). Errors of the device are told
 *   by the next `'sync'`.
 * - `'invalidate'`: as `'sync'`, and then other mappings of the file show what it has, with access `'read'`, too (`MS_INVALIDATE`). On Linux they
 *   always do, and it only fails, with `EBUSY`, while a page is locked.
 */
export type FlushMode = 'sync' | 'async' | 'invalidate'
/** The huge pages that {@link Mapping.anonymous} can ask for. */
export type HugePageSize = 'transparent' | '2MB' | '1GB'
/** An address in this process. */
export type Pointer = bigint
/**
 * What a file can be sealed against, by whoever has it open.
 * - `'grow'`, `'shrink'`: getting longer or shorter.
 * - `'write'`: being written.
 * - `'future-write'`: being written but through writable mappings that exist already (Linux 5.1).
 * - `'seal'`: more seals.
 */
export type Seal = 'grow' | 'shrink' | 'write' | 'future-write' | 'seal'
/**
 * What a mapping hands out as its memory.
 * - `'auto'`: a SharedArrayBuffer where the runtime can make one over mapped memory, otherwise an ArrayBuffer. Views that are left
 *   over after `unmap()` keep their length and read zeros.
 * - `'shared'`: a SharedArrayBuffer, or `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`.
 * - `'detachable'`: an ArrayBuffer, which `unmap()` detaches: views that are left over have length 0.
 */
export type Views = 'auto' | 'shared' | 'detachable'
/** How a wait ended: notified, or never begun because the cell had another value, or its time was over. */
export type WaitResult = 'ok' | 'not-equal' | 'timed-out'

export {}
