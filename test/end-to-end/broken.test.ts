import { describe, expect, it } from 'vitest'
import { freshDataDirectory, spawnDaemon } from '#test/support/daemon.ts'
import { openStage } from './stage.ts'

const BROKEN = { code: 70, signal: null }

describe('what no restart inside the daemon cures ends it, with exit 70 and the reason', () => {
  it('SUPV-01: the end of root: a child that dies more often than root bears', async () => {
    const stage = await openStage()
    for (let kill = 0; kill < 7; kill++) {
      await stage.client.call('killProcess', { name: 'telemetry' }).catch((error: unknown) => error)
    }
    expect(await stage.daemon.ended).toEqual(BROKEN)
    expect(stage.daemon.output()).toContain('the root supervisor ended: shutdown; root gave up on telemetry')
  })

  it.each([
    ['a signal handler', 'main.signalled:throw', 'an error outside every actor: Error: failpoint main.signalled'],
    [
      'a callback of a socket',
      'control.received:throw',
      'an error outside every actor: Error: failpoint control.received',
    ],
    ['a timer', 'world.timer:throw:60', 'an error outside every actor: Error: failpoint world.timer'],
    [
      'the messages of a thread',
      'carrier.reported:throw',
      'an error outside every actor: Error: failpoint carrier.reported',
    ],
    [
      'nobody: a promise',
      'dispatch-pool.reported:reject',
      'a rejection outside every actor: Error: failpoint dispatch-pool',
    ],
  ])(
    'PROC-06: an error in %s, outside every actor: a report, and never half-alive (%s)',
    async (_where, armed, says) => {
      const stage = await openStage({}, { env: { HOOKPULSE_FAILPOINTS: armed } })
      void stage.schedule(1).catch((error: unknown) => error)
      if (armed.startsWith('main')) stage.daemon.signal('SIGTERM')
      expect(await stage.daemon.ended).toEqual(BROKEN)
      expect(stage.daemon.output()).toContain(says)
    },
  )

  it.each(['dispatch-pool.reported', 'execution.ended', 'retry.decided', 'control.decoded'])(
    'PROC-06: an error in an actor (%s) is its supervisor’s to cure: all is delivered, by the same process',
    async (point) => {
      const stage = await openStage({ status: 503 }, { env: { HOOKPULSE_FAILPOINTS: `${point}:throw:3` } })
      await stage.schedule(5)
      await stage.receiver.until({ arrivals: 3 })
      await stage.receiver.behave({ status: 200 })
      for (let asked = 0; asked < 4; asked++) await stage.client.monitor().catch(() => stage.reconnect())
      await expect.poll(async () => (await stage.client.monitor()).totals.delivered).toBe(5)
      expect(stage.daemon.output()).toContain(`failpoint ${point}`)
      expect(stage.daemon.output()).not.toContain('outside every actor')
      expect((await stage.judge({ inDoubt: 10, concurrency: 10 })).missing).toEqual([])
    },
  )

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
