/** The files that a command is given, one after the other: what fails of one is said, and the others have their turn. */
import { Mapping } from 'mmap-native'
import { Usage, messageOf } from './errors'
import type { Output } from './output'

/** Has `work` look at a mapping of each file. Resolves to whether none failed. */
export async function eachFile(
  files: string[],
  output: Output,
  work: (mapping: Mapping, file: string) => Promise<void>,
): Promise<boolean> {
  if (files.length === 0) throw new Usage('a file is missing')
  let isWell = true
  for (const file of files) {
    let mapping
    try {
      // What is lost to a truncation meanwhile is told by the method that meets it.
      mapping = Mapping.open(file, { onFault: () => {} })
      await work(mapping, file)
    } catch (error) {
      if (error === output.failure || (error as Error).name === 'AbortError') throw error
      isWell = false
      // In their order, wherever both go.
      await output.flush()
      output.complain(`${file}: ${messageOf(error)}`)
    } finally {
      mapping?.unmap()
    }
    await output.flush()
  }
  return isWell
}
