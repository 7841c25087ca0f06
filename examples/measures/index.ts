/** All measures of the examples, in the order of their tables. */
import type { Measure } from '../../bench/measure'
import { arrow } from './arrow'
import { embeddings } from './embeddings'
import { flatbuffers } from './flatbuffers'
import { geoip } from './geoip'
import { http } from './http'
import { log } from './log'
import { parquet } from './parquet'
import { pmtiles } from './pmtiles'
import { ring } from './ring'
import { sqlite } from './sqlite'

export const measures: readonly Measure[] = [
  geoip,
  ...arrow,
  flatbuffers,
  parquet,
  pmtiles,
  sqlite,
  embeddings,
  ...http,
  ring,
  ...log,
]
