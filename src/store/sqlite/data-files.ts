/**
 * What lies in the data directory. Nothing in the process opens a `.db` file but through SQLite: closing any other descriptor
 * of it would drop SQLite's POSIX locks (https://sqlite.org/howtocorrupt.html, 2.2).
 */
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '#store/store.ts'

export interface DataFiles {
  readonly database: string
  readonly wal: string
  /** Says that the database was once made: an empty or missing one is then a loss, not a first start. */
  readonly made: string
  /** There while the store is open: a missing `-wal` beside it is a loss (D-26). */
  readonly opened: string
  readonly lock: string
  readonly holder: string
}
export const dataFiles = (dir: string): DataFiles => ({
  database: join(dir, 'hookpulse.db'),
  wal: join(dir, 'hookpulse.db-wal'),
  made: join(dir, 'store.json'),
  opened: join(dir, 'store.open'),
  lock: join(dir, 'lock.db'),
  holder: join(dir, 'holder.json'),
})

/** Throws StoreError `corrupt` where a file that was there is gone. Touches nothing. */
export const checkFiles = (files: DataFiles): void => {
  if (existsSync(files.made) && sizeOf(files.database) === 0)
    throw new StoreError('corrupt', `${files.database} is missing or empty, but ${files.made} says that it was made`)
  if (existsSync(files.opened) && !existsSync(files.wal))
    throw new StoreError('corrupt', `${files.wal} is missing, but ${files.opened} says that the store was not closed`)
}

/** Call when the database holds something and its `-wal` exists. */
export const markOpened = (files: DataFiles): void => {
  if (!existsSync(files.made)) writeFileSync(files.made, '{"store":"hookpulse"}\n', { flush: true })
  writeFileSync(files.opened, '', { flush: true })
}
/**
 * The last connection to close empties and removes the `-wal`, and so does a thread that ends, and an opening that fails: it is not missing then,
 * whatever becomes of the process in the moment after. Call before any of them, and before the first connection is opened.
 */
export const markClosed = (files: DataFiles): void => rmSync(files.opened, { force: true })

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0
