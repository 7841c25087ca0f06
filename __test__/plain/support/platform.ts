/** What a platform cannot do, each as a reason to skip what needs it; `undefined` where it can. */
import { constants, endianness } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { MAP_FIXED } from 'mmap-native'

const isWindows = process.platform === 'win32'
/** Whether `qemu` runs this process, on another CPU. `scripts/test-platforms.mjs` says so. */
export const isEmulated = process.env['MMAP_NATIVE_EMULATOR'] === 'qemu'

/** Whether the lowest byte of a number comes first in memory. */
export const littleEndian = endianness() === 'LE'

/** Where in a file a raw mapping may start: a multiple of this many bytes. */
export const offsetUnit = (pageSize: number): number => (isWindows ? 65_536 : pageSize)

export const noTruncation = isWindows
  ? 'Windows lets nobody make a file shorter that is mapped'
  : isEmulated && !littleEndian
    ? 'qemu swaps the halves of the address of SIGBUS for a big-endian CPU'
    : undefined

export const noParts = isWindows ? 'Windows unmaps only whole mappings' : undefined

export const noAccount = isEmulated ? 'the /proc/self/smaps of qemu counts no pages' : undefined

export const noCopies = isEmulated
  ? 'qemu has no process_vm_readv(), which copies memory whose file is not open any more'
  : undefined

export const noAnswer = isEmulated
  ? 'qemu has no MADV_POPULATE_WRITE to ask what an access meets: of a file that grows back, it may count as not stored'
  : undefined

export const noHugeFiles =
  process.arch === 'arm' ? 'a mapping has at most 2 GiB where addresses have 32 bits' : undefined

export const noFixed =
  (MAP_FIXED as number | undefined) === undefined ? 'there is no MAP_FIXED here' : undefined

/** A mapping of a file without `maxLength` has other addresses when it was resized, and views of before read zeros. */
export const movesFiles = isWindows

/** The name of shared memory goes with its last mapping, and not before. */
export const namesGoByThemselves = isWindows

export const noUnlinking = isWindows ? 'Windows removes no name of shared memory' : undefined

export const noLastingNames = isWindows ? undefined : 'shared memory stays until it is unlinked'

export const noWaiting = isWindows ? 'Windows wakes nobody in another process' : undefined

export const noAdvice = isWindows ? "Windows has no advice but 'willneed'" : undefined

export const noSignals = isWindows ? 'Windows has no SIGBUS' : undefined

/** The `errno` of Node's errors with this code: libuv's number, which is C's own but on Windows. */
export function errnoOf(code: 'EISDIR' | 'ENOENT'): number | undefined {
  if (!isWindows) return -constants.errno[code]
  return [...getSystemErrorMap()].find(([, [name]]) => name === code)?.[0]
}
