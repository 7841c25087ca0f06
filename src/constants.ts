/**
 * The constants of `sys/mman.h`. Their values are the platform's own; one that the platform does not have is
 * `undefined` here and absent from `constants`. Their type is `number` all the same, as for those of `node:os`: a program for one
 * platform can use what it has. One for several asks `constants`.
 */
import { native } from './native'

/**
 * Every constant that this platform has, by name. Each is exported by itself, too, with the type `number`: as `undefined` where the platform
 * does not have it, which its comment says.
 */
export const constants: Readonly<Record<string, number>> = Object.freeze(native.constants())

function constant(name: string): number {
  return constants[name] as number
}

// Every Unix
/** No access. */
export const PROT_NONE = constant('PROT_NONE')
/** Pages may be read. */
export const PROT_READ = constant('PROT_READ')
/** Pages may be written. */
export const PROT_WRITE = constant('PROT_WRITE')
/** Pages may be executed. */
export const PROT_EXEC = constant('PROT_EXEC')
/** What is written goes to the file, and is seen by everybody who has it mapped. */
export const MAP_SHARED = constant('MAP_SHARED')
/** What is written stays in this process: a page is copied when it is first written. */
export const MAP_PRIVATE = constant('MAP_PRIVATE')
/** At this very address, in the place of what is mapped there. */
export const MAP_FIXED = constant('MAP_FIXED')
/** Zeroed memory without a file. */
export const MAP_ANONYMOUS = constant('MAP_ANONYMOUS')
/** Another name of `MAP_ANONYMOUS`. */
export const MAP_ANON = constant('MAP_ANON')
/** A file: what is mapped without `MAP_ANONYMOUS` anyway. It is 0. */
export const MAP_FILE = constant('MAP_FILE')
/** Sets no swap space aside. */
export const MAP_NORESERVE = constant('MAP_NORESERVE')
/** Begins to store what was written, and does not wait. On Linux it does nothing: the kernel stores it in time. */
export const MS_ASYNC = constant('MS_ASYNC')
/** Stores what was written, and waits for the device. */
export const MS_SYNC = constant('MS_SYNC')
/** Lets other mappings of the file show what it has. */
export const MS_INVALIDATE = constant('MS_INVALIDATE')
/** The kernel reads ahead as it usually does. */
export const MADV_NORMAL = constant('MADV_NORMAL')
/** Accesses are in no order: reads nothing ahead. */
export const MADV_RANDOM = constant('MADV_RANDOM')
/** Accesses are in order: reads more ahead. */
export const MADV_SEQUENTIAL = constant('MADV_SEQUENTIAL')
/** Begins to bring the pages into memory. */
export const MADV_WILLNEED = constant('MADV_WILLNEED')
/** Drops the pages from the process. On Linux those of private memory lose what they hold. */
export const MADV_DONTNEED = constant('MADV_DONTNEED')
/** The kernel may take the pages when it needs memory: until then, or until they are written again, they may turn into zeros. */
export const MADV_FREE = constant('MADV_FREE')

// Linux
/** For `mprotect()`: also the rest of a mapping that grows down. Linux only. */
export const PROT_GROWSDOWN = constant('PROT_GROWSDOWN')
/** For `mprotect()`: also the rest of a mapping that grows up. Linux only. */
export const PROT_GROWSUP = constant('PROT_GROWSUP')
/** Pages may have semaphores in them. Without effect on most processors. Linux only. */
export const PROT_SEM = constant('PROT_SEM')
/** As `MAP_SHARED`, and flags that the kernel does not know are `EOPNOTSUPP`. Linux only. */
export const MAP_SHARED_VALIDATE = constant('MAP_SHARED_VALIDATE')
/** The bits that tell `MAP_SHARED` from `MAP_PRIVATE`. Linux only. */
export const MAP_TYPE = constant('MAP_TYPE')
/** A stack, which grows by itself. Linux only. */
export const MAP_GROWSDOWN = constant('MAP_GROWSDOWN')
/** Without effect. Linux only. */
export const MAP_DENYWRITE = constant('MAP_DENYWRITE')
/** Without effect. Linux only. */
export const MAP_EXECUTABLE = constant('MAP_EXECUTABLE')
/** Locks the pages in memory, as far as that succeeds. Linux only. */
export const MAP_LOCKED = constant('MAP_LOCKED')
/** Brings all pages into memory at once. Linux only. */
export const MAP_POPULATE = constant('MAP_POPULATE')
/** With `MAP_POPULATE`: reads nothing ahead. It then does nothing at all. Linux only. */
export const MAP_NONBLOCK = constant('MAP_NONBLOCK')
/** Memory that is to be a stack. Linux only. */
export const MAP_STACK = constant('MAP_STACK')
/** Of reserved huge pages. Their size is a `MAP_HUGE_*`, or the usual one. Linux only. */
export const MAP_HUGETLB = constant('MAP_HUGETLB')
/** What is written to persistent memory is there once the caches of the processor are flushed. With `MAP_SHARED_VALIDATE`. Linux only. */
export const MAP_SYNC = constant('MAP_SYNC')
/** At this very address, or `EEXIST` if something is mapped there (Linux 4.17). */
export const MAP_FIXED_NOREPLACE = constant('MAP_FIXED_NOREPLACE')
/** Does not clear memory: of kernels for small devices, without effect in others. Linux only. */
export const MAP_UNINITIALIZED = constant('MAP_UNINITIALIZED')
/** In the first 2 GiB of addresses. Of x86-64. Linux only. */
export const MAP_32BIT = constant('MAP_32BIT')
/** Memory that may turn into zeros when the kernel needs it (Linux 6.11). */
export const MAP_DROPPABLE = constant('MAP_DROPPABLE')
/** The lowest bit of the field of `MAP_HUGE_*`: they are the binary logarithm of a size in bytes, shifted by it. Linux only. */
export const MAP_HUGE_SHIFT = constant('MAP_HUGE_SHIFT')
/** The bits of the field of `MAP_HUGE_*`, shifted down. Linux only. */
export const MAP_HUGE_MASK = constant('MAP_HUGE_MASK')
/** With `MAP_HUGETLB`: pages of 16 KiB. Linux only. */
export const MAP_HUGE_16KB = constant('MAP_HUGE_16KB')
/** With `MAP_HUGETLB`: pages of 64 KiB. Linux only. */
export const MAP_HUGE_64KB = constant('MAP_HUGE_64KB')
/** With `MAP_HUGETLB`: pages of 512 KiB. Linux only. */
export const MAP_HUGE_512KB = constant('MAP_HUGE_512KB')
/** With `MAP_HUGETLB`: pages of 1 MiB. Linux only. */
export const MAP_HUGE_1MB = constant('MAP_HUGE_1MB')
/** With `MAP_HUGETLB`: pages of 2 MiB. Linux only. */
export const MAP_HUGE_2MB = constant('MAP_HUGE_2MB')
/** With `MAP_HUGETLB`: pages of 8 MiB. Linux only. */
export const MAP_HUGE_8MB = constant('MAP_HUGE_8MB')
/** With `MAP_HUGETLB`: pages of 16 MiB. Linux only. */
export const MAP_HUGE_16MB = constant('MAP_HUGE_16MB')
/** With `MAP_HUGETLB`: pages of 32 MiB. Linux only. */
export const MAP_HUGE_32MB = constant('MAP_HUGE_32MB')
/** With `MAP_HUGETLB`: pages of 256 MiB. Linux only. */
export const MAP_HUGE_256MB = constant('MAP_HUGE_256MB')
/** With `MAP_HUGETLB`: pages of 512 MiB. Linux only. */
export const MAP_HUGE_512MB = constant('MAP_HUGE_512MB')
/** With `MAP_HUGETLB`: pages of 1 GiB. Linux only. */
export const MAP_HUGE_1GB = constant('MAP_HUGE_1GB')
/** With `MAP_HUGETLB`: pages of 2 GiB. Linux only. */
export const MAP_HUGE_2GB = constant('MAP_HUGE_2GB')
/** With `MAP_HUGETLB`: pages of 16 GiB. Linux only. */
export const MAP_HUGE_16GB = constant('MAP_HUGE_16GB')
/** Frees the pages, and the blocks of the file with them: both read as zeros then. Linux only. */
export const MADV_REMOVE = constant('MADV_REMOVE')
/** A child that is forked does not have the pages. Linux only. */
export const MADV_DONTFORK = constant('MADV_DONTFORK')
/** Undoes `MADV_DONTFORK`. Linux only. */
export const MADV_DOFORK = constant('MADV_DOFORK')
/** The kernel may keep one page in the place of equal ones. Linux only. */
export const MADV_MERGEABLE = constant('MADV_MERGEABLE')
/** Undoes `MADV_MERGEABLE`. Linux only. */
export const MADV_UNMERGEABLE = constant('MADV_UNMERGEABLE')
/** The kernel may put huge pages in the place of small ones. Linux only. */
export const MADV_HUGEPAGE = constant('MADV_HUGEPAGE')
/** The kernel keeps to small pages. Linux only. */
export const MADV_NOHUGEPAGE = constant('MADV_NOHUGEPAGE')
/** Leaves the pages out of core dumps. Linux only. */
export const MADV_DONTDUMP = constant('MADV_DONTDUMP')
/** Undoes `MADV_DONTDUMP`. Linux only. */
export const MADV_DODUMP = constant('MADV_DODUMP')
/** A child that is forked has zeros there (Linux 4.14). */
export const MADV_WIPEONFORK = constant('MADV_WIPEONFORK')
/** Undoes `MADV_WIPEONFORK` (Linux 4.14). */
export const MADV_KEEPONFORK = constant('MADV_KEEPONFORK')
/** The pages are the first to go when memory is needed (Linux 5.4). */
export const MADV_COLD = constant('MADV_COLD')
/** Writes the pages to swap or to the file, and drops them (Linux 5.4). */
export const MADV_PAGEOUT = constant('MADV_PAGEOUT')
/** Brings the pages into memory as reading would, or fails (Linux 5.14). */
export const MADV_POPULATE_READ = constant('MADV_POPULATE_READ')
/** Brings the pages into memory as writing would, or fails (Linux 5.14). */
export const MADV_POPULATE_WRITE = constant('MADV_POPULATE_WRITE')
/** Takes the memory out of use as if it were broken: for tests of the kernel. Linux only. */
export const MADV_HWPOISON = constant('MADV_HWPOISON')
/** Moves the pages elsewhere, and takes the memory out of use: for tests of the kernel. Linux only. */
export const MADV_SOFT_OFFLINE = constant('MADV_SOFT_OFFLINE')
/** As `MADV_DONTNEED`, for locked pages too (Linux 5.18). */
export const MADV_DONTNEED_LOCKED = constant('MADV_DONTNEED_LOCKED')
/** Puts huge pages in the place of small ones now (Linux 6.1). */
export const MADV_COLLAPSE = constant('MADV_COLLAPSE')
/** Makes every access to the pages a fault (Linux 6.13). */
export const MADV_GUARD_INSTALL = constant('MADV_GUARD_INSTALL')
/** Undoes `MADV_GUARD_INSTALL` (Linux 6.13). */
export const MADV_GUARD_REMOVE = constant('MADV_GUARD_REMOVE')
/** May move the mapping, if it does not fit where it is. Linux only. */
export const MREMAP_MAYMOVE = constant('MREMAP_MAYMOVE')
/** Moves the mapping to this very address. With `MREMAP_MAYMOVE`. Linux only. */
export const MREMAP_FIXED = constant('MREMAP_FIXED')
/** Moves the pages, and keeps the mapping without them (Linux 5.7). With `MREMAP_MAYMOVE`. */
export const MREMAP_DONTUNMAP = constant('MREMAP_DONTUNMAP')

// macOS
/** Without effect. macOS only. */
export const MAP_RENAME = constant('MAP_RENAME')
/** Pages have semaphores in them. macOS only. */
export const MAP_HASSEMAPHORE = constant('MAP_HASSEMAPHORE')
/** Need not keep the pages in memory. macOS only. */
export const MAP_NOCACHE = constant('MAP_NOCACHE')
/** Memory for code that is made at run time. macOS only. */
export const MAP_JIT = constant('MAP_JIT')
/** As `MAP_PRIVATE`. macOS only. */
export const MAP_COPY = constant('MAP_COPY')
/** Drops the pages. macOS only. */
export const MS_KILLPAGES = constant('MS_KILLPAGES')
/** Makes the pages the first to go when memory is needed. macOS only. */
export const MS_DEACTIVATE = constant('MS_DEACTIVATE')
/** Clears pages that are locked when they are unmapped. macOS only. */
export const MADV_ZERO_WIRED_PAGES = constant('MADV_ZERO_WIRED_PAGES')
/** The kernel may take the pages, and does not count them to the process. macOS only. */
export const MADV_FREE_REUSABLE = constant('MADV_FREE_REUSABLE')
/** Uses pages again that were `MADV_FREE_REUSABLE`. macOS only. */
export const MADV_FREE_REUSE = constant('MADV_FREE_REUSE')
/** Asks whether `MADV_FREE_REUSABLE` may be used for the pages. macOS only. */
export const MADV_CAN_REUSE = constant('MADV_CAN_REUSE')
