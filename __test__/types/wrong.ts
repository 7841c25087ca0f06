/** What must not compile: each line names, at its end, the error that it is to give. It is compiled, and never run. */
import { Mapping, MAP_PRIVATE, bufferFromPointer, mmap, nativeBinary, pageSize } from 'mmap-native'
import type { Advice, OpenOptions, SystemError } from 'mmap-native'

declare const mapping: Mapping

new Mapping() // 2673
Mapping.open() // 2554
Mapping.open(null) // 2345
Mapping.open(3n) // 2345
Mapping.open('file', { access: 'readwrite' }) // 2322
Mapping.open('file', { acces: 'read' }) // 2561
Mapping.open('file', { length: '10' }) // 2322
Mapping.open('file', { create: 'always' }) // 2322
Mapping.open('file', { mode: true }) // 2322
Mapping.open('file', { views: 'array' }) // 2322
Mapping.open('file', { hugePages: '2MB' }) // 2322
Mapping.open('file', { name: 'name' }) // 2353
Mapping.open('file', { onFault: (fault: string) => fault }) // 2322
Mapping.anonymous() // 2554
Mapping.anonymous('10') // 2345
Mapping.anonymous(1, { create: true }) // 2353
Mapping.anonymous(1, { hugePages: '4MB' }) // 2322
Mapping.shared() // 2554
Mapping.shared('/name', 1, { access: 'copy' }) // 2322
Mapping.memfd(1, { seal: ['all'] }) // 2322
Mapping.attach(mapping) // 2345
Mapping.supports('cold-ish') // 2345

mapping.length = 1 // 2540
mapping.access = 'write' // 2540
mapping.offset = 1 // 2540
mapping.bytes = Buffer.alloc(1) // 2540
mapping.closed = true // 2540
mapping.path.length // 18048
mapping[0] // 7053
mapping.buffer.slice(0).detached // 2339

mapping.view() // 2554
mapping.view(Array) // 2769
mapping.view(ArrayBuffer) // 2769
mapping.view('Uint8Array') // 2769
mapping.view(Uint8Array, '1') // 2769
mapping.view(new Uint8Array(1)) // 2769
const _floats: Float64Array = mapping.view(Float32Array) // 2322
const _number: number = mapping.view(BigInt64Array)[0]! // 2322
const _buffer: Buffer = mapping.view(Uint8Array) // 2740
const _exact: ArrayBuffer = mapping.buffer // 2322

mapping.read(0) // 2554
mapping.read('0', 1) // 2769
mapping.read(0, [1, 2]) // 2769
mapping.read(0, new ArrayBuffer(1)) // 2769
mapping.write(1) // 2345
mapping.write([1]) // 2345
mapping.write('text', '0') // 2345
mapping.fill(null) // 2345
mapping.fill(1n) // 2345
mapping.copyWithin() // 2554

mapping.indexOf(/needle/) // 2345
mapping.indexOf(['needle']) // 2322
mapping.count() // 2554
mapping.find('needle', 10) // 2559
mapping.find('needle', { signal: new AbortController() }) // 2740
mapping.lines('utf8') // 2769
mapping.lines({ encoding: 'utf-9' }) // 2769
const _line: IterableIterator<string> = mapping.lines() // 2322
const _offset: number = mapping.find('needle') // 2322
mapping.createReadStream({ encoding: 'utf8' }) // 2353

mapping.flush('sync') // 2769
mapping.flush({ mode: 'now' }) // 2769
mapping.flushSync({ signal: AbortSignal.timeout(1) }) // 2769
mapping.prefetch({ onprogress: () => {} }) // 2769
mapping.prefetch({ onProgress: (done: string) => done }) // 2769
mapping.advise('random', { destroy: true }) // 2769
mapping.advise('MADV_RANDOM') // 2345
mapping.protect('execute') // 2345
mapping.protect() // 2554
mapping.residency({ maxRanges: '1' }) // 2769
mapping.evict({ pagecache: true }) // 2769
mapping.seal('grow') // 2345
mapping.wait(0) // 2554
mapping.wait(0, 1, { signal: AbortSignal.timeout(1) }) // 2353
mapping.waitAsync(0, 1, { allowMainThread: true }) // 2353
const _result: 'done' = mapping.wait(0, 1) // 2322
mapping.stat().length // 2339
mapping.unmap(true) // 2554
mapping.close() // 2551

mmap(null, 4096, 1, 2, 3) // 2554
mmap('0', 4096, 1, 2, 3, 0) // 2345
mmap(null, 4096, 1n, 2, 3, 0) // 2345
bufferFromPointer(null, 1) // 2345
pageSize = 1 // 2632
MAP_PRIVATE = 1 // 2632
nativeBinary.path = 'file' // 2540
const _advice: Advice = 'MADV_COLD' // 2322
const _options: OpenOptions = { create: 'yes' } // 2322
const _error: SystemError = new Error('message') // 2739
