/** Backups: a compact copy of one instant, made while the daemon runs, checked before it is called a backup; and back again. */
import { closeSync, copyFileSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { StoreError } from '#store/store.ts'
import { problemsOf } from './checking.ts'
import { type Connection, guarded, openConnection } from './connection.ts'
import { dataFiles } from './data-files.ts'
import { lockDirectory } from './directory-lock.ts'
import { checkOwner } from './schema.ts'

/** Throws StoreError: `invalid` if the file exists, `corrupt` if the copy does not stand its check (it is removed then). */
export const backUp = (db: Connection, to: string): { readonly bytes: number } => {
  if (existsSync(to)) throw new StoreError('invalid', `${to} exists already: a backup never overwrites`)
  guarded(to, () => db.prepare('VACUUM INTO ?').run(to))
  try {
    checkBackup(to)
  } catch (error) {
    rmSync(to, { force: true })
    throw error
  }
  sync(to)
  sync(dirname(to))
  return { bytes: statSync(to).size }
}

/** Throws StoreError `corrupt` or `version` unless the file is a whole store that this release can open. */
export const checkBackup = (file: string): void => {
  guarded(file, () => {
    const copy = new Database(file, { readonly: true, fileMustExist: true })
    try {
      checkOwner(copy)
      const [problem] = problemsOf(copy)
      if (problem !== undefined) throw new StoreError('corrupt', `${file}: ${problem}`)
    } finally {
      copy.close()
    }
  })
}

/** Makes the data directory of a backup. Throws StoreError: `locked`, `invalid` if it holds a store already, `corrupt`. */
export const restore = (from: string, to: string): void => {
  checkBackup(from)
  const lock = lockDirectory(to)
  try {
    const files = dataFiles(lock.dir)
    if (existsSync(files.database) || existsSync(files.made))
      throw new StoreError('invalid', `${lock.dir} holds a store already: restore into an empty directory`)
    const half = `${files.database}.restoring`
    copyFileSync(from, half)
    sync(half)
    renameSync(half, files.database)
    sync(lock.dir)
  } finally {
    lock.release()
  }
}

/** Checks the store of a stopped daemon. Throws StoreError if it cannot be opened; `locked` while a daemon runs. */
export const checkDirectory = (dir: string): readonly string[] => {
  const lock = lockDirectory(dir)
  try {
    const db = openConnection(dataFiles(lock.dir).database, 8_192, checkOwner)
    try {
      return guarded(db.name, () => problemsOf(db))
    } finally {
      db.close()
    }
  } finally {
    lock.release()
  }
}

const sync = (path: string): void => {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
