// Folders with a Debian in them, of any CPU: packages are fetched and unpacked, and none of their scripts is run, so that
// neither an emulator nor root is needed for it. For programs to be run in, not to be lived in.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { cache, has, skipped } from './machine.mjs'

const SUITE = 'trixie'
const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg'

function run(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26 })
  if (error || status !== 0) throw new Error(`${command} ${args.at(-1)}: ${error?.message ?? stderr.trim()}`)
}

/** Where Debian's packages come from: as DEBIAN_MIRROR says, or from where this Debian has its own. */
function mirror() {
  const { stdout } = spawnSync('apt-get', ['indextargets', '--format', '$(REPO_URI)'], { encoding: 'utf8' })
  const own = stdout?.split('\n').find((address) => /\/debian\/?$/.test(address))
  return (
    process.env.DEBIAN_MIRROR ||
    own ||
    skipped('no mirror of Debian is known here: name one in DEBIAN_MIRROR')
  )
}

/** apt-get with lists, packages and a view of the system of its own: nothing is installed there. */
function fetchPackages(cpu, names, folder) {
  const state = join(folder, '..', 'apt')
  for (const path of [join(state, 'lists', 'partial'), join(folder, 'partial')])
    mkdirSync(path, { recursive: true })
  const status = join(state, 'status')
  writeFileSync(status, '')
  const sources = join(state, 'sources.list')
  writeFileSync(sources, `deb [signed-by=${KEYS}] ${mirror()} ${SUITE} main\n`)
  // Signatures and the packages' checksums are apt's to check, as ever.
  const settings = {
    'APT::Architecture': cpu,
    'APT::Architectures': cpu,
    'APT::Sandbox::User': 'root',
    'APT::Install-Recommends': 'false',
    'Dir::State': state,
    'Dir::State::lists': join(state, 'lists'),
    'Dir::State::status': status,
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::Cache': join(state, 'cache'),
    'Dir::Cache::archives': folder,
    'Debug::NoLocking': 'true',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  run('apt-get', [...options, '-q', 'update'])
  run('apt-get', [...options, '-q', '-y', '--download-only', 'install', ...names])
}

/**
 * Provides a folder with these packages and what they depend on.
 *
 * @param {string} cpu as Debian names it
 * @param {string[]} names of packages
 * @returns {string} its path; it is shared by everybody who asks for the same: nothing may be written into it
 */
export function provideDebian(cpu, names) {
  const id = createHash('sha256')
    .update(JSON.stringify([SUITE, names]))
    .digest('hex')
    .slice(0, 12)
  const target = join(cache, 'debian', `${cpu}-${id}`)
  if (existsSync(target)) return target
  for (const program of ['apt-get', 'dpkg-deb']) if (!has(program)) skipped(`there is no ${program}`)
  if (!existsSync(KEYS)) skipped(`the keys of Debian are missing: apt-get install debian-archive-keyring`)
  mkdirSync(join(cache, 'debian'), { recursive: true })
  const temp = mkdtempSync(`${target}.tmp-`)
  try {
    const [packages, root] = ['packages', 'root'].map((name) => join(temp, name))
    fetchPackages(cpu, names, packages)
    // Where the packages expect one folder to be another.
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
      mkdirSync(join(root, 'usr', name), { recursive: true })
      symlinkSync(join('usr', name), join(root, name))
    }
    for (const name of ['tmp', 'proc', 'dev', 'root']) mkdirSync(join(root, name))
    for (const file of readdirSync(packages).filter((one) => one.endsWith('.deb')))
      run('dpkg-deb', ['-x', join(packages, file), root])
    renameSync(root, target)
  } finally {
    rmSync(temp, { recursive: true, force: true })
  }
  return target
}
