/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Random {
  #state

  constructor(seed) {
    this.#state = seed
  }

  /** From 0 up to, and not including, 1. */
  fraction() {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 up to, and not including, `limit`. */
  below(limit) {
    return Math.floor(this.fraction() * limit)
  }

  /** True so many times in a hundred. */
  percent(chance) {
    return this.below(100) < chance
  }

  of(items) {
    return items[this.below(items.length)]
  }
}
