import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { spawnDaemon } from '#test/support/daemon.ts'
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
