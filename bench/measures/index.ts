/** All measures, in the order of their table. */
import type { Measure } from '../measure'
import { coldFile } from './cold-file'
import { copying } from './copying'
import { firstTouch } from './first-touch'
import { hugePages } from './huge-pages'
import { importing } from './importing'
import { installing } from './installing'
import { largeOpens } from './large-opens'
import { loops } from './loops'
import { manyOpens } from './many-opens'
import { processes } from './processes'
import { randomReads } from './random-reads'
import { searching } from './searching'
import { sizes } from './sizes'
import { smallMaps } from './small-maps'
import { storing } from './storing'

export const measures: readonly Measure[] = [
  largeOpens,
  sizes,
  ...smallMaps,
  manyOpens,
  randomReads,
  hugePages,
  ...firstTouch,
  coldFile,
  ...searching,
  ...copying,
  storing,
  processes,
  importing,
  installing,
  loops,
]
