/** `mmap-native doctor`: what there is here, and whether the package works. */
import { constants } from 'node:buffer'
import * as fs from 'node:fs'
import * as os from 'node:os'
import { parseArgs } from 'node:util'
import type * as Package from 'mmap-native'
import { messageOf } from './errors'
import { type Output, plain, size } from './output'
import { version } from './version'

type Row = [label: string, value: string]

/** What a file of the kernel says; `undefined` where there is none. */
function textOf(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** The C library, where the runtime tells its version. */
function libc(): string {
  if (process.platform !== 'linux') return ''
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean }
  report.excludeNetwork = true // it would look up host names
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime === undefined ? '' : `, glibc ${header.glibcVersionRuntime}`
}

function runtime(): string {
  const { bun, deno, node, electron } = process.versions
  if (bun !== undefined) return `Bun ${bun}`
  if (deno !== undefined) return `Deno ${deno}`
  return electron === undefined ? `Node.js ${node}` : `Electron ${electron}, Node.js ${node}`
}

const ORIGINS = {
  named: 'it is the one that MMAP_NATIVE_BINARY names',
  built: 'it was built here: it is in the folder of the package',
  installed: 'it is in the package for this platform',
}

function mappings(): string | undefined {
  const most = textOf('/proc/sys/vm/max_map_count')
  const taken = textOf('/proc/self/maps')?.split('\n').length
  return most && `${most} for a process (vm.max_map_count); ${taken} are taken`
}

function locked(): string | undefined {
  const limit = /^Max locked memory +(\w+)/m.exec(textOf('/proc/self/limits') ?? '')?.[1]
  return limit && `${limit === 'unlimited' ? limit : size(Number(limit))} (RLIMIT_MEMLOCK, ulimit -l)`
}

function hugePages(): string | undefined {
  const transparent = /\[(\w+)\]/.exec(textOf('/sys/kernel/mm/transparent_hugepage/enabled') ?? '')?.[1]
  const folder = '/sys/kernel/mm/hugepages'
  const sizes = fs.existsSync(folder) ? fs.readdirSync(folder) : []
  const reserved = sizes.map((name) => {
    const [free, all] = ['free_hugepages', 'nr_hugepages'].map((file) => textOf(`${folder}/${name}/${file}`))
    const each = size(1024 * parseInt(name.slice('hugepages-'.length), 10))
    return `${each}: ${all === '0' ? 'none reserved' : `${free} of ${all} reserved ones free`}`
  })
  if (transparent === undefined && reserved.length === 0) return undefined
  return [`transparent: ${transparent ?? 'none'}`, ...reserved].join('; ')
}

function sharedMemory(): string | undefined {
  if (process.platform !== 'linux' || !fs.existsSync('/dev/shm')) return undefined
  const { bsize, blocks, bavail } = fs.statfsSync('/dev/shm')
  return `${size(bsize * bavail)} of ${size(bsize * blocks)} free in /dev/shm`
}

/** What holds without the package. */
function machine(): Row[] {
  const limits: [string, string | undefined][] = [
    ['mappings', mappings()],
    ['locked memory', locked()],
    ['huge pages', hugePages()],
    ['shared memory', sharedMemory()],
  ]
  return [
    ['platform', `${process.platform} ${process.arch}, ${os.type()} ${os.release()}${libc()}`],
    ['runtime', runtime()],
    ...limits.filter((row): row is Row => row[1] !== undefined),
  ]
}

function views({ Mapping }: typeof Package): string {
  const largest = `one spans at most ${size(constants.MAX_LENGTH)}`
  try {
    Mapping.anonymous(1, { views: 'shared' }).unmap()
    return `SharedArrayBuffer; ${largest}`
  } catch {
    return `ArrayBuffer, as this runtime makes no SharedArrayBuffer over mapped memory; ${largest}`
  }
}

function loaded(library: typeof Package): Row[] {
  const { path, origin } = library.nativeBinary
  return [
    ['binary', path],
    ['', ORIGINS[origin]],
    ['page size', `${library.pageSize} bytes`],
    ['views', views(library)],
    ['fault guard', library.isFaultGuarded() ? 'on' : 'off'],
  ]
}

/** Maps a file, this one, and memory, through a view and without one. Throws what goes wrong. */
function tryOut({ Mapping }: typeof Package): void {
  const content = fs.readFileSync(__filename)
  const file = Mapping.open(__filename)
  const memory = Mapping.anonymous(content.length)
  memory.write(file.bytes)
  const isSame = memory.read(0, content.length).equals(content) && file.indexOf(content) === 0
  file.unmap()
  memory.unmap()
  if (!isSame) throw new Error('what was mapped is not what the file has')
}

export async function doctor(args: string[], output: Output): Promise<number> {
  parseArgs({ args })
  const rows = machine()
  let problem: string | undefined
  try {
    const library = await import('mmap-native')
    rows.push(...loaded(library))
    tryOut(library)
  } catch (error) {
    problem = messageOf(error)
  }
  await output.print(`mmap-native ${version()}\n\n`)
  for (const [label, value] of rows) await output.print(`${label.padEnd(13)}  ${plain(value)}\n`)
  await output.print(
    problem === undefined
      ? '\nok: a file and memory were mapped here, and read and written.\n'
      : `\nnot ok: ${plain(problem)}\n`,
  )
  return problem === undefined ? 0 : 1
}
