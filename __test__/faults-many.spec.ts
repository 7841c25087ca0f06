/** Faults that would take more mappings than a process may have: 65530 on Linux unless set otherwise. */
import test from 'ava'
import { prints } from './support/scenario'

test('every second page of a raw private mapping for reading is written', (t) =>
  prints(t, ['still allocates', 'MMAP_FAULT'], async ({ MAP_PRIVATE, PROT_READ, pageSize, ...tools }) => {
    const fs = require('node:fs') as typeof import('node:fs')
    process.removeAllListeners('warning')
    const warnings = tools.collectWarnings()
    const PAGES = 160_000
    const path = `${process.argv.at(-1)}/sparse`
    fs.writeFileSync(path, '')
    fs.truncateSync(path, PAGES * pageSize)
    const bytes = tools.mapRaw(fs.openSync(path, 'r'), PAGES, PROT_READ, MAP_PRIVATE)
    for (let page = 0; page < PAGES; page += 2) bytes[page * pageSize] = 1
    if (new ArrayBuffer(1 << 24).byteLength > 0) console.log('still allocates')
    await tools.until(() => warnings.length > 0)
    console.log(warnings.map(({ code }) => code).join(', '))
  }))

test('every second page of a mapping for reading is written', (t) =>
  prints(t, ['still allocates', 'the file is unchanged', 'told'], async ({ Mapping, pageSize }) => {
    const fs = require('node:fs') as typeof import('node:fs')
    const PAGES = 160_000
    const path = `${process.argv.at(-1)}/sparse`
    fs.writeFileSync(path, '')
    fs.truncateSync(path, PAGES * pageSize)
    const mapping = Mapping.open(path, { onFault: () => {} })
    for (let page = 0; page < PAGES; page += 2) mapping.bytes[page * pageSize] = 1
    if (new ArrayBuffer(1 << 24).byteLength > 0) console.log('still allocates')
    if (fs.statSync(path).blocks === 0) console.log('the file is unchanged')
    if (mapping.faults.count > 1000) console.log('told')
  }))

for (const written of [false, true]) {
  const what = written ? 'for reading is written' : 'is read when its file is gone'
  test(`every second page of a raw shared mapping ${what}`, (t) =>
    prints(
      t,
      ['still allocates', 'MMAP_FAULT'],
      async ({ MAP_SHARED, PROT_READ, pageSize, ...tools }, written: boolean) => {
        const fs = require('node:fs') as typeof import('node:fs')
        process.removeAllListeners('warning')
        const warnings = tools.collectWarnings()
        const PAGES = 160_000
        const path = `${process.argv.at(-1)}/sparse`
        fs.writeFileSync(path, '')
        fs.truncateSync(path, PAGES * pageSize)
        const bytes = tools.mapRaw(fs.openSync(path, 'r'), PAGES, PROT_READ, MAP_SHARED)
        if (!written) fs.truncateSync(path, 0)
        let sum = 0
        for (let page = 0; page < PAGES; page += 2) {
          if (written) bytes[page * pageSize] = 1
          else sum += bytes[page * pageSize] as number
        }
        if (sum === 0 && new ArrayBuffer(1 << 24).byteLength > 0) console.log('still allocates')
        await tools.until(() => warnings.length > 0)
        console.log(warnings.map(({ code }) => code).join(', '))
      },
      written,
    ))
}
