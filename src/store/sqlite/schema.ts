/**
 * The tables, as a list of migrations that only grows. A webhook is one row of `webhooks` (immutable) and exactly one of
 * `far` (not started, due later than the precise indexes reach; by hour), `live` (due soon, waiting, retrying or started)
 * or `done`. Far rows cost one append to the end of their hour instead of two inserts at random places (D-25); they move to
 * `live` in pages before their hour comes. Instants are epoch milliseconds.
 */
import { StoreError } from '#store/store.ts'
import { type Connection, guarded } from './connection.ts'

/** "HkPs": tells our file from another program's. */
export const APPLICATION_ID = 0x486b5073

const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE lanes (
    lane INTEGER PRIMARY KEY, domain TEXT NOT NULL, brand TEXT NOT NULL, priority INTEGER NOT NULL,
    UNIQUE (domain, brand, priority)
  ) STRICT;
  CREATE INDEX lanes_brand ON lanes (brand);
  CREATE TABLE webhooks (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, lane INTEGER NOT NULL, row BLOB NOT NULL
  ) STRICT;
  CREATE TABLE idempotency (
    brand TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (brand, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE far (
    bucket INTEGER NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, lane INTEGER NOT NULL, next_at INTEGER NOT NULL,
    timeout_ms INTEGER NOT NULL, expires_at INTEGER, PRIMARY KEY (bucket, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE live (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, lane INTEGER NOT NULL, next_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
    timeout_ms INTEGER NOT NULL, expires_at INTEGER, started_at INTEGER, token TEXT, back TEXT
  ) STRICT;
  CREATE INDEX live_due ON live (next_at, seq, lane) WHERE started_at IS NULL;
  CREATE INDEX live_lane ON live (lane, next_at, seq) WHERE started_at IS NULL;
  CREATE INDEX live_started ON live (seq) WHERE started_at IS NOT NULL;
  CREATE TABLE done (
    seq INTEGER PRIMARY KEY, state INTEGER NOT NULL, attempts INTEGER NOT NULL, finished_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX done_finished ON done (state, finished_at);
  CREATE INDEX done_undelivered ON done (state, seq) WHERE state <> 3;
  CREATE TABLE attempts (
    seq INTEGER NOT NULL, number INTEGER NOT NULL, token TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER,
    status INTEGER, error TEXT, excerpt BLOB, timer_ms REAL NOT NULL, guard_ms REAL NOT NULL, network_ms REAL NOT NULL,
    in_doubt INTEGER NOT NULL, PRIMARY KEY (seq, number)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE counters (lane INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (lane, state))
    STRICT, WITHOUT ROWID;
  CREATE TABLE open_batches (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;

  CREATE TABLE limits (
    kind TEXT NOT NULL, domain TEXT NOT NULL, brand TEXT NOT NULL, value REAL, burst REAL, set_by TEXT NOT NULL,
    set_at INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (kind, domain, brand)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE brands (brand TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE keys (
    key_id TEXT PRIMARY KEY, digest BLOB NOT NULL, role TEXT NOT NULL, brand TEXT, created_at INTEGER NOT NULL,
    expires_at INTEGER, revoked_at INTEGER
  ) STRICT, WITHOUT ROWID;
  `,
  // What may expire, oldest first. Rows of far hours too: after a long absence they may have expired before they are moved.
  `
  CREATE INDEX live_expiry ON live (expires_at, seq) WHERE expires_at IS NOT NULL AND started_at IS NULL;
  CREATE INDEX far_expiry ON far (expires_at, seq) WHERE expires_at IS NOT NULL;
  `,
  // Who is suspected of ending threads and processes (D-17); `alone` is 1 from when its thread is its own until the attempt's end.
  `
  ALTER TABLE live ADD COLUMN lonely_deaths INTEGER;
  ALTER TABLE live ADD COLUMN alone INTEGER;
  `,
  // First tries and retries of a pair are lanes of their own (D-21), told apart by their attempts; far rows are first tries.
  `
  DROP INDEX live_due;
  CREATE INDEX live_due ON live (next_at, seq, lane, attempts) WHERE started_at IS NULL;
  DROP INDEX live_lane;
  CREATE INDEX live_lane ON live (lane, (attempts > 0), next_at, seq) WHERE started_at IS NULL;
  `,
  // A start is a row of its own, so that a mark is one insert and leaves the live row and its indexes alone; `live.attempts`
  // counts the attempts that are over. The last attempt of a finished webhook lies in its row of `done` (./attempt-codec.ts).
  `
  CREATE TABLE started (
    seq INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, token TEXT NOT NULL, started_at INTEGER NOT NULL, alone INTEGER
  ) STRICT;
  INSERT INTO started SELECT seq, attempts, token, started_at, alone FROM live WHERE started_at IS NOT NULL;
  UPDATE live SET attempts = attempts - 1 WHERE started_at IS NOT NULL;
  DROP INDEX live_started;
  DROP INDEX live_due;
  DROP INDEX live_lane;
  DROP INDEX live_expiry;
  ALTER TABLE live DROP COLUMN started_at;
  ALTER TABLE live DROP COLUMN token;
  ALTER TABLE live DROP COLUMN alone;
  CREATE INDEX live_due ON live (next_at, seq, lane, attempts);
  CREATE INDEX live_lane ON live (lane, (attempts > 0), next_at, seq);
  CREATE INDEX live_expiry ON live (expires_at, seq) WHERE expires_at IS NOT NULL;
  ALTER TABLE done ADD COLUMN attempt BLOB;
  `,
  // Hosts under one guard (D-13). Nothing else names a group: which one a host is in follows from its members.
  `
  CREATE TABLE domain_groups (
    name TEXT PRIMARY KEY, set_by TEXT NOT NULL, set_at INTEGER NOT NULL, version INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE domain_group_members (member TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  // What guards have kept in the store, over the soonest: a receiver that was closed once must not leave a row for ever.
  `
  CREATE INDEX limits_until ON limits (coalesce(value, 0)) WHERE kind IN ('closed-until', 'breaker-until');
  `,
]
export const SCHEMA_VERSION = MIGRATIONS.length

/** Refuses, before anything is changed, a file that is not ours or of a later release. Throws StoreError `corrupt`, `version`. */
export const checkOwner = (db: Connection): void => {
  const version = versionOf(db)
  const owner = Number(db.pragma('application_id', { simple: true }))
  if (owner !== APPLICATION_ID && (owner !== 0 || version !== 0 || hasTables(db)))
    throw new StoreError('corrupt', `${db.name} is not a HookPulse store (application id ${owner})`)
  if (version > SCHEMA_VERSION)
    throw new StoreError('version', `${db.name} has schema ${version}, this release knows ${SCHEMA_VERSION}`)
}
/** Brings the file to this version, each step in one transaction. Throws StoreError. */
export const migrate = (db: Connection): void => {
  guarded(db.name, () => {
    const version = versionOf(db)
    for (const [index, sql] of MIGRATIONS.entries()) if (index >= version) step(db, sql, index + 1)
  })
}

/**
 * For who may not change a file of an earlier release, but reads it (a backup before its restore, a stopped daemon's store): views
 * of this connection alone, which show what the checks read as this release has it.
 */
export const showAsNow = (db: Connection): void => {
  if (versionOf(db) >= STARTS_APART) return
  db.pragma('temp_store = MEMORY')
  db.exec(`
    CREATE TEMP VIEW IF NOT EXISTS started AS
      SELECT seq, attempts AS attempt, token, started_at FROM main.live WHERE started_at IS NOT NULL;
    CREATE TEMP VIEW IF NOT EXISTS live AS
      SELECT seq, id, lane, next_at, attempts - (started_at IS NOT NULL) AS attempts FROM main.live;
    CREATE TEMP VIEW IF NOT EXISTS done AS SELECT *, NULL AS attempt FROM main.done;
  `)
}
/** The schema in which starts came to lie in rows of their own, and last attempts in `done`. */
const STARTS_APART = 5

const versionOf = (db: Connection): number => Number(db.pragma('user_version', { simple: true }))
const step = (db: Connection, sql: string, version: number): void => {
  db.transaction(() => {
    db.exec(sql)
    db.pragma(`application_id = ${APPLICATION_ID}`)
    db.pragma(`user_version = ${version}`)
  }).immediate()
}
const hasTables = (db: Connection): boolean => db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() !== undefined
