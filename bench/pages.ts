/**
 * Figures on the pages of `docs/`: tables of the same results that the READMEs have, between markers that say which.
 *
 *   <!-- figures: bench -->                                       what was measured on, of bench/results.json
 *   <!-- figures: bench search/rare -->                           a measure
 *   <!-- figures: bench search/rare: indexOf(); Buffer.indexOf --> some of its contenders
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './launch'
import { type Results, conditions, excerpt } from './report'

const MARKED = /(<!-- figures: (\S+)(?: (\S+?))?(?:: (.*?))? -->\n).*?(<!-- end of figures -->)/gs

export function resultsOf(folder: string): Results {
  return JSON.parse(readFileSync(join(root, folder, 'results.json'), 'utf8')) as Results
}

/** A page with the figures that it asks for. */
export function withFigures(page: string): string {
  return page.replaceAll(
    MARKED,
    (
      _,
      start: string,
      folder: string,
      name: string | undefined,
      contenders: string | undefined,
      end: string,
    ) => {
      const results = resultsOf(folder)
      const text = name === undefined ? conditions(results) : excerpt(results, name, contenders?.split('; '))
      return `${start}\n${text}\n\n${end}`
    },
  )
}

/** The pages that may ask for figures. */
export const pages = (): string[] => [join(root, 'README.md'), ...docs()]

const docs = () =>
  readdirSync(join(root, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => join(root, 'docs', file))

export function renderPages(): void {
  for (const file of pages()) {
    const page = readFileSync(file, 'utf8')
    const rendered = withFigures(page)
    if (rendered !== page) writeFileSync(file, rendered)
  }
}
