/** Another process truncates a mapped file. */
import { pageSize } from 'mmap-native'
import test from 'ava'
import { MIB } from './support/faults'
import { prints } from './support/scenario'

const HALF = 128 * MIB
const PAGES = (256 * MIB) / pageSize

const cases = [
  { title: 'to nothing', size: 0, left: `${PAGES} zeros`, lost: `0+${PAGES}` },
  {
    title: 'to half',
    size: HALF,
    left: `${PAGES / 2} file, ${PAGES / 2} zeros`,
    lost: `${PAGES / 2}+${PAGES / 2}`,
  },
  {
    title: 'to the middle of a page',
    size: HALF + pageSize / 2,
    // The last page is still one of the file's: behind its end it has zeros, which is no fault.
    left: `${PAGES / 2} file, 1 cut at ${pageSize / 2}, ${PAGES / 2 - 1} zeros`,
    lost: `${PAGES / 2 + 1}+${PAGES / 2 - 1}`,
  },
]

for (const { title, size, left, lost } of cases) {
  test.serial(
    `a compiled loop that sums 256 MiB outlives a truncation ${title}; refresh() finds the file again`,
    (t) =>
      prints(
        t,
        [
          'sums fell',
          left,
          `all truncated, together ${lost}`,
          `grown: ${left}`,
          `refreshed: ${left}`,
          `restored: ${PAGES} file`,
          'none',
        ],
        async (
          { Mapping, MIB, pageSize, newFile, contents, truncate, truncateSoon, survey, failure },
          size,
        ) => {
          const path = newFile((256 * MIB) / pageSize)
          const mapping = Mapping.open(path, { onFault() {} })
          const words = mapping.view(Uint32Array)
          const sum = () => {
            let total = 0
            for (let i = 0; i < words.length; i++) total += words[i]!
            return total
          }
          const whole = sum()
          const truncated = truncateSoon(path, size)
          const deadline = Date.now() + 20_000
          let last = whole
          while (last === whole && Date.now() < deadline) last = sum()
          console.log(last < whole ? 'sums fell' : 'sums stayed')
          await truncated
          console.log(survey(mapping.bytes))

          const { list } = mapping.faults
          const start = Math.min(...list.map(({ offset }) => offset))
          const toEnd = list.every(({ offset, length }) => offset + length === mapping.length)
          const kinds = [...new Set(list.map(({ kind }) => kind))]
          const pages = `${start / pageSize}+${(mapping.length - start) / pageSize}`
          console.log(`all ${kinds}, together ${toEnd ? pages : 'not all'}`)

          truncate(path, mapping.length)
          console.log(`grown: ${survey(mapping.bytes)}`)
          mapping.refresh()
          console.log(`refreshed: ${survey(mapping.bytes)}`)
          require('node:fs').writeFileSync(path, contents(mapping.length / pageSize), { flag: 'r+' })
          console.log(`restored: ${survey(mapping.bytes)}`)
          console.log(failure(() => mapping.read(0, mapping.length)))
        },
        size,
      ),
  )
}

test('lost pages stay zeros, and are not read from a file that grows back, until refresh()', (t) =>
  prints(
    t,
    ['4 file, 4 zeros', '1: truncated 4+4', '4 file, 4 zeros', '8 file', '1: truncated 4+4'],
    ({ Mapping, pageSize, newFile, contents, truncate, survey, told }) => {
      const path = newFile(8)
      const mapping = Mapping.open(path, { onFault() {} })
      truncate(path, 4 * pageSize)
      console.log(survey(mapping.bytes))
      console.log(told(mapping))
      require('node:fs').writeFileSync(path, contents(8))
      console.log(survey(mapping.bytes))
      mapping.refresh()
      console.log(survey(mapping.bytes))
      console.log(told(mapping))
    },
  ))

test('a file that has grown back before its lost pages were touched is no fault', (t) =>
  prints(t, ['4 file, 4 zeros', '0: '], ({ Mapping, pageSize, newFile, truncate, survey, told }) => {
    const path = newFile(8)
    const mapping = Mapping.open(path)
    truncate(path, 4 * pageSize)
    truncate(path, 8 * pageSize)
    console.log(survey(mapping.bytes))
    console.log(told(mapping))
  }))

test('refresh() of a file that is still too short leads to the same fault again', (t) =>
  prints(
    t,
    ['7 file, 1 zeros', '7 file, 1 zeros', '2: truncated 7+1, truncated 7+1'],
    ({ Mapping, pageSize, newFile, truncate, survey, told }) => {
      const path = newFile(8)
      const mapping = Mapping.open(path, { onFault() {} })
      truncate(path, 7 * pageSize)
      console.log(survey(mapping.bytes))
      mapping.refresh()
      console.log(survey(mapping.bytes))
      console.log(told(mapping))
    },
  ))

test('a part of a file loses the pages that lie in it, counted from the start of the mapping', (t) =>
  prints(
    t,
    ['3 0', JSON.stringify([{ offset: pageSize - 100, length: 2 * pageSize + 100, kind: 'truncated' }])],
    ({ Mapping, pageSize, newFile, truncate }) => {
      const path = newFile(8)
      const mapping = Mapping.open(path, { offset: pageSize * 2 + 100, length: pageSize * 3, onFault() {} })
      truncate(path, 3 * pageSize)
      console.log(mapping.bytes[pageSize - 101], mapping.bytes[pageSize - 100])
      console.log(JSON.stringify(mapping.faults.list))
    },
  ))

for (const access of ['write', 'copy'] as const) {
  test(`access '${access}': what is written to lost pages is read back, and is not in the file`, (t) =>
    prints(
      t,
      ['7 7', '1: truncated 4+4', `${4 * pageSize}`, 'true'],
      ({ Mapping, pageSize, newFile, contents, truncate, told }, access) => {
        const { readFileSync, statSync } = require('node:fs') as typeof import('node:fs')
        const path = newFile(8)
        const mapping = Mapping.open(path, { access, onFault() {} })
        const { bytes } = mapping
        truncate(path, 4 * pageSize)
        bytes[4 * pageSize] = 7
        bytes[7 * pageSize] = 7
        console.log(bytes[4 * pageSize], bytes[7 * pageSize])
        console.log(told(mapping))
        console.log(statSync(path).size)
        console.log(readFileSync(path).equals(contents(4)))
      },
      access,
    ))
}

test("access 'copy': what was written to pages that are still in the file stays", (t) =>
  prints(t, ['99', '1: truncated 4+4', '99', '1'], ({ Mapping, pageSize, newFile, truncate, told }) => {
    const path = newFile(8)
    const mapping = Mapping.open(path, { access: 'copy', onFault() {} })
    const { bytes } = mapping
    bytes[0] = 99
    bytes[5 * pageSize] = 99
    truncate(path, 4 * pageSize)
    bytes.includes(255)
    console.log(bytes[0])
    console.log(told(mapping))
    mapping.refresh()
    console.log(bytes[0])
    console.log(require('node:fs').readFileSync(path)[0])
  }))

test('a raw mapping outlives a truncation, shared or private', (t) =>
  prints(
    t,
    ['4 file, 4 zeros', '4 file, 4 zeros', 'MMAP_FAULT MMAP_FAULT'],
    async ({ MAP_PRIVATE, MAP_SHARED, PROT_READ, collectWarnings, ...tools }) => {
      const { openSync, closeSync } = require('node:fs') as typeof import('node:fs')
      process.removeAllListeners('warning')
      const warnings = collectWarnings()
      for (const flags of [MAP_SHARED, MAP_PRIVATE]) {
        const path = tools.newFile(8)
        const fd = openSync(path, 'r')
        const view = tools.mapRaw(fd, 8, PROT_READ, flags)
        closeSync(fd)
        tools.truncate(path, 4 * tools.pageSize)
        console.log(tools.survey(view))
      }
      await tools.until(() => warnings.length > 1)
      console.log(warnings.map(({ code }) => code).join(' '))
    },
  ))
