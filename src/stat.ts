/** What a mapping really is: {@link Mapping.stat}. */
import type * as Binding from '../native/binding'
import type { Access } from './mapping'
import { native } from './native'

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
  protection: { read: boolean; write: boolean; execute: boolean }
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

/** proc_pid_smaps(5), VmFlags; fs/proc/task_mmu.c has the newer ones. */
const FLAGS: Record<string, string> = {
  rd: 'readable',
  wr: 'writable',
  ex: 'executable',
  sh: 'shared',
  mr: 'may-read',
  mw: 'may-write',
  me: 'may-execute',
  ms: 'may-share',
  gd: 'grows-down',
  pf: 'pfn-range',
  lo: 'locked',
  lf: 'lock-on-fault',
  io: 'io',
  sr: 'sequential',
  rr: 'random',
  dc: 'dont-fork',
  de: 'dont-expand',
  ac: 'accountable',
  nr: 'no-reserve',
  ht: 'hugetlb',
  sf: 'synchronous-fault',
  ar: 'architecture',
  wf: 'wipe-on-fork',
  dd: 'dont-dump',
  sd: 'soft-dirty',
  mm: 'mixed-map',
  hg: 'transparent-huge',
  nh: 'no-transparent-huge',
  mg: 'mergeable',
  bt: 'guarded',
  mt: 'memory-tagging',
  um: 'userfault-missing',
  uw: 'userfault-write-protect',
  ui: 'userfault-minor',
  ss: 'shadow-stack',
  sl: 'sealed',
  dp: 'droppable',
}

/** @param found what native code has found out of `mapping` */
export function statOf(
  found: Binding.StatInfo,
  { access, length }: { access: Access; length: number },
): MappingStat {
  const { figures } = found
  return {
    access,
    length,
    protection: { read: found.readable, write: found.writable, execute: found.executable },
    shared: found.shared,
    fileSize: found.fileSize,
    truncated: found.truncated,
    pageSize: figures?.pageSize || native.pageSize(),
    residentBytes: figures?.resident ?? found.resident,
    proportionalBytes: figures?.proportional,
    dirtyBytes: figures && figures.sharedDirty + figures.privateDirty,
    sharedDirtyBytes: figures?.sharedDirty,
    privateDirtyBytes: figures?.privateDirty,
    anonymousBytes: figures?.anonymous,
    hugeBytes: figures?.huge,
    swappedBytes: figures?.swapped,
    lockedBytes: figures?.locked,
    mappings: figures?.mappings,
    neighbourBytes: figures?.neighbours,
    flags: figures?.flags.map((flag) => FLAGS[flag] ?? flag),
    name: figures?.name,
  }
}
