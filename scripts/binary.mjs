// Says what a native binary is for, from its own bytes: no tool is needed that knows all these formats.
//
//   node scripts/binary.mjs [FOLDER]    fails unless FOLDER (default: build/platforms) has the right binary of every platform

import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { platforms } from './platforms.mjs'

const ELF = { 3: 'ia32', 21: 'ppc64', 22: 's390x', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64' }
const PE = { 0x8664: 'x64', 0xaa64: 'arm64' }
const MACH = { 0x01000007: 'x64', 0x0100000c: 'arm64' }
const FREEBSD = 9

/**
 * Checks that a file is what the package of a platform needs: made for its system and CPU, with the entry point of
 * Node-API, and no wish for a newer glibc than is promised.
 *
 * @returns {string} what it is, for people
 */
export function checkBinary(path, platform) {
  const bytes = readFileSync(path)
  const { os, cpu } = target(bytes)
  const text = bytes.toString('latin1')
  if (os !== platform.os || cpu !== platform.cpu) throw new Error(`it was made for ${os} ${cpu}`)
  if (!text.includes('napi_register_module_v1')) throw new Error('it has no entry point of Node-API')
  const newest = [...text.matchAll(/\0GLIBC_([0-9.]+)(?=\0)/g)]
    .map(([, version]) => version)
    .reduce(later, '0')
  const size = `${Math.ceil(bytes.length / 1024)} KiB`
  if (platform.libc !== 'glibc') return size
  if (later(newest, platform.glibc) !== platform.glibc)
    throw new Error(`it needs glibc ${newest}, and ${platform.glibc} is promised`)
  return `${size}, glibc ${newest}`
}

const later = (a, b) => (a.localeCompare(b, 'en', { numeric: true }) > 0 ? a : b)

function target(bytes) {
  if (bytes.toString('latin1', 0, 4) === '\x7fELF') {
    const machine = bytes[5] === 2 ? bytes.readUInt16BE(18) : bytes.readUInt16LE(18)
    // Linux has no number of its own here.
    return { os: isFreeBsd(bytes) ? 'freebsd' : 'linux', cpu: ELF[machine] ?? `ELF ${machine}` }
  }
  if (bytes.toString('latin1', 0, 2) === 'MZ') {
    const header = bytes.readUInt32LE(0x3c)
    const machine = bytes.readUInt16LE(header + 4)
    return { os: 'win32', cpu: PE[machine] ?? `PE ${machine}` }
  }
  if (bytes.readUInt32LE(0) === 0xfeedfacf) {
    const cpu = bytes.readUInt32LE(4)
    return { os: 'darwin', cpu: MACH[cpu] ?? `Mach-O ${cpu}` }
  }
  return { os: 'no system that is known here', cpu: '' }
}

/** By the number in its header, or by the names of its libraries. */
const isFreeBsd = (bytes) => bytes[7] === FREEBSD || bytes.includes('FBSD_1.')

function main([folder = join(fileURLToPath(new URL('..', import.meta.url)), 'build', 'platforms')]) {
  for (const platform of platforms) {
    const path = join(folder, platform.binary)
    try {
      if (!existsSync(path)) throw new Error(`there is no ${path}`)
      console.log(`ok ${platform.name}: ${checkBinary(path, platform)}`)
    } catch (error) {
      console.log(`FAILED ${platform.name}: ${error.message}`)
      process.exitCode = 1
    }
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main(process.argv.slice(2))
