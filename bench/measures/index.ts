/** All measures, in the order of their table. */
import type { Measure } from '../measure'
import { coldFile } from './cold-file'
import { copying } from './copying'
import { firstTouch } from './first-touch'
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

export const measures: readonly Measure[] = [
  largeOpens,
  sizes,
  ...smallMaps,
  manyOpens,
  randomReads,
  ...firstTouch,
  coldFile,
  ...searching,
  ...copying,
  processes,
  importing,
  installing,
  loops,
]
