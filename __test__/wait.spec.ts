/** wait(), waitAsync() and notify(): waiting for a cell of a mapping, across threads and processes. */
import test, { type ExecutionContext } from 'ava'
import { spawn, type ChildProcess } from 'node:child_process'
import { once, setMaxListeners } from 'node:events'
import * as fs from 'node:fs'
import { inspect } from 'node:util'
import { Mapping, pageSize, type SystemError } from 'mmap-native'
import { root, runScript } from './support/child'
import { scratchFile, sparseFile } from './support/files'
import { inWorker, said, startWorker } from './support/worker'

const onLinux = process.platform === 'linux' ? test : test.skip

function memory(t: ExecutionContext, length = 4096): Mapping {
  const mapping = Mapping.anonymous(length)
  t.teardown(() => mapping.unmap())
  return mapping
}

const errorOf = (work: () => unknown): SystemError => {
  try {
    work()
  } catch (error) {
    return error as SystemError
  }
  throw new Error('nothing was thrown')
}

const rejection = async (work: Promise<unknown>): Promise<SystemError> => {
  try {
    await work
  } catch (error) {
    return error as SystemError
  }
  throw new Error('nothing was thrown')
}

/** Notifies until as many are woken as are to be. */
async function wake(mapping: Mapping, offset: number, count: number): Promise<void> {
  for (let woken = 0; woken < count;) {
    woken += mapping.notify(offset, count - woken)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Another process, in which `mapping` is open under descriptor 3, and `say(value)` sends a message. */
function startProcess(fd: number, script: string): ChildProcess {
  const prologue = `
    const { Mapping } = require('mmap-native')
    const mapping = Mapping.open(3, { access: 'write' })
    const say = (value) => process.send(value)
    ;`
  return spawn(process.execPath, ['--eval', `${prologue}(async () => {${script}\n})()`], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc'],
  })
}

async function saidBy(child: ChildProcess): Promise<unknown> {
  const [message] = (await once(child, 'message')) as [unknown]
  return message
}

// ---- In one thread -----------------------------------------------------------------------------------------------

test('a wait has begun when waitAsync() returns: a notification of the next line finds it', async (t) => {
  const mapping = memory(t)
  for (let i = 0; i < 100; i++) {
    const wait = mapping.waitAsync(8, 0)
    t.is(mapping.notify(8), 1)
    t.is(await wait, 'ok')
  }
  t.is(mapping.notify(8), 0)
})

test('a cell with another value is not waited for', async (t) => {
  const mapping = memory(t)
  mapping.view(Int32Array)[3] = -5
  t.is(await mapping.waitAsync(12, 5), 'not-equal')
  t.is(mapping.wait(12, 5, { allowMainThread: true }), 'not-equal')
  const waits = [mapping.waitAsync(12, -5), mapping.waitAsync(12, 2 ** 32 - 5)]
  t.is(mapping.notify(12), 2)
  t.deepEqual(await Promise.all(waits), ['ok', 'ok'])
})

test('a wait ends by time, and not before', async (t) => {
  const mapping = memory(t)
  for (const timeout of [0, 0.5, 30]) {
    for (const wait of [
      () => mapping.waitAsync(0, 0, { timeout }),
      () => mapping.wait(0, 0, { timeout, allowMainThread: true }),
    ]) {
      const start = performance.now()
      t.is(await wait(), 'timed-out')
      // A timer of the runtime may be a millisecond early.
      t.true(performance.now() - start >= timeout - 1)
    }
  }
  t.is(mapping.notify(0), 0)
})

test('a wait that is longer than a slice ends by time, too', (t) => {
  const mapping = memory(t)
  const start = performance.now()
  t.is(mapping.wait(0, 0, { timeout: 250, allowMainThread: true }), 'timed-out')
  t.true(performance.now() - start >= 249)
})

test('notify() wakes so many, the first to come first, and says how many', async (t) => {
  const mapping = memory(t)
  const order: number[] = []
  const waits = Array.from({ length: 6 }, async (_, i) => {
    await mapping.waitAsync(4, 0)
    order.push(i)
  })
  t.is(mapping.notify(4, 0), 0)
  t.is(mapping.notify(0), 0, 'another cell')
  t.is(mapping.notify(4, 1), 1)
  await waits[0]
  t.is(mapping.notify(4, 2), 2)
  await Promise.all(waits.slice(1, 3))
  t.deepEqual(order.toSorted(), [0, 1, 2])
  t.is(mapping.notify(4, 100), 3)
  await Promise.all(waits)
  t.is(mapping.notify(4), 0)
})

test('waits for different cells, and for cells of different mappings, are different', async (t) => {
  const [one, two] = [memory(t), memory(t)]
  const waits = [one.waitAsync(0, 0), one.waitAsync(4, 0), two.waitAsync(0, 0)]
  t.deepEqual([two.notify(4), two.notify(0), one.notify(4), one.notify(0)], [0, 1, 1, 1])
  t.deepEqual(await Promise.all(waits), ['ok', 'ok', 'ok'])
})

test('two mappings of one file have the same cells, wherever they start', async (t) => {
  const path = sparseFile(t, 3 * pageSize)
  using one = Mapping.open(path, { access: 'write' })
  using two = Mapping.open(path, { offset: 4094 })
  t.is(errorOf(() => two.notify(0)).code, 'ERR_OUT_OF_RANGE')
  const wait = two.waitAsync(2, 0)
  t.is(one.notify(4096), 1)
  t.is(await wait, 'ok')
})

test('a mapping that may only be read is waited for, and not notified through', async (t) => {
  const path = sparseFile(t, pageSize)
  using reader = Mapping.open(path)
  using writer = Mapping.open(path, { access: 'write' })
  const wait = reader.waitAsync(0, 0)
  t.is(errorOf(() => reader.notify(0)).code, 'EACCES')
  t.is(writer.notify(0), 1)
  t.is(await wait, 'ok')
})

// ---- The main thread, and others ---------------------------------------------------------------------------------

test('wait() is refused in the main thread, unless it is allowed', (t) => {
  const mapping = memory(t)
  const error = errorOf(() => mapping.wait(0, 0, { timeout: 1 }))
  t.is(error.code, 'ERR_INVALID_STATE')
  t.regex(error.message, /waitAsync\(\).*allowMainThread/)
  t.is(mapping.wait(0, 0, { timeout: 1, allowMainThread: true }), 'timed-out')
})

test('a worker waits, and this thread notifies', async (t) => {
  const mapping = memory(t)
  const answer = inWorker(`say(Mapping.attach(workerData).wait(0, 0))`, mapping.share())
  await wake(mapping, 0, 1)
  t.is(await answer, 'ok')
})

test('a worker notifies, and this thread waits', async (t) => {
  const mapping = memory(t)
  const wait = mapping.waitAsync(0, 0)
  t.is(await inWorker(`say(Mapping.attach(workerData).notify(0))`, mapping.share()), 1)
  t.is(await wait, 'ok')
})

test('a worker whose wait has no end can be terminated', async (t) => {
  const mapping = memory(t)
  const worker = startWorker(
    `const mapping = Mapping.attach(workerData)
     say('waits')
     mapping.wait(0, 0)
     say('woken')`,
    mapping.share(),
  )
  t.is(await said(worker), 'waits')
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.is(await worker.terminate(), 1)
  t.is(mapping.notify(0), 0)
})

test('waits of a worker that ends, end with it', async (t) => {
  const mapping = memory(t)
  const worker = startWorker(
    `const mapping = Mapping.attach(workerData)
     for (let i = 0; i < 20; i++) mapping.waitAsync(0, 0)
     say('waits')`,
    mapping.share(),
  )
  t.is(await said(worker), 'waits')
  await worker.terminate()
  for (let i = 0; i < 1000 && mapping.notify(0) > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 5))
  t.is(mapping.notify(0), 0)
})

test('unmap() in one thread does not end the wait of another that is attached', async (t) => {
  const mapping = Mapping.anonymous(4096)
  const token = mapping.share()
  const worker = startWorker(
    `const mapping = Mapping.attach(workerData)
     say('attached')
     const result = mapping.wait(0, 0)
     say(result)`,
    token,
  )
  t.is(await said(worker), 'attached')
  mapping.unmap()
  using again = Mapping.attach(token)
  const answer = said(worker)
  await wake(again, 0, 1)
  t.is(await answer, 'ok')
})

// ---- Other processes ---------------------------------------------------------------------------------------------

const sources: [string, (t: ExecutionContext) => Mapping][] = [
  ['a file', (t) => Mapping.open(sparseFile(t, 8192), { access: 'write' })],
  ['memfd()', () => Mapping.memfd(8192)],
  [
    'shared()',
    () => {
      const name = `/mn-wait-${process.pid}`
      const mapping = Mapping.shared(name, 8192, { create: 'exclusive' })
      Mapping.unlinkShared(name)
      return mapping
    },
  ],
]

for (const [name, open] of sources) {
  const run = name === 'memfd()' ? onLinux : test
  run(`processes wait for each other through ${name}`, async (t) => {
    const mapping = open(t)
    t.teardown(() => mapping.unmap())
    const child = startProcess(
      mapping.fd,
      `const wait = mapping.waitAsync(4096, 0)
       say('waits')
       say(await wait)
       say(mapping.wait(4096, 0, { allowMainThread: true }))
       say(mapping.wait(4096, 7, { allowMainThread: true }))
       mapping.view(Int32Array)[0] = 1
       say(mapping.notify(0))
       process.disconnect()`,
    )
    const ended = once(child, 'exit')
    t.is(await saidBy(child), 'waits')
    const answers: unknown[] = []
    child.on('message', (message) => answers.push(message))
    t.is(mapping.notify(4096), 1)
    const wait = mapping.waitAsync(0, 0)
    await wake(mapping, 4096, 1)
    t.is(await wait, 'ok')
    t.deepEqual(await ended, [0, null])
    t.deepEqual(answers, ['ok', 'ok', 'not-equal', 1])
  })
}

onLinux('two processes hand a turn to each other ten thousand times, and none is lost', async (t) => {
  using mapping = Mapping.memfd(4096)
  const turns = 10_000
  const child = startProcess(
    mapping.fd,
    `const cell = mapping.view(Int32Array)
     for (let turn = 1; turn < ${turns}; turn += 2) {
       while (Atomics.load(cell, 0) !== turn) mapping.wait(0, turn - 1, { allowMainThread: true })
       Atomics.store(cell, 0, turn + 1)
       mapping.notify(0)
     }
     say('done')
     process.disconnect()`,
  )
  const done = saidBy(child)
  const cell = mapping.view(Int32Array)
  for (let turn = 0; turn < turns; turn += 2) {
    while (Atomics.load(cell, 0) !== turn) await mapping.waitAsync(0, turn - 1)
    Atomics.store(cell, 0, turn + 1)
    mapping.notify(0)
  }
  t.is(await done, 'done')
  t.is(cell[0], turns)
})

test('a lock over a cell keeps four workers apart, and loses no wake-up', async (t) => {
  const mapping = memory(t)
  // 0: free; 1: taken; 2: taken, and somebody waits.
  const script = `
    const mapping = Mapping.attach(workerData)
    const cells = mapping.view(Int32Array)
    const lock = () => {
      if (Atomics.compareExchange(cells, 0, 0, 1) === 0) return
      while (Atomics.exchange(cells, 0, 2) !== 0) mapping.wait(0, 2)
    }
    const unlock = () => {
      if (Atomics.exchange(cells, 0, 0) === 2) mapping.notify(0, 1)
    }
    for (let i = 0; i < 3000; i++) {
      lock()
      cells[1] = cells[1] + 1
      unlock()
    }
    say('done')`
  const answers = await Promise.all(Array.from({ length: 4 }, () => inWorker(script, mapping.share())))
  t.deepEqual(answers, ['done', 'done', 'done', 'done'])
  t.is(mapping.view(Int32Array)[1], 12_000)
})

// ---- Ends --------------------------------------------------------------------------------------------------------

test('unmap() ends waits with ERR_MAPPING_CLOSED, those of this mapping only', async (t) => {
  const mapping = Mapping.anonymous(4096)
  const attached = Mapping.attach(mapping.share())
  const waits = [mapping.waitAsync(0, 0), mapping.waitAsync(8, 0, { timeout: 60_000 })].map(rejection)
  const other = attached.waitAsync(0, 0)
  mapping.unmap()
  t.deepEqual(
    (await Promise.all(waits)).map(({ code }) => code),
    ['ERR_MAPPING_CLOSED', 'ERR_MAPPING_CLOSED'],
  )
  await wake(attached, 0, 1)
  t.is(await other, 'ok')
  attached.unmap()
  t.is((await rejection(attached.waitAsync(0, 0))).code, 'ERR_MAPPING_CLOSED')
  t.is(errorOf(() => attached.wait(0, 0, { allowMainThread: true })).code, 'ERR_MAPPING_CLOSED')
  t.is(errorOf(() => attached.notify(0)).code, 'ERR_MAPPING_CLOSED')
})

test('a signal ends a wait; one that was notified before has ended', async (t) => {
  const mapping = memory(t)
  const controller = new AbortController()
  const wait = rejection(mapping.waitAsync(0, 0, { signal: controller.signal }))
  controller.abort(new Error('why'))
  const error = await wait
  t.deepEqual([error.name, error.code, (error.cause as Error).message], ['AbortError', 'ABORT_ERR', 'why'])
  t.is((await rejection(mapping.waitAsync(0, 0, { signal: controller.signal }))).code, 'ABORT_ERR')
  const second = new AbortController()
  const notified = mapping.waitAsync(0, 0, { signal: second.signal })
  t.is(mapping.notify(0), 1)
  second.abort()
  t.is(await notified, 'ok')
})

test('many waits that are ended in three ways at once all end', async (t) => {
  const results = new Map<string, number>()
  for (let round = 0; round < 20; round++) {
    const mapping = Mapping.anonymous(4096)
    const controller = new AbortController()
    setMaxListeners(0, controller.signal)
    const waits = Array.from({ length: 30 }, (_, i) =>
      mapping.waitAsync(4 * (i % 3), 0, i % 2 > 0 ? { signal: controller.signal } : { timeout: i }).then(
        (result) => result,
        (error: SystemError) => error.code,
      ),
    )
    mapping.notify(0, 5)
    if (round % 2 > 0) await new Promise(setImmediate)
    controller.abort()
    mapping.notify(4, 5)
    mapping.unmap()
    for (const result of await Promise.all(waits)) results.set(result, (results.get(result) ?? 0) + 1)
  }
  const known = new Set(['ok', 'timed-out', 'ABORT_ERR', 'ERR_MAPPING_CLOSED'])
  t.deepEqual(
    [...results.keys()].filter((result) => !known.has(result)),
    [],
  )
  t.is(
    [...results.values()].reduce((sum, count) => sum + count),
    600,
  )
})

test('workers that wait, notify, attach and unmap at the same time all come to an end', async (t) => {
  const mapping = memory(t)
  const script = `
    const { token, seed } = workerData
    let ended = 0
    for (let i = 0; i < 150; i++) {
      const mapping = Mapping.attach(token)
      const waits = [mapping.waitAsync(0, 0, { timeout: 20 }), mapping.waitAsync(4, 0)]
      mapping.notify(0, seed)
      if (mapping.wait(8, 0, { timeout: 1 }) !== 'not-equal') ended++
      mapping.notify(8)
      mapping.unmap()
      ended += (await Promise.allSettled(waits)).length
    }
    say(ended)`
  const workers = Array.from({ length: 4 }, (_, seed) => inWorker(script, { token: mapping.share(), seed }))
  t.deepEqual(await Promise.all(workers), [450, 450, 450, 450])
  t.deepEqual([mapping.notify(0), mapping.notify(4), mapping.notify(8)], [0, 0, 0])
})

test('a wait keeps the process alive, unless it is not to', async (t) => {
  const script = (options: string): string => `
    const { Mapping } = require('mmap-native')
    const mapping = Mapping.anonymous(4096)
    process.on('exit', () => console.log('exit'))
    mapping.waitAsync(0, 0, ${options}).then(console.log)
    setTimeout(() => {}, 20)`
  const [kept, left] = await Promise.all([
    runScript(script('{ timeout: 200 }')),
    runScript(script('{ timeout: 60_000, ref: false }')),
  ])
  t.deepEqual([kept.code, kept.stdout, kept.stderr], [0, 'timed-out\nexit\n', ''])
  t.deepEqual([left.code, left.stdout, left.stderr], [0, 'exit\n', ''])
})

test('waits leave the thread pool of the runtime alone', async (t) => {
  const { stdout, stderr } = await runScript(
    `process.env.UV_THREADPOOL_SIZE = '1'
     const { Mapping } = require('mmap-native')
     const mapping = Mapping.anonymous(4096)
     const waits = Array.from({ length: 50 }, () => mapping.waitAsync(0, 0))
     require('fs').readFile('package.json', async () => {
       console.log('read', mapping.notify(0))
       console.log((await Promise.all(waits)).every((result) => result === 'ok'))
     })`,
  )
  t.deepEqual([stdout, stderr], ['read 50\ntrue\n', ''])
})

test('a process that exits while it waits, exits', async (t) => {
  const { code, signal, stderr } = await runScript(
    `const { Worker } = require('worker_threads')
     const { Mapping } = require('mmap-native')
     const mapping = Mapping.anonymous(4096)
     for (let i = 0; i < 10; i++) mapping.waitAsync(0, 0)
     new Worker(\`
       const { workerData, parentPort } = require('worker_threads')
       const mapping = require('mmap-native').Mapping.attach(workerData)
       mapping.waitAsync(0, 0)
       parentPort.postMessage('waits')
       mapping.wait(0, 0)\`, { eval: true, workerData: mapping.share() })
       .on('message', () => setTimeout(() => process.exit(3), 20))`,
  )
  t.deepEqual([code, signal, stderr], [3, null, ''])
})

onLinux('a process that is stopped and goes on still waits', async (t) => {
  using mapping = Mapping.memfd(4096)
  const child = startProcess(
    mapping.fd,
    `const wait = mapping.waitAsync(0, 0)
     say('waits')
     say(await wait)
     process.disconnect()`,
  )
  t.is(await saidBy(child), 'waits')
  const answer = saidBy(child)
  for (let i = 0; i < 3; i++) {
    child.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 20))
    child.kill('SIGCONT')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await wake(mapping, 0, 1)
  t.is(await answer, 'ok')
})

test('there are 1024 waits at most, and then EAGAIN', async (t) => {
  const { code, stdout, stderr } = await runScript(
    `const { Mapping } = require('mmap-native')
     const mapping = Mapping.anonymous(4096)
     const run = async () => {
       const waits = Array.from({ length: 1024 }, () => mapping.waitAsync(0, 0))
       await mapping.waitAsync(0, 0).catch(({ code, message }) => console.log(code, /1024 waits/.test(message)))
       console.log(mapping.notify(0))
       console.log(new Set(await Promise.all(waits)))
       console.log(await mapping.waitAsync(0, 0, { timeout: 1 }))
     }
     run()`,
  )
  t.deepEqual([code, stdout, stderr], [0, "EAGAIN true\n1024\nSet(1) { 'ok' }\ntimed-out\n", ''])
})

// ---- What is not there -------------------------------------------------------------------------------------------

for (const guard of ['on', 'off']) {
  onLinux(
    `a cell that was truncated away is a fault and ends nothing, with the guard ${guard}`,
    async (t) => {
      const path = sparseFile(t, 3 * pageSize)
      const { code, signal, stdout } = await runScript(
        `const { Mapping } = require('mmap-native')
       const fs = require('fs')
       const mapping = Mapping.open(process.argv[1], { access: 'write', onFault() {} })
       const waiting = mapping.waitAsync(${2 * pageSize}, 0)
       fs.truncateSync(process.argv[1], ${pageSize})
       const tell = (work) => { try { console.log(work()) } catch (error) { console.log(error.code, error.kind, error.offset) } }
       tell(() => mapping.wait(${pageSize}, 0, { allowMainThread: true }))
       tell(() => mapping.notify(${2 * pageSize}))
       tell(() => mapping.notify(0))
       mapping.waitAsync(${pageSize}, 0).catch((error) => console.log(error.code))
         .then(() => {
           fs.truncateSync(process.argv[1], ${3 * pageSize})
           tell(() => mapping.notify(${2 * pageSize}))
           return waiting
         }).then(console.log)`,
        {
          args: [path],
          nodeArgs: guard === 'off' ? ['--require', './build/__test__/support/guard-off.js'] : [],
        },
      )
      const fault = `ERR_MAPPING_FAULT truncated ${pageSize}`
      const later = `ERR_MAPPING_FAULT truncated ${2 * pageSize}`
      t.deepEqual([code, signal], [0, null])
      t.deepEqual(stdout.split('\n'), [fault, later, '0', 'ERR_MAPPING_FAULT', '1', 'ok', ''])
    },
  )
}

test('a page that a fault has replaced is no cell', async (t) => {
  const path = scratchFile(t, Buffer.alloc(2 * pageSize))
  using mapping = Mapping.open(path, { access: 'write', onFault() {} })
  fs.truncateSync(path, 100)
  t.is(mapping.bytes[pageSize], 0)
  fs.truncateSync(path, 2 * pageSize)
  t.is(errorOf(() => mapping.notify(pageSize)).code, 'ERR_MAPPING_FAULT')
  t.is((await rejection(mapping.waitAsync(pageSize, 0))).code, 'ERR_MAPPING_FAULT')
  mapping.refresh()
  const wait = mapping.waitAsync(pageSize, 0)
  t.is(mapping.notify(pageSize), 1)
  t.is(await wait, 'ok')
})

// ---- What must not be passed -------------------------------------------------------------------------------------

type Call = (value: never, mapping: Mapping) => unknown

const both = (call: (mapping: Mapping, value: never, wait: 'wait' | 'waitAsync') => unknown): Call[] => [
  (value, mapping) => call(mapping, value, 'wait'),
  (value, mapping) => call(mapping, value, 'waitAsync'),
]

const bad: [calls: Call[], values: unknown[], code: string, message: RegExp][] = [
  [
    [
      ...both((mapping, value, wait) => mapping[wait](value, 0, { timeout: 1 })),
      (value, mapping) => mapping.notify(value),
    ],
    [1, 2, 3, -4, 4096, 4094, 1.5, NaN, Infinity, 2 ** 53, -4n, 2n ** 64n],
    'ERR_OUT_OF_RANGE',
    /"offset"/,
  ],
  [
    [
      ...both((mapping, value, wait) => mapping[wait](value, 0, { timeout: 1 })),
      (value, mapping) => mapping.notify(value),
    ],
    [undefined, null, '0', {}, true],
    'ERR_INVALID_ARG_TYPE',
    /"offset"/,
  ],
  [
    both((m, value, wait) => m[wait](0, value, { timeout: 1 })),
    [2 ** 32, -(2 ** 31) - 1, 0.5, NaN],
    'ERR_OUT_OF_RANGE',
    /"expected"/,
  ],
  [
    both((m, value, wait) => m[wait](0, value, { timeout: 1 })),
    [undefined, null, '0', 0n],
    'ERR_INVALID_ARG_TYPE',
    /"expected"/,
  ],
  [
    both((m, timeout, wait) => m[wait](0, 1, { timeout })),
    [-1, NaN, -Infinity],
    'ERR_OUT_OF_RANGE',
    /options\.timeout/,
  ],
  [
    both((m, timeout, wait) => m[wait](0, 1, { timeout })),
    ['1', null, {}],
    'ERR_INVALID_ARG_TYPE',
    /options\.timeout/,
  ],
  [
    both((m, options, wait) => m[wait](0, 1, options)),
    [1, 'x', null, []],
    'ERR_INVALID_ARG_TYPE',
    /"options"/,
  ],
  [
    both((m, value, wait) => m[wait](0, 1, { time: value } as never)),
    [1],
    'ERR_INVALID_ARG_VALUE',
    /options\.time/,
  ],
  [[(count, m) => m.notify(0, count)], [-1, 1.5, NaN, 2 ** 53], 'ERR_OUT_OF_RANGE', /"count"/],
  [[(count, m) => m.notify(0, count)], ['1', null, {}], 'ERR_INVALID_ARG_TYPE', /"count"/],
  [[(signal, m) => m.waitAsync(0, 1, { signal })], [1, null, {}], 'ERR_INVALID_ARG_TYPE', /options\.signal/],
  [[(ref, m) => m.waitAsync(0, 1, { ref })], [1, null, 'x'], 'ERR_INVALID_ARG_TYPE', /options\.ref/],
  [
    [(value, m) => m.wait(0, 1, { allowMainThread: value })],
    [1, null, 'x'],
    'ERR_INVALID_ARG_TYPE',
    /options\.allowMainThread/,
  ],
]

for (const [calls, values, code, message] of bad) {
  test(`${code} that says ${String(message)}, for ${inspect(values).replaceAll('\n', '').slice(0, 60)}: ${String(calls[0])}`, async (t) => {
    const mapping = memory(t)
    for (const call of calls) {
      for (const value of values) {
        const error = await rejection(
          (async () => {
            await call(value as never, mapping)
          })(),
        )
        t.is(error.code, code, inspect(value))
        t.regex(error.message, message)
      }
    }
  })
}

test('a mapping of less than four bytes has no cell', async (t) => {
  const mapping = memory(t, 3)
  t.is(errorOf(() => mapping.notify(0)).code, 'ERR_OUT_OF_RANGE')
  t.is((await rejection(mapping.waitAsync(0, 0))).code, 'ERR_OUT_OF_RANGE')
})

onLinux(
  'waits for memory that moves end, as nobody finds them there; those of the next line are found',
  async (t) => {
    const mapping = memory(t)
    const before = mapping.waitAsync(0, 0)
    const { address } = mapping
    while (mapping.address === address) mapping.resize(8 * mapping.length)
    t.is(await before, 'ok')
    const after = mapping.waitAsync(0, 0)
    t.is(mapping.notify(0), 1)
    t.is(await after, 'ok')
  },
)

onLinux('a cell of memory that may only be read, or not at all, is EACCES', async (t) => {
  const mapping = memory(t)
  for (const access of ['read', 'none'] as const) {
    mapping.protect(access)
    t.is(errorOf(() => mapping.notify(0)).code, 'EACCES')
    t.is(errorOf(() => mapping.wait(0, 0, { timeout: 1, allowMainThread: true })).code, 'EACCES')
    t.is((await rejection(mapping.waitAsync(0, 0))).code, 'EACCES')
  }
})

test('what only looks like a signal is refused before the wait begins', async (t) => {
  const mapping = memory(t)
  const signal = { aborted: false } as AbortSignal
  t.is((await rejection(mapping.waitAsync(0, 0, { signal }))).code, 'ERR_INVALID_ARG_TYPE')
  t.is(mapping.notify(0), 0)
})

onLinux('a thousand waits, each ended in another way, leave nothing behind', async (t) => {
  const { code, stdout, stderr } = await runScript(
    `const { growth } = require('./build/__test__/support/leaks.js')
     const { Mapping } = require('mmap-native')
     const ends = [
       (mapping) => mapping.notify(0),
       (mapping) => mapping.unmap(),
       () => {},
       (_, controller) => controller.abort(),
     ]
     growth(1000, async (i) => {
       const mapping = Mapping.memfd(4096)
       const controller = new AbortController()
       const options = { timeout: i % 4 === 2 ? 1 : Infinity, signal: controller.signal }
       const waits = [mapping.waitAsync(0, 0, options), mapping.waitAsync(0, 0, options)]
       ends[i % 4](mapping, controller)
       await Promise.allSettled(waits)
       mapping.unmap()
     }).then(({ descriptors, mappings, threads }) => console.log(descriptors, threads <= 2, mappings < 100))`,
  )
  t.deepEqual([code, stdout, stderr], [0, '0 true true\n', ''])
})
