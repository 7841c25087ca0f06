/** examples/http.ts: ranges of files as HTTP has them, and files that become shorter while they are sent. */
import test, { type ExecutionContext } from 'ava'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from '../examples/http'
import { rangeOf } from '../examples/support/range'
import { root } from './support/child'
import { MIB, byteOfPage, contents, pageSize, truncate } from './support/faults'
import { scratchFolder } from './support/files'
import { collected } from './plain/support/memory'

interface Got {
  status: number | undefined
  headers: IncomingMessage['headers']
  body: Buffer
  /** All came that was told of. */
  isComplete: boolean
}

interface Question {
  method?: string
  headers?: OutgoingHttpHeaders
  agent?: Agent
}

/** Asks, and takes what comes, be it all or not. */
async function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {}, agent }: Question = {},
): Promise<Got> {
  const asked = request({ port, path, method, headers, host: '127.0.0.1', ...(agent && { agent }) })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {})
  await once(response, 'close')
  const { statusCode: status, complete: isComplete } = response
  return { status, headers: response.headers, body: Buffer.concat(chunks), isComplete }
}

const get = (port: number, path: string, range?: string, more: OutgoingHttpHeaders = {}) =>
  ask(port, path, { headers: { ...(range !== undefined && { range }), ...more } })

/** A server in this process, of a folder of its own. */
async function startHere(t: ExecutionContext) {
  const folder = scratchFolder(t)
  const lost: string[] = []
  const server = serve(folder, (path) => lost.push(path)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { folder, lost, port: (server.address() as AddressInfo).port }
}

// ---- What HTTP asks for ------------------------------------------------------------------------------------------

const ranges: Record<string, [start: number, end: number] | undefined> = {
  'bytes=0-0': [0, 1],
  'bytes=5-9': [5, 10],
  'BYTES=5-9': [5, 10],
  'bytes=5-': [5, 100],
  'bytes=-5': [95, 100],
  'bytes=-500': [0, 100],
  'bytes=90-500': [90, 100],
  'bytes=-0': [100, 100],
  'bytes=100-': [100, 100],
  'bytes=9-5': undefined,
  'bytes=-': undefined,
  'bytes=0-1,5-6': undefined,
  'bytes=a-b': undefined,
  'lines=0-1': undefined,
}
for (const [header, expected] of Object.entries(ranges)) {
  test(`range: ${header}`, (t) =>
    t.deepEqual(rangeOf(header, 100), expected && { start: expected[0], end: expected[1] }))
}

test('a file is sent whole, or the part that is asked for', async (t) => {
  const { folder, port } = await startHere(t)
  // Longer than what is sent at once.
  const content = contents(600)
  fs.writeFileSync(join(folder, 'a file.bin'), content)
  const { length } = content
  const whole = await get(port, '/a%20file.bin')
  t.deepEqual([whole.status, whole.headers['content-length']], [200, `${length}`])
  t.true(whole.body.equals(content))
  for (const [start, end] of [
    [0, 1],
    [5000, 9000],
    [1, length],
    [length - 1, length],
  ] as const) {
    const part = await get(port, '/a%20file.bin', `bytes=${start}-${end - 1}`)
    t.deepEqual([part.status, part.headers['content-range']], [206, `bytes ${start}-${end - 1}/${length}`])
    t.true(part.body.equals(content.subarray(start, end)))
  }
})

test('a range that the file does not have is 416, and says how long the file is', async (t) => {
  const { folder, port } = await startHere(t)
  fs.writeFileSync(join(folder, 'file'), 'content')
  const { status, headers, body } = await get(port, '/file', 'bytes=7-')
  t.deepEqual([status, headers['content-range'], body.length], [416, 'bytes */7', 0])
})

test('HEAD has the headers of the whole file, and no bytes', async (t) => {
  const { folder, port } = await startHere(t)
  fs.writeFileSync(join(folder, 'file'), 'content')
  const { status, headers, body } = await ask(port, '/file', {
    method: 'HEAD',
    headers: { range: 'bytes=0-1' },
  })
  t.deepEqual(
    [status, headers['content-length'], headers['accept-ranges'], body.length],
    [200, '7', 'bytes', 0],
  )
})

test('If-Range: a part of this very file, or all of a newer one', async (t) => {
  const { folder, port } = await startHere(t)
  fs.writeFileSync(join(folder, 'file'), 'content')
  const { etag } = (await get(port, '/file')).headers
  const ask = async () => {
    const { status, body } = await get(port, '/file', 'bytes=0-2', { 'if-range': etag })
    return `${status} ${body}`
  }
  t.is(await ask(), '206 con')
  fs.writeFileSync(join(folder, 'new'), 'another')
  fs.renameSync(join(folder, 'new'), join(folder, 'file'))
  t.is(await ask(), '200 another')
})

test('a file that is changed in place, or grows, is served as it is', async (t) => {
  const { folder, port, lost } = await startHere(t)
  const path = join(folder, 'file')
  for (const content of ['first', 'twice', 'longer', 'short', '']) {
    fs.writeFileSync(path, content)
    t.is((await get(port, '/file')).body.toString(), content)
  }
  t.deepEqual(lost, [])
})

test('a hundred files stay mapped, and none that is gone', async (t) => {
  const { folder, port } = await startHere(t)
  const held = () =>
    fs
      .readFileSync('/proc/self/maps', 'latin1')
      .split('\n')
      .filter((line) => line.includes(folder))
  for (let index = 0; index < 300; index++) {
    fs.writeFileSync(join(folder, `${index}`), Buffer.alloc(index + 1))
    const { status, body } = await get(port, `/${index}`)
    t.deepEqual([status, body.length], [200, index + 1])
  }
  await collected(() => held().length <= 100)
  t.is(held().length, 100)
  for (let index = 200; index < 300; index++) {
    fs.rmSync(join(folder, `${index}`))
    t.is((await get(port, `/${index}`)).status, 404)
  }
  await collected(() => held().length === 0)
  t.is(held().length, 0)
})

test('what is not in the folder, or no file, is 404, and other methods are 405', async (t) => {
  const { folder, port } = await startHere(t)
  fs.mkdirSync(join(folder, 'folder'))
  fs.writeFileSync(`${folder}-secret`, 'secret')
  t.teardown(() => fs.rmSync(`${folder}-secret`))
  const name = folder.split('/').at(-1)
  for (const path of [
    '/none',
    '/',
    '/folder',
    '/%00',
    '/%',
    `/..%2f${name}-secret`,
    '/..%2f..%2f..%2f..%2fetc%2fpasswd',
  ]) {
    t.is((await get(port, path)).status, 404, path)
  }
  t.is((await ask(port, '/none', { method: 'DELETE' })).status, 405)
})

// ---- Files that become shorter while they are sent ---------------------------------------------------------------

/** A server in a process of its own, where `more` is run. */
async function startServer(t: ExecutionContext, folder: string, more = '') {
  const script = `
    const { serve } = require('./build/examples/http')
    const server = serve(process.argv[1], (path) => console.log('lost ' + path)).listen(0, '127.0.0.1')
    server.on('listening', () => console.log('port ' + server.address().port))
    ${more}`
  const child = spawn(process.execPath, ['--eval', script, folder], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  const output = createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  const [line] = (await once(output, 'line')) as [string]
  return { child, lines, port: Number(/^port (\d+)$/.exec(line)?.[1]) }
}

/** It has not ended before, and ends when it is told to. */
async function endsWhenTold(t: ExecutionContext, child: ChildProcess): Promise<void> {
  t.deepEqual([child.exitCode, child.signalCode], [null, null])
  child.kill('SIGTERM')
  t.deepEqual(await once(child, 'exit'), [null, 'SIGTERM'])
}

async function until(done: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !done(); await sleep(10)) {
    if (Date.now() > deadline) throw new Error('waited in vain')
  }
}

const PAGES = 16_384

function largeFile(t: ExecutionContext) {
  const folder = scratchFolder(t)
  const path = join(folder, 'large.bin')
  fs.writeFileSync(path, contents(PAGES))
  return { folder, path, size: PAGES * pageSize }
}

test('a file that is truncated while it is streamed: the client gets less than it was told of, and the server says so', async (t) => {
  const { folder, path, size } = largeFile(t)
  const { child, lines, port } = await startServer(t, folder)
  const asked = request({ port, path: '/large.bin', host: '127.0.0.1' }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  t.is(response.headers['content-length'], `${size}`)
  // More than sockets hold is still to come.
  truncate(path, size - 4 * MIB)
  const chunks: Buffer[] = []
  const failure = once(response, 'error')
  response.on('data', (chunk: Buffer) => chunks.push(chunk))
  t.is((await failure)[0].code, 'ECONNRESET')
  const body = Buffer.concat(chunks)
  t.false(response.complete)
  t.true(body.length <= size - 4 * MIB)
  t.true(body.equals(contents(PAGES).subarray(0, body.length)))
  await until(() => lines.includes(`lost ${path}`))
  t.is(
    (await get(port, '/large.bin', 'bytes=-1')).headers['content-range'],
    `bytes ${size - 4 * MIB - 1}-${size - 4 * MIB - 1}/${size - 4 * MIB}`,
  )
  await endsWhenTold(t, child)
})

test('a file that is truncated while views of it wait for the socket: the same', async (t) => {
  const { folder, path, size } = largeFile(t)
  const { child, lines, port } = await startServer(t, folder)
  // Requests one after the other in a connection that is not read from: most of the answers are views that wait.
  const socket = connect(port, '127.0.0.1')
  const part = MIB
  const asked = Array.from(
    { length: 32 },
    (_, i) => `GET /large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=${i * part}-${(i + 1) * part - 1}\r\n\r\n`,
  )
  socket.write(asked.join(''))
  await sleep(500)
  truncate(path, pageSize)
  let received = 0
  socket.on('data', (chunk) => (received += chunk.length)).on('error', () => {})
  await once(socket, 'close')
  t.true(received < 32 * part)
  await until(() => lines.includes(`lost ${path}`))
  t.is((await get(port, '/large.bin')).body.length, pageSize)
  t.is(size, fs.statSync(path).size * PAGES)
  await endsWhenTold(t, child)
})

test('where the runtime copies what it sends, as for TLS: zeros are sent, and the server hears of it', async (t) => {
  const { folder, path, size } = largeFile(t)
  const { child, lines, port } = await startServer(
    t,
    folder,
    `server.prependListener('request', (request, response) => {
       const { end } = response
       response.end = (view) => {
         require('node:fs').truncateSync(process.argv[1] + '/large.bin', 1)
         return end.call(response, Buffer.from(view))
       }
     })`,
  )
  const { isComplete, body } = await get(port, '/large.bin', `bytes=${size - 100}-`)
  t.true(isComplete)
  t.true(body.equals(Buffer.alloc(100)))
  await until(() => lines.includes(`lost ${path}`))
  await endsWhenTold(t, child)
})

test('truncated under load: no answer has a wrong byte, and those after are of the file as it is', async (t) => {
  const { folder, path, size } = largeFile(t)
  const { child, lines, port } = await startServer(t, folder)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const counts = { complete: 0, short: 0, gone: 0, wrong: 0 }
  const over = new AbortController()
  async function client(): Promise<void> {
    while (!over.signal.aborted) {
      const start = Math.floor(Math.random() * (size - 3 * MIB))
      const end = start + Math.floor(Math.random() * (Math.random() < 0.2 ? 3 * MIB : 65_536)) + 1
      // A connection may be reset before anything came.
      const got = await ask(port, '/large.bin', {
        headers: { range: `bytes=${start}-${end - 1}` },
        agent,
      }).catch(() => undefined)
      if (got?.status === 416) counts.gone++
      else if (got?.isComplete) counts.complete++
      else counts.short++
      // The first byte of each page, and those at the ends.
      const body = got?.status === 206 ? got.body : Buffer.alloc(0)
      for (let at = 0; at < body.length; at += pageSize) {
        if (body[at] !== byteOfPage(Math.floor((start + at) / pageSize))) counts.wrong++
      }
    }
  }
  const clients = Array.from({ length: 16 }, client)
  for (let round = 0; round < 6; round++) {
    await sleep(150)
    truncate(path, 4 * pageSize)
    await until(() => counts.gone > round * 16)
    fs.writeFileSync(path, contents(PAGES), { flag: 'r+' })
  }
  const before = counts.complete
  await until(() => counts.complete > before + 100)
  over.abort()
  await Promise.all(clients)
  t.log(counts, `lost: ${lines.length}`)
  t.is(counts.wrong, 0)
  t.true(lines.slice(1).every((line) => line === `lost ${path}`))
  await endsWhenTold(t, child)
})
