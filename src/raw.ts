/**
 * The POSIX calls by their own names, argument order and meaning. Failure throws a system error; success returns what
 * the C call returns. They act on addresses that this package mapped, and on no others: a range that holds pages of
 * the runtime or of another library is `EPERM`.
 */
import { fromNative, outOfRange, unavailable } from './errors'
import { watch } from './faults'
import { native } from './native'
import * as validate from './validate'
import { LARGEST_VIEW, areShared, leadOf } from './views'

/** An address in this process. */
export type Pointer = bigint

/** Bytes in a page of memory: mappings start at multiples of it. */
export const pageSize: number = native.pageSize()

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
export function mmap(
  addr: Pointer | number | null | undefined,
  length: number | bigint,
  prot: number,
  flags: number,
  fd: number,
  offset: number | bigint,
): Pointer {
  const hint = addr === null || addr === undefined ? 0 : validate.pointer('addr', addr)
  const size = validate.integer('length', length)
  const protection = validate.flags('prot', prot)
  const how = validate.flags('flags', flags)
  const file = validate.fileDescriptor('fd', fd)
  const start = validate.integer('offset', offset)
  watch()
  try {
    return native.mmap(hint, size, protection, how, file, start)
  } catch (error) {
    throw fromNative(error)
  }
}

/** Runs a call on a range of addresses. */
function onRange<T>(addr: unknown, length: unknown, call: (addr: number, length: number) => T): T {
  const start = validate.pointer('addr', addr)
  const size = validate.integer('length', length)
  try {
    return call(start, size)
  } catch (error) {
    throw fromNative(error)
  }
}

/**
 * Unmaps every page that holds a part of a range. Pages of the range without a mapping are no error. Buffers over
 * the range keep their length and read zeros from then on.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes, more than 0
 * @throws `EINVAL`; `EPERM` for pages that this package did not map
 * @see munmap(2); POSIX.1-2024 munmap()
 */
export function munmap(addr: Pointer | number, length: number | bigint): 0 {
  onRange(addr, length, native.munmap)
  return 0
}

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
export function mprotect(addr: Pointer | number, length: number | bigint, prot: number): 0 {
  const protection = validate.flags('prot', prot)
  onRange(addr, length, (start, size) => native.mprotect(start, size, protection))
  return 0
}

/**
 * Writes changed pages of a shared mapping to its file. With `MS_SYNC` it blocks until the device has them.
 *
 * @param addr a multiple of {@link pageSize}
 * @param length bytes, rounded up to whole pages
 * @param flags `MS_ASYNC` or `MS_SYNC`, and `MS_INVALIDATE`
 * @throws `EBUSY`, `EINVAL`, `EIO`, `ENOMEM` where nothing is mapped, `EPERM` for pages that this package did not map
 * @see msync(2); POSIX.1-2024 msync()
 */
export function msync(addr: Pointer | number, length: number | bigint, flags: number): 0 {
  const how = validate.flags('flags', flags)
  onRange(addr, length, (start, size) => native.msync(start, size, how))
  return 0
}

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
export function madvise(addr: Pointer | number, length: number | bigint, advice: number): 0 {
  const what = validate.flags('advice', advice)
  onRange(addr, length, (start, size) => native.madvise(start, size, what))
  return 0
}

/**
 * Brings the pages of a range into memory and keeps them there.
 *
 * @param addr any address of the first page
 * @param length bytes
 * @throws `EAGAIN`, `ENOMEM` past `RLIMIT_MEMLOCK` or where nothing is mapped, `EPERM`
 * @see mlock(2); POSIX.1-2024 mlock()
 */
export function mlock(addr: Pointer | number, length: number | bigint): 0 {
  onRange(addr, length, native.mlock)
  return 0
}

/**
 * Undoes {@link mlock}.
 *
 * @param addr any address of the first page
 * @param length bytes
 * @throws `ENOMEM` where nothing is mapped, `EPERM` for pages that this package did not map
 * @see munlock(2); POSIX.1-2024 munlock()
 */
export function munlock(addr: Pointer | number, length: number | bigint): 0 {
  onRange(addr, length, native.munlock)
  return 0
}

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
export function mincore(addr: Pointer | number, length: number | bigint): Uint8Array {
  return onRange(addr, length, (start, size) => {
    if (size > LARGEST_VIEW * pageSize)
      throw outOfRange('length', `<= ${LARGEST_VIEW * pageSize} in this runtime`, length)
    return native.mincore(start, size)
  })
}

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
export function mremap(
  addr: Pointer | number,
  oldLength: number | bigint,
  newLength: number | bigint,
  flags: number,
  newAddr?: Pointer | number,
): Pointer {
  if (process.platform !== 'linux') throw unavailable('mremap', 'only Linux has it')
  const target = newAddr === undefined ? 0 : validate.pointer('newAddr', newAddr)
  const size = validate.integer('newLength', newLength)
  const how = validate.flags('flags', flags)
  const old = validate.integer('oldLength', oldLength)
  return onRange(addr, old, (start) => native.mremap(start, old, size, how, target))
}

/**
 * A Buffer over mapped memory, without a copy. It may span adjacent mappings. The memory stays for its sake if it is
 * the last to know of it; after `munmap()` it reads zeros.
 *
 * @param addr any mapped address
 * @param length bytes; 0 gives an empty Buffer
 * @throws `EACCES` where there is no `PROT_READ`, `ENOMEM` where nothing is mapped, `EPERM` for memory that this package did
 *   not map, `ERR_OUT_OF_RANGE` for more than one view of the runtime spans
 */
export function bufferFromPointer(addr: Pointer | number, length: number | bigint): Buffer {
  const start = validate.pointer('addr', addr)
  const size = validate.integer('length', length)
  const lead = leadOf(start)
  if (size > LARGEST_VIEW - lead)
    throw outOfRange('length', `<= ${LARGEST_VIEW - lead} in this runtime`, length)
  if (size === 0) return Buffer.alloc(0)
  try {
    return Buffer.from(native.viewFromPointer(start, size, areShared('auto')) as ArrayBuffer, lead, size)
  } catch (error) {
    throw fromNative(error)
  }
}
