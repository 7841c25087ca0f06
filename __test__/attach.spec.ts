/** share() and Mapping.attach(): one mapping in several threads. */
import test from 'ava'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { inspect } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import { Mapping, pageSize, type MappingToken, type SystemError } from 'mmap-native'
import { runScript } from './support/child'
import { scratchFile } from './support/files'
import { growth } from './support/leaks'
import { maps } from './support/maps'
import { shared } from './support/scenario'
import { inWorker, said, startWorker } from './support/worker'

const onLinux = process.platform === 'linux' ? test : test.skip

const errorOf = (work: () => unknown): SystemError => {
  try {
    work()
  } catch (error) {
    return error as SystemError
  }
  throw new Error('nothing was thrown')
}

const countOf = (path: string): number => maps().filter((entry) => entry.path === path).length

// ---- The same memory ---------------------------------------------------------------------------------------------

test('an attached mapping is the same memory, at the same address, with the same properties', (t) => {
  const path = scratchFile(t, 'some content')
  using mapping = Mapping.open(path, { access: 'write', offset: 3 })
  using attached = Mapping.attach(mapping.share())
  t.deepEqual(
    [attached.length, attached.offset, attached.access, attached.path, attached.address],
    [9, 3, 'write', path, mapping.address],
  )
  attached.write('CON', 2)
  t.is(mapping.bytes.toString(), 'e CONtent')
  t.is(attached.bytes.toString(), 'e CONtent')
})

for (const access of ['read', 'write', 'copy'] as const) {
  test(`a mapping with access '${access}' is attached with that access`, (t) => {
    using mapping = Mapping.open(scratchFile(t, 'text'), { access })
    using attached = Mapping.attach(mapping.share())
    t.is(attached.access, access)
    if (access === 'read') t.is(errorOf(() => attached.write('x')).code, 'EACCES')
    else {
      attached.write('x')
      t.is(mapping.bytes.toString(), 'xext')
    }
  })
}

test('memory and empty mappings can be attached, and a path of bytes is one again', (t) => {
  using memory = Mapping.anonymous(10)
  using attached = Mapping.attach(memory.share())
  attached.write('memory')
  t.is(memory.read(0, 6).toString(), 'memory')
  const path = Buffer.from(scratchFile(t))
  using empty = Mapping.open(path)
  using alsoEmpty = Mapping.attach(structuredClone(empty.share()))
  t.is(alsoEmpty.length, 0)
  t.deepEqual(alsoEmpty.path, path)
})

onLinux('nothing is opened or mapped a second time', (t) => {
  const path = scratchFile(t, 'content')
  using mapping = Mapping.open(path)
  const open = () => fs.readdirSync('/proc/self/fd').length
  const before = open()
  const attached = Array.from({ length: 10 }, () => Mapping.attach(mapping.share()))
  t.deepEqual([countOf(path), open()], [1, before])
  for (const one of attached) one.unmap()
  t.is(countOf(path), 1)
})

test('a worker attaches to the memory by a token; each sees what the other writes', async (t) => {
  using mapping = Mapping.anonymous(1000)
  mapping.write('from main', 500)
  const answer = await inWorker(
    `const mapping = Mapping.attach(workerData)
     mapping.write('from worker')
     say([mapping.read(500, 9).toString(), mapping.address])`,
    mapping.share(),
  )
  t.deepEqual(answer, ['from main', mapping.address])
  t.is(mapping.read(0, 11).toString(), 'from worker')
})

test('a token goes through postMessage() to any thread, and from thread to thread', async (t) => {
  using mapping = Mapping.anonymous(100)
  const answer = await inWorker(
    `const { Worker, MessageChannel } = require('node:worker_threads')
     const { port1, port2 } = new MessageChannel()
     port1.postMessage(Mapping.attach(workerData).share())
     port2.once('message', (token) => {
       const inner = new Worker(\`
         const { parentPort, workerData } = require('node:worker_threads')
         require('mmap-native').Mapping.attach(workerData).write('inner')
         parentPort.postMessage('done')\`, { eval: true, workerData: token })
       inner.once('message', (message) => { say(message); port2.close() })
     })`,
    mapping.share(),
  )
  t.is(answer, 'done')
  t.is(mapping.read(0, 5).toString(), 'inner')
})

shared('where views are SharedArrayBuffers, they go to a worker themselves', async (t) => {
  using mapping = Mapping.anonymous(100)
  mapping.write('view')
  const answer = inWorker(
    `const bytes = Buffer.from(workerData)
     bytes.write('VIEW')
     say(bytes.toString('latin1', 0, 6))`,
    mapping.buffer,
  )
  t.is(await answer, 'VIEW\0\0')
  t.is(mapping.read(0, 4).toString(), 'VIEW')
})

test('views of attached mappings are of the kind that is asked for', (t) => {
  using mapping = Mapping.anonymous(100)
  const attached = Mapping.attach(mapping.share(), { views: 'detachable' })
  const { bytes } = attached
  bytes.write('text')
  attached.unmap()
  t.is(bytes.length, 0)
  t.is(mapping.read(0, 4).toString(), 'text')
})

// ---- The last one unmaps -----------------------------------------------------------------------------------------

onLinux('unmap() in one thread takes nothing from another; the last one unmaps', async (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  const { bytes, fd } = mapping
  const worker = startWorker(
    `const mapping = Mapping.attach(workerData)
     say('attached')
     parentPort.on('message', () => {
       say(mapping.bytes.toString())
       mapping.unmap()
       say('unmapped')
       parentPort.close()
     })`,
    mapping.share(),
  )
  t.is(await said(worker), 'attached')
  mapping.unmap()
  t.is(errorOf(() => mapping.bytes).code, 'ERR_MAPPING_CLOSED')
  t.is(bytes.toString(), 'content', 'the memory is there as long as somebody has it')
  t.is(countOf(path), 1)
  const ended = once(worker, 'exit')
  const answers: unknown[] = []
  worker.on('message', (message) => answers.push(message))
  worker.postMessage('go on')
  await ended
  t.deepEqual(answers, ['content', 'unmapped'])
  t.is(countOf(path), 0)
  t.false(fs.existsSync(`/proc/self/fd/${fd}`) && fs.readlinkSync(`/proc/self/fd/${fd}`) === path)
})

test('a second unmap() of one mapping is not one of the other', (t) => {
  const mapping = Mapping.anonymous(10)
  const attached = Mapping.attach(mapping.share())
  mapping.unmap()
  mapping.unmap()
  mapping[Symbol.dispose]()
  attached.write('still')
  t.is(attached.read(0, 5).toString(), 'still')
  attached.unmap()
})

onLinux('a worker that ends lets go of what it attached', async (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  for (const end of ['', 'process.exit()', 'setInterval(() => {}, 1000)']) {
    const worker = startWorker(
      `globalThis.kept = Mapping.attach(workerData); say(1); ${end}`,
      mapping.share(),
    )
    await said(worker)
    await worker.terminate()
  }
  t.is(mapping.bytes.toString(), 'content')
  mapping.unmap()
  t.is(countOf(path), 0)
})

onLinux('what a worker opened stays for who attached to it, when the worker has ended', async (t) => {
  const path = scratchFile(t, 'x'.repeat(2 * pageSize))
  const worker = startWorker(
    `globalThis.kept = Mapping.open(workerData, { access: 'write' })
     say(kept.share())
     setInterval(() => {}, 1000)`,
    path,
  )
  const mapping = Mapping.attach((await said(worker)) as MappingToken)
  await worker.terminate()
  t.is(mapping.count('x'), 2 * pageSize)
  t.is(countOf(path), 1)
  mapping.unmap()
  t.is(countOf(path), 0)
})

onLinux('an attached mapping that is dropped does not keep the memory from the last unmap()', async (t) => {
  const path = scratchFile(t, 'content')
  const mapping = Mapping.open(path)
  ;(() => {
    for (let i = 0; i < 10; i++) Mapping.attach(mapping.share()).read(0, 1)
  })()
  const gc = (globalThis as { gc?: () => void }).gc
  for (let i = 0; i < 20; i++) {
    gc?.()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  mapping.unmap()
  t.is(countOf(path), 0)
})

// ---- Tokens ------------------------------------------------------------------------------------------------------

test('a token of a mapping that was unmapped is ERR_MAPPING_CLOSED', (t) => {
  const mapping = Mapping.anonymous(10)
  const token = mapping.share()
  mapping.unmap()
  const error = errorOf(() => Mapping.attach(token))
  t.is(error.code, 'ERR_MAPPING_CLOSED')
  t.regex(error.message, /token.*before it was attached/)
  t.is(errorOf(() => mapping.share()).code, 'ERR_MAPPING_CLOSED')
})

test('a token does not keep memory: of a mapping that was collected it is ERR_MAPPING_CLOSED', async (t) => {
  const token = (() => Mapping.anonymous(10).share())()
  const gc = (globalThis as { gc?: () => void }).gc
  let code: string | undefined
  for (let i = 0; i < 200 && code === undefined; i++) {
    gc?.()
    await new Promise((resolve) => setTimeout(resolve, 10))
    try {
      // One that comes before the collection keeps the memory no longer than itself.
      Mapping.attach(token).unmap()
    } catch (error) {
      code = (error as SystemError).code
    }
  }
  t.is(code, 'ERR_MAPPING_CLOSED')
})

test('a token is used any number of times, as long as anybody has the memory', (t) => {
  const mapping = Mapping.anonymous(10)
  const token = mapping.share()
  const first = Mapping.attach(token)
  mapping.unmap()
  const second = Mapping.attach(token)
  t.deepEqual(second.share(), { ...token })
  first.unmap()
  second.unmap()
  t.is(errorOf(() => Mapping.attach(token)).code, 'ERR_MAPPING_CLOSED')
})

test('a token of another process is an error that says so', async (t) => {
  const { stdout } = await runScript(
    `const mapping = require('mmap-native').Mapping.anonymous(10)
     console.log(JSON.stringify(mapping.share()))`,
  )
  using mapping = Mapping.anonymous(10)
  t.is(typeof mapping.share().id, 'number')
  const error = errorOf(() => Mapping.attach(JSON.parse(stdout) as MappingToken))
  t.is(error.code, 'ERR_INVALID_ARG_VALUE')
  t.regex(error.message, /another process/)
})

onLinux('a token of another copy of the addon is an error that says so', async (t) => {
  const { code, stdout, stderr } = await runScript(
    `const fs = require('fs'), os = require('os'), path = require('path')
     const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mmap-native-copy-'))
     for (const name of ['dist', 'native', 'package.json']) fs.cpSync(name, path.join(folder, name), { recursive: true })
     const one = require('mmap-native'), two = require(folder)
     const mapping = one.Mapping.anonymous(10)
     two.Mapping.anonymous(10).share()
     try { two.Mapping.attach(mapping.share()) } catch (error) { console.log(one !== two, error.code) }
     fs.rmSync(folder, { recursive: true })`,
  )
  t.deepEqual([code, stdout, stderr], [0, 'true ERR_INVALID_ARG_VALUE\n', ''])
})

test('what is no token is an error, and never more', (t) => {
  using mapping = Mapping.anonymous(10)
  using other = Mapping.anonymous(10)
  const token = mapping.share()
  for (const value of [undefined, null, 1, 'token', Symbol('token'), () => {}]) {
    t.is(errorOf(() => Mapping.attach(value as never)).code, 'ERR_INVALID_ARG_TYPE', inspect(value))
  }
  const forged: unknown[] = [
    {},
    [],
    mapping,
    { ...token, mmapNative: 2 },
    { ...token, id: -1 },
    { ...token, id: 1.5 },
    { ...token, id: 2 ** 53 },
    { ...token, id: `${token.id}` },
    { ...token, id: other.share().id },
    { ...token, key: '' },
    { ...token, key: 1 },
    { ...token, key: token.key.toUpperCase() + ' ' },
    { ...token, key: other.share().key },
    { ...token, key: '0'.repeat(token.key.length) },
    { ...token, key: 'é'.repeat(1000) },
    { ...token, path: 1 },
    { ...token, path: {} },
  ]
  for (const value of forged) {
    t.is(errorOf(() => Mapping.attach(value as never)).code, 'ERR_INVALID_ARG_VALUE', inspect(value))
  }
  // A number that no region has: as good as that of a region that is gone.
  t.is(errorOf(() => Mapping.attach({ ...token, id: 2 ** 53 - 1 })).code, 'ERR_MAPPING_CLOSED')
  t.is(errorOf(() => Mapping.attach(token, { view: 'auto' } as never)).code, 'ERR_INVALID_ARG_VALUE')
  t.is(errorOf(() => Mapping.attach(token, { views: null } as never)).code, 'ERR_INVALID_ARG_VALUE')
  Mapping.attach(token).unmap()
})

test('a Mapping itself cannot be cloned or sent, and the error says what to do', (t) => {
  using mapping = Mapping.anonymous(10)
  const { port1, port2 } = new MessageChannel()
  for (const clone of [() => structuredClone(mapping), () => port1.postMessage({ mapping })]) {
    const error = errorOf(clone)
    t.is(error.name, 'DataCloneError')
    t.regex(error.message, /mapping\.share\(\).*Mapping\.attach/)
  }
  port1.close()
  port2.close()
})

// ---- Faults ------------------------------------------------------------------------------------------------------

test('a fault is told to the thread that opened the mapping, whoever meets it', async (t) => {
  const path = scratchFile(t, 'x'.repeat(3 * pageSize))
  const kinds: string[] = []
  using mapping = Mapping.open(path, { onFault: ({ kind }) => kinds.push(kind) })
  const answer = await inWorker(
    `process.on('warning', () => say('a warning here'))
     const mapping = Mapping.attach(workerData.token)
     require('fs').truncateSync(workerData.path, 100)
     const code = codeOf(() => mapping.read(2 * ${pageSize}, 1))
     say([code, mapping.faults.count])`,
    { token: mapping.share(), path },
  )
  t.deepEqual(answer, ['ERR_MAPPING_FAULT', 1])
  for (let i = 0; i < 500 && kinds.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  t.deepEqual(kinds, ['truncated'])
})

test('when the thread that opened it has ended, another that has it is told', async (t) => {
  const path = scratchFile(t, 'x'.repeat(3 * pageSize))
  const { code, stdout, stderr } = await runScript(
    `const { Worker } = require('worker_threads')
     const { Mapping } = require('mmap-native')
     const worker = new Worker(\`
       const { parentPort, workerData } = require('worker_threads')
       globalThis.kept = require('mmap-native').Mapping.open(workerData)
       parentPort.postMessage(kept.share())
       setInterval(() => {}, 1000)\`, { eval: true, workerData: process.argv[1] })
     process.on('warning', (warning) => { console.log(warning.code); process.exit() })
     worker.once('message', async (token) => {
       globalThis.mapping = Mapping.attach(token)
       await worker.terminate()
       require('fs').truncateSync(process.argv[1], 100)
       console.log(mapping.bytes[${2 * pageSize}])
       setInterval(() => {}, 1000)
     })`,
    { args: [path], nodeArgs: ['--no-warnings'] },
  )
  t.deepEqual([code, stdout, stderr], [0, '0\nMMAP_FAULT\n', ''])
})

// ---- Many --------------------------------------------------------------------------------------------------------

onLinux('eight workers that attach and unmap all the time leave one mapping, which works', async (t) => {
  const path = scratchFile(t, 'x'.repeat(10_000))
  const mapping = Mapping.open(path, { access: 'write' })
  const storm = `
    for (let i = 0; i < 2000; i++) {
      const mapping = Mapping.attach(workerData)
      if (mapping.bytes[i] !== 120) throw new Error('not the memory')
      if (i % 7 === 0) void mapping.flush()
      if (i % 3 > 0) mapping.unmap()
    }
    say('done')`
  const answers = await Promise.all(Array.from({ length: 8 }, () => inWorker(storm, mapping.share())))
  t.deepEqual(
    answers,
    Array.from({ length: 8 }, () => 'done'),
  )
  t.is(mapping.count('x'), 10_000)
  t.is(countOf(path), 1)
  mapping.unmap()
  t.is(countOf(path), 0)
})

test('workers that attach while the last mapping goes get the memory or ERR_MAPPING_CLOSED', async (t) => {
  const race = `
    let [attached, closed] = [0, 0]
    parentPort.on('message', (token) => {
      if (token === null) {
        say(['sum', attached + closed])
        return parentPort.close()
      }
      try {
        const mapping = Mapping.attach(token)
        if (mapping.read(0, 4).toString() !== 'here') throw new Error('not the memory')
        mapping.unmap()
        attached++
      } catch (error) {
        if (error.code !== 'ERR_MAPPING_CLOSED') throw error
        closed++
      }
    })
    say('ready')`
  const workers = Array.from({ length: 4 }, () => startWorker(race))
  await Promise.all(workers.map(said))
  for (let i = 0; i < 1000; i++) {
    const mapping = Mapping.anonymous(100)
    mapping.write('here')
    for (const worker of workers) worker.postMessage(mapping.share())
    if (i % 2 > 0) await new Promise(setImmediate)
    mapping.unmap()
  }
  const answers = workers.map(said)
  for (const worker of workers) worker.postMessage(null)
  t.deepEqual(
    await Promise.all(answers),
    workers.map(() => ['sum', 1000]),
  )
})

onLinux('a thousand of them leave nothing behind', async (t) => {
  const path = scratchFile(t, 'x'.repeat(10_000))
  const { descriptors, mappings, threads } = await growth(1000, () => {
    const mapping = Mapping.open(path)
    const attached = Mapping.attach(mapping.share())
    mapping.unmap()
    attached.read(0, 10)
    attached.unmap()
    t.is(errorOf(() => Mapping.attach(mapping as never)).code, 'ERR_INVALID_ARG_VALUE')
  })
  t.deepEqual([descriptors, threads], [0, 0])
  t.true(mappings < 100, `${mappings} mappings`)
})
