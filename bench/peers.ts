/** How one maps memory without this package: each gives a call that maps, and one that unmaps, if there is one. */
import { closeSync, openSync } from 'node:fs'
import { type Contender, KOFFI, MMAP_IO, type Medians, type Peer, type Runtime, type Setup } from './measure'

const PROT_READ = 1
const MAP_SHARED = 1

/** A way to map a file for reading. */
export interface Way {
  name: string
  runtime: Runtime
  peer?: Peer
  flags?: readonly string[]
  /** It cannot unmap: the collector does, off the clock. */
  noUnmap?: true
  /** Loads it. The maps that it makes are of whole files, or of the first `length` bytes. */
  load: (setup: Setup) => Maps
}

/** A mapping that somebody made. */
export interface Mapped {
  bytes: Uint8Array
  unmap(): void
}

export interface Maps {
  /** Of an open file. */
  fromDescriptor(fd: number, length: number): Mapped
  /** Of a file by its name: opened and closed, too. */
  fromPath(path: string, length: number): Mapped
}

function withDescriptor(fromDescriptor: Maps['fromDescriptor']): Maps {
  return {
    fromDescriptor,
    fromPath(path, length) {
      const fd = openSync(path, 'r')
      try {
        return fromDescriptor(fd, length)
      } finally {
        closeSync(fd)
      }
    },
  }
}

type Call = (...args: unknown[]) => unknown

interface Koffi {
  load(name: string): { func(definition: string): Call }
  view(pointer: unknown, length: number): ArrayBuffer
}

export const koffi: Way = {
  name: 'koffi and libc',
  runtime: 'node',
  peer: KOFFI,
  load({ peer }) {
    const { load, view } = require(peer as string) as Koffi
    const libc = load('libc.so.6')
    const mmap = libc.func(
      'void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)',
    )
    const munmap = libc.func('int munmap(void *addr, size_t length)')
    return withDescriptor((fd, length) => {
      const pointer = mmap(null, length, PROT_READ, MAP_SHARED, fd, 0)
      return { bytes: Buffer.from(view(pointer, length)), unmap: () => void munmap(pointer, length) }
    })
  },
}

interface NodeFfi {
  dlopen(path: string, definitions: object): { functions: { mmap: Call; munmap: Call } }
  toBuffer(pointer: unknown, length: number, copy: boolean): Buffer
}

export const nodeFfi: Way = {
  name: 'node:ffi and libc',
  runtime: 'node26',
  flags: ['--experimental-ffi', '--no-warnings'],
  load() {
    const { dlopen, toBuffer } = process.getBuiltinModule('node:ffi') as unknown as NodeFfi
    const { mmap, munmap } = dlopen('libc.so.6', {
      mmap: { arguments: ['pointer', 'uint64', 'int32', 'int32', 'int32', 'int64'], return: 'pointer' },
      munmap: { arguments: ['pointer', 'uint64'], return: 'int32' },
    }).functions
    return withDescriptor((fd, length) => {
      const size = BigInt(length)
      const pointer = mmap(0n, size, PROT_READ, MAP_SHARED, fd, 0n)
      return { bytes: toBuffer(pointer, length, false), unmap: () => void munmap(pointer, size) }
    })
  },
}

interface MmapIo {
  map(size: number, protection: number, flags: number, fd: number): Buffer
}

export const mmapIo: Way = {
  name: '@riaskov/mmap-io',
  runtime: 'host',
  peer: MMAP_IO,
  noUnmap: true,
  load({ peer }) {
    const { map } = require(peer as string) as MmapIo
    // It has no way to unmap but the collector.
    return withDescriptor((fd, length) => ({
      bytes: map(length, PROT_READ, MAP_SHARED, fd),
      unmap: () => {},
    }))
  },
}

export const bunMmap: Way = {
  name: 'Bun.mmap',
  runtime: 'bun',
  noUnmap: true,
  load() {
    const { mmap } = (globalThis as unknown as { Bun: { mmap(path: string): Uint8Array } }).Bun
    // Nor has this one, and it maps by name only.
    const fromPath = (path: string) => ({ bytes: mmap(path), unmap: () => {} })
    const fromDescriptor = (fd: number) => fromPath(`/proc/self/fd/${fd}`)
    return { fromPath, fromDescriptor }
  },
}

/** One contender to the best of the peers that ran: of those that unmap, or of all. */
export const toBestPeer =
  (name: string, which: 'that unmap' | 'all') =>
  ({ ratio }: Medians): number | undefined => {
    const compared = peers.filter(({ noUnmap = false }) => which === 'all' || !noUnmap)
    const ratios = compared.map((peer) => ratio(name, peer.name)).filter((value) => value !== undefined)
    return ratios.length === 0 ? undefined : Math.min(...ratios)
  }

const peers: readonly Way[] = [koffi, nodeFfi, mmapIo, bunMmap]

/** All of them as contenders that do the same work, each in its way. */
export function peerContenders(start: (way: Way) => NonNullable<Contender['start']>): Contender[] {
  const contender = (way: Way) => ({ ...way, start: start(way) })
  return peers.map(contender)
}
