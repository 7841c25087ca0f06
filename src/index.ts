/** mmap-native: memory-mapped files, and the POSIX calls below them. */
export * from './constants'
export * from './raw'
export { Mapping } from './mapping'
export type {
  Access,
  AnonymousOptions,
  FlushMode,
  FlushOptions,
  FlushSyncOptions,
  OpenOptions,
  PrefetchOptions,
  ViewConstructor,
} from './mapping'
export type { Advice, AdviseOptions } from './advice'
export type { ChunksOptions } from './chunks'
export type { ByteRange, EvictOptions, Eviction, LockOptions, Residency, ResidencyOptions } from './residency'
export type { HugePageSize } from './huge'
export { isFaultGuarded, setFaultGuard } from './faults'
export type { Fault, FaultKind, Faults } from './faults'
export type { MappingFaultError, SystemError } from './errors'
export { nativeBinary } from './native'
export type { NativeBinary } from './native'
export type { MappingStat } from './stat'
export type { ReadStreamOptions } from './stream'
export type { FindOptions, LinesOptions } from './search'
export type { AttachOptions, MappingToken, MemfdOptions, Seal, SharedOptions } from './sharing'
export type { Views } from './views'
export type { WaitAsyncOptions, WaitOptions, WaitResult } from './wait'
