/**
 * How long mapped memory lives. No order of unmapping, garbage collection, moving buffers about and ending the process
 * may crash, or read memory that is not the mapping's.
 */
import * as assert from 'node:assert/strict'
import { pbkdf2, randomFill } from 'node:crypto'
import { closeSync, openSync, read, readFileSync, write } from 'node:fs'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { deflate } from 'node:zlib'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  Mapping,
  PROT_READ,
  PROT_WRITE,
  bufferFromPointer,
  mmap,
  munmap,
  pageSize,
} from 'mmap-native'
import { inChild } from './support/child'
import { newFile, pattern, patternAt } from './support/files'
import { kinds, noTransfer, transfer } from './support/kinds'
import { addressSpace, census, collected, descriptors, mapped, noProc } from './support/memory'
import { noFixed, noParts } from './support/platform'

const SIZE = 3 * pageSize

/** How much may be left over: a runtime whose collector looks at the stack takes what it finds there for references. */
const FEW = 16

/** How many more ranges of addresses may be in use than before: the runtime takes some for itself. */
const SOME = 2000

/** Whether all bytes have a value; true of an array without bytes, as a detached one is. */
function allOf(array: Uint8Array, value: number): boolean {
  for (let i = 0; i < array.length; i++) if (array[i] !== value) return false
  return true
}

/** As `fill()`, which throws for a detached array. */
function setAll(array: Uint8Array, value: number): void {
  for (let i = 0; i < array.length; i++) array[i] = value
}

function isPattern(array: Uint8Array, from = 0): boolean {
  for (let i = 0; i < array.length; i++) if (array[i] !== patternAt(from + i)) return false
  return true
}

// Unmapping

const { bun, deno } = process.versions
const endsProcess = 'this runtime ends the process when the buffer is detached meanwhile, by anybody'

/** Calls that fail outside their callback when a buffer of any origin is detached under them: those of the runtime. */
const detachingKills: Record<string, string | undefined> = {
  'deflate()': bun === undefined ? endsProcess : undefined,
  'randomFill()': deno === undefined ? undefined : endsProcess,
}

for (const { views, skip } of kinds) {
  inChild(
    `views: '${views}': reading and writing after unmap() is harmless`,
    () => {
      const path = newFile(pattern(SIZE))
      const mapping = Mapping.open(path, { access: 'write', views })
      const { bytes, buffer, dataView } = mapping
      const part = bytes.subarray(pageSize, 2 * pageSize)
      const floats = mapping.view(Float64Array)
      mapping.unmap()

      assert.ok(allOf(bytes, 0) && allOf(part, 0) && (floats[0] ?? 0) === 0)
      if (views !== 'detachable') assert.equal(dataView.getUint32(pageSize), 0)
      else assert.throws(() => dataView.getUint32(pageSize), TypeError)
      console.log(buffer.byteLength, bytes.length, bytes.toString('latin1', 0, 2).length, bytes.indexOf(5))

      for (let i = 0; i < SIZE; i++) bytes[i] = 77
      floats[0] = 1
      for (const fill of [
        () => part.fill(78),
        () => floats.fill(1),
        () => Buffer.alloc(SIZE, 3).copy(bytes),
      ]) {
        try {
          fill()
        } catch (error) {
          assert.ok(views === 'detachable' && error instanceof TypeError) // a method may refuse a detached array
        }
      }
      console.log(isPattern(readFileSync(path)))
    },
    { prints: views !== 'detachable' ? [`${SIZE} ${SIZE} 2 -1`, 'true'] : ['0 0 0 -1', 'true'], skip },
  )

  inChild(
    `views: '${views}': unmap() twice is unmap() once`,
    () => {
      const path = newFile(pattern(SIZE))
      const mapping = Mapping.open(path, { views })
      mapping.unmap()
      // It gets the addresses that are free now.
      const successor = Mapping.open(path, { views })
      const view = successor.bytes
      mapping.unmap()
      mapping[Symbol.dispose]()
      console.log(mapping.closed, successor.closed, view.length, isPattern(view))
    },
    { prints: [`true false ${SIZE} true`], skip },
  )

  const path = (): string => newFile(pattern(4 << 20))
  const output = (): number => openSync(newFile(''), 'w')
  const calls: Record<string, (view: Buffer, path: string, done: () => void) => void> = {
    'deflate()': (view, _path, done) => deflate(view, done),
    'fs.write()': (view, _path, done) => write(output(), view, done),
    'fs.read()': (view, path, done) => read(openSync(path, 'r'), view, done),
    'randomFill()': (view, _path, done) => randomFill(view, done),
    'pbkdf2()': (view, _path, done) => pbkdf2(view, view.subarray(0, 16), 1000, 64, 'sha512', done),
  }
  for (const [name, call] of Object.entries(calls)) {
    const dies = views === 'detachable' ? detachingKills[name] : undefined
    inChild(
      `views: '${views}': ${name} on a view of a mapping that is unmapped meanwhile`,
      async () => {
        const file = path()
        let ended = 0
        const start = (): [Mapping, Promise<void>] => {
          const mapping = Mapping.open(file, { access: 'copy', views })
          const end = new Promise<void>((resolve) => call(mapping.bytes, file, resolve))
          return [mapping, end.then(() => void ended++)]
        }
        for (const delay of [undefined, 0, 2]) {
          const [mapping, end] = start()
          if (delay !== undefined) await sleep(delay)
          mapping.unmap()
          await end
        }
        // Several at once, with the collector at work and other mappings that want the addresses.
        const ends = Array.from({ length: 6 }, () => {
          const [mapping, end] = start()
          mapping.unmap()
          return end
        })
        const others = Array.from({ length: 6 }, () => Mapping.open(file, { views }))
        await collected(() => ended === 9)
        await Promise.all(ends)
        console.log(
          ended,
          others.every((mapping) => isPattern(mapping.bytes)),
        )
      },
      {
        prints: ['9 true'],
        skip: skip ?? dies,
      },
    )
  }

  inChild(
    `views: '${views}': addresses with a view are not given to another mapping`,
    () => {
      const path = newFile(pattern(SIZE))
      const taken = new Set<bigint>()
      const kept: Buffer[] = []
      for (let i = 0; i < 100; i++) {
        const mapping = Mapping.open(path, { views })
        assert.ok(!taken.has(mapping.address), 'an address that was taken')
        taken.add(mapping.address)
        kept.push(mapping.bytes)
        mapping.unmap()
      }
      console.log(taken.size, kept.length)
    },
    { prints: ['100 100'], skip },
  )

  inChild(
    `views: '${views}': collecting a view whose addresses were mapped anew leaves the new mapping alone`,
    async () => {
      const path = newFile(pattern(SIZE))
      let address = 0n
      let old: Buffer[] | undefined
      ;(() => {
        const mapping = Mapping.open(path, { views })
        address = mapping.address
        old = [mapping.bytes, mapping.view(Buffer, pageSize)]
        mapping.unmap()
      })()
      const fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
      assert.equal(mmap(address, SIZE, PROT_READ | PROT_WRITE, fixed, -1, 0), address)
      const second = bufferFromPointer(address, SIZE)
      second.fill(9)
      const reference = new WeakRef(old![0]!.buffer)
      old = undefined
      await collected(() => reference.deref() === undefined)
      console.log(census().live, allOf(second, 9), munmap(address, SIZE))
    },
    { prints: ['1 true 0'], skip: skip ?? noFixed },
  )
}

inChild(
  'collecting a mapping whose addresses another mapping has got leaves that one alone',
  async () => {
    const path = newFile(pattern(SIZE))
    let first: WeakRef<Mapping> | undefined
    let address = 0n
    ;(() => {
      const mapping = Mapping.open(path)
      first = new WeakRef(mapping)
      address = mapping.address
      mapping.unmap() // without a view, its addresses are free at once
    })()
    // The kernel gives the same addresses again, as long as nobody else asks.
    const others = Array.from({ length: 20 }, () => Mapping.open(path))
    console.log(others.some((mapping) => mapping.address === address))
    await collected(() => first?.deref() === undefined)
    console.log(others.every((mapping) => isPattern(mapping.bytes)))
  },
  { prints: ['true', 'true'] },
)

// Moving

for (const [name, move] of Object.entries({
  'transfer()': transfer,
  'structuredClone()': (buffer: ArrayBufferLike) =>
    structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }) as ArrayBuffer,
  'a MessagePort': (buffer: ArrayBufferLike) => {
    const { port1, port2 } = new MessageChannel()
    try {
      port1.postMessage(buffer, [buffer as ArrayBuffer])
      return (receiveMessageOnPort(port2) as { message: ArrayBuffer }).message
    } finally {
      port1.close()
      port2.close()
    }
  },
})) {
  inChild(
    `a view moved by ${name} is harmless after unmap()`,
    async () => {
      const path = newFile(pattern(SIZE))
      await (async () => {
        const mapping = Mapping.open(path, { access: 'write', views: 'detachable' })
        const { buffer } = mapping
        let moved: ArrayBuffer | undefined
        try {
          moved = move(buffer)
        } catch (error) {
          // Node.js lets no external buffer be moved but by transfer().
          assert.equal((error as Error).name, 'DataCloneError')
        }
        const array = new Uint8Array(moved ?? buffer)
        assert.ok(array.length === SIZE && isPattern(array))
        // Node.js 20 copies what it lets nobody move.
        const isCopy = moved !== undefined && buffer.byteLength > 0
        mapping.unmap()
        assert.ok(isCopy ? isPattern(array) : allOf(array, 0))
        setAll(array, 7)
        await turn()
        setAll(array, 8)
        console.log(buffer.byteLength, isPattern(readFileSync(path)))
      })()
      await collected(() => census().retired === 0, census)
      console.log(census().live)
    },
    { prints: ['0 true', '0'], skip: name === 'transfer()' ? noTransfer : undefined },
  )

  inChild(
    `a view moved by ${name} outlives its mapping`,
    async () => {
      const path = newFile(pattern(SIZE))
      let mapping: Mapping | undefined = Mapping.open(path, { views: 'detachable' })
      const reference = new WeakRef(mapping)
      let moved: ArrayBufferLike
      try {
        moved = move(mapping.buffer)
      } catch {
        moved = mapping.buffer
      }
      mapping = undefined
      await collected(() => reference.deref() === undefined)
      console.log(moved.byteLength, isPattern(new Uint8Array(moved)))
    },
    { prints: [`${SIZE} true`], skip: name === 'transfer()' ? noTransfer : undefined },
  )
}

// Collection

for (const { views, skip } of kinds) {
  inChild(
    `views: '${views}': a view outlives its mapping`,
    async () => {
      const path = newFile(pattern(SIZE))
      const [reference, view, part] = (() => {
        const mapping = Mapping.open(path, { views })
        return [new WeakRef(mapping), mapping.view(DataView), mapping.bytes.subarray(100, 200)] as const
      })()
      await collected(() => reference.deref() === undefined)
      console.log(view.byteLength, view.getUint8(pageSize) === patternAt(pageSize), isPattern(part, 100))
    },
    { prints: [`${SIZE} true true`], skip },
  )

  inChild(
    `views: '${views}': a part of a Buffer keeps the memory, and lets go of it`,
    async () => {
      const path = newFile(pattern(SIZE))
      let part: Buffer | undefined
      const reference = (() => {
        const { bytes } = Mapping.open(path, { views })
        part = bytes.subarray(pageSize + 1, pageSize + 101)
        return new WeakRef(bytes)
      })()
      await collected(() => reference.deref() === undefined)
      console.log(isPattern(part!, pageSize + 1))
      part = undefined
      await collected(() => census().live === 0, census)
      console.log(census().retired)
    },
    { prints: ['true', '0'], skip },
  )

  inChild(
    `views: '${views}': of two mappings of one file, one is collected`,
    async () => {
      const path = newFile(pattern(SIZE))
      const kept = Mapping.open(path, { access: 'write', views })
      const reference = (() => {
        const other = Mapping.open(path, { access: 'write', views })
        other.bytes[0] = 99
        return new WeakRef(other)
      })()
      await collected(() => reference.deref() === undefined && census().live === 1, census)
      console.log(kept.bytes[0], isPattern(kept.bytes.subarray(1), 1))
    },
    { prints: ['99 true'], skip },
  )

  inChild(
    `views: '${views}': 10,000 mappings that are dropped leave nothing behind`,
    async () => {
      const path = newFile(pattern(SIZE))
      const before = addressSpace().length
      let sum = 0
      for (let batch = 0; batch < 100; batch++) {
        for (let i = 0; i < 100; i++) {
          const mapping = Mapping.open(path, { views })
          // Some without a view.
          if (i % 4 > 0) sum += mapping.bytes[i]!
        }
        ;(globalThis as { gc?: () => void }).gc?.()
        await turn()
      }
      console.log(
        sum ===
          100 * Array.from({ length: 100 }, (_, i) => (i % 4 ? patternAt(i) : 0)).reduce((a, b) => a + b),
      )
      const left = () => ({
        mapped: mapped(path),
        descriptors: descriptors(path),
        more: addressSpace().length - before,
        ...census(),
      })
      await collected(() => {
        const { mapped, descriptors, more, live, retired } = left()
        return mapped <= FEW && descriptors <= FEW && more < SOME && live <= FEW && retired <= FEW
      }, left)
      console.log('nothing left')
    },
    { prints: ['true', 'nothing left'], skip: skip ?? noProc },
  )

  inChild(
    `views: '${views}': 100,000 times map, touch and unmap without a turn of the event loop`,
    async () => {
      const path = newFile(pattern(SIZE))
      const before = addressSpace().length
      let sum = 0
      for (let i = 0; i < 100_000; i++) {
        const mapping = Mapping.open(path, { views })
        sum += mapping.bytes[pageSize]!
        mapping.unmap()
      }
      console.log(sum === 100_000 * patternAt(pageSize), mapped(path), descriptors(path), census().live)
      const left = () => ({ more: addressSpace().length - before, ...census() })
      await collected(() => left().retired <= FEW && left().more < SOME, left)
      console.log('nothing left')
    },
    { prints: ['true 0 0 0', 'nothing left'], skip: skip ?? noProc },
  )
}

inChild(
  '100,000 times mmap(), bufferFromPointer() and munmap() without a turn of the event loop',
  async () => {
    const path = newFile(pattern(SIZE))
    const fd = openSync(path, 'r')
    const before = addressSpace().length
    let sum = 0
    for (let i = 0; i < 100_000; i++) {
      const pointer = mmap(null, SIZE, PROT_READ, MAP_SHARED, fd, 0)
      sum += bufferFromPointer(pointer, SIZE)[pageSize]!
      munmap(pointer, SIZE)
    }
    console.log(sum === 100_000 * patternAt(pageSize), mapped(path), descriptors(path), census().live)
    const left = () => ({ more: addressSpace().length - before, ...census() })
    await collected(() => left().retired <= FEW && left().more < SOME, left)
    console.log('nothing left')
  },
  { prints: ['true 0 1 0', 'nothing left'], skip: noProc },
)

inChild(
  'Buffers over raw pointers are harmless after munmap(), of a part too',
  async () => {
    const path = newFile(pattern(SIZE))
    const fd = openSync(path, 'r+')
    const pointer = mmap(null, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    closeSync(fd)
    const bytes = bufferFromPointer(pointer, SIZE)
    const reference = new WeakRef(bytes)
    munmap(pointer + BigInt(pageSize), pageSize)
    console.log(isPattern(bytes.subarray(0, pageSize)), allOf(bytes.subarray(pageSize, 2 * pageSize), 0))
    munmap(pointer, SIZE)
    munmap(pointer, SIZE)
    bytes.fill(5)
    console.log(isPattern(readFileSync(path)), reference.deref() === bytes)
  },
  { prints: ['true true', 'true true'], skip: noParts },
)

// The end of the process

for (const { views, skip } of kinds) {
  /** Mappings in each state: with a view and without, unmapped, dropped, and at work in the thread pool. */
  const live = (): unknown[] => {
    const path = newFile(pattern(1 << 20))
    const options = { access: 'write', views } as const
    const mappings = Array.from({ length: 50 }, () => Mapping.open(path, options))
    const kept = mappings.slice(0, 30).map((mapping) => mapping.bytes)
    for (const mapping of mappings.slice(20, 40)) mapping.unmap()
    for (const mapping of mappings.slice(0, 10)) {
      mapping.bytes.fill(3)
      void mapping.flush()
      deflate(mapping.bytes, () => {})
    }
    Mapping.open(path, options).bytes.fill(4)
    console.log(kept.length)
    return kept
  }
  const kept: unknown[] = []

  inChild(
    `views: '${views}': process.exit() with live mappings`,
    () => {
      kept.push(live())
      process.exit(7)
    },
    { prints: ['30'], code: 7, skip },
  )

  inChild(`views: '${views}': the natural end with live mappings`, () => kept.push(live()), {
    prints: ['30'],
    skip,
  })

  inChild(
    `views: '${views}': an uncaught exception with live mappings`,
    () => {
      kept.push(live())
      throw new Error('nobody catches this')
    },
    { prints: ['30'], code: 1, stderr: /nobody catches this/, skip },
  )
}
