import { describe, expect, it } from 'vitest'
import { freshDataDirectory, spawnDaemon } from '#test/support/daemon.ts'
import { openStage } from './stage.ts'

const BROKEN = { code: 70, signal: null }

describe('what no restart inside the daemon cures ends it, with exit 70 and the reason', () => {
  it('the end of root: a child that dies more often than root bears', async () => {
    const stage = await openStage()
    for (let kill = 0; kill < 7; kill++) {
      await stage.client.call('killProcess', { name: 'telemetry' }).catch((error: unknown) => error)
    }
    expect(await stage.daemon.ended).toEqual(BROKEN)
    expect(stage.daemon.output()).toContain('the root supervisor ended: shutdown; root gave up on telemetry')
  })

  it('an error outside every actor: a report, and never half-alive', async () => {
    const stage = await openStage({}, { env: { HOOKPULSE_FAILPOINTS: 'main.signalled:throw' } })
    stage.daemon.signal('SIGTERM')
    expect(await stage.daemon.ended).toEqual(BROKEN)
    expect(stage.daemon.output()).toContain('an error outside every actor: Error: failpoint main.signalled')
  })

  it('a port that is taken: one line that says so, and the cure', async () => {
    const stage = await openStage()
    const { port } = new URL(stage.daemon.url)
    const second = spawnDaemon(freshDataDirectory(), { args: ['--port', port] })
    expect(await second.ended).toEqual(BROKEN)
    expect(second.output()).toContain(`127.0.0.1:${port} is taken: stop what listens there, or choose another --port`)
  })

  it('nobody ends root from outside', async () => {
    const stage = await openStage()
    const { pid } = await stage.client.tree()
    await expect(stage.client.call('killProcess', { name: 'root' })).rejects.toMatchObject({
      data: { code: 'FORBIDDEN', field: 'name' },
    })
    await expect(stage.client.call('killProcess', { pid })).rejects.toMatchObject({
      data: { code: 'FORBIDDEN', field: 'pid' },
    })
    expect((await stage.client.tree()).name).toBe('root')
  })
})
