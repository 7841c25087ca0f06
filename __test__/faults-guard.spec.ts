/** The guard is turned off: the process takes its chances. */
import test from 'ava'
import { isFaultGuarded } from 'mmap-native'
import { prints, run, shared } from './support/scenario'

test('faults are caught unless somebody says no', (t) => {
  t.true(isFaultGuarded())
})

for (const how of [
  'setFaultGuard(false)',
  'setFaultGuard(false), after mapping',
  'MMAP_NATIVE_FAULTS=off',
] as const) {
  test(`${how}: a truncation ends the process by SIGBUS`, async (t) => {
    const { code, signal, stdout } = await run(
      ({ Mapping, isFaultGuarded, setFaultGuard, newFile, truncate }, how) => {
        // Read before the first mapping.
        if (how === 'MMAP_NATIVE_FAULTS=off') process.env['MMAP_NATIVE_FAULTS'] = 'off'
        if (how === 'setFaultGuard(false)') setFaultGuard(false)
        const path = newFile(2)
        const { bytes } = Mapping.open(path)
        if (how === 'setFaultGuard(false), after mapping') setFaultGuard(false)
        console.log(isFaultGuarded(), bytes[0])
        truncate(path, 0)
        console.log(bytes[0])
      },
      how,
    )
    t.deepEqual({ code, signal, stdout }, { code: null, signal: 'SIGBUS', stdout: 'false 1\n' })
  })

  test(`${how}: a write to a mapping for reading ends the process by SIGSEGV`, async (t) => {
    const { code, signal, stdout } = await run(({ Mapping, isFaultGuarded, setFaultGuard, newFile }, how) => {
      if (how === 'MMAP_NATIVE_FAULTS=off') process.env['MMAP_NATIVE_FAULTS'] = 'off'
      if (how === 'setFaultGuard(false)') setFaultGuard(false)
      const { bytes } = Mapping.open(newFile(2))
      if (how === 'setFaultGuard(false), after mapping') setFaultGuard(false)
      console.log(isFaultGuarded(), bytes[0])
      bytes[0] = 2
      console.log(bytes[0])
    }, how)
    t.deepEqual({ code, signal, stdout }, { code: null, signal: 'SIGSEGV', stdout: 'false 1\n' })
  })

  test(`${how}: a Buffer left over after munmap() reads zeros and takes writes`, (t) =>
    prints(
      t,
      ['false', '4 zeros', '7'],
      ({ MAP_SHARED, PROT_READ, mmap, munmap, bufferFromPointer, pageSize, ...tools }, how) => {
        if (how === 'MMAP_NATIVE_FAULTS=off') process.env['MMAP_NATIVE_FAULTS'] = 'off'
        if (how === 'setFaultGuard(false)') tools.setFaultGuard(false)
        const fd = require('node:fs').openSync(tools.newFile(4), 'r')
        const addr = mmap(null, 4 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
        const view = bufferFromPointer(addr, 4 * pageSize)
        if (how === 'setFaultGuard(false), after mapping') tools.setFaultGuard(false)
        munmap(addr, 4 * pageSize)
        console.log(tools.isFaultGuarded())
        console.log(tools.survey(view))
        view[0] = 7
        console.log(view[0])
      },
      how,
    ))

  shared(`${how}: a view left over after unmap() reads zeros and takes writes`, (t) =>
    prints(
      t,
      ['4 zeros', '7', '0: '],
      ({ Mapping, setFaultGuard, newFile, survey, told }, how) => {
        if (how === 'MMAP_NATIVE_FAULTS=off') process.env['MMAP_NATIVE_FAULTS'] = 'off'
        if (how === 'setFaultGuard(false)') setFaultGuard(false)
        const mapping = Mapping.open(newFile(4))
        const { bytes } = mapping
        if (how === 'setFaultGuard(false), after mapping') setFaultGuard(false)
        mapping.unmap()
        console.log(survey(bytes))
        bytes[0] = 7
        console.log(bytes[0])
        console.log(told(mapping))
      },
      how,
    ),
  )
}

test('a Buffer left over before the guard was turned off reads zeros, too', (t) =>
  prints(
    t,
    ['4 zeros', '7'],
    ({ MAP_SHARED, PROT_READ, mmap, munmap, bufferFromPointer, pageSize, ...tools }) => {
      const fd = require('node:fs').openSync(tools.newFile(4), 'r')
      const addr = mmap(null, 4 * pageSize, PROT_READ, MAP_SHARED, fd, 0)
      const view = bufferFromPointer(addr, 4 * pageSize)
      munmap(addr, 4 * pageSize)
      tools.setFaultGuard(false)
      console.log(tools.survey(view))
      view[0] = 7
      console.log(view[0])
    },
  ))

test('turned on again, it catches the faults of mappings old and new', (t) =>
  prints(
    t,
    ['true', '1: truncated 0+2', '1: truncated 0+2'],
    ({ Mapping, isFaultGuarded, setFaultGuard, newFile, truncate, told }) => {
      setFaultGuard(false)
      const path = newFile(2)
      const mapping = Mapping.open(path, { onFault() {} })
      setFaultGuard(true)
      console.log(isFaultGuarded())
      const other = Mapping.open(path, { onFault() {} })
      truncate(path, 0)
      for (const one of [mapping, other]) {
        one.bytes.includes(1)
        console.log(told(one))
      }
    },
  ))
