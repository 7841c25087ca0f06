/** All measures of the examples, in the order of their tables. */
import type { Measure } from '../../bench/measure'
import { arrow } from './arrow'
import { embeddings } from './embeddings'
import { flatbuffers } from './flatbuffers'
import { geoip } from './geoip'
import { parquet } from './parquet'
import { pmtiles } from './pmtiles'

export const measures: readonly Measure[] = [geoip, ...arrow, flatbuffers, parquet, pmtiles, embeddings]
