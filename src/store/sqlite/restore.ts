/** What is done while no daemon runs: a backup becomes a data directory again, and a data directory is looked through. */
import { chmodSync, copyFileSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import Database from 'better-sqlite3'
import { type StoredKey, StoreError } from '#store/store.ts'
import { checkBackup, sidesOf, sync } from './backup.ts'
import { problemsOf } from './checking.ts'
import { guarded } from './connection.ts'
import { checkFiles, type DataFiles, dataFiles } from './data-files.ts'
import { lockDirectory } from './directory-lock.ts'
import { withFileErrors } from './file-errors.ts'
import { checkOwner } from './schema.ts'
import { Settings } from './settings.ts'

export interface Restored {
  /** The directory's real path. */
  readonly dir: string
  readonly webhooks: number
  /** Where the store that was there has gone; null if there was none. */
  readonly replaced: string | null
}

/**
 * Makes the data directory of a backup; with `replace` what was there is moved aside, never removed. The copy is checked before
 * and after. Cut short at any moment it leaves the old store, the new one, or what a start refuses by name.
 * Throws StoreError: `locked`, `invalid`, `full`, `corrupt`, `version`.
 */
export const restore = (from: string, to: string, replace = false): Restored => {
  checkSource(from)
  checkBackup(from)
  const lock = lockDirectory(to)
  try {
    const files = dataFiles(lock.dir)
    const isThere = existsSync(files.database) || existsSync(files.made)
    if (isThere && !replace)
      throw new StoreError(
        'invalid',
        `${lock.dir} holds a store already: restore into another directory, or move it aside with --replace`,
      )
    const half = `${files.database}.restoring`
    const webhooks = copied(from, half)
    const replaced = isThere ? moveAside(files, lock.dir) : null
    renameSync(half, files.database)
    sync(lock.dir)
    return { dir: lock.dir, webhooks, replaced }
  } finally {
    lock.release()
  }
}

export interface Checked {
  readonly dir: string
  readonly webhooks: number
  /** One line each; empty is good. */
  readonly problems: readonly string[]
}
/**
 * Looks through the store of a stopped or killed daemon without changing it. Throws StoreError if it cannot be opened: `locked`
 * while a daemon runs, `invalid` where there is none, `corrupt`, `version`.
 */
export const checkDirectory = (path: string): Checked => {
  if (!existsSync(join(path, basename(dataFiles(path).database))) && !existsSync(dataFiles(path).made))
    throw new StoreError('invalid', `there is no store in ${path}`)
  const lock = lockDirectory(path)
  try {
    const files = dataFiles(lock.dir)
    checkFiles(files)
    return guarded(files.database, () => {
      const db = new Database(files.database, { readonly: true, fileMustExist: true })
      try {
        checkOwner(db)
        const problems = problemsOf(db)
        const webhooks = problems.length > 0 ? 0 : Number(db.prepare('SELECT count(*) FROM webhooks').pluck().get())
        return { dir: lock.dir, webhooks, problems }
      } finally {
        db.close()
      }
    })
  } finally {
    lock.release()
  }
}

/** The API keys of a stopped daemon's store. */
export const keysOf = (dir: string): readonly StoredKey[] => {
  const lock = lockDirectory(dir)
  try {
    const { database } = dataFiles(lock.dir)
    return guarded(database, () => {
      const db = new Database(database, { readonly: true, fileMustExist: true })
      try {
        return new Settings(db).keys()
      } finally {
        db.close()
      }
    })
  } finally {
    lock.release()
  }
}

const checkSource = (from: string): void => {
  const found = withFileErrors(`${from} cannot be read`, () => statSync(from))
  if (!found.isFile()) throw new StoreError('invalid', `${from} is not a file: name the file that the backup made`)
  const [side] = sidesOf(from)
  if (side !== undefined)
    throw new StoreError('invalid', `${from} is the file of a store that was not closed (${side}), not a backup`)
}

/** The number of webhooks in it. What is left of a copy that was cut short is ours to overwrite. */
const copied = (from: string, half: string): number => {
  try {
    withFileErrors(`${half} cannot be written`, () => {
      copyFileSync(from, half)
      chmodSync(half, 0o600)
      sync(half)
    })
    return checkBackup(half)
  } catch (error) {
    rmSync(half, { force: true })
    throw error
  }
}

/**
 * The order is the point: from the first move on a start finds that the database is gone (store.json stays) and refuses. The
 * word that the store was open goes last, after its -wal.
 */
const moveAside = (files: DataFiles, dir: string): string => {
  let n = 1
  while (existsSync(join(dir, `replaced-${n}`))) n += 1
  const aside = join(dir, `replaced-${n}`)
  withFileErrors(`${aside} cannot be made`, () => mkdirSync(aside, { mode: 0o700 }))
  if (existsSync(files.made)) copyFileSync(files.made, join(aside, basename(files.made)))
  for (const file of [files.database, files.wal, `${files.database}-shm`, files.opened])
    if (existsSync(file)) renameSync(file, join(aside, basename(file)))
  sync(aside)
  return aside
}
