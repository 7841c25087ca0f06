// What of this process is not the package's, and must stay as it is whatever the package is asked to do: the program and its
// libraries, the stack, the runtime's heap. Linux only: the kernel's account is /proc/self/maps.

import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ \S+ \d+ *(.*)$/

/** What is mapped: `{ start, end, perms, path }`, addresses as numbers. */
function readMaps() {
  const entries = []
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, start, end, perms, path] = LINE.exec(line) ?? []
    if (start !== undefined) entries.push({ start: parseInt(start, 16), end: parseInt(end, 16), perms, path })
  }
  return entries
}

const hash = (bytes) => createHash('sha1').update(bytes).digest('hex')

/** Code and constants of the program and its libraries, as they are in memory. */
function hashOfCode(entries) {
  const memory = openSync('/proc/self/mem', 'r')
  const sum = createHash('sha1')
  const buffer = Buffer.alloc(1 << 20)
  for (const { start, end, perms, path } of entries) {
    if (!path.startsWith('/') || (perms !== 'r-xp' && perms !== 'r--p')) continue
    for (let at = start; at < end;) {
      const count = readSync(memory, buffer, 0, Math.min(buffer.length, end - at), at)
      sum.update(buffer.subarray(0, count))
      at += count
    }
  }
  closeSync(memory)
  return sum.digest('hex')
}

const makeObjects = () =>
  Array.from({ length: 2000 }, (_, index) => ({ index, text: `object ${index}`, list: [index, index / 3] }))

export class Witness {
  /** Ranges that somebody else has mapped, and will have as long as the process runs. */
  foreign
  #guards = Array.from({ length: 16 }, (_, index) => randomBytes((index + 1) * 16_384))
  #sums = this.#guards.map(hash)
  #objects = makeObjects()
  #text = JSON.stringify(this.#objects)
  #code

  /** To be made when everything is loaded, and before the package has mapped anything. */
  constructor() {
    // Anonymous memory comes and goes with the runtime's heap. Of the heap of C, only the start stays.
    this.foreign = readMaps().filter(
      ({ path }) => path.startsWith('/') || /^\[(stack|vdso|heap)\]$/.test(path),
    )
    this.#code = hashOfCode(this.foreign)
  }

  /** Throws if anything is not as it was. */
  check() {
    const changed = this.#sums.findIndex((sum, index) => hash(this.#guards[index]) !== sum)
    if (changed >= 0) throw new Error(`guard buffer ${changed} has other contents`)
    if (JSON.stringify(this.#objects) !== this.#text) throw new Error('objects have other contents')
    if (JSON.stringify(makeObjects()) !== this.#text) throw new Error('new objects are not as they should be')
    const now = new Map(readMaps().map((entry) => [entry.start, entry]))
    for (const { start, end, perms, path } of this.foreign) {
      // The stack grows downwards, the heap upwards, and may be trimmed.
      const entry =
        path === '[stack]' ? [...now.values()].find((other) => other.path === '[stack]') : now.get(start)
      const same = entry?.perms === perms && entry.path === path && (path === '[heap]' || entry.end === end)
      if (!same) throw new Error(`${start.toString(16)}-${end.toString(16)} ${perms} ${path} has changed`)
    }
  }

  /** The same, and that every byte of code is what it was: takes some 100 ms. */
  checkCode() {
    this.check()
    if (hashOfCode(this.foreign) !== this.#code) throw new Error('code has changed')
  }

  /** Whether a range reaches into what is somebody else's for good. */
  touches(start, length) {
    return this.foreign.some((entry) => start < entry.end && start + length > entry.start)
  }
}
