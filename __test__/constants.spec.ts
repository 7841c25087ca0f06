import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import * as m from 'mmap-native'
import { constants } from 'mmap-native'

const NAME = /^(?:PROT|MAP|MS|MADV|MREMAP)_[A-Z0-9_]+$/

/** Where C programs find the constants of this platform. */
const HEADERS = `#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#ifdef __linux__
#include <linux/mman.h>
#endif
`

/** Macros of the headers with such a name that are not values of an argument. */
const OTHER_MACROS = new Set(['MAP_FAILED'])

const hasCompiler = spawnSync('gcc', ['--version']).status === 0
const withCompiler = hasCompiler ? test : test.skip
const needs = hasCompiler ? '' : ' (skipped: no gcc)'

/** What a C program prints, a line each. */
function compileAndRun(program: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-'))
  try {
    const source = join(folder, 'constants.c')
    writeFileSync(source, program)
    const compiled = spawnSync('gcc', ['-w', '-o', join(folder, 'constants'), source], { encoding: 'utf8' })
    if (compiled.status !== 0) throw new Error(compiled.stderr)
    return spawnSync(join(folder, 'constants'), { encoding: 'utf8' }).stdout.trim().split('\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The macros that the headers define. */
function macros(): string[] {
  const { status, stdout, stderr } = spawnSync('gcc', ['-dM', '-E', '-'], {
    input: HEADERS,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  const names = stdout.split('\n').map((line) => /^#define (\w+) /.exec(line)?.[1] ?? '')
  return names.filter((name) => NAME.test(name) && !OTHER_MACROS.has(name))
}

test('every constant of the platform is exported by its name, and nothing else looks like one', (t) => {
  const exported = Object.entries(m).filter(([name, value]) => NAME.test(name) && value !== undefined)
  t.true(exported.length > 40)
  t.deepEqual(Object.fromEntries(exported), { ...constants })
})

test('constants are integers of 32 bits with names of the right form', (t) => {
  for (const [name, value] of Object.entries(constants)) {
    t.regex(name, NAME)
    t.is(value, value | 0, name)
  }
})

test('constants cannot be changed', (t) => {
  t.true(Object.isFrozen(constants))
  t.throws(() => ((constants as Record<string, number>)['PROT_READ'] = 7), { instanceOf: TypeError })
})

test('a constant that the platform does not have is undefined, and not in constants', (t) => {
  const absent = process.platform === 'darwin' ? 'MAP_POPULATE' : 'MAP_JIT'
  t.true(absent in m)
  t.is(m[absent] as number | undefined, undefined)
  t.false(absent in constants)
})

withCompiler(`the C headers give every constant the value that it has here${needs}`, (t) => {
  const names = Object.keys(constants)
  const lines = names.map(
    (name) => `#ifdef ${name}\n  printf("%s %d\\n", "${name}", (int)(${name}));\n#endif\n`,
  )
  const printed = compileAndRun(`${HEADERS}int main(void) {\n${lines.join('')}  return 0;\n}\n`)
  const values = Object.fromEntries(
    printed.map((line) => line.split(' ')).map(([name, value]) => [name, Number(value)]),
  )
  const checked = names.filter((name) => name in values)
  t.deepEqual(Object.fromEntries(checked.map((name) => [name, constants[name]])), values)
  const unchecked = names.filter((name) => !(name in values))
  t.log(
    unchecked.length === 0
      ? 'all are in the headers'
      : `not in the headers, unchecked: ${unchecked.join(', ')}`,
  )
  // Headers may be older than the kernel: these, and these only, are younger than Linux 5.10.
  const young = [
    'MAP_DROPPABLE',
    'MADV_GUARD_INSTALL',
    'MADV_GUARD_REMOVE',
    'MADV_COLLAPSE',
    'MADV_DONTNEED_LOCKED',
  ]
  const recent = new Set([...young, 'MADV_POPULATE_READ', 'MADV_POPULATE_WRITE', 'MAP_HUGE_16KB'])
  t.deepEqual(
    unchecked.filter((name) => !recent.has(name)),
    [],
  )
})

withCompiler(`every constant of the C headers is here${needs}`, (t) => {
  t.deepEqual(
    macros().filter((name) => !(name in constants)),
    [],
  )
})

test('the protections and kinds that POSIX names are different bits', (t) => {
  t.is(m.PROT_NONE, 0)
  t.is(new Set([m.PROT_READ, m.PROT_WRITE, m.PROT_EXEC]).size, 3)
  t.is(m.PROT_READ & m.PROT_WRITE & m.PROT_EXEC, 0)
  t.not(m.MAP_SHARED, m.MAP_PRIVATE)
  t.is(m.MAP_ANON, m.MAP_ANONYMOUS)
})
