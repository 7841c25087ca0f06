/**
 * A ring buffer in shared memory: one process sends messages, another one receives them. While both are busy there is no system call.
 *
 *   node build/examples/ring.js
 *
 *   sender: written, waits, pid | receiver: read, waits, pid | messages: length, bytes, up to a multiple of 4
 */
import { spawn } from 'node:child_process'
import { Mapping } from 'mmap-native'

/** Cells of a side: bytes ever written or read, modulo 2^32; the position, plus 1, that it waits for the other side to leave; its process. */
const [SENDER, RECEIVER, WAITS, PID] = [0, 32, 1, 2]
/** Bytes before the messages. The cells of the sides are in lines of the cache that they do not share. */
export const HEADER = 256
/** In the place of a length: the next message is at the start; there are no more. */
const [WRAP, END] = [-1, -2]

const sizeOf = (length: number) => (4 + Math.max(length, 0) + 3) & ~3

const damaged = () => new Error('the ring is damaged')

/** What the sides have in common. The memory has `HEADER` bytes and a power of two, all zeros at first. */
class Side {
  readonly #cells
  protected readonly lengths
  protected readonly bytes
  protected readonly capacity

  protected constructor(
    readonly memory: Mapping,
    readonly own: number,
    readonly other: number,
    readonly patience: number,
  ) {
    this.capacity = memory.length - HEADER
    if ((this.capacity & (this.capacity - 1)) !== 0) throw new RangeError('the capacity is no power of two')
    this.#cells = memory.view(Int32Array, 0, HEADER / 4)
    this.lengths = memory.view(Int32Array, HEADER)
    this.bytes = memory.view(Buffer, HEADER)
    Atomics.store(this.#cells, own + PID, process.pid)
  }

  protected position = (side: number) => Atomics.load(this.#cells, side)

  /** Moves on, and wakes the other side if it waits for that. */
  protected move(bytes: number): void {
    const waiting = this.other + WAITS
    Atomics.store(this.#cells, this.own, this.position(this.own) + bytes)
    const awaited = this.position(waiting)
    if (awaited === 0) return
    // Once: until it has woken up and waits again there is nobody to notify.
    if (Atomics.compareExchange(this.#cells, waiting, awaited, 0) === awaited)
      this.memory.notify(this.own * 4)
  }

  /** Waits until the other side has left a position; in a worker `leftSync()` is quicker. Throws `ESRCH` if its process has ended. */
  protected async left(position: number): Promise<void> {
    Atomics.store(this.#cells, this.own + WAITS, position + 1)
    this.#check(await this.memory.waitAsync(this.other * 4, position, { timeout: this.patience }))
  }

  protected leftSync(position: number): void {
    Atomics.store(this.#cells, this.own + WAITS, position + 1)
    this.#check(this.memory.wait(this.other * 4, position, { timeout: this.patience }))
  }

  #check(result: string): void {
    const pid = this.position(this.other + PID)
    if (result !== 'timed-out' || pid === 0) return
    try {
      process.kill(pid, 0)
    } catch (error) {
      // That of another user is there, too.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
    }
  }

  /** Bytes that are written and not read. What the other side says is not taken on trust: it may have gone wrong. */
  protected used(written: number, read: number): number {
    const used = (written - read) | 0
    if (used < 0 || used > this.capacity) throw damaged()
    return used
  }
}

export class Sender extends Side {
  /** Looks whether the receiver is still there when it has not read for `patience` milliseconds. */
  constructor(memory: Mapping, patience = 1000) {
    super(memory, SENDER, RECEIVER, patience)
  }

  /** Sends a message of at most half of the capacity, less 4 bytes, as soon as there is room. */
  async send(message: Uint8Array): Promise<void> {
    if (sizeOf(message.length) > this.capacity / 2)
      throw new RangeError(`${message.length} bytes are too many`)
    for (let read; !this.#put((read = this.position(RECEIVER)), message.length, message);)
      await this.left(read)
  }

  /** Tells the receiver that there are no more. */
  async end(): Promise<void> {
    for (let read; !this.#put((read = this.position(RECEIVER)), END, []);) await this.left(read)
  }

  #put(read: number, length: number, message: ArrayLike<number>): boolean {
    const written = this.position(SENDER)
    const at = written & (this.capacity - 1)
    const size = sizeOf(length)
    const rest = this.capacity - at
    // A message is in one piece, so that it can be received without a copy.
    const skipped = size > rest ? rest : 0
    if (skipped + size > this.capacity - this.used(written, read)) return false
    if (skipped > 0) this.lengths[at / 4] = WRAP
    const start = skipped > 0 ? 0 : at
    this.lengths[start / 4] = length
    this.bytes.set(message, start + 4)
    this.move(skipped + size)
    return true
  }
}

export class Receiver extends Side {
  /** Bytes of the message that was received last. */
  #held = 0

  /** Looks whether the sender is still there when it has not written for `patience` milliseconds. */
  constructor(memory: Mapping, patience = 1000) {
    super(memory, RECEIVER, SENDER, patience)
  }

  /** The next message: a view, which is good until the one after it is asked for. `undefined` after the last one. */
  async receive(): Promise<Buffer | undefined> {
    for (;;) {
      const written = this.position(SENDER)
      const message = this.#take(written)
      if (message !== null) return message
      await this.left(written)
    }
  }

  /** The same in a worker. */
  receiveSync(): Buffer | undefined {
    for (;;) {
      const written = this.position(SENDER)
      const message = this.#take(written)
      if (message !== null) return message
      this.leftSync(written)
    }
  }

  #take(written: number): Buffer | undefined | null {
    if (this.#held > 0) this.move(this.#held)
    this.#held = 0
    const read = this.position(RECEIVER)
    if (read === written) return null
    const at = read & (this.capacity - 1)
    const length = this.lengths[at / 4] as number
    if (length === END) return undefined
    const size = length === WRAP ? this.capacity - at : sizeOf(length)
    if (length < END || length > this.capacity || size > this.used(written, read)) throw damaged()
    this.#held = size
    return length === WRAP ? this.#take(written) : this.bytes.subarray(at + 4, at + 4 + length)
  }
}

async function main(count: number): Promise<void> {
  const name = `/mmap-native-ring-${process.pid}`
  try {
    using memory = Mapping.shared(name, HEADER + (1 << 20), { create: 'exclusive' })
    spawn(process.execPath, [__filename, name, `${count}`], { stdio: 'inherit' })
    const receiver = new Receiver(memory)
    const start = performance.now()
    let [messages, bytes] = [0, 0]
    for (let message; (message = await receiver.receive()) !== undefined; messages++) bytes += message.length
    const seconds = (performance.now() - start) / 1000
    console.log(`${messages} messages, ${bytes} bytes: ${Math.round(messages / seconds)} messages a second`)
  } finally {
    Mapping.unlinkShared(name)
  }
}

async function child(name: string, count: number): Promise<void> {
  using memory = Mapping.shared(name)
  const sender = new Sender(memory)
  const message = Buffer.alloc(100, 'message ')
  for (let i = 0; i < count; i++) await sender.send(message)
  await sender.end()
}

const [name, count = '1000000'] = process.argv.slice(2)
if (require.main === module) void (name === undefined ? main(Number(count)) : child(name, Number(count)))
