/** examples/sqlite.ts: sql.js reads a database where it is mapped. */
import test, { type ExecutionContext } from 'ava'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import initSqlJs = require('sql.js')
import { makeDatabase, openDatabase } from '../examples/sqlite'
import { scratchFolder } from './support/files'

const ROWS = 2000

async function database(t: ExecutionContext) {
  const sqlJs = await initSqlJs()
  const path = join(scratchFolder(t), 'database')
  makeDatabase(sqlJs, path, ROWS)
  const opened = openDatabase(sqlJs, path)
  t.teardown(() => {
    opened.db.close()
    opened.mapping.unmap()
  })
  return { ...opened, sqlJs, path }
}

test('answers are those of a database that was read', async (t) => {
  const { db, sqlJs, path } = await database(t)
  const read = new sqlJs.Database(readFileSync(path))
  for (const query of [
    'SELECT count(*), sum(length(body)), max(title) FROM page',
    "SELECT * FROM page WHERE title = 'page 1234'",
    'SELECT id, hex(substr(body, 9990)) FROM page WHERE id % 100 = 7 ORDER BY title',
    'PRAGMA integrity_check',
  ]) {
    const [result] = db.exec(query)
    t.true((result?.values.length ?? 0) > 0)
    t.deepEqual(result, read.exec(query)[0])
  }
  read.close()
})

test('only what a query needs is read', async (t) => {
  const { db, mapping } = await database(t)
  t.deepEqual(db.exec("SELECT id FROM page WHERE title = 'page 1234'")[0]?.values, [[1234]])
  // What was not touched is not there: a copy would have touched all of it.
  const { residentBytes } = await mapping.stat()
  if (residentBytes !== undefined)
    t.true(residentBytes < mapping.length / 4, `${residentBytes} of ${mapping.length}`)
  t.is(mapping.faults.count, 0)
})

test('what is written stays in this process', async (t) => {
  const { db, mapping, sqlJs, path } = await database(t)
  const before = readFileSync(path)
  db.run(
    "UPDATE page SET title = 'changed'; INSERT INTO page (title, body) VALUES ('new', zeroblob(1000000))",
  )
  t.deepEqual(db.exec("SELECT count(*) FROM page WHERE title IN ('changed', 'new')")[0]?.values, [[ROWS + 1]])
  t.true(readFileSync(path).equals(before))
  const other = openDatabase(sqlJs, path)
  t.deepEqual(other.db.exec("SELECT count(*) FROM page WHERE title LIKE 'page %'")[0]?.values, [[ROWS]])
  other.db.close()
  t.deepEqual([mapping.faults.count, other.mapping.faults.count], [0, 0])
  other.mapping.unmap()
})
