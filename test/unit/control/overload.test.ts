import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OVERLOAD_STORE_WAIT_MS } from '#config/limits.ts'
import type { Event } from '#telemetry/events.ts'
import { type ControlClient, connectControl, RpcError, type RpcErrorData } from '#test/support/control-client.ts'
import { ControlStage } from '#test/support/control-stage.ts'

const LATER = { url: 'http://10.1.2.3/hook', delayMs: 3_600_000 }

/** Writes of the store stand until they are let go. */
class Gates {
  readonly #held: (() => void)[] = []
  shut = false
  pass(): Promise<void> | undefined {
    if (!this.shut) return undefined
    return new Promise((resolve) => this.#held.push(resolve))
  }
  open(): void {
    this.shut = false
    for (const resolve of this.#held.splice(0)) resolve()
  }
}

describe('a daemon that has more to do than it can', () => {
  let stage: ControlStage
  let client: ControlClient
  const gates = new Gates()
  const changes: string[] = []
  let woken: () => void = () => undefined

  beforeEach(async () => {
    gates.shut = false
    changes.length = 0
    stage = await ControlStage.start({
      faults: { beforeWrite: (group) => (group[0]?.type === 'append' ? gates.pass() : undefined) },
    })
    stage.events.on(['overload.changed'], (event: Extract<Event, { type: 'overload.changed' }>) => {
      changes.push(`${event.level}: ${event.cause}`)
      woken()
    })
    client = await connectControl(stage.url, stage.adminKey)
  })
  afterEach(async () => {
    gates.open()
    await client.close()
    await stage.stop()
  })

  /** Resolves when the level is this one. */
  const level = async (wanted: string): Promise<void> => {
    while (!changes.at(-1)?.startsWith(`${wanted}:`)) await new Promise<void>((resolve) => (woken = resolve))
  }
  const failure = async (asked: Promise<unknown>): Promise<RpcErrorData | null> => {
    try {
      await asked
      return null
    } catch (error) {
      if (error instanceof RpcError) return error.data ?? null
      throw error
    }
  }

  it('sheds by the event loop: streams, then lists, then new schedules; cancels, reads, limits and health never', async () => {
    const { id } = await client.schedule(LATER)
    const subscribed = await client.call('subscribe', { topics: ['webhooks', 'backpressure', 'monitor'] })
    expect(subscribed).toEqual({ subscription: 'sub_1' })
    stage.world.load.loopDelayMs = 100
    await level('streams')
    expect(await failure(client.call('listWebhooks'))).toBeNull()

    stage.world.load.loopDelayMs = 400
    await level('lists')
    expect(await failure(client.call('listWebhooks'))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining('the event loop is 400 ms late'),
      retryAfterMs: expect.any(Number),
    })
    expect(await failure(client.call('subscribe', { topics: ['webhooks'] }))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    })
    expect(await failure(client.schedule(LATER))).toBeNull()

    stage.world.load.loopDelayMs = 800
    await level('schedules')
    for (const refused of [
      client.schedule(LATER),
      client.scheduleAll([LATER]),
      client.scheduleAll(Array.from({ length: 400 }, () => ({ ...LATER, body: 'x'.repeat(50) }))),
    ])
      expect(await failure(refused)).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        message:
          'new webhooks are refused for now: the event loop is 800 ms late; nothing was done, try again after retryAfterMs',
        retryAfterMs: expect.any(Number),
      })
    expect(await client.call('getWebhook', { id })).toMatchObject({ state: 'scheduled' })
    expect(await client.call('configureBrandConcurrencyLimit', { limit: 5 })).toMatchObject({
      concurrency: { value: 5 },
    })
    expect(await client.call('getInfo')).toMatchObject({
      overload: { level: 'schedules', cause: 'the event loop is 800 ms late' },
    })
    expect(await client.monitor()).toMatchObject({ overload: { level: 'schedules' } })
    expect(await client.call('cancelWebhook', { id })).toEqual({ outcome: 'cancelled' })
    expect((await fetch(`${stage.url}/healthz`)).status).toBe(200)

    stage.world.load.loopDelayMs = 0
    await level('none')
    expect(changes.map((change) => change.split(':')[0])).toEqual([
      'streams',
      'lists',
      'schedules',
      'lists',
      'streams',
      'none',
    ])
    const { id: after } = await client.schedule(LATER)
    await client.call('cancelWebhook', { id: after })
    const metrics = await (await fetch(`${stage.url}/metrics`)).text()
    expect(metrics).toContain('hookpulse_overload_level 0')
    expect(metrics).toContain('hookpulse_shed_total{what="lists"} 2')
    expect(metrics).toContain('hookpulse_shed_total{what="schedules"} 3')
  })

  it('leaves events of webhooks out with the mark of a gap, and tells what it sheds', async () => {
    await client.call('subscribe', { topics: ['webhooks', 'backpressure'] })
    const events = (): readonly { topic: string; gap?: true; data: { type: string; id?: string } }[] =>
      client.notifications as never
    const cancelled = async (): Promise<string> => {
      const { id } = await client.schedule({ url: 'http://10.1.2.3/hook' })
      await new Promise<void>((resolve) => {
        const off = stage.events.on(['webhook.finished'], (event: Extract<Event, { type: 'webhook.finished' }>) => {
          if (event.id !== id) return
          off()
          resolve()
        })
      })
      return id
    }
    const told = await cancelled()
    stage.world.load.loopDelayMs = 100
    await level('streams')
    await cancelled()
    await cancelled()
    stage.world.load.loopDelayMs = 0
    await level('none')
    const again = await cancelled()
    await expect.poll(() => events().filter(({ topic }) => topic === 'webhooks').length).toBe(2)
    expect(events().filter(({ topic }) => topic === 'webhooks')).toMatchObject([
      { data: { type: 'webhook.finished', id: told } },
      { data: { type: 'webhook.finished', id: again }, gap: true },
    ])
    expect(events()[0]).not.toHaveProperty('gap')
    expect(events().filter(({ data }) => data.type === 'overload.changed')).toMatchObject([
      { topic: 'backpressure', data: { level: 'streams', from: 'none', cause: 'the event loop is 100 ms late' } },
      { topic: 'backpressure', data: { level: 'none', from: 'streams' } },
    ])
  })

  it('sheds by a commit that hangs, and answers what was let in when it returns', async () => {
    await client.schedule(LATER)
    gates.shut = true
    const waiting = client.schedule(LATER)
    await level('schedules')
    expect(changes.at(-1)).toMatch(/^schedules: a commit of the store takes \d+ ms$/)
    expect(await failure(client.schedule(LATER))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
    gates.open()
    expect(await waiting).toMatchObject({ state: 'scheduled' })
    await level('none')
    expect(await client.schedule(LATER)).toMatchObject({ state: 'scheduled' })
  })

  it('refuses what would wait too long before the level has risen, and says how long', async () => {
    // Commits of a second: three of them ahead are more than anybody should wait.
    gates.shut = true
    const first = client.schedule(LATER)
    await new Promise<void>((resolve) => stage.world.setTimer(OVERLOAD_STORE_WAIT_MS / 2, resolve))
    gates.open()
    await first
    gates.shut = true
    const others = await Promise.all(Array.from({ length: 12 }, () => connectControl(stage.url, stage.adminKey)))
    const asked = others.map((other) =>
      other.scheduleAll(Array.from({ length: 250 }, () => LATER)).then(
        () => 'stored',
        (error: unknown) => (error instanceof RpcError ? (error.data ?? null) : null),
      ),
    )
    const refused = await Promise.race(asked)
    expect(refused).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringMatching(
        /^new webhooks are refused for now: they would wait \d+ ms for the store, at most 2000 ms are allowed/,
      ),
    })
    gates.open()
    const ends = await Promise.all(asked)
    expect(ends.filter((end) => end === 'stored').length).toBeGreaterThanOrEqual(2)
    const hints = ends.flatMap((end) => (typeof end === 'object' && end !== null ? [end.retryAfterMs ?? 0] : []))
    expect(Math.min(...hints)).toBeGreaterThanOrEqual(OVERLOAD_STORE_WAIT_MS)
    for (const other of others) await other.close()
  })
})
