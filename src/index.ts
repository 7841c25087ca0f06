/** mmap-native: memory-mapped files, and the POSIX calls below them. */
export * from './constants'
export * from './raw'
export { Mapping } from './mapping'
export type { Access, AnonymousOptions, FlushOptions, OpenOptions, ViewConstructor } from './mapping'
export { isFaultGuarded, setFaultGuard } from './faults'
export type { Fault, FaultKind, Faults } from './faults'
export type { MappingFaultError, SystemError } from './errors'
export type { Views } from './views'
