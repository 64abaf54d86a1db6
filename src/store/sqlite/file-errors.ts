/** What the file system refuses, in words for the person who chose the path; and directories made without its traps. */
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { StoreError } from '#store/store.ts'

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  EEXIST: 'it exists already',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the quota is used up',
  ENAMETOOLONG: 'the name is too long',
}

/** `what`: the beginning of the sentence, like `/backup/b.db cannot be written`. What is no answer of the system is thrown on. */
export const fileError = (what: string, error: unknown): StoreError => {
  if (error instanceof StoreError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : null
  if (code === null) throw error
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  return new StoreError(isFull ? 'full' : 'invalid', `${what}: ${WORDS[code] ?? code}`)
}

/** Runs `body`; what the system answers comes out as a StoreError (`full`, `invalid`) that begins with `what`. */
export const withFileErrors = <T>(what: string, body: () => T): T => {
  try {
    return body()
  } catch (error) {
    throw fileError(what, error)
  }
}

/**
 * Makes what is missing of a path, for its owner alone, one directory after the other: `mkdirSync` with `recursive` never
 * returns where the system answers ENOENT for a directory that cannot be made, as /proc does. Throws StoreError `invalid`, `full`.
 */
export const makeDirectory = (path: string): void =>
  withFileErrors(`${path} cannot be made`, () => {
    const missing: string[] = []
    for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at)
    for (const directory of missing) makeOne(directory)
    if (!statSync(path).isDirectory()) throw new StoreError('invalid', `${path} is not a directory`)
  })

const makeOne = (directory: string): void => {
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if (!existsSync(directory)) throw error
  }
}
