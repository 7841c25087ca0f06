/** `mmap-native evict`: drops files from memory. */
import { parseArgs } from 'node:util'
import { eachFile } from './files'
import { type Output, plain, size } from './output'

export async function evict(args: string[], output: Output): Promise<number> {
  const { positionals: files } = parseArgs({ args, allowPositionals: true })
  const isWell = await eachFile(files, output, async (mapping, file) => {
    const { fromPageCache = 0 } = await mapping.evict({ pageCache: true })
    const { residentBytes } = await mapping.residency({ maxRanges: 0 })
    const why = residentBytes > 0 ? ' (not stored yet, or in use)' : ''
    await output.print(
      `${plain(file)}: ${size(fromPageCache)} dropped, ${size(residentBytes)} still in memory${why}\n`,
    )
  })
  return isWell ? 0 : 1
}
