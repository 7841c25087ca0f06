#!/usr/bin/env node
/** The program `mmap-native`: finds the command and runs it. It uses the package as everybody does, and loads it when a command needs it. */
import { Usage, isUsage, messageOf } from './errors'
import { Output } from './output'
import { version } from './version'

/** A command takes the arguments behind its name, and resolves to the exit status. */
type Command = (args: string[], output: Output) => Promise<number>

const COMMANDS: Record<string, () => Promise<Command>> = {
  residency: async () => (await import('./residency.js')).residency,
  prefetch: async () => (await import('./prefetch.js')).prefetch,
  evict: async () => (await import('./evict.js')).evict,
  find: async () => (await import('./find.js')).find,
  doctor: async () => (await import('./doctor.js')).doctor,
}

/** It fits a terminal of 24 lines of 80. */
const HELP = `Usage: mmap-native COMMAND [OPTION]... [ARGUMENT]...

  residency FILE...    show how much of each file is in memory, and which parts:
                       O all of a part, o some of it, a space none
      --json           an object for each file, a line each
  prefetch FILE...     bring files into memory; Ctrl-C ends it
  evict FILE...        drop files from memory, but for what is not stored yet
                       (sync FILE stores it) or in use by others
  find TEXT FILE...    print the offsets in bytes at which a text is
  -c, --count          how many they are, in place of them
  -l, --lines          the lines that have it, each behind its offset
  doctor               tell what there is here, and whether the package works

  -h, --help           print this
  -v, --version        print the version

Exit status: 0 if all is well; 1 if a file failed, or if doctor finds that the
package does not work; 2 for a command that cannot be understood or done.
Of find: 0 if the text was found, 1 if it was not, 2 if anything failed.`

async function run(argv: string[], output: Output): Promise<number> {
  const [name = '', ...args] = argv
  const end = argv.indexOf('--')
  const options = end === -1 ? argv : argv.slice(0, end)
  if (options.includes('--help') || options.includes('-h')) {
    await output.print(`${HELP}\n`)
    return 0
  }
  if (name === '--version' || name === '-v') {
    await output.print(`${version()}\n`)
    return 0
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load === undefined)
    throw new Usage(name === '' ? 'a command is missing' : `there is no command '${name}'`)
  const command = await load()
  return command(args, output)
}

async function main(): Promise<void> {
  const output = new Output()
  try {
    process.exitCode = await run(process.argv.slice(2), output)
    await output.flush()
  } catch (error) {
    // The reader of a pipe has what it wanted, as `head` has.
    if (error === output.failure && (error as { code?: unknown }).code === 'EPIPE') return
    process.exitCode = 2
    output.complain(error === output.failure ? `standard output: ${messageOf(error)}` : messageOf(error))
    if (isUsage(error)) process.stderr.write("Try 'mmap-native --help'.\n")
  }
}

void main()
