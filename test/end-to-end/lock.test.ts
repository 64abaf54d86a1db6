import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { freshDataDirectory, removeDirectory, spawnDaemon } from '#test/support/daemon.ts'
import { openStage } from './stage.ts'

describe('the data directory', () => {
  it('belongs to one daemon: a second one exits at once and names the holder', async () => {
    const stage = await openStage()
    const second = spawnDaemon(stage.daemon.data)
    const startMono = performance.now()
    const { code } = await second.ended
    expect(performance.now() - startMono).toBeLessThan(5_000)
    expect(code).toBeGreaterThan(0)
    expect(second.output()).toContain(String(stage.daemon.pid))
    expect(second.output()).toContain(stage.daemon.data)
    await stage.schedule(1)
    await stage.receiver.until({ distinct: 1 })
  })

  it('is free again after a kill -9', async () => {
    const stage = await openStage()
    await stage.daemon.kill('SIGKILL')
    await stage.restart()
    await stage.schedule(1)
    await stage.receiver.until({ distinct: 1 })
  })

  it('STOR-08: whose database is garbage is refused: exit 70 with the name of the file, which stays as it was', async () => {
    const stage = await openStage()
    await stage.daemon.kill('SIGTERM')
    const file = join(stage.daemon.data, 'hookpulse.db')
    const garbage = Buffer.from('not a database, and longer than a header of one hundred bytes'.repeat(4))
    writeFileSync(file, garbage)
    const refused = spawnDaemon(stage.daemon.data)
    expect(await refused.ended).toEqual({ code: 70, signal: null })
    expect(refused.output()).toContain(file)
    expect(readFileSync(file).equals(garbage)).toBe(true)
  })

  it('STOR-12: an SQLite that may lose commits is refused at boot: exit 70 with its version and the one that is needed, before anything is written', async () => {
    const data = freshDataDirectory()
    onTestFinished(() => removeDirectory(data))
    const refused = spawnDaemon(data, { execArgv: ['--import', import.meta.resolve('#test/support/old-sqlite.ts')] })
    expect(await refused.ended).toEqual({ code: 70, signal: null })
    expect(refused.output()).toContain('SQLite 3.51.2 may lose commits in WAL mode: 3.51.3 or later is needed')
    const file = join(data, 'hookpulse.db')
    expect(existsSync(file) ? statSync(file).size : 0).toBe(0)
  })

  it('keeps the admin key for its owner alone, and the same one over restarts', async () => {
    const stage = await openStage()
    const { key, data } = stage.daemon
    expect(key).toMatch(/^hp_admin_/)
    expect(statSync(join(data, 'admin.key')).mode & 0o777).toBe(0o600)
    await stage.daemon.kill('SIGTERM')
    await stage.restart()
    expect(stage.daemon.key).toBe(key)
  })
})
