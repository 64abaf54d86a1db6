/** Preloaded (`--import`) into the daemon and its threads: the SQLite of this process says that it is an old one (STOR-12). */
import Database from 'better-sqlite3'

const { prepare } = Database.prototype
Object.assign(Database.prototype, {
  prepare(this: Database.Database, sql: string) {
    return prepare.call(this, sql === 'SELECT sqlite_version()' ? "SELECT '3.51.2'" : sql)
  },
})
