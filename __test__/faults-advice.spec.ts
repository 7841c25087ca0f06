/** Where the kernel does not say what an access would meet: before Linux 5.14, and in emulators, which say yes to any advice. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { root, runScript } from './support/child'

const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
test.after.always(() => rmSync(folder, { recursive: true }))

/** Compiles the library of support/yes.c; `undefined` where there is no C compiler, or nothing is preloaded like this. */
function compileYes(): string | undefined {
  if (process.platform !== 'linux') return undefined
  const library = join(folder, 'yes.so')
  try {
    const source = join(root, '__test__', 'support', 'yes.c')
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source], { stdio: 'pipe' })
    return library
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

const yes = compileYes()

const script = `
  const { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } = require('node:fs')
  const { join } = require('node:path')
  const { Mapping, pageSize } = require('mmap-native')
  const path = join(process.argv[1], 'file')
  writeFileSync(path, Buffer.alloc(4 * pageSize, 'x'))
  const mapping = Mapping.open(path, { access: 'write', onFault() {} })
  const { bytes } = mapping
  mapping.protect('none', 0, pageSize)
  console.log(bytes[7])
  mapping.protect('read', 0, pageSize)
  bytes[7] = 1
  console.log(bytes[7], readFileSync(path)[7])
  truncateSync(path, 2 * pageSize)
  console.log(bytes[2 * pageSize], bytes[3 * pageSize])
  bytes[3 * pageSize] = 2
  mapping.refresh()
  const gone = mapping.find('y')
  gone.catch(({ code }) => {
    console.log(code)
    mapping.unmap()
    console.log(bytes[0])
    console.log(mapping.faults.list.map(({ kind, offset }) => kind + ' ' + offset / pageSize).join())
  })`

;(yes ? test : test.skip)('an access is survived where the kernel says yes to any advice', async (t) => {
  const env = { LD_PRELOAD: yes ?? '' }
  const { code, signal, stdout, stderr } = await runScript(script, { args: [folder], env })
  t.deepEqual(
    { code, signal, lines: stdout.split('\n') },
    {
      code: 0,
      signal: null,
      lines: [
        '120',
        '1 120',
        '0 0',
        'ERR_MAPPING_FAULT',
        '0',
        'protected 0,read-only 0,truncated 2,truncated 2,closed 0',
        '',
      ],
    },
    stderr,
  )
})
