import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockDirectory } from '#store/sqlite/directory-lock.ts'

describe('the lock of a data directory', () => {
  let dir = ''
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hookpulse-lock-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))
  const holder = () => fork(join(import.meta.dirname, 'lock-child.ts'), [dir])

  it('is refused to a second process, names the first, and is free at its death', async () => {
    const child = holder()
    await once(child, 'message')
    expect(() => lockDirectory(dir)).toThrow(`is in use by process ${child.pid}`)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const lock = lockDirectory(dir)
    expect(JSON.parse(readFileSync(join(dir, 'holder.json'), 'utf8'))).toEqual({ pid: process.pid })
    lock.release()
  })
  it('holds within one process too, and by the real path', () => {
    const lock = lockDirectory(dir)
    const link = `${dir}-link`
    symlinkSync(dir, link)
    expect(() => lockDirectory(link)).toThrow('is in use')
    lock.release()
    lockDirectory(link).release()
    rmSync(link)
  })
  it('makes the directory, for its owner only', () => {
    const lock = lockDirectory(join(dir, 'a', 'b'))
    expect(lock.dir.endsWith(join('a', 'b'))).toBe(true)
    lock.release()
  })
})
