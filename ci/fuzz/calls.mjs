// The calls that are made: all that the package exports and all methods of a mapping, each with arguments of its kinds.

import { statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'

/** So much is mapped at a time, in pieces and in bytes; what is older goes. */
const MOST_PIECES = 48
const MOST_BYTES = 2 ** 27
const MOST_MAPPINGS = 32
const MOST_VIEWS = 48

/** Searches and copies do not look at more than this: a million of them must end. */
const LARGE = 2 ** 24

const ADVICE =
  'normal random willneed dontneed free remove dontfork mergeable hugepage collapse dontdump wipeonfork cold pageout ' +
  'populate-read populate-write dontneed-locked'

export class Calls {
  /** As `Values` wants it. */
  world = { pieces: [], mappings: [], files: [], foreign: [] }
  #views = []
  #tokens = []
  #random
  #values
  #mmap
  #folder
  #list

  /** `mmap` is the package, `makeValues` makes the source of arguments for `world`. */
  constructor(random, mmap, { folder, files, foreign, makeValues }) {
    Object.assign(this.world, { files, foreign })
    this.#random = random
    this.#mmap = mmap
    this.#folder = folder
    this.#values = makeValues(this.world)
    this.#list = [...this.#raw(), ...this.#made(), ...this.#methods()].flatMap((call) =>
      Array.from({ length: call.weight }, () => call),
    )
  }

  /** All calls by name. */
  get names() {
    return [...new Set(this.#list.map(({ name }) => name))]
  }

  /** One of the calls, with arguments: `{ name, args, run }`. `run` returns what the call returns. */
  next() {
    for (;;) {
      const { name, prepare, target } = this.#random.of(this.#list)
      const on = target?.()
      if (target !== undefined && on === undefined) continue
      const { args, run } = prepare(on)
      return { name, args, run }
    }
  }

  // ------------------------------------------------------------------------------------------------ the raw calls

  #raw() {
    const values = this.#values
    const mmap = this.#mmap
    const range = () => values.range()
    const call = (name, makeArgs, { weight = 6, after = () => {} } = {}) => ({
      name,
      weight,
      prepare: () => {
        const args = makeArgs()
        return {
          args,
          run: () => {
            const result = mmap[name](...args)
            after(result, args)
            return result
          },
        }
      },
    })
    return [
      call(
        'mmap',
        () => [
          this.#random.percent(40) ? null : values.address(),
          values.length(),
          values.prot(),
          values.mapFlags(),
          values.descriptor(),
          this.#random.percent(70) ? 0 : values.offset(),
        ],
        { weight: 20, after: (start, [, length]) => this.#keepPiece(start, length) },
      ),
      call('munmap', range, { weight: 8 }),
      call('mprotect', () => [...range(), values.prot()]),
      call('msync', () => [...range(), values.syncFlags()], { weight: 3 }),
      call('madvise', () => [...range(), values.advice()], { weight: 10 }),
      call('mlock', range, { weight: 2 }),
      call('munlock', range, { weight: 2 }),
      call('mincore', range, { weight: 3 }),
      call(
        'mremap',
        () => {
          const args = [...values.range(), values.length(), values.remapFlags()]
          return this.#random.percent(50) ? [...args, values.address()] : args
        },
        { weight: 10, after: (start, [, , length]) => this.#keepPiece(start, length) },
      ),
      call('bufferFromPointer', range, { weight: 10, after: (view) => this.#keepView(view) }),
      this.#viewCall(),
    ]
  }

  /** Reads and writes through a view, whatever has become of the memory under it. */
  #viewCall() {
    return {
      name: 'view',
      weight: 25,
      target: () => {
        // One that was detached has length 0, and not even subarray() is to be had of it.
        const view = this.#views.length > 0 ? this.#random.of(this.#views) : undefined
        return view?.length > 0 ? view : undefined
      },
      prepare: (view) => {
        const at = this.#random.below(view.length + 1)
        const value = this.#random.below(256)
        const writes = this.#random.percent(60)
        return {
          args: [view.length, at, writes ? value : 'read'],
          run: () => {
            if (writes) view.fill(value, at, Math.min(at + 64, view.length))
            return view.subarray(at, at + 64).reduce((sum, byte) => sum + byte, 0)
          },
        }
      },
    }
  }

  #keepPiece(start, length) {
    const { pieces } = this.world
    pieces.push({ start: Number(start), length: Number(length) })
    let bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    while (pieces.length > MOST_PIECES || (bytes > MOST_BYTES && pieces.length > 0)) {
      // The largest, or the oldest.
      const large = pieces.findIndex((piece) => piece.length > MOST_BYTES / 4)
      const [old] = pieces.splice(Math.max(large, 0), 1)
      bytes -= old.length
      try {
        this.#mmap.munmap(old.start, old.length)
      } catch {
        // A part of it belongs to a mapping, or is no longer ours at all.
      }
    }
  }

  #keepView(view) {
    if (!ArrayBuffer.isView(view) || view.byteLength === 0) return
    this.#views.push(Buffer.from(view.buffer, view.byteOffset, view.byteLength))
    if (this.#views.length > MOST_VIEWS) this.#views.splice(this.#random.below(this.#views.length), 1)
  }

  // ------------------------------------------------------------------------------------------------- new mappings

  #keepMapping(mapping) {
    const { mappings } = this.world
    mappings.push(mapping)
    if (mappings.length > MOST_MAPPINGS || mapping.length > LARGE) {
      const [old] = mappings.splice(mapping.length > LARGE ? -1 : this.#random.below(mappings.length), 1)
      // Some are left to the garbage collector.
      if (old.length > LARGE || this.#random.percent(70)) this.#tryTo(() => old.unmap())
    }
  }

  #tryTo(work) {
    try {
      work()
    } catch {
      // The same call fails in the same way when it is one of the random ones.
    }
  }

  #path() {
    return this.#values.mostly(() => {
      if (this.#random.percent(10)) return this.#random.of(this.world.files)
      return join(this.#folder, this.#random.of(['a', 'b', 'c', 'empty', 'new', 'none', '.']))
    }, 3)
  }

  #name() {
    return this.#values.mostly(
      () =>
        this.#random.of(['/mmap-native-fuzz-', 'mmap-native-fuzz-']) + process.pid + this.#random.below(4),
      8,
    )
  }

  #made() {
    const values = this.#values
    const { Mapping } = this.#mmap
    const views = () => values.oneOf('auto', 'shared', 'detachable')
    const seals = () =>
      values.mostly(() =>
        ['grow', 'shrink', 'write', 'future-write', 'seal'].filter(() => this.#random.percent(20)),
      )
    const common = { views, maxLength: () => values.length(), onFault: () => values.mostly(() => () => {}) }
    const growing = { preallocate: () => values.flag(), grow: () => values.flag() }
    const creating = {
      create: () => values.oneOf(true, false, 'exclusive'),
      mode: () => values.mostly(() => 0o600),
    }
    const call = (name, makeArgs, weight, after = (mapping) => this.#keepMapping(mapping)) => ({
      name: `Mapping.${name}`,
      weight,
      prepare: () => {
        const args = makeArgs()
        return {
          args,
          run: () => {
            const result = Mapping[name](...args)
            after(result, args)
            return result
          },
        }
      },
    })
    return [
      call(
        'anonymous',
        () => [
          values.length(),
          values.options({
            views,
            maxLength: () => values.length(),
            populate: () => values.flag(),
            noReserve: () => values.flag(),
            stack: () => values.flag(),
            hugePages: () =>
              values.oneOf('transparent', '2MB', { size: '2MB', fallback: true }, { size: 'transparent' }),
            name: () => values.mostly(() => 'fuzz'),
          }),
        ],
        4,
      ),
      call(
        'open',
        () => [
          this.#path(),
          values.options({
            ...common,
            ...growing,
            ...creating,
            access: () => values.oneOf('read', 'write', 'write', 'copy'),
            offset: () => values.position(20_000),
            length: () => values.length(),
            populate: () => values.flag(),
            noReserve: () => values.flag(),
            hugePages: () => values.oneOf('transparent', { size: 'transparent', fallback: true }),
            mapSync: () => values.flag(),
            syncOnUnmap: () => values.flag(),
          }),
        ],
        8,
      ),
      call(
        'memfd',
        () => [
          values.length(),
          values.options({
            ...common,
            preallocate: () => values.flag(),
            name: () => values.mostly(() => 'fuzz'),
            seal: seals,
          }),
        ],
        3,
      ),
      call(
        'shared',
        () => [
          this.#name(),
          values.length(),
          values.options({ ...common, ...growing, ...creating, access: () => values.oneOf('read', 'write') }),
        ],
        3,
      ),
      call(
        'unlinkShared',
        () => [this.#name()],
        1,
        () => {},
      ),
      call(
        'attach',
        () => [
          values.mostly(
            () =>
              this.#random.percent(20) || this.#tokens.length === 0
                ? { id: this.#random.below(100), secret: 1n }
                : this.#random.of(this.#tokens),
            10,
          ),
          values.options({ views }),
        ],
        2,
      ),
      call(
        'supports',
        () => [this.#advice()],
        1,
        () => {},
      ),
    ]
  }

  #advice() {
    return this.#values.oneOf(...ADVICE.split(' '))
  }

  // ------------------------------------------------------------------------------------------ methods of a mapping

  #methods() {
    const values = this.#values
    const { mappings } = this.world
    const signal = () => values.signal()
    const method = (name, makeArgs, { weight = 1, after = () => {}, small = false } = {}) => ({
      name: `mapping.${name}`,
      weight,
      target: () => {
        const mapping = mappings.length > 0 ? this.#random.of(mappings) : undefined
        return small && mapping?.length > LARGE ? undefined : mapping
      },
      prepare: (mapping) => {
        const args = makeArgs(mapping)
        return {
          args: [mapping.length, mapping.access, ...args],
          run: () => {
            const result = mapping[name](...args)
            after(result, mapping)
            return result
          },
        }
      },
    })
    const property = (name) => ({
      ...method(name, () => []),
      prepare: (mapping) => ({ args: [mapping.length], run: () => mapping[name] }),
    })
    const at = ({ length }) => values.position(length)
    const range = (mapping) => (this.#random.percent(30) ? [] : [at(mapping), at(mapping)])
    const withOptions = (options) => (mapping) =>
      this.#random.percent(30) ? [values.options(options)] : [...range(mapping), values.options(options)]
    return [
      ...['offset', 'address', 'fd', 'seals', 'faults', 'closed', 'path'].map(property),
      {
        ...property('bytes'),
        prepare: (mapping) => ({ args: [mapping.length], run: () => this.#keepView(mapping.bytes) }),
      },
      method(
        'view',
        (mapping) => [
          values.oneOf(Buffer, Uint8Array, Float64Array, Int16Array, DataView, BigInt64Array),
          at(mapping),
          at(mapping),
        ],
        {
          weight: 2,
          after: (view) => this.#keepView(view),
        },
      ),
      method(
        'read',
        (mapping) => [at(mapping), this.#random.percent(50) ? values.length() : values.bytes()],
        { weight: 3 },
      ),
      method('write', (mapping) => [values.needle(), at(mapping)], { weight: 4 }),
      method('fill', (mapping) => [values.needle(), ...range(mapping)], { weight: 2, small: true }),
      method('copyWithin', (mapping) => [at(mapping), ...range(mapping)], { weight: 2, small: true }),
      method('indexOf', (mapping) => [values.needle(), at(mapping)], { small: true }),
      method('lastIndexOf', (mapping) => [values.needle(), at(mapping)], { small: true }),
      method('includes', (mapping) => [values.needle(), at(mapping)], { small: true }),
      method('count', (mapping) => [values.needle(), ...range(mapping)], { small: true }),
      method('find', (mapping) => [values.needle(), values.options({ from: () => at(mapping), signal })], {
        small: true,
      }),
      method(
        'lines',
        (mapping) => [this.#part(mapping, { encoding: () => values.oneOf('utf8', 'latin1') })],
        {
          after: (lines) => this.#take(lines),
          small: true,
        },
      ),
      method('chunks', (mapping) => [this.#part(mapping, { size: () => values.length() })], {
        after: (chunks) => this.#take(chunks),
      }),
      method(
        'createReadStream',
        (mapping) => [this.#part(mapping, { highWaterMark: () => values.length(), signal })],
        {
          after: (stream) => this.#drink(stream),
          small: true,
        },
      ),
      method('flush', withOptions({ mode: () => values.oneOf('sync', 'async', 'invalidate'), signal })),
      method('flushSync', withOptions({ mode: () => values.oneOf('sync', 'async', 'invalidate') })),
      method('prefetch', withOptions({ signal, onProgress: () => values.mostly(() => () => {}) }), {
        small: true,
      }),
      method('residency', withOptions({ signal })),
      method('lock', withOptions({ onFault: () => values.flag(), signal }), { small: true }),
      method('unlock', range),
      method('evict', withOptions({ pageCache: () => values.flag(), signal })),
      method(
        'advise',
        (mapping) => [
          this.#advice(),
          ...range(mapping),
          values.options({ destructive: () => values.flag() }),
        ],
        {
          weight: 3,
          small: true,
        },
      ),
      method('wait', (mapping) => [at(mapping), 0, { timeout: 0, allowMainThread: true }]),
      method('waitAsync', (mapping) => [
        at(mapping),
        0,
        { ...values.options({ signal, ref: () => values.flag() }), timeout: 1 },
      ]),
      method('notify', (mapping) =>
        this.#random.percent(50) ? [at(mapping)] : [at(mapping), values.length()],
      ),
      method('seal', () => [
        values.mostly(() => [this.#random.of(['grow', 'shrink', 'future-write', 'write'])]),
      ]),
      method('share', () => [], { after: (token) => this.#keepToken(token) }),
      method('statSync', () => []),
      method('refresh', () => []),
      method('resize', () => (this.#random.percent(20) ? [] : [values.length()]), { weight: 4 }),
      method('protect', (mapping) => [values.oneOf('none', 'read', 'write'), ...range(mapping)], {
        weight: 3,
      }),
      method('unmap', () => [], { weight: 3, after: (_, mapping) => this.#forget(mapping) }),
      this.#truncation(),
    ]
  }

  /** Somebody else makes a file shorter or longer under its mappings. */
  #truncation() {
    return {
      name: 'truncate',
      weight: 2,
      prepare: () => {
        const path = join(this.#folder, this.#random.of(['a', 'b', 'c', 'empty']))
        const size = this.#random.percent(50)
          ? this.#random.below(statSync(path).size + 1)
          : this.#random.below(2 ** 17)
        return { args: [path, size], run: () => truncateSync(path, size) }
      },
    }
  }

  #part(mapping, others) {
    const at = () => this.#values.position(mapping.length)
    return this.#values.options({ start: at, end: at, ...others })
  }

  #take(iterator) {
    let left = 8
    for (const part of iterator) {
      this.#keepView(part)
      if (--left === 0) break
    }
  }

  #drink(stream) {
    let left = 4
    stream.on('error', () => {})
    stream.on('data', (chunk) => {
      this.#keepView(chunk)
      if (--left === 0) stream.destroy()
    })
  }

  #keepToken(token) {
    this.#tokens.push(token)
    if (this.#tokens.length > 8) this.#tokens.shift()
  }

  #forget(mapping) {
    // Now and then it is kept, to be used after unmap().
    const { mappings } = this.world
    if (this.#random.percent(80)) mappings.splice(mappings.indexOf(mapping), 1)
  }

  /** The end: whatever has a name outside of the process goes. */
  clean() {
    for (let number = 0; number < 4; number++) {
      this.#tryTo(() => this.#mmap.Mapping.unlinkShared(`mmap-native-fuzz-${process.pid}${number}`))
    }
  }
}
