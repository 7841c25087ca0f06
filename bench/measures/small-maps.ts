/** A page is mapped, its first byte read, and unmapped again: from an open file, and with opening and closing it. */
import { closeSync, openSync, readSync } from 'node:fs'
import { type Contender, type Measure, PAGE, type Setup, ours, timed } from '../measure'
import { type Way, peerContenders, toBestPeer } from '../peers'

/** `touch` maps, reads a byte and unmaps. */
function repeat(touch: (setup: Setup) => () => number): NonNullable<Contender['start']> {
  return (setup) => {
    const once = touch(setup)
    return (check) =>
      timed(check ? Math.min(1000, setup.count) : setup.count, (count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += once()
        return sum
      })
  }
}

/** The same for work that reads no byte. */
const withoutResult =
  (work: (setup: Setup) => () => number): NonNullable<Contender['start']> =>
  async (setup) => {
    const turn = await repeat(work)(setup)
    return async (check) => ({ ...(await turn(check)), result: null })
  }

const path = ({ files }: Setup) => files['file'] as string
const descriptor = (setup: Setup) => openSync(path(setup), 'r')

const raw = repeat((setup) => {
  const { MAP_SHARED, PROT_READ, bufferFromPointer, mmap, munmap } = ours()
  const fd = descriptor(setup)
  return () => {
    const pointer = mmap(null, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    const byte = bufferFromPointer(pointer, 1)[0] as number
    munmap(pointer, PAGE)
    return byte
  }
})

const rawUntouched = withoutResult((setup) => {
  const { MAP_SHARED, PROT_READ, mmap, munmap } = ours()
  const fd = descriptor(setup)
  return () => {
    munmap(mmap(null, PAGE, PROT_READ, MAP_SHARED, fd, 0), PAGE)
    return 1
  }
})

const mappingBytes = (source: (setup: Setup) => string | number) =>
  repeat((setup) => {
    const { Mapping } = ours()
    const file = source(setup)
    return () => {
      const mapping = Mapping.open(file)
      const byte = mapping.bytes[0] as number
      mapping.unmap()
      return byte
    }
  })

const mappingRead = (source: (setup: Setup) => string | number) =>
  repeat((setup) => {
    const { Mapping } = ours()
    const [file, target] = [source(setup), Buffer.alloc(1)]
    return () => {
      const mapping = Mapping.open(file)
      mapping.read(0, target)
      mapping.unmap()
      return target[0] as number
    }
  })

const fsDescriptor = repeat((setup) => {
  const [fd, page] = [descriptor(setup), Buffer.alloc(PAGE)]
  return () => {
    readSync(fd, page, 0, PAGE, 0)
    return page[0] as number
  }
})

const fsPath = repeat((setup) => {
  const page = Buffer.alloc(PAGE)
  return () => {
    const fd = openSync(path(setup), 'r')
    readSync(fd, page, 0, PAGE, 0)
    closeSync(fd)
    return page[0] as number
  }
})

const peerDescriptor = (way: Way) =>
  repeat((setup) => {
    const { fromDescriptor } = way.load(setup)
    const fd = descriptor(setup)
    return () => {
      const { bytes, unmap } = fromDescriptor(fd, PAGE)
      const byte = bytes[0] as number
      unmap()
      return byte
    }
  })

const peerPath = (way: Way) =>
  repeat((setup) => {
    const { fromPath } = way.load(setup)
    return () => {
      const { bytes, unmap } = fromPath(path(setup), PAGE)
      const byte = bytes[0] as number
      unmap()
      return byte
    }
  })

const shared = {
  figures: [{ name: 'ns', unit: 'ns', title: 'each' }],
  prepare: ({ pick, file }) => ({ count: pick(20_000, 5000, 100), files: { file: file('text', PAGE) } }),
} satisfies Partial<Measure>

export const smallMaps: readonly Measure[] = [
  {
    ...shared,
    name: 'small-maps/descriptor',
    title: 'Map, touch and unmap 4 KiB of an open file',
    about:
      'One page of a file that is open. `@riaskov/mmap-io` and `Bun.mmap` cannot unmap: that is left to the collector, and not in these times. ' +
      '`fs.readSync` copies the page, without a mapping.',
    contenders: [
      { name: 'C', runtime: 'c', arguments: (setup) => ['descriptor', path(setup), String(setup.count)] },
      { name: 'mmap, munmap, without a touch', ours: true, runtime: 'node', start: rawUntouched },
      { name: 'mmap, bufferFromPointer, munmap', ours: true, runtime: 'node', start: raw },
      { name: 'Mapping, bytes', ours: true, runtime: 'node', start: mappingBytes(descriptor) },
      { name: 'Mapping, read()', ours: true, runtime: 'node', start: mappingRead(descriptor) },
      ...peerContenders(peerDescriptor),
      { name: 'fs.readSync', runtime: 'node', start: fsDescriptor },
    ],
    targets: [
      {
        text: 'raw calls to C, without a touch',
        value: ({ ratio }) => ratio('mmap, munmap, without a touch', 'C'),
        atLeast: 0.85,
      },
      {
        text: 'raw calls to C',
        value: ({ ratio }) => ratio('mmap, bufferFromPointer, munmap', 'C'),
        atLeast: 0.85,
      },
      { text: 'Mapping to C', value: ({ ratio }) => ratio('Mapping, bytes', 'C'), atLeast: 0.7 },
      {
        text: 'raw calls to the best peer that unmaps',
        value: toBestPeer('mmap, bufferFromPointer, munmap', 'that unmap'),
        atLeast: 1,
      },
      {
        text: 'Mapping to the best peer that unmaps',
        value: toBestPeer('Mapping, bytes', 'that unmap'),
        atLeast: 1,
      },
    ],
  },
  {
    ...shared,
    name: 'small-maps/path',
    title: 'Open, map, touch, unmap and close 4 KiB',
    about: 'The same, with opening and closing the file.',
    contenders: [
      { name: 'C', runtime: 'c', arguments: (setup) => ['path', path(setup), String(setup.count)] },
      { name: 'Mapping, bytes', ours: true, runtime: 'node', start: mappingBytes(path) },
      { name: 'Mapping, read()', ours: true, runtime: 'node', start: mappingRead(path) },
      ...peerContenders(peerPath),
      { name: 'fs.openSync, readSync, closeSync', runtime: 'node', start: fsPath },
    ],
    targets: [
      { text: 'Mapping to C', value: ({ ratio }) => ratio('Mapping, bytes', 'C'), atLeast: 0.7 },
      {
        text: 'Mapping to the best peer that unmaps',
        value: toBestPeer('Mapping, bytes', 'that unmap'),
        atLeast: 1,
      },
    ],
  },
]
