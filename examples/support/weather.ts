/**
 * A FlatBuffers archive of weather stations. The classes are what the compiler of FlatBuffers makes of this schema:
 *
 *   table Station { id: uint (key); name: string (required); temperatures: [float] (required); }
 *   table Archive { stations: [Station] (required); }
 *   root_type Archive;
 */
import { Builder, type ByteBuffer } from 'flatbuffers'

/** Places in a table's list of fields: the first field is at 4, the next one at 6. */
const [ID, NAME, TEMPERATURES] = [4, 6, 8]
const STATIONS = 4

export class Station {
  constructor(
    readonly bb: ByteBuffer,
    readonly position: number,
  ) {}

  #field(place: number): number {
    return this.position + this.bb.__offset(this.position, place)
  }

  /** 0 is the default, which is not stored. */
  get id(): number {
    const hasId = this.bb.__offset(this.position, ID) !== 0
    return hasId ? this.bb.readUint32(this.#field(ID)) : 0
  }

  get name(): string {
    return this.bb.__string(this.#field(NAME)) as string
  }

  /** A view of the buffer: no number is copied. */
  get temperatures(): Float32Array {
    const bytes = this.bb.bytes()
    const field = this.#field(TEMPERATURES)
    return new Float32Array(
      bytes.buffer,
      bytes.byteOffset + this.bb.__vector(field),
      this.bb.__vector_len(field),
    )
  }
}

export class Archive {
  readonly #stations: number

  constructor(readonly bb: ByteBuffer) {
    const root = bb.readInt32(bb.position()) + bb.position()
    this.#stations = root + bb.__offset(root, STATIONS)
  }

  get length(): number {
    return this.bb.__vector_len(this.#stations)
  }

  at(index: number): Station {
    return new Station(this.bb, this.bb.__indirect(this.bb.__vector(this.#stations) + index * 4))
  }

  /** By its key: stations are sorted by it. */
  find(id: number): Station | undefined {
    let [low, high] = [0, this.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const station = this.at(middle)
      if (station.id === id) return station
      if (station.id < id) low = middle + 1
      else high = middle
    }
    return undefined
  }
}

/** An archive of stations 0, 10, 20... with so many hours each. */
export function buildArchive(stations: number, hours: number): Uint8Array {
  const builder = new Builder(stations * (hours * 4 + 64))
  const offsets = Array.from({ length: stations }, (_, index) => {
    const name = builder.createString(`Station ${index}`)
    builder.startVector(4, hours, 4)
    for (let hour = hours - 1; hour >= 0; hour--) builder.addFloat32((index + hour) % 40)
    const temperatures = builder.endVector()
    builder.startObject(3)
    builder.addFieldInt32(0, index * 10, 0)
    builder.addFieldOffset(1, name, 0)
    builder.addFieldOffset(2, temperatures, 0)
    return builder.endObject()
  })
  builder.startVector(4, stations, 4)
  for (const offset of offsets.toReversed()) builder.addOffset(offset)
  const vector = builder.endVector()
  builder.startObject(1)
  builder.addFieldOffset(0, vector, 0)
  builder.finish(builder.endObject())
  return builder.asUint8Array()
}
