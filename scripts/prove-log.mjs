// Kills the writer of a log (examples/log.ts) at random moments; after each every record whose flush() resolved has to be there.
//
//   npm run build && node scripts/prove-log.mjs [KILLS]      1000 of them take some minutes

import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const { kill } = createRequire(import.meta.url)('../build/__test__/support/kills.js')
const times = Number(process.argv[2] ?? 1000)
const folder = mkdtempSync(join(tmpdir(), 'mmap-native-log-'))
const start = performance.now()
const text = ({ kills, early, told, found }) =>
  `${kills} kills, ${early} of them while the log was opened: ${found} records are there, of which ${told} had been told of`
try {
  const toll = await kill(times, folder, (sofar) => {
    if (sofar.kills % 100 === 0 && sofar.kills < times) console.log(text(sofar))
  })
  console.log(`${text(toll)}; none is missing. ${Math.round((performance.now() - start) / 1000)} s`)
} finally {
  rmSync(folder, { recursive: true })
}
