/** `mmap-native residency`: how much of each file is in memory, and which parts. */
import { parseArgs } from 'node:util'
import type { Residency } from 'mmap-native'
import { eachFile } from './files'
import { type Output, CELLS, barLine, json, plain } from './output'

/** A cell for each part of the pages: all, some or none of it is in memory. */
function barOf({ pages, bitmap }: Residency): string {
  const cells = Math.min(CELLS, pages)
  let bar = ''
  for (let cell = 0; cell < cells; cell++) {
    const first = Math.floor((cell * pages) / cells)
    const next = Math.floor(((cell + 1) * pages) / cells)
    let resident = 0
    for (let page = first; page < next; page++) resident += ((bitmap[page >> 3] as number) >> (page & 7)) & 1
    bar += resident === 0 ? ' ' : resident === next - first ? 'O' : 'o'
  }
  return `[${bar}]`
}

export async function residency(args: string[], output: Output): Promise<number> {
  const options = { json: { type: 'boolean' } } as const
  const { values, positionals: files } = parseArgs({ args, options, allowPositionals: true })
  const total = { resident: 0, length: 0 }
  const isWell = await eachFile(files, output, async (mapping, file) => {
    const { length } = mapping
    const found = await mapping.residency()
    total.resident += found.residentBytes
    total.length += length
    if (values.json) {
      const { bitmap: _, ...figures } = found
      await output.print(`${json({ file, length, ...figures })}\n`)
    } else await output.print(`${barLine(barOf(found), found.residentBytes, length, plain(file))}\n`)
  })
  if (files.length > 1 && !values.json)
    await output.print(`${barLine('', total.resident, total.length, 'total')}\n`)
  return isWell ? 0 : 1
}
