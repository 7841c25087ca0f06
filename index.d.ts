import { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { InspectOptions, inspect } from 'node:util'

declare const ADVICE: readonly [
  'normal',
  'random',
  'sequential',
  'willneed',
  'dontneed',
  'free',
  'remove',
  'dontfork',
  'dofork',
  'mergeable',
  'unmergeable',
  'hugepage',
  'nohugepage',
  'collapse',
  'dontdump',
  'dodump',
  'wipeonfork',
  'keeponfork',
  'cold',
  'pageout',
  'populate-read',
  'populate-write',
  'dontneed-locked',
  'zero-wired-pages',
  'free-reusable',
  'free-reuse',
  'can-reuse',
]
export declare class Mapping implements Disposable {
  #private
  readonly offset: number
  readonly access: Access
  readonly path: string | Buffer | undefined
  private constructor()
  static open(file: string | URL | Buffer | number | FileHandle, options?: OpenOptions): Mapping
  static anonymous(length: number | bigint, options?: AnonymousOptions): Mapping
  static shared(name: string, length?: number | bigint, options?: SharedOptions): Mapping
  static shared(name: string, options: SharedOptions): Mapping
  static unlinkShared(name: string): void
  static memfd(length: number | bigint, options?: MemfdOptions): Mapping
  static attach(token: MappingToken, options?: AttachOptions): Mapping
  get length(): number
  get closed(): boolean
  get faults(): Faults
  get address(): bigint
  get fd(): number
  get seals(): Seal[]
  seal(seals: readonly Seal[]): void
  get buffer(): ArrayBuffer | SharedArrayBuffer
  get bytes(): Buffer
  get dataView(): DataView
  view(constructor: typeof Buffer, byteOffset?: number | bigint, length?: number | bigint): Buffer
  view<T extends ArrayBufferView>(
    constructor: ViewConstructor<T>,
    byteOffset?: number | bigint,
    length?: number | bigint,
  ): T
  read(position: number | bigint, length: number | bigint): Buffer
  read<T extends ArrayBufferView>(position: number | bigint, target: T): T
  write(data: string | ArrayBufferView, position?: number | bigint): number
  fill(value: number | string | ArrayBufferView, start?: number | bigint, end?: number | bigint): this
  copyWithin(target: number | bigint, start?: number | bigint, end?: number | bigint): this
  indexOf(needle: string | Uint8Array | number, from?: number | bigint): number
  lastIndexOf(needle: string | Uint8Array | number, from?: number | bigint): number
  includes(needle: string | Uint8Array | number, from?: number | bigint): boolean
  count(needle: string | Uint8Array | number, from?: number | bigint, to?: number | bigint): number
  find(needle: string | Uint8Array | number, options?: FindOptions): Promise<number>
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
  flush(offset?: number | bigint, length?: number | bigint, options?: FlushOptions): Promise<void>
  flush(options: FlushOptions): Promise<void>
  flushSync(offset?: number | bigint, length?: number | bigint, options?: FlushSyncOptions): void
  flushSync(options: FlushSyncOptions): void
  prefetch(offset?: number | bigint, length?: number | bigint, options?: PrefetchOptions): Promise<void>
  prefetch(options: PrefetchOptions): Promise<void>
  createReadStream(options?: ReadStreamOptions): Readable
  [Symbol.iterator](): IterableIterator<Buffer>
  chunks(options?: ChunksOptions): IterableIterator<Buffer>
  static supports(advice: Advice): boolean
  advise(advice: Advice, offset?: number | bigint, length?: number | bigint, options?: AdviseOptions): number
  advise(advice: Advice, options: AdviseOptions): number
  residency(
    offset?: number | bigint,
    length?: number | bigint,
    options?: ResidencyOptions,
  ): Promise<Residency>
  residency(options: ResidencyOptions): Promise<Residency>
  lock(offset?: number | bigint, length?: number | bigint, options?: LockOptions): Promise<void>
  lock(options: LockOptions): Promise<void>
  unlock(offset?: number | bigint, length?: number | bigint): void
  evict(offset?: number | bigint, length?: number | bigint, options?: EvictOptions): Promise<Eviction>
  evict(options: EvictOptions): Promise<Eviction>
  wait(offset: number | bigint, expected: number, options?: WaitOptions): WaitResult
  waitAsync(offset: number | bigint, expected: number, options?: WaitAsyncOptions): Promise<WaitResult>
  notify(offset: number | bigint, count?: number): number
  share(): MappingToken
  stat(): Promise<MappingStat>
  statSync(): MappingStat
  refresh(): void
  resize(length?: number | bigint): number
  protect(access: 'none' | 'read' | 'write', offset?: number | bigint, length?: number | bigint): void
  unmap(): void
  [Symbol.dispose](): void
  [inspect.custom](_depth: number, options: InspectOptions): string
}
export declare const MADV_CAN_REUSE: number
export declare const MADV_COLD: number
export declare const MADV_COLLAPSE: number
export declare const MADV_DODUMP: number
export declare const MADV_DOFORK: number
export declare const MADV_DONTDUMP: number
export declare const MADV_DONTFORK: number
export declare const MADV_DONTNEED: number
export declare const MADV_DONTNEED_LOCKED: number
export declare const MADV_FREE: number
export declare const MADV_FREE_REUSABLE: number
export declare const MADV_FREE_REUSE: number
export declare const MADV_GUARD_INSTALL: number
export declare const MADV_GUARD_REMOVE: number
export declare const MADV_HUGEPAGE: number
export declare const MADV_HWPOISON: number
export declare const MADV_KEEPONFORK: number
export declare const MADV_MERGEABLE: number
export declare const MADV_NOHUGEPAGE: number
export declare const MADV_NORMAL: number
export declare const MADV_PAGEOUT: number
export declare const MADV_POPULATE_READ: number
export declare const MADV_POPULATE_WRITE: number
export declare const MADV_RANDOM: number
export declare const MADV_REMOVE: number
export declare const MADV_SEQUENTIAL: number
export declare const MADV_SOFT_OFFLINE: number
export declare const MADV_UNMERGEABLE: number
export declare const MADV_WILLNEED: number
export declare const MADV_WIPEONFORK: number
export declare const MADV_ZERO_WIRED_PAGES: number
export declare const MAP_32BIT: number
export declare const MAP_ANON: number
export declare const MAP_ANONYMOUS: number
export declare const MAP_COPY: number
export declare const MAP_DENYWRITE: number
export declare const MAP_DROPPABLE: number
export declare const MAP_EXECUTABLE: number
export declare const MAP_FILE: number
export declare const MAP_FIXED: number
export declare const MAP_FIXED_NOREPLACE: number
export declare const MAP_GROWSDOWN: number
export declare const MAP_HASSEMAPHORE: number
export declare const MAP_HUGETLB: number
export declare const MAP_HUGE_16GB: number
export declare const MAP_HUGE_16KB: number
export declare const MAP_HUGE_16MB: number
export declare const MAP_HUGE_1GB: number
export declare const MAP_HUGE_1MB: number
export declare const MAP_HUGE_256MB: number
export declare const MAP_HUGE_2GB: number
export declare const MAP_HUGE_2MB: number
export declare const MAP_HUGE_32MB: number
export declare const MAP_HUGE_512KB: number
export declare const MAP_HUGE_512MB: number
export declare const MAP_HUGE_64KB: number
export declare const MAP_HUGE_8MB: number
export declare const MAP_HUGE_MASK: number
export declare const MAP_HUGE_SHIFT: number
export declare const MAP_JIT: number
export declare const MAP_LOCKED: number
export declare const MAP_NOCACHE: number
export declare const MAP_NONBLOCK: number
export declare const MAP_NORESERVE: number
export declare const MAP_POPULATE: number
export declare const MAP_PRIVATE: number
export declare const MAP_RENAME: number
export declare const MAP_SHARED: number
export declare const MAP_SHARED_VALIDATE: number
export declare const MAP_STACK: number
export declare const MAP_SYNC: number
export declare const MAP_TYPE: number
export declare const MAP_UNINITIALIZED: number
export declare const MREMAP_DONTUNMAP: number
export declare const MREMAP_FIXED: number
export declare const MREMAP_MAYMOVE: number
export declare const MS_ASYNC: number
export declare const MS_DEACTIVATE: number
export declare const MS_INVALIDATE: number
export declare const MS_KILLPAGES: number
export declare const MS_SYNC: number
export declare const PROT_EXEC: number
export declare const PROT_GROWSDOWN: number
export declare const PROT_GROWSUP: number
export declare const PROT_NONE: number
export declare const PROT_READ: number
export declare const PROT_SEM: number
export declare const PROT_WRITE: number
export declare const constants: Readonly<Record<string, number>>
export declare const pageSize: number
export declare function bufferFromPointer(addr: Pointer | number, length: number | bigint): Buffer
export declare function isFaultGuarded(): boolean
export declare function madvise(addr: Pointer | number, length: number | bigint, advice: number): 0
export declare function mincore(addr: Pointer | number, length: number | bigint): Uint8Array
export declare function mlock(addr: Pointer | number, length: number | bigint): 0
export declare function mmap(
  addr: Pointer | number | null | undefined,
  length: number | bigint,
  prot: number,
  flags: number,
  fd: number,
  offset: number | bigint,
): Pointer
export declare function mprotect(addr: Pointer | number, length: number | bigint, prot: number): 0
export declare function mremap(
  addr: Pointer | number,
  oldLength: number | bigint,
  newLength: number | bigint,
  flags: number,
  newAddr?: Pointer | number,
): Pointer
export declare function msync(addr: Pointer | number, length: number | bigint, flags: number): 0
export declare function munlock(addr: Pointer | number, length: number | bigint): 0
export declare function munmap(addr: Pointer | number, length: number | bigint): 0
export declare function setFaultGuard(on: boolean): void
export interface AdviseOptions {
  destructive?: boolean
}
export interface AnonymousOptions {
  populate?: boolean
  noReserve?: boolean
  maxLength?: number | bigint
  stack?: boolean
  hugePages?:
    | HugePageSize
    | {
        size: HugePageSize
        fallback?: boolean
      }
  name?: string
  views?: Views
}
export interface AttachOptions {
  views?: Views
}
export interface ByteRange {
  offset: number
  length: number
}
export interface ChunksOptions {
  start?: number | bigint
  end?: number | bigint
  size?: number | bigint
}
export interface EvictOptions {
  pageCache?: boolean
  signal?: AbortSignal
}
export interface Eviction {
  fromProcess: number | undefined
  fromPageCache: number | undefined
}
export interface Fault {
  offset: number
  length: number
  kind: FaultKind
}
export interface Faults {
  count: number
  list: Fault[]
}
export interface FindOptions {
  from?: number | bigint
  signal?: AbortSignal
}
export interface FlushOptions extends FlushSyncOptions {
  signal?: AbortSignal
}
export interface FlushSyncOptions {
  mode?: FlushMode
}
export interface LinesOptions {
  encoding?: BufferEncoding
  start?: number | bigint
  end?: number | bigint
}
export interface LockOptions {
  onFault?: boolean
  signal?: AbortSignal
}
export interface MappingFaultError extends Error, Fault {
  code: 'ERR_MAPPING_FAULT'
  path?: string | Buffer
}
export interface MappingStat {
  access: Access
  length: number
  protection: {
    read: boolean
    write: boolean
    execute: boolean
  }
  shared: boolean
  fileSize: number | undefined
  truncated: boolean
  pageSize: number
  residentBytes: number | undefined
  proportionalBytes: number | undefined
  dirtyBytes: number | undefined
  sharedDirtyBytes: number | undefined
  privateDirtyBytes: number | undefined
  anonymousBytes: number | undefined
  hugeBytes: number | undefined
  swappedBytes: number | undefined
  lockedBytes: number | undefined
  mappings: number | undefined
  neighbourBytes: number | undefined
  flags: string[] | undefined
  name: string | undefined
}
export interface MappingToken {
  readonly mmapNative: 1
  readonly id: number
  readonly key: string
  readonly path: string | Uint8Array | undefined
}
export interface MemfdOptions {
  name?: string
  seal?: readonly Seal[]
  preallocate?: boolean
  maxLength?: number | bigint
  views?: Views
  onFault?: (fault: Fault) => void
}
export interface OpenOptions {
  access?: Access
  offset?: number | bigint
  length?: number | bigint
  create?: boolean | 'exclusive'
  grow?: boolean
  mode?: number
  preallocate?: boolean
  populate?: boolean
  maxLength?: number | bigint
  noReserve?: boolean
  hugePages?:
    | 'transparent'
    | {
        size: 'transparent'
        fallback?: boolean
      }
  mapSync?: boolean
  syncOnUnmap?: boolean
  views?: Views
  onFault?: (fault: Fault) => void
}
export interface PrefetchOptions {
  signal?: AbortSignal
  onProgress?: (bytesDone: number, bytesTotal: number) => void
}
export interface ReadStreamOptions {
  start?: number | bigint
  end?: number | bigint
  highWaterMark?: number
  signal?: AbortSignal
}
export interface Residency {
  residentBytes: number
  residentPages: number
  pages: number
  pageSize: number
  ranges: ByteRange[]
  omittedRanges: number
  bitmap: Uint8Array
}
export interface ResidencyOptions {
  maxRanges?: number
  signal?: AbortSignal
}
export interface SharedOptions {
  access?: 'read' | 'write'
  create?: boolean | 'exclusive'
  grow?: boolean
  mode?: number
  preallocate?: boolean
  maxLength?: number | bigint
  views?: Views
  onFault?: (fault: Fault) => void
}
export interface SystemError extends Error {
  code: string
  errno: number
  syscall: string
  path?: string
}
export interface ViewConstructor<T> {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T
  readonly BYTES_PER_ELEMENT?: number
}
export interface WaitAsyncOptions {
  timeout?: number
  signal?: AbortSignal
  ref?: boolean
}
export interface WaitOptions {
  timeout?: number
  allowMainThread?: boolean
}
export type Access = 'read' | 'write' | 'copy'
export type Advice = (typeof ADVICE)[number]
export type FaultKind = 'truncated' | 'not-stored' | 'read-only' | 'closed' | 'io-error' | 'protected'
export type FlushMode = 'sync' | 'async' | 'invalidate'
export type HugePageSize = 'transparent' | '2MB' | '1GB'
export type Pointer = bigint
export type Seal = 'grow' | 'shrink' | 'write' | 'future-write' | 'seal'
export type Views = 'auto' | 'shared' | 'detachable'
export type WaitResult = 'ok' | 'not-equal' | 'timed-out'

export {}
