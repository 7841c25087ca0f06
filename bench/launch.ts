/** What runs the contenders: runtimes and packages of others, installed on demand into a cache, and programs, compiled on the spot. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Launch } from './harness'
import type { Contender, Peer, Runtime } from './measure'

/** The root of the project: compiled, this file is build/bench/launch.js. */
export const root = join(__dirname, '..', '..')

const PROGRAMS = join(root, 'bench', 'programs')

/** The Node.js that the benchmark is about: `current` for the one that runs it. */
export type NodeName = 'current' | 'node22' | 'node24' | 'node26'

interface Runner {
  runtime: string
  command: string
  args: string[]
}

interface RuntimesModule {
  provide(name: string): Promise<{ name: string; version: string; command: string; args: string[] }>
}

/** Runs a command quietly; its last words are the error. */
function quietly(command: string, args: string[], cwd = root): string {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    const lines = (stderr ?? '').trim().split('\n')
    const telling = lines.find((line) => /\berror\b/i.test(line)) ?? lines.at(-1)
    throw new Error(`${command}: ${telling || message}`, { cause: error })
  }
}

export interface LaunchOptions {
  /** For programs that are compiled. */
  folder: string
  node: NodeName
  /** The compiled module that has the measures. */
  module: string
  /** Nothing is installed. */
  isSmoke: boolean
}

/** Starts contenders: what they need is provided once. */
export function launcher({ folder, node, module, isSmoke }: LaunchOptions): Launch {
  const runners = new Map<Runtime, Promise<Runner>>()
  const peers = new Map<string, string>()

  const runnerFor = (runtime: Runtime) => {
    const known = runners.get(runtime)
    if (known) return known
    const runner = provide(runtime, folder, node, isSmoke)
    runners.set(runtime, runner)
    return runner
  }

  const peerFor = (peer: Peer) => {
    if (isSmoke) throw new Error('nothing is installed for a smoke run')
    const known = peers.get(peer.name) ?? installPeer(peer)
    peers.set(peer.name, known)
    return known
  }

  return async (contender, measure, setup) => {
    const runner = await runnerFor(contender.runtime)
    const given = contender.peer ? { ...setup, peer: peerFor(contender.peer) } : setup
    const args = contender.arguments?.(given) ?? [
      join(__dirname, 'contender.js'),
      JSON.stringify({ module, measure: measure.name, contender: contender.name, setup: given }),
    ]
    const flags = contender.flags ?? []
    return {
      runtime: runtimeName(runner, contender),
      command: runner.command,
      args: [...runner.args, ...flags, ...args],
    }
  }
}

function runtimeName({ runtime }: Runner, { peer }: Contender): string {
  return peer ? `${runtime}, ${peer.name} ${peer.version}` : runtime
}

async function provide(runtime: Runtime, folder: string, node: NodeName, isSmoke: boolean): Promise<Runner> {
  const isCurrent = runtime === 'host' || (runtime === 'node' && node === 'current')
  if (isCurrent) return current()
  if (runtime === 'c') return compileC(folder)
  if (isSmoke) throw new Error('nothing is installed for a smoke run')
  if (runtime === 'rust') return compileRust()
  if (runtime === 'python') return findPython()
  const { provide: install } = (await import(
    pathToFileURL(join(root, 'scripts', 'runtimes.mjs')).href
  )) as RuntimesModule
  const { name, version, command, args } = await install(runtime === 'node' ? node : runtime)
  return { runtime: `${name.startsWith('node') ? 'Node.js' : 'Bun'} ${version}`, command, args }
}

function current(): Runner {
  return { runtime: `Node.js ${process.versions.node}`, command: process.execPath, args: ['--expose-gc'] }
}

function compileC(folder: string): Runner {
  const command = join(folder, 'map')
  quietly('cc', ['-O2', '-o', command, join(PROGRAMS, 'map.c')])
  return { runtime: 'C, cc -O2', command, args: [] }
}

function compileRust(): Runner {
  quietly('cargo', ['build', '--quiet', '--release', '--package', 'mmap-native-core', '--example', 'memory'])
  const [, version] = /rustc (\S+)/.exec(quietly('rustc', ['--version'])) ?? []
  return {
    runtime: `Rust ${version}`,
    command: join(root, 'target', 'release', 'examples', 'memory'),
    args: [],
  }
}

function findPython(): Runner {
  const [, version] = /Python (\S+)/.exec(quietly('python3', ['--version'])) ?? []
  return { runtime: `Python ${version}`, command: 'python3', args: [join(PROGRAMS, 'search.py')] }
}

/** Installs a package into a folder of its own, under a temporary name first, so that the cache never has a part of one. */
function installPeer({ name, version, scripts = false }: Peer): string {
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'mmap-native', 'peers')
  const plain = name.replace(/^@/, '').replace('/', '-')
  const target = join(
    cache,
    `${plain}-${version}-${process.platform}-${process.arch}-${process.versions.modules}`,
  )
  const place = join('node_modules', name)
  if (existsSync(target)) return join(target, place)
  mkdirSync(dirname(target), { recursive: true })
  const temporary = mkdtempSync(`${target}.tmp-`)
  try {
    // A package.json and --prefix keep npm from looking for a project in the folders above.
    writeFileSync(join(temporary, 'package.json'), '{ "private": true }\n')
    const flags = ['--prefix', '.', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error']
    quietly(
      'npm',
      ['install', ...flags, ...(scripts ? [] : ['--ignore-scripts']), `${name}@${version}`],
      temporary,
    )
    renameSync(temporary, target)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  return join(target, place)
}
