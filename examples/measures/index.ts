/** All measures of the examples, in the order of their tables. */
import type { Measure } from '../../bench/measure'
import { geoip } from './geoip'

export const measures: readonly Measure[] = [geoip]
