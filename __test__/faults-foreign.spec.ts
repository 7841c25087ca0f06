/** Faults and signals that are not ours: they do what they would do without the package. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type Ending, runScript } from './support/child'
import { compileForeign } from './support/foreign'

/** For the addons, and for the files of scripts, most of which are killed. */
const scratch = mkdtempSync(join(tmpdir(), 'mmap-native-'))
test.after.always(() => rmSync(scratch, { recursive: true }))
const addons = compileForeign(scratch)

/** A test of what only Linux shows, and only with a C compiler. */
const linux = process.platform === 'linux' ? test : test.skip
const native = process.platform === 'linux' && addons !== undefined ? test : test.skip

/** What all scripts begin with. */
const PRELUDE = `
const { mkdtempSync, writeFileSync, truncateSync, writeSync } = require('node:fs')
const { join } = require('node:path')
const { Worker, isMainThread } = require('node:worker_threads')
const [first, second, scratch] = process.argv.slice(-3)
const BUS = require('node:os').constants.signals.SIGBUS
const SEGV = require('node:os').constants.signals.SIGSEGV
const [REPAIR, JUMP, NOTHING] = [0, 1, 2]
process.on('warning', () => {})
const say = (...words) => writeSync(1, words.join(' ') + '\\n')
const folder = mkdtempSync(join(scratch, 'files-'))
let files = 0
function open(options) {
  const { Mapping } = require('mmap-native')
  const path = join(folder, 'file' + files++)
  writeFileSync(path, Buffer.alloc(65536, 7))
  return { path, mapping: Mapping.open(path, options) }
}
/** A fault of ours: what is lost reads as zero and is told. */
function truncated() {
  const { path, mapping } = open()
  const before = mapping.bytes[40000]
  truncateSync(path, 0)
  say('ours', before, mapping.bytes[40000], mapping.faults.list.map((fault) => fault.kind))
}
/** A function of WebAssembly that reads its one page of memory. */
function wasm() {
  const code = [0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 102, 0, 0,
    10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11]
  return new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code))).exports.f
}
function trap() {
  const read = wasm()
  for (let round = 0; round < 10_000; round++) read(round)
  try { say('read', read(1 << 24)) } catch (error) { say('trap', error.name) }
}
let heard = 0
/** Signals come by way of the event loop: waits until so many have. */
async function hears(times) {
  const deadline = Date.now() + 20_000
  while (heard < times && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
}
`

/** Runs a script, which finds the two addons as `first` and `second`. */
const run = (script: string): Promise<Ending> =>
  runScript(`${PRELUDE};${script}`, { args: [addons?.first ?? '', addons?.second ?? '', scratch] })

function ended(
  t: ExecutionContext,
  ending: Ending,
  how: number | NodeJS.Signals,
  lines: readonly string[],
): void {
  const { code, signal, stdout, stderr } = ending
  t.deepEqual(
    { how: signal ?? code, lines: stdout.trimEnd().split('\n') },
    { how, lines: [...lines] },
    stderr.slice(-2000),
  )
}

const OURS = 'ours 7 0 truncated'
const WAYS = ['main', 'worker'] as const

for (const where of WAYS) {
  const inThread = (code: string) =>
    where === 'main'
      ? code
      : `new Worker(${JSON.stringify(PRELUDE + code)}, { eval: true, argv: [first, second, scratch] }).on('error', (error) => say(error))`

  native(`a wild pointer still kills with SIGSEGV, after a fault of ours (${where})`, async (t) => {
    const ending = await run(
      inThread(`
        truncated()
        require(first).poke(16)
        say('lived')`),
    )
    ended(t, ending, 'SIGSEGV', [OURS])
  })

  test(`WebAssembly traps are a RuntimeError before and after a fault of ours (${where})`, async (t) => {
    const ending = await run(inThread('trap(); truncated(); trap(); truncated(); trap()'))
    const TRAP = 'trap RuntimeError'
    ended(t, ending, 0, [TRAP, OURS, TRAP, OURS, TRAP])
  })
}

native('an address that cannot exist, and a jump into a mapping, kill with SIGSEGV', async (t) => {
  const impossible = await run(`truncated(); require(first).poke(2 ** 62); say('lived')`)
  ended(t, impossible, 'SIGSEGV', [OURS])
  const jump = await run(`
    const { mapping } = open()
    truncated()
    require(first).jump(Number(mapping.address))
    say('lived')`)
  ended(t, jump, 'SIGSEGV', [OURS])
})

for (const name of ['SIGSEGV', 'SIGBUS'] as const) {
  linux(`${name} from another process kills`, async (t) => {
    const script = `
      truncated()
      require('node:child_process').execFileSync('kill', ['-${name}', String(process.pid)])
      setTimeout(() => say('lived'), 5000)`
    ended(t, await run(script), name, [OURS])
  })

  const listen = `
    const listener = (name) => { heard++; say('listener', name) }
    process.on('${name}', listener)`
  const signal = `process.kill(process.pid, '${name}'); await hears(heard + 1)`
  const LISTENER = `listener ${name}`

  test(`a ${name} listener from before the first mapping is called, and truncation neither kills nor hangs`, async (t) => {
    const ending = await run(`(async () => {
      ${listen}
      truncated()
      ${signal}
      truncated()
      ${signal}
      process.exit()
    })()`)
    ended(t, ending, 0, [OURS, LISTENER, OURS, LISTENER])
  })

  test(`a ${name} listener from after the first mapping is called, and truncation neither kills nor hangs`, async (t) => {
    const ending = await run(`(async () => {
      const early = open()
      truncated()
      ${listen}
      truncateSync(early.path, 0)
      say('early', early.mapping.bytes[0])
      truncated()
      ${signal}
      process.exit()
    })()`)
    ended(t, ending, 0, [OURS, 'early 0', OURS, LISTENER])
  })

  test(`after the last ${name} listener is gone faults of ours are caught, and the signal kills`, async (t) => {
    const ending = await run(`(async () => {
      const early = open()
      ${listen}
      ${signal}
      process.removeListener('${name}', listener)
      truncateSync(early.path, 0)
      say('early', early.mapping.bytes[0])
      truncated()
      process.once('${name}', listener)
      ${signal}
      truncated()
      ${signal}
      say('lived')
    })()`)
    ended(t, ending, name, [LISTENER, 'early 0', OURS, LISTENER, OURS])
  })
}

test('WebAssembly traps are a RuntimeError after a SIGSEGV listener has come and gone', async (t) => {
  const ending = await run(`
    truncated()
    const listener = () => {}
    process.on('SIGSEGV', listener)
    process.removeListener('SIGSEGV', listener)
    trap()
    truncated()`)
  ended(t, ending, 0, [OURS, 'trap RuntimeError', OURS])
})

native('a wild pointer kills after listeners for both signals have come and gone', async (t) => {
  const ending = await run(`
    const listener = () => {}
    process.on('SIGSEGV', listener).on('SIGBUS', listener)
    truncated()
    process.removeAllListeners('SIGSEGV').removeAllListeners('SIGBUS')
    truncated()
    require(first).poke(16)`)
  ended(t, ending, 'SIGSEGV', [OURS, OURS])
})

native(
  'a native handler from before ours gets its own faults, and WebAssembly and we get ours',
  async (t) => {
    const ending = await run(`
    const addon = require(first)
    trap()
    addon.install(SEGV, 65, REPAIR, 1, 0)
    truncated()
    say('touched', addon.touch(), addon.touch())
    trap()
    truncated()
    say('touched', addon.touch())`)
    ended(t, ending, 0, [
      'trap RuntimeError',
      OURS,
      'touched 1 2',
      'hA',
      'trap RuntimeError',
      OURS,
      'touched 4',
    ])
  },
)

for (const chains of [1, 0]) {
  const how = chains === 1 ? 'passes on what is not its own' : 'passes nothing on'
  native(
    `a native handler from after ours that ${how} keeps its faults, and the next mapping ours`,
    async (t) => {
      const ending = await run(`
      const [a, b] = [require(first), require(second)]
      a.install(SEGV, 65, REPAIR, 1, 0)
      a.install(BUS, 65, REPAIR, 1, 0)
      const early = open()
      truncated()
      b.install(SEGV, 66, REPAIR, ${chains}, 0)
      b.install(BUS, 66, REPAIR, ${chains}, 0)
      truncated()
      truncateSync(early.path, 0)
      say('early', early.mapping.bytes[0])
      say('b', b.touch(), b.touch())
      ${chains === 1 ? `say('a', a.touch()); trap()` : ''}
      truncated()`)
      // The second handler is on top of the first, and tells of what it passes on.
      const passed = chains === 1 ? ['hB', 'a 1', 'hB', 'hA', 'trap RuntimeError'] : []
      ended(t, ending, 0, [OURS, OURS, 'early 0', 'b 1 2', ...passed, OURS])
    },
  )
}

native('a fault that nobody takes comes to every handler once, and kills', async (t) => {
  const ending = await run(`
    const [a, b] = [require(first), require(second)]
    a.install(SEGV, 65, REPAIR, 1, 0)
    truncated()
    b.install(SEGV, 66, REPAIR, 1, 0)
    truncated()
    a.poke(16)`)
  ended(t, ending, 'SIGSEGV', [OURS, OURS, 'hB', 'hA'])
})

native('a native handler above ours that passes on what is not its own lets us catch at once', async (t) => {
  const ending = await run(`
    const early = open()
    const addon = require(first)
    addon.install(SEGV, 65, REPAIR, 1, 0)
    addon.install(BUS, 65, REPAIR, 1, 0)
    truncateSync(early.path, 0)
    say('early', early.mapping.bytes[0], early.mapping.faults.count)
    say('touched', addon.touch())`)
  ended(t, ending, 0, ['hA', 'early 0 1', 'touched 2'])
})

native('a native handler that jumps out of the signal can do so again and again', async (t) => {
  const ending = await run(`
    const addon = require(first)
    addon.install(SEGV, 65, JUMP, 1, 0)
    truncated()
    let jumps = 0
    for (let round = 0; round < 1000; round++) if (addon.touch() === -1) jumps++
    say(jumps)
    truncated()
    trap()
    addon.poke(16)`)
  ended(t, ending, 'SIGSEGV', ['ours 7 0 truncated', '1000', OURS, 'hA', 'trap RuntimeError', 'hA'])
})

native(
  'a native handler that is to be called once (SA_RESETHAND) is, and then the fault kills',
  async (t) => {
    const SA_RESETHAND = 0x8000_0000
    const ending = await run(`
    const addon = require(first)
    addon.install(SEGV, 65, NOTHING, 0, ${SA_RESETHAND})
    truncated()
    addon.poke(16)`)
    ended(t, ending, 'SIGSEGV', [OURS, 'hA'])
  },
)

for (const [how, before] of [
  ['the environment variable', `process.env.MMAP_NATIVE_FAULTS = 'off'`],
  ['setFaultGuard()', `truncated(); require('mmap-native').setFaultGuard(false)`],
]) {
  linux(`${how} turns the catching of faults off, but for views that are left over`, async (t) => {
    const ending = await run(`
      ${before}
      const { isFaultGuarded } = require('mmap-native')
      const { mapping } = open({ access: 'write' })
      const view = mapping.bytes
      mapping.unmap()
      say(isFaultGuarded(), view[0] ?? 0)
      trap()
      truncated()`)
    const first = how === 'setFaultGuard()' ? [OURS] : []
    ended(t, ending, 'SIGBUS', [...first, 'false 0', 'trap RuntimeError'])
  })
}

test('setFaultGuard(true) turns the catching of faults on again', async (t) => {
  const ending = await run(`
    process.env.MMAP_NATIVE_FAULTS = 'off'
    const { setFaultGuard, isFaultGuarded } = require('mmap-native')
    const early = open()
    setFaultGuard(true)
    truncated()
    truncateSync(early.path, 0)
    say(isFaultGuarded(), early.mapping.bytes[0])`)
  ended(t, ending, 0, [OURS, 'true 0'])
})
