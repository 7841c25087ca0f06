/** Faults that would take more mappings than a process may have: 65530 on Linux unless set otherwise. */
import test from 'ava'
import { prints } from './support/scenario'

const PAGES = 160_000

test('every second page of a mapping for reading is written', (t) =>
  prints(
    t,
    ['mapped', 'read-only', 'file unchanged'],
    ({ Mapping, pageSize }, pages) => {
      const fs = require('node:fs') as typeof import('node:fs')
      const path = `${process.argv.at(-1)}/sparse`
      fs.writeFileSync(path, '')
      fs.truncateSync(path, pages * pageSize)
      const mapping = Mapping.open(path, { onFault() {} })
      const { bytes } = mapping
      for (let page = 0; page < pages; page += 2) bytes[page * pageSize] = 1
      console.log(new ArrayBuffer(1 << 24).byteLength > 0 ? 'mapped' : '')
      console.log([...new Set(mapping.faults.list.map(({ kind }) => kind))].join())
      console.log(fs.statSync(path).blocks === 0 ? 'file unchanged' : 'file changed')
    },
    PAGES,
  ))

for (const how of ['written, with MAP_PRIVATE', 'read, after the file was truncated'] as const) {
  test(`every second page of a raw mapping for reading is ${how}`, (t) =>
    prints(
      t,
      ['mapped', 'MMAP_FAULT'],
      async ({ MAP_PRIVATE, MAP_SHARED, PROT_READ, pageSize, ...tools }, { pages, how }) => {
        const fs = require('node:fs') as typeof import('node:fs')
        process.removeAllListeners('warning')
        const warnings = tools.collectWarnings()
        const path = `${process.argv.at(-1)}/sparse`
        fs.writeFileSync(path, '')
        fs.truncateSync(path, pages * pageSize)
        const isRead = how.startsWith('read')
        const bytes = tools.mapRaw(
          fs.openSync(path, 'r'),
          pages,
          PROT_READ,
          isRead ? MAP_SHARED : MAP_PRIVATE,
        )
        if (isRead) fs.truncateSync(path, 0)
        for (let page = 0; page < pages; page += 2) {
          if (!isRead) bytes[page * pageSize] = 1
          else if (bytes[page * pageSize] !== 0) throw new Error('not zero')
        }
        console.log(new ArrayBuffer(1 << 24).byteLength > 0 ? 'mapped' : '')
        await tools.until(() => warnings.length > 0)
        console.log(warnings.map(({ code }) => code).join())
      },
      { pages: PAGES, how },
    ))
}
