import { constants as os } from 'node:os'
import { closeSync, openSync } from 'node:fs'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import * as m from 'mmap-native'
import { bufferFromPointer, pageSize } from 'mmap-native'
import { runScript } from './support/child'
import { mapsUnchanged } from './support/maps'
import { PRIVATE_MEMORY, QUIET, READ_WRITE, TestFile, mapMemory, pages } from './support/raw'

const PAGES = 3

/** What an argument stands for; it decides what is wrong with a value. */
type Kind = 'address' | 'size' | 'flags' | 'descriptor'

interface Argument {
  name: string
  kind: Kind
  /** A value with which the call would change something, or tell something. */
  valid: (addr: bigint) => unknown
  /** `null` and `undefined` mean something. */
  nullable?: boolean
  /** `undefined` does. */
  optional?: boolean
  /** A value of the right type that the system refuses: its error codes, of which any may come. */
  refused: [value: unknown, ...codes: string[]][]
}

interface Call {
  name:
    | 'mmap'
    | 'munmap'
    | 'mprotect'
    | 'msync'
    | 'madvise'
    | 'mlock'
    | 'munlock'
    | 'mincore'
    | 'mremap'
    | 'bufferFromPointer'
  args: Argument[]
}

const UNALIGNED: [value: unknown, ...codes: string[]][] = [
  [1, 'EINVAL'],
  [2n ** 64n - 1n, 'EINVAL'],
]
const NOWHERE: [value: unknown, ...codes: string[]][] = [
  [0, 'ENOMEM'],
  [2n ** 64n - BigInt(pageSize), 'ENOMEM'],
]
const TOO_LONG: [value: unknown, ...codes: string[]][] = [
  [2 ** 32 + 4096, 'ENOMEM', 'EPERM', 'ERR_OUT_OF_RANGE'],
  [2n ** 46n, 'ENOMEM', 'EPERM', 'ERR_OUT_OF_RANGE'],
  [2 ** 53 - 1, 'ENOMEM', 'EPERM', 'EINVAL', 'ERR_OUT_OF_RANGE'],
]

const address = (refused: Argument['refused']): Argument => ({
  name: 'addr',
  kind: 'address',
  valid: (addr) => addr,
  refused,
})
const size = (refused: Argument['refused'], name = 'length'): Argument => ({
  name,
  kind: 'size',
  valid: () => pages(PAGES),
  refused,
})
const flags = (name: string, value: number, refused: Argument['refused']): Argument => ({
  name,
  kind: 'flags',
  valid: () => value,
  refused,
})

const MAP_OVER = m.MAP_FIXED | m.MAP_ANONYMOUS | m.MAP_PRIVATE

/** Every raw call, on pages of this package. */
const CALLS: Call[] = [
  {
    name: 'mmap',
    args: [
      {
        ...address([
          [1, 'EINVAL'],
          [2n ** 64n - 1n, 'EINVAL', 'ENOMEM'],
          [2n ** 64n - BigInt(pageSize), 'ENOMEM', 'EPERM'],
        ]),
        nullable: true,
      },
      size([
        [0, 'EINVAL'],
        [0n, 'EINVAL'],
        [2 ** 53 - 1, 'ENOMEM'],
      ]),
      flags('prot', m.PROT_NONE, []),
      flags('flags', MAP_OVER, [
        [0, 'EBADF', 'EINVAL'],
        [MAP_OVER & ~m.MAP_PRIVATE, 'EINVAL'],
      ]),
      { name: 'fd', kind: 'descriptor', valid: () => -1, refused: [] },
      {
        ...size(
          [
            [1, 'EINVAL'],
            [2 ** 53 - 1, 'EINVAL'],
            [513n, 'EINVAL'],
          ],
          'offset',
        ),
        valid: () => 0,
      },
    ],
  },
  {
    name: 'munmap',
    args: [
      address(UNALIGNED),
      size([
        [0, 'EINVAL'],
        [0n, 'EINVAL'],
      ]),
    ],
  },
  {
    name: 'mprotect',
    args: [
      address([...UNALIGNED, ...NOWHERE]),
      size(TOO_LONG),
      flags('prot', m.PROT_READ, [
        [0x8000, 'EINVAL'],
        [-1, 'EINVAL'],
      ]),
    ],
  },
  {
    name: 'msync',
    args: [
      address([...UNALIGNED, ...NOWHERE]),
      size(TOO_LONG),
      flags('flags', m.MS_SYNC, [
        [0x4000, 'EINVAL'],
        [-1, 'EINVAL'],
        [2 ** 32 - 1, 'EINVAL'],
      ]),
    ],
  },
  {
    name: 'madvise',
    args: [
      address([...UNALIGNED, ...NOWHERE]),
      size(TOO_LONG),
      flags('advice', m.MADV_DONTNEED, [
        [4242, 'EINVAL'],
        [-1, 'EINVAL'],
      ]),
    ],
  },
  { name: 'mlock', args: [address(NOWHERE), size(TOO_LONG)] },
  { name: 'munlock', args: [address(NOWHERE), size(TOO_LONG)] },
  { name: 'mincore', args: [address([...UNALIGNED, ...NOWHERE]), size(TOO_LONG)] },
  {
    name: 'mremap',
    args: [
      address([...UNALIGNED, ...NOWHERE]),
      size([[2 ** 53 - 1, 'ENOMEM', 'EPERM', 'EINVAL']], 'oldLength'),
      {
        ...size(
          [
            [0, 'EINVAL'],
            [2 ** 53 - 1, 'ENOMEM', 'EINVAL'],
          ],
          'newLength',
        ),
        valid: () => pageSize,
      },
      flags('flags', 0, [
        [64, 'EINVAL'],
        [-1, 'EINVAL'],
        [m.MREMAP_FIXED, 'EINVAL'],
      ]),
      { ...address([]), name: 'newAddr', valid: () => 0, optional: true },
    ],
  },
  { name: 'bufferFromPointer', args: [address(NOWHERE), size(TOO_LONG)] },
]

/** Objects that could do anything when turned into a number or a text. */
function hostile(called: () => void): object[] {
  const trap = () => {
    called()
    return 1
  }
  return [
    { valueOf: trap },
    { toString: trap },
    { [Symbol.toPrimitive]: trap },
    Object.assign(() => 1, { valueOf: trap, toString: trap, [Symbol.toPrimitive]: trap }),
    Object.assign([1], { valueOf: trap, toString: trap, join: trap, [Symbol.toPrimitive]: trap }),
    Object.assign(new Date(), { valueOf: trap, toString: trap, toJSON: trap }),
    { toJSON: trap, length: 1, [Symbol.iterator]: trap },
  ]
}

function wrongTypes({ kind, nullable, optional }: Argument): unknown[] {
  const values: unknown[] = [
    '',
    '1',
    '4096',
    {},
    [],
    [4096],
    true,
    false,
    Symbol('one'),
    () => 1,
    new Date(0),
    /1/,
  ]
  values.push(Object(1), Object(1n), Object.create(null), new Uint8Array(8))
  if (nullable !== true) values.push(null)
  if (nullable !== true && optional !== true) values.push(undefined)
  if (kind === 'flags' || kind === 'descriptor') values.push(0n, 1n, -1n, 2n ** 64n)
  return values
}

function outOfRange(kind: Kind): unknown[] {
  const never = [NaN, Infinity, -Infinity, 0.5, -0.5, 4096.5, Number.MIN_VALUE, Number.MAX_VALUE]
  if (kind === 'flags') return [...never, 2 ** 32, 2 ** 53, -(2 ** 31) - 1, -(2 ** 53)]
  if (kind === 'descriptor') return [...never, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 31) - 1]
  const beyond = [-1, -4096, -1n, -(2n ** 64n), 2 ** 53, 2 ** 64, 2n ** 64n, 2n ** 80n]
  return kind === 'address' ? [...never, ...beyond] : [...never, ...beyond, 2n ** 53n, 2n ** 64n - 1n]
}

/** What a call threw; fails the test if it returned. */
function thrownBy(t: ExecutionContext, name: string, call: () => unknown): NodeJS.ErrnoException {
  try {
    call()
  } catch (error) {
    t.true(error instanceof Error, `${name} throws errors`)
    return error as NodeJS.ErrnoException
  }
  throw new Error(`${name} returned`)
}

for (const { name, args } of CALLS) {
  // mremap() is Linux's.
  if (name === 'mremap' && process.platform !== 'linux') continue
  const call = m[name] as (...args: unknown[]) => unknown

  for (const [index, argument] of args.entries()) {
    /** Calls with one value in the place of a valid one, on pages full of 5, which stay as they are. */
    const check = (
      t: ExecutionContext,
      values: readonly unknown[],
      judge: (error: NodeJS.ErrnoException, value: unknown) => void,
    ) => {
      const addr = mapMemory(t, PAGES)
      const bytes = bufferFromPointer(addr, pages(PAGES)).fill(5)
      const expected = Buffer.from(bytes)
      const work = () => {
        for (const [position, value] of values.entries()) {
          const given = args.map(({ valid }) => valid(addr))
          given[index] = value
          judge(
            thrownBy(t, `${name}() with wrong value ${position}`, () => call(...given)),
            value,
          )
        }
      }
      if (process.platform === 'linux') mapsUnchanged(t, [[addr, pages(PAGES)]], work)
      else work()
      t.deepEqual(bytes, expected)
    }

    test(`${name}() refuses ${argument.name} of a wrong type, and nothing changes`, (t) => {
      check(t, wrongTypes(argument), (error, value) => {
        t.true(error instanceof TypeError)
        t.is(error.code, 'ERR_INVALID_ARG_TYPE')
        t.is(error.name, 'TypeError')
        const types = argument.kind === 'address' || argument.kind === 'size' ? 'number or bigint' : 'number'
        t.true(
          error.message.startsWith(`The "${argument.name}" argument must be of type ${types}. Received `),
          error.message,
        )
        t.true(error.stack?.startsWith(`TypeError [ERR_INVALID_ARG_TYPE]: ${error.message}`))
        if (value === null || value === undefined) t.true(error.message.endsWith(`Received ${value}`))
      })
    })

    test(`${name}() refuses ${argument.name} out of range, and nothing changes`, (t) => {
      check(t, outOfRange(argument.kind), (error) => {
        t.true(error instanceof RangeError)
        t.is(error.code, 'ERR_OUT_OF_RANGE')
        t.true(
          error.message.startsWith(`The value of "${argument.name}" is out of range. It must be `),
          error.message,
        )
        t.true(error.stack?.startsWith(`RangeError [ERR_OUT_OF_RANGE]: ${error.message}`))
      })
    })

    test(`${name}() refuses objects as ${argument.name} without asking them for a value`, (t) => {
      let calls = 0
      check(
        t,
        hostile(() => calls++),
        (error) => t.is(error.code, 'ERR_INVALID_ARG_TYPE'),
      )
      t.is(calls, 0)
    })

    if (argument.refused.length === 0) continue
    test(`${name}() passes on what the system says of a wrong ${argument.name}, and nothing changes`, (t) => {
      const codes = new Map(argument.refused.map(([value, ...allowed]) => [value, allowed]))
      check(t, [...codes.keys()], (error, value) => {
        t.true(codes.get(value)?.includes(error.code ?? ''), `${inspect(value)}: ${error.message}`)
        if (error.code === 'ERR_OUT_OF_RANGE') return
        t.is(error.errno, -(os.errno[error.code as keyof typeof os.errno] as number))
        t.is(error.syscall, name)
      })
    })
  }

  test(`${name}() without arguments is a TypeError`, (t) => {
    t.throws(() => call(), { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' })
  })
}

test('mmap() refuses a descriptor that is not open', (t) => {
  const file = new TestFile(t, 1)
  const fd = openSync(file.path, 'r')
  closeSync(fd)
  for (const bad of [fd, -1, -(2 ** 31), 2 ** 31 - 1]) {
    t.throws(() => m.mmap(null, pageSize, m.PROT_READ, m.MAP_SHARED, bad, 0), { code: 'EBADF' })
  }
})

test('flags with the highest bit may be written signed or unsigned', (t) => {
  const file = new TestFile(t, 1)
  const fd = openSync(file.path, 'r')
  t.teardown(() => closeSync(fd))
  const addr = file.map(t)
  for (const flags of [-(2 ** 31), 2 ** 31]) {
    t.throws(() => m.msync(addr, pageSize, flags), { code: 'EINVAL' })
  }
})

test('an argument whose description unmaps in the middle of the call is harmless', async (t) => {
  const ending = await runScript(
    `const m = require('mmap-native')
    const memory = () => m.mmap(null, m.pageSize, ${READ_WRITE}, ${PRIVATE_MEMORY}, -1, 0)
    const calls = {
      munmap: (addr, bad) => m.munmap(addr, bad),
      mprotect: (addr, bad) => m.mprotect(addr, bad, m.PROT_READ),
      msync: (addr, bad) => m.msync(addr, m.pageSize, bad),
      mincore: (addr, bad) => m.mincore(addr, bad),
      mremap: (addr, bad) => m.mremap(addr, m.pageSize, bad, m.MREMAP_MAYMOVE),
      bufferFromPointer: (addr, bad) => m.bufferFromPointer(addr, bad),
    }
    for (const [name, call] of Object.entries(calls)) {
      const addr = memory()
      const bytes = m.bufferFromPointer(addr, m.pageSize).fill(1)
      const unmap = () => m.munmap(addr, m.pageSize)
      const bad = { get constructor() { unmap(); return Object }, [Symbol.toPrimitive]: unmap, valueOf: unmap }
      try {
        call(addr, bad)
        console.log(name, 'returned')
      } catch (error) {
        console.log(name, error.code, bytes.length === m.pageSize, m.munmap(addr, m.pageSize), bytes[0])
      }
    }`,
    { nodeArgs: QUIET },
  )
  t.like(ending, { code: 0, signal: null, stderr: '' })
  const names = ['munmap', 'mprotect', 'msync', 'mincore', 'mremap', 'bufferFromPointer']
  t.is(ending.stdout, names.map((name) => `${name} ERR_INVALID_ARG_TYPE true 0 0\n`).join(''))
})
