// What the scripts for other platforms ask of the machine: a cache, packages of the distribution, and a word for what it cannot do.

import { spawnSync } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where everything is kept that is fetched or built once, outside the repository. */
export const cache =
  process.env.MMAP_NATIVE_CACHE ||
  join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mmap-native')

/** The `code` of the error that says what this machine lacks. */
export const SKIPPED = 'ERR_SKIPPED'

/** Throws the error that says why something is not done here. */
export function skipped(reason) {
  throw Object.assign(new Error(reason), { code: SKIPPED })
}

export const isRoot = process.getuid?.() === 0

/** Whether there is such a program on the PATH. */
export const has = (command) => spawnSync('sh', ['-c', `command -v "$0"`, command]).status === 0

/** Installs packages of Debian and what descends from it. `why` is what is said where that cannot be done. */
export function installPackages(why, packages) {
  if (!has('apt-get')) skipped(`${why}, and there is no apt-get to install ${packages.join(', ')}`)
  if (!isRoot) skipped(`${why}, and only root can install ${packages.join(', ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (...args) =>
    spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-q', '-y', ...args], {
      stdio: ['ignore', 2, 2],
      env,
    })
  apt('update') // that the lists could not be renewed is no reason to stop
  if (apt('install', '--no-install-recommends', ...packages).status !== 0)
    skipped(`${why}, and apt-get could not install ${packages.join(', ')}`)
}
