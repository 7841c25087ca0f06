/** Writes to memory that may only be read. */
import test from 'ava'
import { prints } from './support/scenario'

/** What is mapped for reading: how the file is opened, and how mapped. */
const mappings = [
  { title: 'a mapping of a path', mode: '', raw: '' },
  { title: 'a mapping of a descriptor opened for reading', mode: 'r', raw: '' },
  { title: 'a mapping of a descriptor opened for reading and writing', mode: 'r+', raw: '' },
  { title: 'a raw shared mapping of a descriptor opened for reading', mode: 'r', raw: 'MAP_SHARED' },
  {
    title: 'a raw shared mapping of a descriptor opened for reading and writing',
    mode: 'r+',
    raw: 'MAP_SHARED',
  },
  { title: 'a raw private mapping of a descriptor opened for reading', mode: 'r', raw: 'MAP_PRIVATE' },
  {
    title: 'a raw private mapping of a descriptor opened for reading and writing',
    mode: 'r+',
    raw: 'MAP_PRIVATE',
  },
] as const

for (const { title, mode, raw } of mappings) {
  test(`${title}, with PROT_READ: writes stay in this process, the file does not see them`, (t) =>
    prints(
      t,
      [
        'DataView: 8.5',
        'Float64Array: 8.5',
        'Buffer.fill(): 8',
        'Buffer.write(): 104',
        'copy(): 8',
        'TypedArray.set(): 8',
        'copyWithin(): 13',
        'reverse(): 1',
        'Atomics.add(): 67372043 then 67372053',
        'Atomics.compareExchange(): 8',
        'randomFillSync(): true',
        'compiled loop: 128',
        raw === ''
          ? '12: ' + Array.from({ length: 12 }, (_, page) => `read-only ${page}+1`).join(', ')
          : 'warned once: MMAP_FAULT',
        'file unchanged',
      ],
      async ({ Mapping, pageSize, ...tools }, { mode, raw }) => {
        const { closeSync, openSync, readFileSync } = require('node:fs') as typeof import('node:fs')
        const { randomFillSync } = require('node:crypto') as typeof import('node:crypto')
        const PAGES = 14
        const path = tools.newFile(PAGES)
        const fd = openSync(path, mode === '' ? 'r' : mode)
        process.removeAllListeners('warning')
        const warnings = tools.collectWarnings()
        const mapping = raw === '' ? Mapping.open(mode === '' ? path : fd, { onFault() {} }) : undefined
        const view = mapping?.bytes ?? tools.mapRaw(fd, PAGES, tools.PROT_READ, tools[raw as 'MAP_SHARED'])
        closeSync(fd)

        // A page for each.
        const page = (index: number) => view.subarray(index * pageSize, (index + 1) * pageSize)
        const at = (index: number) => page(index).byteOffset
        const { buffer } = view
        const data = new DataView(buffer)
        data.setFloat64(at(0), 8.5)
        console.log(`DataView: ${data.getFloat64(at(0))}`)
        const floats = new Float64Array(buffer, at(1), 1)
        floats[0] = 8.5
        console.log(`Float64Array: ${floats[0]}`)
        console.log(`Buffer.fill(): ${page(2).fill(8)[pageSize - 1]}`)
        page(3).write('hello')
        console.log(`Buffer.write(): ${page(3)[0]}`)
        Buffer.alloc(pageSize, 8).copy(page(4))
        console.log(`copy(): ${page(4)[pageSize - 1]}`)
        page(5).set(Buffer.alloc(pageSize, 8))
        console.log(`TypedArray.set(): ${page(5)[pageSize - 1]}`)
        // From the last page, which is not written, to the seventh.
        view.copyWithin(6 * pageSize, 12 * pageSize, 13 * pageSize)
        console.log(`copyWithin(): ${page(6)[0]}`)
        page(7)[pageSize - 1] = 1
        const seventh = page(7)
        seventh.reverse()
        console.log(`reverse(): ${seventh[0]}`)
        const words = new Int32Array(buffer, at(8), 1)
        words[0] = 0x0404040b
        console.log(`Atomics.add(): ${Atomics.add(words, 0, 10)} then ${words[0]}`)
        const bytes = new Uint8Array(buffer, at(9), 1)
        Atomics.compareExchange(bytes, 0, 10, 8)
        console.log(`Atomics.compareExchange(): ${bytes[0]}`)
        randomFillSync(page(10))
        console.log(`randomFillSync(): ${new Set(page(10)).size > 8}`)
        const loop = page(11)
        for (let round = 0; round < 4096; round++)
          for (let i = 0; i < pageSize; i++) loop[i] = (round >> 5) + 1
        console.log(`compiled loop: ${loop[pageSize - 1]}`)

        if (mapping !== undefined) console.log(tools.told(mapping))
        else {
          await tools.until(() => warnings.length > 0)
          console.log(`warned once: ${warnings.map(({ code }) => code)}`)
        }
        console.log(readFileSync(path).equals(tools.contents(PAGES)) ? 'file unchanged' : 'file changed')
      },
      { mode, raw },
    ))
}

test('pages that were not written go on to show what others write to the file; refresh() brings the others back', (t) =>
  prints(t, ['9 9 3', '1 9 3', 'true'], ({ Mapping, pageSize, newFile }) => {
    const { openSync, writeSync } = require('node:fs') as typeof import('node:fs')
    const path = newFile(3)
    const mapping = Mapping.open(path, { onFault() {} })
    const { bytes } = mapping
    const fd = openSync(path, 'r+')
    const first = () => `${bytes[0]} ${bytes[pageSize]} ${bytes[2 * pageSize]}`
    bytes[0] = 9
    writeSync(fd, Buffer.from([9]), 0, 1, pageSize)
    console.log(first())
    mapping.refresh()
    console.log(first())
    bytes[0] = 7
    console.log(mapping.faults.count === 2 && bytes[0] === 7)
  }))

test('a mapping that mprotect() made read-only, or took all access from, outlives reads and writes', (t) =>
  prints(t, ['5 6', 'warned: MMAP_FAULT', '7', '2'], async (tools) => {
    const { openSync, readFileSync } = require('node:fs') as typeof import('node:fs')
    const { pageSize, PROT_READ, PROT_WRITE, PROT_NONE, MAP_SHARED } = tools
    process.removeAllListeners('warning')
    const warnings = tools.collectWarnings()
    const path = tools.newFile(2)
    const fd = openSync(path, 'r+')
    const addr = tools.mmap(null, 2 * pageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    const view = tools.bufferFromPointer(addr, 2 * pageSize)
    view[0] = 7
    tools.mprotect(addr, pageSize, PROT_READ)
    tools.mprotect(addr + BigInt(pageSize), pageSize, PROT_NONE)
    view[0] = 5
    view[pageSize] = 6
    console.log(view[0], view[pageSize])
    await tools.until(() => warnings.length > 0)
    console.log(`warned: ${warnings.map(({ code }) => code)}`)
    const file = readFileSync(path)
    console.log(file[0])
    console.log(file[pageSize])
  }))

test('write(), fill() and copyWithin() of a mapping for reading are refused before they touch it', (t) =>
  prints(t, ['EACCES EACCES EACCES', '0: '], ({ Mapping, newFile, failure, told }) => {
    const mapping = Mapping.open(newFile(2))
    const calls = [() => mapping.write('x'), () => mapping.fill(1), () => mapping.copyWithin(0, 1)]
    console.log(calls.map(failure).join(' '))
    console.log(told(mapping))
  }))
