/** A storm of truncations. MMAP_NATIVE_STORM_SECONDS sets how long it blows: 10 unless set, not more than 50. */
import { join } from 'node:path'
import test from 'ava'
import { runScript } from './support/child'

const SECONDS = Number(process.env['MMAP_NATIVE_STORM_SECONDS'] ?? 10)

test('8 workers read and write 64 files that another process truncates and regrows at random', async (t) => {
  t.timeout(2 * 60_000)
  const source = `
    const { storm } = require(${JSON.stringify(join(__dirname, 'support', 'storm.js'))})
    storm(${SECONDS}).then((outcome) => console.log(JSON.stringify(outcome)))`
  const { code, signal, stdout, stderr } = await runScript(source)
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  const { problems, rounds, faults, errors, truncations } = JSON.parse(stdout)
  t.log(`${truncations} truncations, ${rounds} rounds, ${faults} faults, ${errors} errors`)
  t.deepEqual(problems, [])
  t.true(faults > 0 && errors > 0)
})
