/** Opens a connection with every pragma set and read back (reliability.md D1, D6), and turns SQLite's errors into the store's. */
import Database from 'better-sqlite3'
import { StoreError, type StoreErrorCode } from '#store/store.ts'

export type Connection = Database.Database

/** Between groups of marks only: a commit that survives the process, not the power (D-6). */
export type Synchronous = 'FULL' | 'NORMAL'
const LEVEL = { FULL: 2, NORMAL: 1 } as const
/** How long a statement waits for another program that holds the file (D6, STOR-06). */
export const BUSY_TIMEOUT_MS = 5_000

/** `check` sees the file before anything of it is changed. Throws StoreError. */
export const openConnection = (
  file: string,
  cacheKiB: number,
  check: (db: Connection) => void = () => undefined,
): Connection => {
  const db = guarded(file, () => new Database(file, { timeout: BUSY_TIMEOUT_MS }))
  try {
    guarded(file, () => {
      checkVersion(String(db.prepare('SELECT sqlite_version()').pluck().get()))
      check(db)
      set(db, 'journal_mode', 'WAL', 'wal')
      set(db, 'synchronous', 'FULL', LEVEL.FULL)
      set(db, 'busy_timeout', BUSY_TIMEOUT_MS, BUSY_TIMEOUT_MS)
      set(db, 'foreign_keys', 'ON', 1)
      set(db, 'trusted_schema', 'OFF', 0)
      set(db, 'wal_autocheckpoint', 0, 0)
      set(db, 'journal_size_limit', 67_108_864, 67_108_864)
      set(db, 'cache_size', -cacheKiB, -cacheKiB)
      set(db, 'temp_store', 'MEMORY', 2)
    })
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Outside a transaction (inside it SQLite ignores it). Not read back: it happens before every other group. */
export const setSynchronous = (db: Connection, level: Synchronous): void => {
  db.pragma(`synchronous = ${level}`)
}

/**
 * The WAL-reset race (https://sqlite.org/wal.html): two connections may lose a commit in 3.7.0 to 3.51.2, but for 3.50.7 and
 * 3.44.6 and later of those lines. STOR-12: refuse, never hope.
 */
export const checkVersion = (version: string): void => {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const at = major * 1_000_000 + minor * 1_000 + patch
  const cured = at >= 3_051_003 || (minor === 50 && patch >= 7) || (minor === 44 && patch >= 6)
  if (major !== 3 || !cured)
    throw new StoreError('version', `SQLite ${version} may lose commits in WAL mode: 3.51.3 or later is needed`)
}

/** Runs `body`; what SQLite throws comes out as a StoreError that names the file. */
export const guarded = <T>(file: string, body: () => T): T => {
  try {
    return body()
  } catch (error) {
    throw storeErrorOf(error, file)
  }
}

/** As `storeErrorOf`, but what is not SQLite's stays what it is. */
export const sqliteErrorOf = (error: unknown, file: string): unknown =>
  error instanceof Database.SqliteError ? storeErrorOf(error, file) : error

export const storeErrorOf = (error: unknown, file: string): StoreError => {
  if (error instanceof StoreError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new StoreError(error instanceof Database.SqliteError ? codeOf(error.code) : 'invalid', `${file}: ${message}`)
}

/** After one of these nothing that is in memory may be believed: close, and open again through recovery (reliability.md D7). */
export const isFatal = (error: StoreError): boolean => error.code === 'io' || error.code === 'corrupt'

const codeOf = (sqlite: string): StoreErrorCode => {
  if (sqlite === 'SQLITE_FULL') return 'full'
  if (sqlite.startsWith('SQLITE_BUSY') || sqlite.startsWith('SQLITE_LOCKED')) return 'busy'
  if (sqlite.startsWith('SQLITE_CORRUPT') || sqlite === 'SQLITE_NOTADB') return 'corrupt'
  if (sqlite.startsWith('SQLITE_CONSTRAINT') || NOT_THE_DISK.has(sqlite)) return 'invalid'
  return 'io'
}
const NOT_THE_DISK = new Set(['SQLITE_ERROR', 'SQLITE_MISMATCH', 'SQLITE_RANGE', 'SQLITE_TOOBIG', 'SQLITE_MISUSE'])

const set = (db: Connection, pragma: string, value: string | number, expected: string | number): void => {
  db.pragma(`${pragma} = ${value}`)
  const found = db.pragma(pragma, { simple: true })
  if (found !== expected) throw new StoreError('io', `SQLite refused ${pragma} = ${value} and kept ${String(found)}`)
}
