// Says what a native binary is for, from its own bytes.

const ELF = { 3: 'ia32', 21: 'ppc64', 22: 's390x', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64' }
const PE = { 0x8664: 'x64', 0xaa64: 'arm64' }
const MACH = { 0x01000007: 'x64', 0x0100000c: 'arm64' }
const FREEBSD = 9

/**
 * @param {Buffer} bytes a shared library
 * @returns {{ os: string, cpu: string, size: number, glibc: string | undefined, isAddon: boolean }} `os` and `cpu` as Node
 *   names them; `glibc` is the newest version of it that the library asks for
 */
export function inspect(bytes) {
  const text = bytes.toString('latin1')
  const versions = [...text.matchAll(/\0GLIBC_([0-9.]+)\0/g)].map(([, version]) => version)
  const glibc = versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  return { ...target(bytes), size: bytes.length, glibc, isAddon: text.includes('napi_register_module_v1') }
}

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
