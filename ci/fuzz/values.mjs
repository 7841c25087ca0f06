// Arguments for the calls, plausible ones and hostile ones.

/** What no argument should be. */
const HOSTILE = [
  undefined,
  null,
  true,
  '',
  '4096',
  'write',
  {},
  [],
  [4096],
  Symbol('symbol'),
  () => 4096,
  { valueOf: () => 4096 },
  { toString: () => 'read', length: 2 ** 40 },
  new Uint8Array(8),
  Number.NaN,
  Infinity,
  -Infinity,
  -0,
  0.5,
  -1,
  -4096,
  2 ** 31,
  2 ** 32,
  2 ** 32 + 4096,
  2 ** 52 + 0.5,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 64,
  1e300,
  -1n,
  0n,
  4096n,
  2n ** 63n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
  2n ** 64n,
  -(2n ** 64n),
]

/** These act on the memory of the machine, and a superuser may. */
const NOT_OF_THE_PROCESS = ['MADV_HWPOISON', 'MADV_SOFT_OFFLINE']

const startingWith = (constants, prefix) =>
  Object.entries(constants)
    .filter(([name]) => name.startsWith(prefix) && !NOT_OF_THE_PROCESS.includes(name))
    .map(([, value]) => value)

export class Values {
  #random
  #world
  #page
  #forbidden
  #names

  /**
   * `world` has what the calls before have made: `pieces` of memory `{ start, length }`, `mappings`, descriptors in
   * `files`, and `foreign` ranges.
   */
  constructor(random, world, { constants, pageSize }) {
    this.#random = random
    this.#world = world
    this.#page = pageSize
    this.#forbidden = new Set(NOT_OF_THE_PROCESS.map((name) => constants[name]))
    this.#names = {
      rights: [constants.PROT_READ, constants.PROT_WRITE, constants.PROT_EXEC],
      prot: startingWith(constants, 'PROT_'),
      map: startingWith(constants, 'MAP_'),
      sync: startingWith(constants, 'MS_'),
      advice: startingWith(constants, 'MADV_'),
      remap: startingWith(constants, 'MREMAP_'),
      kinds: [constants.MAP_PRIVATE, constants.MAP_SHARED, constants.MAP_SHARED_VALIDATE],
      anonymous: constants.MAP_ANONYMOUS,
      fixed: constants.MAP_FIXED,
    }
  }

  hostile() {
    return this.#random.of(HOSTILE)
  }

  /** `make()`, or in some of a hundred cases what it should not be. */
  mostly(make, hostile = 8) {
    return this.#random.percent(hostile) ? this.hostile() : make()
  }

  #asNumberOrBigInt(value) {
    return Number.isSafeInteger(value) && this.#random.percent(50) ? BigInt(value) : value
  }

  /** In or near a range: its pages, those beside it, and now and then no page at all. */
  #near({ start, length }) {
    const pages = Math.ceil(length / this.#page)
    const at = start + (this.#random.below(pages + 3) - 1) * this.#page
    return this.#random.percent(85) ? at : at + this.#random.below(this.#page)
  }

  address() {
    const { pieces, foreign } = this.#world
    return this.mostly(() => {
      const choice = this.#random.below(100)
      let at = 0
      if (choice < 70 && pieces.length > 0) at = this.#near(this.#random.of(pieces))
      else if (choice < 85) {
        const { start, end } = this.#random.of(foreign)
        at = this.#near({ start, length: end - start })
      } else if (choice < 95) at = this.#random.below(2 ** 35) * this.#page
      else at = this.#random.below(2 ** 21) * 2 ** 32 + this.#random.below(2 ** 32)
      return this.#asNumberOrBigInt(at)
    }, 5)
  }

  /** Bytes: some pages, and now and then far too many. */
  length() {
    return this.mostly(() => {
      const choice = this.#random.below(100)
      let bytes = this.#random.below(16) * this.#page
      if (choice >= 70) bytes = this.#random.below(16 * this.#page)
      if (choice >= 90) bytes = this.#random.below(2 ** 24)
      if (choice >= 96) bytes = this.#random.below(2 ** 21) * 2 ** this.#random.below(32)
      return this.#asNumberOrBigInt(bytes)
    }, 5)
  }

  /** An address and a length: now and then those of a piece as it was mapped. */
  range() {
    const { pieces } = this.#world
    if (this.#random.percent(60) || pieces.length === 0) return [this.address(), this.length()]
    const { start, length } = this.#random.of(pieces)
    return [this.#asNumberOrBigInt(start), this.#asNumberOrBigInt(length)]
  }

  /** A place in a mapping of so many bytes, or near its ends. */
  position(length) {
    return this.mostly(() => {
      const choice = this.#random.below(100)
      let at = this.#random.below(length + 1)
      if (choice < 20) at = Math.floor(at / this.#page) * this.#page
      else if (choice < 30) at = Math.floor(at / 4) * 4
      else if (choice < 35) at = length + this.#random.below(3) - 1
      else if (choice < 40) at = this.#random.below(2 ** 21) * 2 ** this.#random.below(32)
      return this.#asNumberOrBigInt(at)
    }, 5)
  }

  offset() {
    return this.mostly(() => this.#asNumberOrBigInt(this.#random.below(8) * this.#page))
  }

  #bits(names, chance) {
    const chosen = names.filter(() => this.#random.percent(chance))
    let bits = 0
    for (const bit of chosen) bits |= bit
    return bits
  }

  #anyBits() {
    return this.#random.percent(50)
      ? this.#random.below(2 ** 32)
      : this.#bits(
          [...Array(32).keys()].map((n) => 1 << n),
          10,
        )
  }

  prot() {
    return this.mostly(() =>
      this.#random.percent(90)
        ? this.#bits(this.#names.rights, 60) |
          (this.#random.percent(5) ? this.#random.of(this.#names.prot) : 0)
        : this.#anyBits(),
    )
  }

  mapFlags() {
    const { map, kinds, anonymous, fixed } = this.#names
    return this.mostly(() => {
      if (this.#random.percent(5)) return this.#anyBits()
      let flags = this.#random.of(kinds)
      if (this.#random.percent(60)) flags |= anonymous
      if (this.#random.percent(30)) flags |= fixed
      if (this.#random.percent(25)) flags |= this.#random.of(map)
      return flags
    }, 4)
  }

  syncFlags() {
    return this.mostly(() => (this.#random.percent(90) ? this.#bits(this.#names.sync, 40) : this.#anyBits()))
  }

  remapFlags() {
    return this.mostly(() => (this.#random.percent(95) ? this.#bits(this.#names.remap, 60) : this.#anyBits()))
  }

  advice() {
    return this.mostly(() => {
      const advice = this.#random.percent(85)
        ? this.#random.of(this.#names.advice)
        : this.#random.below(2 ** 8)
      return this.#forbidden.has(advice) ? 0 : advice
    })
  }

  /** Our own files, and numbers that no file has: any other number could be a file of the runtime's. */
  descriptor() {
    const { files } = this.#world
    return this.mostly(
      () => (this.#random.percent(45) ? -1 : this.#random.percent(95) ? this.#random.of(files) : 99_999),
      4,
    )
  }

  bytes() {
    const length = this.#random.percent(80) ? this.#random.below(64) : this.#random.below(4 * this.#page)
    return Buffer.alloc(length, this.#random.below(256))
  }

  needle() {
    return this.mostly(() =>
      this.#random.of([this.bytes(), 'needle', '', '\n', this.#random.below(256), Buffer.of(0, 0)]),
    )
  }

  flag() {
    return this.mostly(() => this.#random.percent(50), 3)
  }

  /** Some of these options, each with a value that its function makes; now and then one that is not known, or no object. */
  options(makers) {
    if (this.#random.percent(3)) return this.hostile()
    const options = this.#random.percent(2) ? { [this.#random.of(['acess', '__proto__', 'length '])]: 1 } : {}
    for (const [name, make] of Object.entries(makers)) {
      if (this.#random.percent(35)) options[name] = make()
    }
    return options
  }

  /** A signal that is not aborted, or is, or will be. */
  signal() {
    return this.mostly(() => {
      const controller = new AbortController()
      if (this.#random.percent(20)) controller.abort()
      else if (this.#random.percent(30)) setImmediate(() => controller.abort())
      return controller.signal
    }, 5)
  }

  oneOf(...items) {
    return this.mostly(() => this.#random.of(items), 5)
  }
}
