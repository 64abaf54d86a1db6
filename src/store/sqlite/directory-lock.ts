/**
 * One daemon per data directory. `BEGIN EXCLUSIVE` on a database of its own, held by the main thread from boot: a dying store
 * thread does not free it, the death of the process does.
 */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { StoreError } from '#store/store.ts'
import { guarded, storeErrorOf } from './connection.ts'
import { dataFiles } from './data-files.ts'
import { makeDirectory, withFileErrors } from './file-errors.ts'

export interface DirectoryLock {
  /** The directory's real path. */
  readonly dir: string
  release(): void
}

/** Makes the directory if it is missing. Throws StoreError: `locked`, which names the pid of the holder; `invalid`, `full`. */
export const lockDirectory = (path: string): DirectoryLock => {
  makeDirectory(path)
  const dir = realpathSync(path)
  const files = dataFiles(dir)
  const db = guarded(`${dir} cannot be locked`, () => new Database(files.lock, { timeout: 0 }))
  try {
    db.exec('BEGIN EXCLUSIVE')
    withFileErrors(`${files.holder} cannot be written`, () =>
      writeFileSync(files.holder, `${JSON.stringify({ pid: process.pid })}\n`, { mode: 0o600 }),
    )
  } catch (error) {
    db.close()
    const failure = storeErrorOf(error, files.lock)
    if (failure.code !== 'busy') throw failure
    throw new StoreError('locked', `${dir} is in use by ${holderOf(files.holder)}: stop it, or choose another --data`)
  }
  held.add(db)
  const release = (): void => {
    held.delete(db)
    db.close()
  }
  return { dir, release }
}
/** A connection that nobody refers to is closed when memory is tidied up, and the lock would go with it. */
const held = new Set<Database.Database>()

const holderOf = (file: string): string => {
  try {
    const holder: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof holder === 'object' && holder !== null && 'pid' in holder) return `process ${Number(holder.pid)}`
    return 'another process'
  } catch {
    return 'another process'
  }
}
