/** `mmap-native find`: where a text is in files. */
import { parseArgs } from 'node:util'
import type { Mapping } from 'mmap-native'
import { Usage } from './errors'
import { eachFile } from './files'
import { type Output, plain } from './output'

/** A line may be as long as its file: it is written in pieces. */
const PIECE = 1024 * 1024

/** Where the needle is; places that overlap the one before are left out. */
function* places(mapping: Mapping, needle: Buffer): Generator<number, undefined> {
  for (let at = mapping.indexOf(needle); at !== -1; at = mapping.indexOf(needle, at + needle.length)) yield at
}

/** The lines that have the needle: where they start, and where they end, without the newline. */
function* lines(mapping: Mapping, needle: Buffer): Generator<[start: number, end: number], undefined> {
  for (let at = mapping.indexOf(needle), end = -1; at !== -1; at = mapping.indexOf(needle, end + 1)) {
    const start = at === 0 ? 0 : mapping.lastIndexOf('\n', at - 1) + 1
    // A needle may itself end with a newline.
    const newline = mapping.indexOf('\n', at + needle.length - 1)
    end = newline === -1 ? mapping.length : newline
    yield [start, end]
  }
}

/** Writes bytes as they are; to a terminal only what is harmless there. */
async function printBytes(mapping: Mapping, start: number, end: number, output: Output): Promise<void> {
  const decoder = new TextDecoder()
  for (let at = start; at < end; at += PIECE) {
    const bytes = mapping.read(at, Math.min(PIECE, end - at))
    const harmless = (part: string) => part.split('\t').map(plain).join('\t')
    await output.print(
      output.isTerminal ? harmless(decoder.decode(bytes, { stream: at + PIECE < end })) : bytes,
    )
  }
}

export async function find(args: string[], output: Output): Promise<number> {
  const options = { count: { type: 'boolean', short: 'c' }, lines: { type: 'boolean', short: 'l' } } as const
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  if (values.count && values.lines) throw new Usage('--count and --lines exclude each other')
  const [text, ...files] = positionals
  if (text === undefined) throw new Usage('a text to find is missing')
  if (text === '') throw new Usage('the text to find is empty')
  const needle = Buffer.from(text)
  let isFound = false
  const isWell = await eachFile(files, output, async (mapping, file) => {
    const prefix = files.length > 1 ? `${plain(file)}:` : ''
    if (values.count) {
      const count = mapping.count(needle)
      isFound ||= count > 0
      await output.print(`${prefix}${count}\n`)
    } else if (values.lines) {
      for (const [start, end] of lines(mapping, needle)) {
        isFound = true
        await output.print(`${prefix}${start}:`)
        await printBytes(mapping, start, end, output)
        await output.print('\n')
      }
    } else {
      for (const at of places(mapping, needle)) {
        isFound = true
        await output.print(`${prefix}${at}\n`)
      }
    }
  })
  if (!isWell) return 2
  return isFound ? 0 : 1
}
