/**
 * A server of static files that sends views: bytes go from the page cache to the socket, through no buffer of this process.
 *
 *   node build/examples/http.js [FOLDER PORT]
 *
 * Links are followed, out of the folder, too.
 */
import { type BigIntStats, writeFileSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import { join, resolve, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Mapping } from 'mmap-native'
import { rangeOf } from './support/range'
import { inScratchFolder } from './support/scratch'

/** What is longer is sent in pieces. */
const AT_ONCE = 1 << 20

/** So many files stay mapped: each has a descriptor, until its last answer is sent and it is collected. */
const MOST = 100

const etagOf = ({ ino, size, mtimeNs }: BigIntStats) => `"${ino}-${size}-${mtimeNs}"`

/** Serves the files of a folder. `onLost` hears of a file that became shorter than what was to be sent of it. */
export function serve(folder: string, onLost: (path: string) => void): Server {
  const root = join(resolve(folder), sep)
  const files = new Map<string, { etag: string; mapping: Mapping }>()

  /** The file as it is now. When it has changed it is mapped anew; the old mapping goes after the last answer from it. */
  async function fileOf(path: string) {
    if (!path.startsWith(root)) throw new Error(`${path} is not in ${root}`)
    const known = files.get(path)
    const now = await stat(path, { bigint: true }).catch((error: unknown) => {
      files.delete(path)
      throw error
    })
    if (known?.etag === etagOf(now)) return known
    if (!now.isFile()) throw new Error(`${path} is no file`)
    await using handle = await open(path)
    // First the tag: were it that of bytes which came later, the mapping without them would be taken for the file.
    const etag = etagOf(await handle.stat({ bigint: true }))
    const file = { etag, mapping: Mapping.open(handle, { onFault: () => forget(path) }) }
    files.delete(path)
    files.set(path, file)
    if (files.size > MOST) files.delete(String(files.keys().next().value))
    return file
  }

  async function answer({ method, url = '', headers }: IncomingMessage, response: ServerResponse) {
    if (method !== 'GET' && method !== 'HEAD') return response.writeHead(405, { allow: 'GET, HEAD' }).end()
    const { etag, mapping } = await fileOf(join(root, decodeURIComponent(new URL(url, 'http://_').pathname)))
    const size = mapping.length
    const asks = method === 'GET' && (headers['if-range'] ?? etag) === etag
    const range = asks ? rangeOf(headers.range, size) : undefined
    const { start, end } = range ?? { start: 0, end: size }
    const head = { etag, 'accept-ranges': 'bytes', 'content-length': end - start }
    if (range !== undefined && start >= end)
      return response.writeHead(416, { 'content-range': `bytes */${size}` }).end()
    if (range !== undefined)
      response.writeHead(206, { ...head, 'content-range': `bytes ${start}-${end - 1}/${size}` })
    else response.writeHead(200, head)
    if (method === 'HEAD') return response.end()
    if (end - start > AT_ONCE) return pipeline(mapping.createReadStream({ start, end: end - 1 }), response)
    await mapping.prefetch(start, end - start) // the event loop is not to wait for the device
    return response.end(mapping.view(Buffer, start, end - start))
  }

  function forget(path: string) {
    if (files.delete(path)) onLost(path)
  }

  /** The client was told of more than it gets, and so notices. Here a file whose last byte is gone is told of. */
  function lookForLost() {
    for (const [path, { mapping }] of files) {
      mapping.prefetch(Math.max(0, mapping.length - 1)).catch(() => forget(path))
    }
  }

  return createServer((request, response) => {
    answer(request, response).catch(() => {
      if (!response.headersSent) return response.writeHead(404).end()
      lookForLost()
      return response.destroy()
    })
  }).on('clientError', ({ code }: NodeJS.ErrnoException, socket) => {
    // The kernel reads the view for the socket, and has EFAULT for what the file does not have any more. With TLS, and in Bun, this process
    // reads it, sends zeros, and onFault() is called: who must not send them sends mapping.read(), which throws.
    if (code === 'EFAULT') lookForLost()
    socket.destroy()
  })
}

/** A file of 64 MiB is asked for five bytes. */
async function main(folder: string): Promise<void> {
  writeFileSync(join(folder, 'large.txt'), Buffer.alloc(64 << 20, 'The quick brown fox. '))
  const server = serve(folder, console.error)
  await new Promise<void>((then) => server.listen(0, then))
  const url = `http://localhost:${(server.address() as { port: number }).port}/large.txt`
  const response = await fetch(url, { headers: { range: 'bytes=21000004-21000008' } })
  console.log(response.status, response.headers.get('content-range'), await response.text())
  server.close()
}

const [folder, port] = process.argv.slice(2)
if (require.main === module) {
  if (folder === undefined) void inScratchFolder(main)
  else serve(folder, (path) => console.error(`${path} was truncated`)).listen(Number(port))
}
