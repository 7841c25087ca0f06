import { readFile } from 'node:fs/promises'
import type { Measure } from '../../bench/measure'
import { type Way, firstAnswer } from './first-answer'

const QUERY = "SELECT id, length(body) FROM page WHERE title = 'page 123'"

const ways: readonly Way[] = [
  {
    name: 'fs.readFile',
    async load() {
      const { default: initSqlJs } = await import('sql.js')
      const { Database } = await initSqlJs()
      return async (file) => {
        const db = new Database(await readFile(file))
        return { result: JSON.stringify(db.exec(QUERY)), keep: db }
      }
    },
  },
  {
    name: 'mmap-native',
    ours: true,
    async load() {
      const [{ default: initSqlJs }, { openDatabase }] = await Promise.all([
        import('sql.js'),
        import('../sqlite.js'),
      ])
      const sqlJs = await initSqlJs()
      return (file) => {
        const { db, mapping } = openDatabase(sqlJs, file)
        return { result: JSON.stringify(db.exec(QUERY)), keep: [db, mapping] }
      }
    },
  },
]

export const sqlite: Measure = firstAnswer(
  {
    name: 'sqlite',
    title: 'SQLite (sql.js): one row in 206 MB',
    about: 'A table of 20,000 rows of 10,000 bytes. One is found by its title, which has an index.',
    async prepare({ pick, newFile }) {
      const [{ default: initSqlJs }, { makeDatabase }] = await Promise.all([
        import('sql.js'),
        import('../sqlite.js'),
      ])
      const file = newFile('pages.sqlite')
      makeDatabase(await initSqlJs(), file, pick(20_000, 2000, 200))
      return { count: 1, files: { file } }
    },
  },
  ways,
)
