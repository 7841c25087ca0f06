/** Small file systems, mounted for one test: to be full, or to break. They need root on Linux. */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

const MIB = 1024 * 1024

function command(name: string, ...args: string[]): string {
  return execFileSync(name, args, { stdio: 'pipe', encoding: 'utf8' }).trim()
}

function succeeds(attempt: (folder: string) => void): boolean {
  if (process.platform !== 'linux') return false
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-mount-'))
  try {
    attempt(folder)
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Whether this process may mount a tmpfs. */
export const canMountTmpfs = (): boolean =>
  succeeds((folder) => {
    command('mount', '-t', 'tmpfs', 'tmpfs', folder)
    command('umount', folder)
  })

/** Whether this process may mount a hugetlbfs. */
export const canMountHugetlbfs = (): boolean =>
  succeeds((folder) => {
    command('mount', '-t', 'hugetlbfs', 'none', folder)
    command('umount', folder)
  })

/** A folder whose files have huge pages, until the test ends. */
export function hugetlbfs(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-huge-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  command('mount', '-t', 'hugetlbfs', 'none', folder)
  t.teardown(() => command('umount', folder))
  return folder
}

/** Whether this process may mount a file as an ext4. */
export const canMountExt4 = (): boolean => succeeds((folder) => unmount(mount(folder, 2)))

/** A folder on a tmpfs of so many MiB, until the test ends. */
export function tmpfs(t: ExecutionContext, mebibytes: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-tmpfs-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  command('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder)
  t.teardown(() => command('umount', folder))
  return folder
}

/** A file as a block device (a loop device), with an ext4 on it. */
export interface Disk {
  /** Where it is mounted. */
  folder: string
  device: string
  image: string
  /** A copy of the image, while a part of it is missing. */
  backup: string
}

/** A disk of so many MiB, mounted until the test ends. */
export function ext4(t: ExecutionContext, mebibytes: number): Disk {
  const folder = mkdtempSync(join(tmpdir(), 'mmap-native-ext4-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const disk = mount(folder, mebibytes)
  t.teardown(() => unmount(disk))
  return disk
}

function mount(parent: string, mebibytes: number): Disk {
  const [folder = '', image = '', backup = ''] = ['mounted', 'image', 'backup'].map((name) =>
    join(parent, name),
  )
  mkdirSync(folder)
  writeFileSync(image, '')
  truncateSync(image, mebibytes * MIB)
  // Without a journal a disk that breaks takes no more with it than what is on the missing part.
  command('mkfs.ext4', '-q', '-m', '0', '-O', '^has_journal', image)
  const device = command('losetup', '--find', '--show', image)
  try {
    command('mount', device, folder)
  } catch (error) {
    command('losetup', '--detach', device)
    throw error
  }
  return { folder, device, image, backup }
}

function unmount({ folder, device }: Disk): void {
  command('umount', folder)
  command('losetup', '--detach', device)
}

/** Forgets what is cached of the disk's files. */
export function remount({ folder, device }: Disk): void {
  command('umount', folder)
  command('mount', device, folder)
}

/** Takes all but the first so many MiB away from under the file system: reads and writes of the rest are I/O errors. */
export function breakDisk({ folder, device, image, backup }: Disk, mebibytes: number): void {
  command('sync', '--file-system', folder)
  copyFileSync(image, backup)
  truncateSync(image, mebibytes * MIB)
  command('losetup', '--set-capacity', device)
}

/** Gives back what was taken away. */
export function repairDisk({ device, image, backup }: Disk): void {
  writeFileSync(image, readFileSync(backup), { flag: 'r+' })
  command('losetup', '--set-capacity', device)
}
