/**
 * An SQLite database in its file, with `sql.js`: that takes the pages which a query needs, and not a copy of all of them.
 *
 *   node build/examples/sqlite.js
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import initSqlJs = require('sql.js')
import { Mapping } from 'mmap-native'
import { inScratchFolder } from './support/scratch'

/**
 * Opens a database as it is now; `unmap()` the mapping after `db.close()`. What is written to it goes to pages of this process and to nobody
 * else, and is gone with it, unless `db.export()` takes it: access `'copy'` is made for that.
 */
export function openDatabase({ Database }: initSqlJs.SqlJsStatic, path: string) {
  const mapping = Mapping.open(path, { access: 'copy' })
  // It takes a slice of the data: of a Buffer that is a view.
  return { mapping, db: new Database(mapping.bytes) }
}

/** A database of so many rows, with an index. */
export function makeDatabase({ Database }: initSqlJs.SqlJsStatic, path: string, rows: number): void {
  const db = new Database()
  db.run('CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT, body BLOB); BEGIN')
  const insert = db.prepare('INSERT INTO page (title, body) VALUES (?, ?)')
  for (let i = 1; i <= rows; i++) insert.run([`page ${i}`, Buffer.alloc(10_000, `${i} `)])
  db.run('COMMIT; CREATE INDEX by_title ON page (title)')
  writeFileSync(path, db.export())
  db.close()
}

async function main(folder: string): Promise<void> {
  const path = join(folder, 'pages.sqlite')
  const sqlJs = await initSqlJs()
  makeDatabase(sqlJs, path, 5000)
  const { mapping, db } = openDatabase(sqlJs, path)
  console.log(db.exec(`SELECT id, length(body) FROM page WHERE title = 'page 4321'`)[0]?.values)
  console.log(`${mapping.statSync().residentBytes} of ${mapping.length} bytes are in this process`)
  db.run(`UPDATE page SET title = 'changed' WHERE id = 1`)
  const again = openDatabase(sqlJs, path)
  console.log([db, again.db].map((one) => one.exec('SELECT title FROM page WHERE id = 1')[0]?.values[0]))
  for (const one of [{ mapping, db }, again]) {
    one.db.close()
    one.mapping.unmap()
  }
}

if (require.main === module) void inScratchFolder(main)
