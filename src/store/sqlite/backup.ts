/**
 * Backups: a copy of one instant, made page by page while the daemon runs (https://sqlite.org/backup.html), checked before it
 * is called a backup. The copy reads one snapshot, so what is written meanwhile is not in it, and the WAL grows until it is done.
 */
import { chmodSync, closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, isAbsolute, resolve, sep } from 'node:path'
import Database from 'better-sqlite3'
import { type BackedUp, StoreError } from '#store/store.ts'
import { problemsOf } from './checking.ts'
import { guarded } from './connection.ts'
import { withFileErrors } from './file-errors.ts'
import { checkOwner } from './schema.ts'

/** 4 MiB: a step of some milliseconds. */
const PAGES_PER_STEP = 1_024

/** The name under which a copy is made: what was cut short is never taken for a backup. */
export const unfinished = (to: string): string => `${to}.unfinished`
/** Where a copy that does not stand its check is kept for whoever must save what can be saved. */
const damaged = (to: string): string => `${to}.damaged`

/**
 * Copies the store `database` to the new file `to` (absolute, outside the data directory; mode 0600). Rejects with nothing but
 * bugs: every other failure is the answer.
 */
export const backUp = async (database: string, to: string): Promise<BackedUp> => {
  try {
    checkTarget(database, to)
    withFileErrors(`${unfinished(to)} cannot be made`, () => closeSync(openSync(unfinished(to), 'wx', 0o600)))
  } catch (error) {
    return refusal(to, error)
  }
  try {
    await copyPages(database, unfinished(to))
    const webhooks = finish(unfinished(to))
    return { ok: true, bytes: takeName(to), webhooks }
  } catch (error) {
    const answer = refusal(to, error)
    if (answer.why !== 'damaged') rmSync(unfinished(to), { force: true })
    else if (existsSync(unfinished(to))) renameSync(unfinished(to), damaged(to))
    return answer
  }
}

/** Throws StoreError `corrupt` or `version` unless the file is a whole store that this release can open; the webhooks in it. */
export const checkBackup = (file: string): number =>
  guarded(file, () => {
    const copy = new Database(file, { readonly: true, fileMustExist: true })
    try {
      return checkCopy(copy)
    } finally {
      copy.close()
    }
  })

/** What of a store lies beside its main file: a copy of the main file alone would leave it behind. */
export const sidesOf = (file: string): readonly string[] =>
  [`${file}-wal`, `${file}-journal`].filter((side) => (statSync(side, { throwIfNoEntry: false })?.size ?? 0) > 0)

/** So that it survives a power cut: a file, or a directory's names. */
export const sync = (path: string): void => {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const checkTarget = (database: string, to: string): void => {
  if (!isAbsolute(to) || to.includes('\0'))
    throw new StoreError('invalid', `${JSON.stringify(to)} is not an absolute path`)
  const found = statSync(to, { throwIfNoEntry: false })
  if (found?.isDirectory() === true) throw new StoreError('invalid', `${to} is a directory: name a file in it`)
  if (found !== undefined) throw new StoreError('invalid', `${to} exists already: a backup never overwrites`)
  const data = dirname(database)
  if (resolve(to).startsWith(data + sep))
    throw new StoreError('invalid', `${to} is in the data directory ${data}, with which it would be lost`)
  if (existsSync(unfinished(to)))
    throw new StoreError(
      'invalid',
      `${unfinished(to)} exists: another backup is being made there, or was cut short; remove it, or name another file`,
    )
}

/** A snapshot held by the reading connection: without it SQLite would begin anew at each commit of another one. */
const copyPages = async (database: string, to: string): Promise<void> => {
  const source = guarded(database, () => new Database(database, { readonly: true, fileMustExist: true }))
  try {
    guarded(database, () => {
      source.exec('BEGIN')
      source.prepare('SELECT count(*) FROM sqlite_schema').get()
    })
    await source
      .backup(to, { progress: () => PAGES_PER_STEP })
      .catch((error: unknown) => guarded(to, () => thrown(error)))
  } finally {
    source.close()
  }
}
const thrown = (error: unknown): never => {
  throw error
}

/** Makes a file that stands alone of it: no -wal beside it is needed, so it can be read where nothing may be written. */
const finish = (file: string): number =>
  guarded(file, () => {
    const copy = new Database(file, { fileMustExist: true })
    try {
      copy.pragma('journal_mode = DELETE')
      return checkCopy(copy)
    } finally {
      copy.close()
    }
  })

const checkCopy = (copy: Database.Database): number => {
  checkOwner(copy)
  const [problem] = problemsOf(copy)
  if (problem !== undefined)
    throw new StoreError('corrupt', problem.startsWith(copy.name) ? problem : `${copy.name}: ${problem}`)
  return Number(copy.prepare('SELECT count(*) FROM webhooks').pluck().get())
}

/** A link never overwrites, where a rename would; both at once whole or not there. */
const takeName = (to: string): number =>
  withFileErrors(`${to} cannot be made`, () => {
    const half = unfinished(to)
    chmodSync(half, 0o600)
    sync(half)
    try {
      linkSync(half, to)
      rmSync(half)
    } catch (error) {
      // File systems without links.
      if (existsSync(to)) throw error
      renameSync(half, to)
    }
    sync(dirname(to))
    return statSync(to).size
  })

const refusal = (to: string, error: unknown): Extract<BackedUp, { ok: false }> => {
  if (!(error instanceof StoreError)) throw error
  const why = error.code === 'full' ? 'full' : error.code === 'invalid' ? 'path' : 'damaged'
  return {
    ok: false,
    why,
    detail: why === 'damaged' ? `${error.message}; the copy is kept as ${damaged(to)}` : error.message,
  }
}
