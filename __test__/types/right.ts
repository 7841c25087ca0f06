/** What compiles, and the types that it has. It is compiled, and never run. */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import {
  MADV_COLD,
  MAP_PRIVATE,
  Mapping,
  PROT_READ,
  bufferFromPointer,
  constants,
  isFaultGuarded,
  madvise,
  mincore,
  mlock,
  mmap,
  mprotect,
  mremap,
  msync,
  munlock,
  munmap,
  nativeBinary,
  pageSize,
  setFaultGuard,
} from 'mmap-native'
import type {
  Access,
  Advice,
  AnonymousOptions,
  Eviction,
  Fault,
  FaultKind,
  Faults,
  HugePageSize,
  MappingFaultError,
  MappingStat,
  MappingToken,
  OpenOptions,
  Pointer,
  PrefetchOptions,
  Residency,
  Seal,
  SystemError,
  ViewConstructor,
  Views,
  WaitResult,
} from 'mmap-native'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** `is<Expected>()(value)` compiles if the value has this very type: not a wider one, nor `any`. */
const is =
  <Expected>() =>
  <Actual>(_: Actual, ..._problem: Same<Actual, Expected> extends true ? [] : [never]) => {}

declare const signal: AbortSignal
declare const handle: FileHandle

export function making(): Mapping[] {
  is<Mapping>()(Mapping.open('file'))
  const files: Mapping[] = [
    Mapping.open(new URL('file:///file')),
    Mapping.open(Buffer.from('file')),
    Mapping.open(3, {}),
    Mapping.open(handle, { access: 'copy', offset: 1n, length: 2, noReserve: true, views: 'shared' }),
    Mapping.open('file', {
      access: 'write',
      create: 'exclusive',
      mode: 0o600,
      grow: true,
      preallocate: false,
    }),
    Mapping.open('file', {
      access: 'write',
      create: true,
      mode: '600',
      maxLength: 2 ** 40,
      syncOnUnmap: true,
    }),
    Mapping.open('file', { populate: true, hugePages: { size: 'transparent', fallback: true } }),
    Mapping.open('file', { access: 'write', mapSync: true, hugePages: 'transparent' }),
    Mapping.open('file', { onFault: (fault) => is<Fault>()(fault) }),
  ]
  const memory: Mapping[] = [
    Mapping.anonymous(1),
    Mapping.anonymous(1n, { hugePages: '2MB', name: 'name', stack: true, populate: true, noReserve: true }),
    Mapping.anonymous(1, { hugePages: { size: '1GB' }, maxLength: 2n }),
    Mapping.shared('/name'),
    Mapping.shared('/name', { access: 'read' }),
    Mapping.shared('/name', 1, { create: true, mode: '600' }),
    Mapping.memfd(1, { name: 'name', seal: ['shrink', 'grow'] }),
    Mapping.attach(Mapping.anonymous(1).share(), { views: 'auto' }),
  ]
  is<void>()(Mapping.unlinkShared('/name'))
  return [...files, ...memory]
}

export async function ending(): Promise<void> {
  using mapping = Mapping.open('file')
  is<Mapping>()(mapping)
  const disposable: Disposable = mapping
  disposable[Symbol.dispose]()
  is<void>()(mapping.unmap())
  await using file = await open('file')
  using own = Mapping.open(file)
  is<boolean>()(own.closed)
}

export function properties(mapping: Mapping): void {
  is<number>()(mapping.length)
  is<number>()(mapping.offset)
  is<number>()(mapping.fd)
  is<Access>()(mapping.access)
  is<string | Buffer | undefined>()(mapping.path)
  is<Pointer>()(mapping.address)
  is<bigint>()(mapping.address)
  is<Faults>()(mapping.faults)
  is<FaultKind | undefined>()(mapping.faults.list[0]?.kind)
  is<Seal[]>()(mapping.seals)
  is<ArrayBuffer | SharedArrayBuffer>()(mapping.buffer)
  is<Buffer>()(mapping.bytes)
  is<DataView>()(mapping.dataView)
}

class Vectors extends Float32Array {
  readonly dimensions = 3
}

export function views(mapping: Mapping, arrays: Views): void {
  const { view } = mapping
  is<Buffer>()(mapping.view(Buffer))
  is<Buffer>()(mapping.view(Buffer, 1n, 2))
  const bytes: [Int8Array, Uint8Array, Uint8ClampedArray] = [
    mapping.view(Int8Array),
    mapping.view(Uint8Array, 1),
    mapping.view(Uint8ClampedArray, 1n, 2n),
  ]
  const integers: [Int16Array, Uint16Array, Int32Array, Uint32Array] = [
    mapping.view(Int16Array),
    mapping.view(Uint16Array),
    mapping.view(Int32Array),
    mapping.view(Uint32Array),
  ]
  const others: [Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView] = [
    mapping.view(Float32Array),
    mapping.view(Float64Array),
    mapping.view(BigInt64Array),
    mapping.view(BigUint64Array),
    mapping.view(DataView),
  ]
  is<number | undefined>()(mapping.view(Float64Array)[0])
  is<bigint | undefined>()(mapping.view(BigInt64Array)[0])
  is<bigint | undefined>()(mapping.view(BigUint64Array)[0])
  is<Vectors>()(mapping.view(Vectors))
  is<3>()(mapping.view(Vectors).dimensions as 3)
  // A function of any kind of view has that kind, too.
  const first = <T extends ArrayBufferView>(Class: ViewConstructor<T>): T => mapping.view(Class, 0, 1)
  is<number>()(first(Vectors).dimensions as number)
  void [view, bytes, integers, others, arrays]
}

export function copies(mapping: Mapping): void {
  is<Buffer>()(mapping.read(0, 1))
  is<Buffer>()(mapping.read(0n, 1n))
  const target = new Float64Array(2)
  is<typeof target>()(mapping.read(0, target))
  is<Vectors>()(mapping.read(0, new Vectors(2)))
  is<number>()(mapping.write('text', 1))
  is<number>()(mapping.write(new Uint16Array(1), 1n))
  is<number>()(mapping.write(new DataView(new ArrayBuffer(1))))
  is<Mapping>()(mapping.fill(0).fill('text', 1).fill(Buffer.from('x'), 1n, 2n).copyWithin(0, 1, 2n))
}

export async function searches(mapping: Mapping): Promise<void> {
  is<number>()(mapping.indexOf('needle', -1))
  is<number>()(mapping.lastIndexOf(Buffer.from('needle'), 1n))
  is<boolean>()(mapping.includes(10))
  is<number>()(mapping.count(new Uint8Array(1), 0, 10))
  is<number>()(await mapping.find('needle', { from: 1n, signal }))
  // What a caller passes on may be undefined.
  const passedOn: { signal?: AbortSignal } = {}
  is<number>()(await mapping.find('needle', { from: undefined, signal: passedOn.signal }))
  is<IterableIterator<Buffer>>()(mapping.lines())
  is<IterableIterator<Buffer>>()(mapping.lines({ start: 1, end: 2n }))
  is<IterableIterator<string>>()(mapping.lines({ encoding: 'utf8', start: 1 }))
  for (const line of mapping.lines({ encoding: 'latin1' })) is<string>()(line)
  for (const chunk of mapping) is<Buffer>()(chunk)
  for (const chunk of mapping.chunks({ start: 1, end: 2n, size: 3 })) is<Buffer>()(chunk)
  is<Readable>()(mapping.createReadStream({ start: 1, end: 2, highWaterMark: 3, signal }))
}

export async function pages(mapping: Mapping): Promise<void> {
  is<void>()(await mapping.flush())
  is<void>()(await mapping.flush(0, 1n, { mode: 'async', signal }))
  is<void>()(await mapping.flush({ mode: 'invalidate' }))
  is<void>()(mapping.flushSync({ mode: 'sync' }))
  is<void>()(mapping.flushSync(0, 1, {}))
  is<number>()(mapping.resize())
  is<number>()(mapping.resize(1n))
  is<void>()(mapping.protect('none', 0, 4096n))
  const onProgress: NonNullable<PrefetchOptions['onProgress']> = (done, total) => is<number>()(done / total)
  is<void>()(await mapping.prefetch({ signal, onProgress }))
  is<void>()(await mapping.prefetch(0, 1n, { onProgress: (done) => is<number>()(done) }))
  is<number>()(mapping.advise('cold', 0, 1n))
  is<number>()(mapping.advise('dontneed', { destructive: true }))
  is<boolean>()(Mapping.supports('populate-read'))
  is<Promise<void>>()(mapping.lock({ onFault: true, signal }))
  is<Promise<void>>()(mapping.lock(0, 1n))
  is<void>()(mapping.unlock(0, 1))
  is<Promise<Residency>>()(mapping.residency({ maxRanges: 1, signal }))
  const { bitmap, ranges } = await mapping.residency(0, 1)
  is<number>()(ranges.length)
  void (bitmap satisfies Uint8Array)
  is<Promise<Eviction>>()(mapping.evict({ pageCache: true }))
  is<number | undefined>()((await mapping.evict(0, 1n, { signal })).fromPageCache)
  is<Promise<MappingStat>>()(mapping.stat())
  is<MappingStat>()(mapping.statSync())
  is<void>()(mapping.refresh())
  is<void>()(mapping.seal(['write'] as const))
}

export async function others(mapping: Mapping): Promise<void> {
  const token: MappingToken = mapping.share()
  is<MappingToken>()(structuredClone(token))
  is<WaitResult>()(mapping.wait(0, 1, { timeout: 10, allowMainThread: true }))
  is<'ok' | 'not-equal' | 'timed-out'>()(await mapping.waitAsync(0n, 1, { timeout: 10, signal, ref: false }))
  is<number>()(mapping.notify(0, Infinity))
}

export function errors(error: unknown): void {
  const { code, errno, syscall, path } = error as SystemError
  is<string>()(code)
  is<number>()(errno)
  is<string>()(syscall)
  is<string | undefined>()(path)
  const fault = error as MappingFaultError
  is<'ERR_MAPPING_FAULT'>()(fault.code)
  is<FaultKind>()(fault.kind)
  void (fault satisfies Error)
}

export function raw(): void {
  const pointer = mmap(null, 4096n, PROT_READ, MAP_PRIVATE, 3, 0)
  is<bigint>()(pointer)
  mmap(undefined, 4096, 1, 2, -1, 0)
  mmap(4096, 4096, 1, 2, -1, 0n)
  is<0>()(munmap(pointer, 4096))
  is<0>()(mprotect(pointer, 4096n, PROT_READ))
  is<0>()(msync(Number(pointer), 4096, 0))
  is<0>()(madvise(pointer, 4096, MADV_COLD))
  is<0>()(mlock(pointer, 4096))
  is<0>()(munlock(pointer, 4096))
  is<bigint>()(mremap(pointer, 4096, 8192n, 1))
  void (mincore(pointer, 4096) satisfies Uint8Array)
  is<Buffer>()(bufferFromPointer(pointer, 1))
  is<number>()(pageSize)
  is<number>()(MAP_PRIVATE)
  is<Readonly<Record<string, number>>>()(constants)
  is<void>()(setFaultGuard(true))
  is<boolean>()(isFaultGuarded())
  is<'named' | 'built' | 'installed'>()(nativeBinary.origin)
}

/** Options that are put together first have types of their own. */
export const options: [OpenOptions, AnonymousOptions, Advice, Views, HugePageSize] = [
  { access: 'write', create: true },
  { name: 'name' },
  'dontneed-locked',
  'detachable',
  '2MB',
]
