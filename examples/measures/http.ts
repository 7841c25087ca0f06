/** A server of ranges under load. What asks is this module, as a program with autocannon, so that the server has its process to itself. */
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname } from 'node:path'
import autocannon = require('autocannon')
import { type Answer, type Contender, KiB, type Measure, MiB } from '../../bench/measure'
import { serve } from '../http'
import { rangeOf } from '../support/range'
import { status } from './first-answer'

const CONNECTIONS = 16

/** What is asked for: so many ranges of a length, spread over the file. */
interface Load {
  url: string
  size: number
  length: number
  count: number
}

const headerOf = ({ size, length }: Load, index: number) => {
  const start = (index * 7_919_993) % (size - length)
  return { range: `bytes=${start}-${start + length - 1}` }
}

async function fire(load: Load): Promise<void> {
  const requests = Array.from({ length: Math.min(load.count, 500) }, (_, i) => ({
    headers: headerOf(load, i),
  }))
  const { url, count: amount } = load
  const result = await autocannon({ url, amount, requests, connections: Math.min(CONNECTIONS, amount) })
  process.send?.({ answers: result['2xx'], p99: result.latency.p99 * 1e6 })
}

/** The same server with streams, which read the file. */
function serveStreams(file: string): Server {
  return createServer(async (request, response) => {
    const { ino, size: bytes, mtimeNs } = await stat(file, { bigint: true })
    const size = Number(bytes)
    const { start, end } = rangeOf(request.headers.range, size) ?? { start: 0, end: size }
    response.writeHead(206, {
      etag: `"${ino}-${size}-${mtimeNs}"`,
      'accept-ranges': 'bytes',
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${size}`,
    })
    createReadStream(file, { start, end: end - 1 }).pipe(response)
  })
}

async function underLoad(load: Load): Promise<Answer> {
  const before = process.cpuUsage()
  const child = fork(__filename, [JSON.stringify(load)])
  const [{ answers, p99 }] = (await once(child, 'message')) as [{ answers: number; p99: number }]
  const { user, system } = process.cpuUsage(before)
  const cpu = ((user + system) * 1000) / load.count
  return { result: answers, figures: { cpu, rate: 1e9 / cpu, p99, own: status('RssAnon') } }
}

/** What the first bytes that are asked for come to. */
async function sample(load: Load): Promise<Answer> {
  const response = await fetch(load.url, { headers: headerOf(load, 1) })
  const hash = createHash('sha256').update(Buffer.from(await response.arrayBuffer()))
  return { result: `${response.status} ${hash.digest('hex')}`, figures: {} }
}

const contender = (
  length: number,
  name: string,
  start: (file: string) => Server,
  isOurs: boolean,
): Contender => ({
  name,
  ...(isOurs && { ours: true }),
  runtime: 'node',
  async start({ files, size, count }) {
    const file = files['file'] as string
    const server = start(file).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${basename(file)}`
    const load = { url, size, length, count }
    return (check) => (check ? sample(load) : underLoad(load))
  },
})

/** `counts`: requests of a full, a quick and a smoke run. */
const measure = (name: string, length: number, counts: readonly [number, number, number]): Measure => ({
  name: `http/${length}`,
  title: `HTTP: ranges of ${name}`,
  about: `Of a file of 256 MiB that is in memory, to autocannon with ${CONNECTIONS} connections on the same machine.`,
  figures: [
    { name: 'cpu', unit: 'ns', title: 'time of the processor for each' },
    { name: 'rate', unit: 'times', title: 'a second of it' },
    { name: 'p99', unit: 'ns', title: '99 % are answered within' },
    { name: 'own', unit: 'bytes', title: 'own memory (RssAnon)' },
  ],
  contenders: [
    contender(length, 'fs.createReadStream', serveStreams, false),
    contender(length, 'mmap-native', (file) => serve(dirname(file), console.error), true),
  ],
  targets: [],
  prepare({ pick, file }) {
    const size = pick(256 * MiB, 256 * MiB, 4 * MiB)
    return { count: pick(...counts), size, files: { file: file('text', size) } }
  },
  missing: () => (process.platform === 'linux' ? undefined : '/proc/self/status is of Linux'),
})

export const http: readonly Measure[] = [
  measure('4 KiB', 4 * KiB, [10_000, 2000, 100]),
  measure('64 KiB', 64 * KiB, [3000, 500, 50]),
  measure('1 MiB', MiB, [300, 50, 10]),
]

if (require.main === module) void fire(JSON.parse(process.argv[2] as string) as Load)
