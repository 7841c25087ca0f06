/** What would leave the runtime without mappings, descriptors or the signal handler. Each in a process of its own. */
import test from 'ava'
import { runScript } from './support/child'

const SETUP = `const m = require('mmap-native'), fs = require('fs'), os = require('os'), path = require('path')
const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'mmap-native-')), 'file')
process.on('exit', () => fs.rmSync(path.dirname(file), { recursive: true }))
const PAGE = m.pageSize
fs.writeFileSync(file, Buffer.alloc(2 * PAGE, 1))
`

async function prints(t: import('ava').ExecutionContext, script: string, lines: string): Promise<void> {
  const { code, signal, stdout } = await runScript(SETUP + script, { nodeArgs: ['--no-warnings'] })
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: `${lines}\n` })
}

for (const [name, call] of Object.entries({
  mprotect: 'm.mprotect(at, PAGE, m.PROT_READ)',
  munmap: 'm.munmap(at, PAGE)',
  madvise: 'm.madvise(at, PAGE, m.MADV_DONTDUMP ?? m.MADV_RANDOM)',
})) {
  test(`${name}() of every other page is ENOMEM before the runtime has no mappings left`, (t) =>
    prints(
      t,
      `const flags = m.MAP_PRIVATE | m.MAP_ANONYMOUS | m.MAP_NORESERVE
      const start = m.mmap(0, 140_000 * PAGE, m.PROT_READ | m.PROT_WRITE, flags, -1, 0)
      let code
      for (let page = 0; page < 140_000 && !code; page += 2) {
        const at = start + BigInt(page * PAGE)
        try { ${call} } catch (error) { code = error.code }
      }
      const arrays = Array.from({ length: 100 }, () => new Array(100_000).fill(1))
      console.log(process.platform === 'linux' ? code : 'ENOMEM', arrays.length, new ArrayBuffer(1e8).byteLength)
      // Holes may be the runtime's by now; what has none can be unmapped as a whole.
      if ('${name}' !== 'munmap') m.munmap(start, 140_000 * PAGE)
      console.log('unmapped')`,
      'ENOMEM 100 100000000\nunmapped',
    ))
}

test('a write through a read-only mapping with MAP_SHARED_VALIDATE does not reach the file', (t) =>
  prints(
    t,
    `for (const mode of ['r', 'r+']) {
      const fd = fs.openSync(file, mode)
      const pointer = m.mmap(0, PAGE, m.PROT_READ, m.MAP_SHARED_VALIDATE ?? m.MAP_SHARED, fd, 0)
      m.bufferFromPointer(pointer, PAGE)[0] = 9
    }
    console.log(fs.readFileSync(file)[0])`,
    '1',
  ))

test('memory that may only be executed can be read through a view', (t) =>
  prints(
    t,
    `const mapping = m.Mapping.anonymous(PAGE)
    mapping.bytes[0] = 7
    m.mprotect(mapping.address, PAGE, m.PROT_EXEC)
    console.log(mapping.bytes[0])`,
    '7',
  ))

test('a listener of the main thread does not hang a worker that alone uses the package', (t) =>
  prints(
    t,
    `const { Worker } = require('worker_threads')
    const worker = new Worker(\`
      const { parentPort, workerData: file } = require('worker_threads'), fs = require('fs'), m = require('mmap-native')
      const { bytes } = m.Mapping.open(file)
      parentPort.once('message', () => {
        fs.truncateSync(file, 0)
        console.log(bytes[8000])
      })
      parentPort.postMessage('mapped')\`, { eval: true, workerData: file })
    worker.once('message', () => {
      process.on('SIGBUS', () => {})
      worker.postMessage('go')
    })
    worker.on('exit', () => process.exit())`,
    '0',
  ))

test('a first mapping that found no descriptor to spare is no failure for good', (t) =>
  prints(
    t,
    `const taken = []
    try { for (;;) taken.push(fs.openSync('/dev/null')) } catch {}
    let code
    try { m.Mapping.anonymous(PAGE) } catch (error) { code = error.code }
    for (const fd of taken) fs.closeSync(fd)
    console.log(code, m.Mapping.anonymous(PAGE).length === PAGE)`,
    'EMFILE true',
  ))
