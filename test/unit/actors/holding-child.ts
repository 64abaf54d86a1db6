/** Another program with a write transaction on the database, until it is told to let go. */
import Database from 'better-sqlite3'

const db = new Database(process.argv[2] ?? '')
db.exec('BEGIN IMMEDIATE')
process.send?.('held')
process.on('message', () => {
  db.exec('ROLLBACK')
  db.close()
  process.exit(0)
})
