/** The programs of the plain suite under the Node.js that runs ava; and what they leave of a process that goes on. */
import test from 'ava'
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Mapping } from 'mmap-native'
import { newFile, pattern } from './plain/support/files'
import { census, collected } from './plain/support/memory'

const folder = join(__dirname, 'plain')

function run(program: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const child = spawn(process.execPath, ['--expose-gc', join(folder, program)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A folder of its own, which it removes.
    env: { ...process.env, MMAP_NATIVE_TEST_FOLDER: undefined },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)))
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, output }))
  })
}

for (const program of readdirSync(folder).filter((file) => file.endsWith('.js'))) {
  test(`the plain program ${program} passes`, async (t) => {
    const { code, signal, output } = await run(program)
    t.deepEqual({ code, signal }, { code: 0, signal: null }, output)
    t.regex(output, /^[1-9]\d* passed, 0 failed$/m)
  })
}

test.serial('a process whose mappings and views were all dropped holds no address', async (t) => {
  ;(() => {
    const path = newFile(pattern(5000))
    for (let i = 0; i < 100; i++) {
      const mapping = Mapping.open(path, { views: i % 2 > 0 ? 'auto' : 'detachable' })
      mapping.view(DataView)
      if (i % 3 > 0) mapping.unmap()
    }
  })()
  await collected(() => census().live === 0 && census().retired === 0, census)
  t.deepEqual(census(), { live: 0, retired: 0 })
})
