/** How faults are told. */
import test from 'ava'
import { Mapping } from 'mmap-native'
import { prints, run } from './support/scenario'

test('a mapping without faults says so, and so does one without bytes', (t) => {
  const [empty, some] = [Mapping.anonymous(0), Mapping.anonymous(10)]
  some.bytes.fill(1)
  t.deepEqual(empty.faults, { count: 0, list: [] })
  t.deepEqual(some.faults, { count: 0, list: [] })
  some.unmap()
  t.deepEqual(some.faults, { count: 0, list: [] })
})

test('methods that meet lost pages throw ERR_MAPPING_FAULT with the range, the kind and the path', (t) =>
  prints(
    t,
    [
      'read(): ERR_MAPPING_FAULT truncated 4+4',
      'read() of one lost page: ERR_MAPPING_FAULT truncated 5+1',
      'read() of the rest: none',
      'write(): ERR_MAPPING_FAULT truncated 4+4',
      'write() to the rest: none',
      'fill(): ERR_MAPPING_FAULT truncated 4+4',
      'fill() with a pattern: ERR_MAPPING_FAULT truncated 7+1',
      'fill() of the rest: none',
      'copyWithin() from lost pages: ERR_MAPPING_FAULT truncated 4+1',
      'copyWithin() to lost pages: ERR_MAPPING_FAULT truncated 5+1',
      'copyWithin() of the rest: none',
      'flushSync(): ERR_MAPPING_FAULT truncated 4+4',
      'flushSync() of the rest: none',
      'Error ERR_MAPPING_FAULT 100 10 truncated true',
    ],
    ({ Mapping, pageSize, newFile, truncate, failure }) => {
      const SIZE = 8 * pageSize
      const each = (name: string, call: (mapping: ReturnType<typeof Mapping.open>) => unknown) => {
        const path = newFile(8)
        const mapping = Mapping.open(path, { access: 'write', onFault() {} })
        truncate(path, SIZE / 2)
        console.log(`${name}: ${failure(() => call(mapping))}`)
        mapping.unmap()
      }
      each('read()', (mapping) => mapping.read(0, SIZE))
      each('read() of one lost page', (mapping) => mapping.read(5 * pageSize, pageSize))
      each('read() of the rest', (mapping) => mapping.read(0, SIZE / 2))
      each('write()', (mapping) => mapping.write(Buffer.alloc(SIZE, 9)))
      each('write() to the rest', (mapping) => mapping.write(Buffer.alloc(SIZE / 2, 9)))
      each('fill()', (mapping) => mapping.fill(9))
      each('fill() with a pattern', (mapping) => mapping.fill('abc', SIZE - pageSize))
      each('fill() of the rest', (mapping) => mapping.fill(9, 0, SIZE / 2))
      each('copyWithin() from lost pages', (mapping) => mapping.copyWithin(0, SIZE / 2, SIZE / 2 + pageSize))
      each('copyWithin() to lost pages', (mapping) => mapping.copyWithin(5 * pageSize, 0, pageSize))
      each('copyWithin() of the rest', (mapping) => mapping.copyWithin(0, pageSize, 2 * pageSize))
      each('flushSync()', (mapping) => {
        mapping.bytes.fill(1)
        mapping.flushSync()
      })
      each('flushSync() of the rest', (mapping) => {
        mapping.bytes.fill(1)
        mapping.flushSync(0, SIZE / 2)
      })

      const path = newFile(1)
      const mapping = Mapping.open(path, { onFault() {} })
      truncate(path, 0)
      try {
        mapping.read(100, 10)
      } catch (thrown) {
        const error = thrown as Error & Record<string, unknown>
        const { name, code, offset, length, kind } = error
        console.log(name, code, offset, length, kind, error['path'] === path && error.message.includes(path))
      }
    },
  ))

test('a method that meets lost pages has done the rest of its work', (t) =>
  prints(t, ['4 file, 4 zeros', '9 9'], ({ Mapping, pageSize, newFile, truncate, survey, failure }) => {
    const path = newFile(8)
    const mapping = Mapping.open(path, { access: 'write', onFault() {} })
    truncate(path, 4 * pageSize)
    const target = Buffer.alloc(8 * pageSize, 255)
    failure(() => mapping.read(0, target))
    console.log(survey(target))
    failure(() => mapping.fill(9))
    const file = require('node:fs').readFileSync(path)
    console.log(file[0], file.at(-1))
  }))

test('flush() rejects where written bytes are not in the file, and resolves for the rest and after refresh()', (t) =>
  prints(
    t,
    ['ERR_MAPPING_FAULT truncated 4+4 true', 'resolved', 'resolved', 'true'],
    async ({ Mapping, pageSize, newFile, truncate, inPages }) => {
      const path = newFile(8)
      const mapping = Mapping.open(path, { access: 'write', onFault() {} })
      truncate(path, 4 * pageSize)
      mapping.bytes.fill(9)
      const flushed = (promise: Promise<void>) =>
        promise.then(
          () => 'resolved',
          (error) => `${error.code} ${inPages(error)} ${error.path === path}`,
        )
      console.log(await flushed(mapping.flush()))
      console.log(await flushed(mapping.flush(0, 4 * pageSize)))
      truncate(path, 8 * pageSize)
      mapping.refresh()
      mapping.bytes.fill(9)
      console.log(await flushed(mapping.flush()))
      console.log(
        require('node:fs')
          .readFileSync(path)
          .equals(Buffer.alloc(8 * pageSize, 9)),
      )
    },
  ))

test('onFault is called from the event loop, once for each fault, in order, with offset, length and kind', (t) =>
  prints(
    t,
    [
      '3 faults, told of 0',
      'told of 0',
      '{"offset":0,"length":PAGE,"kind":"read-only"}',
      'read-only 0+1, read-only 2+1, truncated 3+1',
    ],
    async ({ Mapping, pageSize, newFile, truncate, until, inPages }) => {
      const path = newFile(4)
      const heard: Parameters<typeof inPages>[0][] = []
      const mapping = Mapping.open(path, { onFault: (fault) => heard.push(fault) })
      const { bytes } = mapping
      bytes[0] = 1
      bytes[2 * pageSize] = 1
      truncate(path, 3 * pageSize)
      bytes.includes(255)
      console.log(`${mapping.faults.count} faults, told of ${heard.length}`)
      await Promise.resolve()
      console.log(`told of ${heard.length}`)
      await until(() => heard.length > 2)
      console.log(JSON.stringify(heard[0]).replace(`${pageSize}`, 'PAGE'))
      console.log(heard.map(inPages).join(', '))
    },
  ))

test('what an onFault throws is an uncaughtException, and the others hear of theirs', (t) =>
  prints(
    t,
    ['first', 'second', 'caught thrown', 'caught thrown', 'third'],
    async ({ Mapping, newFile, until }) => {
      const lines: string[] = []
      process.on('uncaughtException', (error) => lines.push(`caught ${error.message}`))
      const mappings = ['first', 'second', 'third'].map((name) =>
        Mapping.open(newFile(1), {
          onFault() {
            lines.push(name)
            if (name !== 'third') throw new Error('thrown')
          },
        }),
      )
      for (const { bytes } of mappings) bytes[0] = 1
      await until(() => lines.length > 4)
      lines.sort((a, b) => order(a) - order(b))
      for (const line of lines) console.log(line)
      function order(line: string) {
        return ['first', 'second', 'caught thrown', 'third'].indexOf(line)
      }
    },
  ))

test('what an onFault throws ends the process as any uncaught exception does', async (t) => {
  const { code, signal, stdout, stderr } = await run(async ({ Mapping, newFile }) => {
    const mapping = Mapping.open(newFile(1), {
      onFault() {
        throw new Error('thrown by onFault')
      },
    })
    mapping.bytes[0] = 1
    setTimeout(() => console.log('went on'), 5000)
  })
  t.deepEqual({ code, signal, stdout }, { code: 1, signal: null, stdout: '' })
  t.regex(stderr, /Error: thrown by onFault/)
})

test('without onFault a mapping gives one warning, that names the file', async (t) => {
  const { code, signal, stdout, stderr } = await run(
    async ({ Mapping, pageSize, newFile, collectWarnings, until }) => {
      const warnings = collectWarnings()
      const paths = [newFile(3), newFile(3)]
      for (const path of paths) {
        const { bytes } = Mapping.open(path)
        for (let page = 0; page < 3; page++) bytes[page * pageSize] = 1
      }
      await until(() => warnings.length > 1)
      await require('node:timers/promises').setTimeout(100)
      for (const { name, code, message } of warnings)
        console.log(
          name,
          code,
          paths.findIndex((path) => message.includes(path)),
        )
    },
  )
  t.deepEqual(
    { code, signal, stdout },
    { code: 0, signal: null, stdout: 'MappingWarning MMAP_FAULT 0\nMappingWarning MMAP_FAULT 1\n' },
  )
  t.is(stderr.match(/\[MMAP_FAULT\] MappingWarning: a mapping that may only be read was written/g)?.length, 2)
  t.regex(stderr, /onFault/)
})

test('mappings with onFault give no warning', (t) =>
  prints(t, ['1'], async ({ Mapping, newFile, until }) => {
    let count = 0
    Mapping.open(newFile(1), { onFault: () => count++ }).bytes[0] = 1
    await until(() => count > 0)
    console.log(count)
  }))

test('a worker is told of the faults of its own mappings, and this thread of its own', (t) =>
  prints(
    t,
    ['worker: onFault read-only 1+1', 'worker: warning MMAP_FAULT worker', 'main: warning MMAP_FAULT main'],
    async ({ Mapping, newFile, startWorker, messageOf, collectWarnings, until }) => {
      process.removeAllListeners('warning')
      const warnings = collectWarnings()
      const main = newFile(3)
      const paths = { heard: newFile(3), warned: newFile(3) }
      const worker = startWorker(async ({ Mapping, pageSize, inPages, collectWarnings, until }, paths) => {
        process.removeAllListeners('warning')
        const warnings = collectWarnings()
        const heard: string[] = []
        const mapping = Mapping.open(paths.heard, { onFault: (fault) => heard.push(inPages(fault)) })
        mapping.bytes[pageSize] = 1
        Mapping.open(paths.warned).bytes[0] = 1
        await until(() => heard.length > 0 && warnings.length > 0)
        return { heard, warnings: warnings.map(({ code, message }) => [code, message]) }
      }, paths)
      Mapping.open(main).bytes[0] = 1
      const told = (await messageOf(worker)) as { heard: string[]; warnings: string[][] }
      console.log(`worker: onFault ${told.heard.join(', ')}`)
      for (const [code, message] of told.warnings)
        console.log(`worker: warning ${code} ${message?.includes(paths.warned) ? 'worker' : message}`)
      await until(() => warnings.length > 0)
      for (const { code, message } of warnings)
        console.log(`main: warning ${code} ${message.includes(main) ? 'main' : message}`)
    },
  ))

test('faults do not keep a process or a worker alive', (t) =>
  prints(t, ['worker ended with 0', 'last line'], async ({ Mapping, newFile, startWorker }) => {
    process.removeAllListeners('warning')
    const worker = startWorker(({ Mapping }, path) => {
      process.removeAllListeners('warning')
      Mapping.open(path, { onFault() {} }).bytes[0] = 1
    }, newFile(1))
    const [code] = await require('node:events').once(worker, 'exit')
    console.log(`worker ended with ${code}`)
    const mapping = Mapping.open(newFile(1), { onFault() {} })
    mapping.bytes[0] = 1
    console.log('last line')
  }))

test('the faults of a worker that has ended are no trouble to others', (t) =>
  prints(t, ['10 workers', 'main: told'], async ({ Mapping, newFile, startWorker, messageOf, until }) => {
    process.removeAllListeners('warning')
    let told = ''
    const mapping = Mapping.open(newFile(100), { onFault: () => (told = 'told') })
    const workers = Array.from({ length: 10 }, () =>
      startWorker(({ Mapping, pageSize }, path) => {
        require('node:worker_threads').parentPort.postMessage('started')
        for (;;) {
          const mapping = Mapping.open(path, { onFault() {} })
          for (let page = 0; page < 100; page++) mapping.bytes[page * pageSize] = 1
          mapping.unmap()
        }
      }, newFile(100)),
    )
    await Promise.all(workers.map(messageOf))
    await Promise.all(workers.map((worker) => worker.terminate()))
    console.log(`${workers.length} workers`)
    mapping.bytes[0] = 1
    await until(() => told !== '')
    console.log(`main: ${told}`)
  }))

test('the faults of a mapping can be read after unmap()', (t) =>
  prints(t, ['1: read-only 1+1', '1: read-only 1+1'], ({ Mapping, pageSize, newFile, told }) => {
    const mapping = Mapping.open(newFile(2), { onFault() {} })
    mapping.bytes[pageSize] = 1
    mapping.unmap()
    console.log(told(mapping))
    mapping.unmap()
    console.log(told(mapping))
  }))

test('all faults are counted and told, more than the list has and more than are recorded at once', (t) =>
  prints(
    t,
    ['1500 1024', '7500 1024', 'told of 7500', 'in order: true', 'file unchanged'],
    async ({ Mapping, pageSize, newFile, contents, until }) => {
      const path = newFile(7500)
      const heard: number[] = []
      const mapping = Mapping.open(path, { onFault: ({ offset }) => heard.push(offset) })
      const { bytes } = mapping
      const write = (from: number, to: number) => {
        for (let page = from; page < to; page++) bytes[page * pageSize] = 0
        console.log(mapping.faults.count, mapping.faults.list.length)
      }
      write(0, 1500)
      write(1500, 7500)
      await until(() => heard.length >= 7500)
      console.log(`told of ${heard.length}`)
      console.log(`in order: ${heard.every((offset, page) => offset === page * pageSize)}`)
      console.log(
        require('node:fs').readFileSync(path).equals(contents(7500)) ? 'file unchanged' : 'file changed',
      )
    },
  ))

test('a raw mapping outlives more faults than are recorded at once, and warns once', (t) =>
  prints(t, ['6000 zeros', '1 MMAP_FAULT'], async ({ MAP_SHARED, PROT_READ, pageSize, ...tools }) => {
    process.removeAllListeners('warning')
    const warnings = tools.collectWarnings()
    const path = tools.newFile(6000)
    const fd = require('node:fs').openSync(path, 'r')
    const view = tools.mapRaw(fd, 6000, PROT_READ, MAP_SHARED)
    tools.truncate(path, 0)
    // Page by page: it is not known where the file ends.
    for (let page = 0; page < 6000; page++) if (view[page * pageSize] !== 0) throw new Error('not zero')
    console.log(tools.survey(view))
    await tools.until(() => warnings.length > 0)
    console.log(warnings.length, warnings[0]?.code)
  }))

test('an onFault that refers to its mapping does not keep it from being collected', (t) =>
  prints(t, ['collected'], async ({ Mapping, newFile, until }) => {
    const path = newFile(1)
    const open = () => {
      const mapping: ReturnType<typeof Mapping.open> = Mapping.open(path, {
        onFault: () => mapping.refresh(),
      })
      return new WeakRef(mapping)
    }
    const reference = open()
    await until(() => {
      ;(globalThis as unknown as { gc: () => void }).gc()
      return reference.deref() === undefined
    })
    console.log('collected')
  }))

test('onFault is called as long as a view is used, even if the mapping itself is not', (t) =>
  prints(t, ['read-only 0+1, read-only 1+1', '1'], async ({ Mapping, pageSize, newFile, inPages, until }) => {
    const { setTimeout: sleep } = require('node:timers/promises') as typeof import('node:timers/promises')
    const collect = (globalThis as unknown as { gc: () => void }).gc
    const heard: string[] = []
    const path = newFile(2)
    const open = () => Mapping.open(path, { onFault: (fault) => heard.push(inPages(fault)) }).bytes
    const bytes = open()
    bytes[0] = 1
    for (let i = 0; i < 5; i++) {
      await sleep(5)
      collect()
    }
    bytes[pageSize] = 1
    collect()
    await until(() => heard.length > 1)
    console.log(heard.join(', '))
    console.log(bytes[0])
  }))
