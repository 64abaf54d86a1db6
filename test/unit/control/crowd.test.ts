/** More domains with due work than guards may live: what the control channel and the command line show of those that wait for a place. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { runCommand } from '#cli/run-command.ts'
import { type ControlClient, connectControl } from '#test/support/control-client.ts'
import { ControlStage } from '#test/support/control-stage.ts'

interface Guard {
  readonly domain: string
  readonly state: string
}

describe('with two guards at most, and work at six domains that answer only when they may', () => {
  let stage: ControlStage
  let client: ControlClient
  let ids: readonly string[] = []
  const heard: { readonly type: string }[] = []
  const domains = Array.from({ length: 6 }, (_, n) => `10.8.0.${n}:8080`)
  let live: readonly string[] = []
  let waiting: readonly string[] = []
  const idAt = (domain: string | undefined): string => ids[domains.indexOf(domain ?? '')] ?? ''

  beforeAll(async () => {
    stage = await ControlStage.start({ places: { guardsMax: 2, domainsWaitingMax: 2 } })
    stage.network.script = () => ({ latencyMs: 60_000 })
    client = await connectControl(stage.url, stage.adminKey)
    stage.events.on(['crowd.started', 'crowd.ended'], (event) => heard.push(event))
    ids = (await client.scheduleAll(domains.map((domain) => ({ url: `http://${domain}/` })))).ids
    await vi.waitFor(() => expect(stage.network.arrivals.length).toBe(2), 10_000)
    live = [...new Set(stage.network.arrivals.map(({ domain }) => domain))]
    waiting = domains.filter((domain) => !live.includes(domain))
    await vi.waitFor(async () => expect(await client.call('listGuards')).toHaveProperty('crowd.more', true), 10_000)
  })
  afterAll(async () => {
    await client.close()
    await stage.stop()
  })

  const cli = async (...argv: string[]): Promise<string> => {
    let out = ''
    const around = {
      env: { HOOKPULSE_URL: stage.url, HOOKPULSE_KEY: stage.adminKey },
      out: (text: string) => {
        out += text
      },
      err: () => undefined,
    }
    expect(await runCommand(argv, '1.2.3', around)).toBe(0)
    return out
  }

  it('getGuard shows one that waits as starting, with its figures and the bound that holds it', async () => {
    for (const domain of waiting)
      expect(await client.call('getGuard', { domain })).toMatchObject({
        domain,
        state: 'starting',
        concurrency: { current: 0, limit: 10 },
        queueDepth: 1,
        oldestWaitingAt: expect.stringMatching(/Z$/),
        backpressure: { active: true, since: expect.stringMatching(/Z$/), limit: 'live-guards' },
        blockedOn: 'live-guards',
      })
    expect(await client.call('getGuard', { domain: live[0] ?? '' })).toMatchObject({
      state: 'open',
      concurrency: { current: 1 },
      backpressure: { active: false },
    })
  })

  it('but one at which nothing waits stays idle, though not all who wait are known by name', async () => {
    const idle = await client.call('getGuard', { domain: 'nobody.example' })
    expect(idle).toMatchObject({ state: 'idle', queueDepth: 0, backpressure: { active: false } })
    expect(idle).not.toHaveProperty('blockedOn')
  })

  it('listGuards and getMonitor show the crowd, and some of those who wait', async () => {
    const crowd = { guards: { current: 2, limit: 2 }, waiting: expect.any(Number), more: true }
    const { guards, crowd: seen } = await client.call<{ guards: readonly Guard[]; crowd: object }>('listGuards')
    expect(seen).toMatchObject(crowd)
    const starting = guards.filter(({ state }) => state === 'starting').map(({ domain }) => domain)
    expect(starting.length).toBeGreaterThan(0)
    expect(starting.every((domain) => waiting.includes(domain))).toBe(true)
    expect(guards.filter(({ state }) => state === 'open').map(({ domain }) => domain)).toEqual(
      expect.arrayContaining([...live]),
    )
    expect(await client.call('getMonitor')).toMatchObject({ crowd })
    expect(await client.call('getMonitor', { domain: waiting[0] ?? '' })).toMatchObject({
      domains: [{ state: 'starting', backpressure: { limit: 'live-guards' } }],
    })
  })

  it('explainWebhook names the bound of the node, and the place in line where there is one', async () => {
    const all = await Promise.all(
      waiting.map((domain) =>
        client.call<{ place?: { ahead: number; perSecond: number } }>('explainWebhook', { id: idAt(domain) }),
      ),
    )
    for (const one of all)
      expect(one).toMatchObject({
        state: 'waiting',
        blockedOn: { limit: 'live-guards', key: 'node' },
        since: expect.stringMatching(/Z$/),
      })
    expect(all.some(({ place }) => place === undefined)).toBe(true)
    const places = all.flatMap(({ place }) => (place === undefined ? [] : [place.ahead]))
    expect(places.toSorted()).toEqual(places.map((_, n) => n))
  })

  it('a domain that could start nothing anyway says so instead', async () => {
    const [domain = ''] = waiting
    await client.call('pauseDomain', { domain })
    expect(await client.call('explainWebhook', { id: idAt(domain) })).toMatchObject({
      blockedOn: { limit: 'domain-paused', key: domain },
    })
    expect(await client.call('getGuard', { domain })).toMatchObject({
      state: 'paused',
      backpressure: { limit: 'domain-paused' },
    })
    await client.call('resumeDomain', { domain })
  })

  it('the command line says it in words', async () => {
    expect(await cli('explain', idAt(waiting[0]))).toMatch(/held: its domain waits for a guard.* \(node\)/)
    const all = await Promise.all(waiting.map((domain) => cli('explain', idAt(domain))))
    expect(all.join('')).toMatch(/0 domains get a guard before its own, \d+ did in the last second/)
    expect(await cli('guards')).toMatch(/^\d or more domains wait for a guard: 2 may live at once; /)
    expect(await cli('guards', waiting[0] ?? '')).toMatch(/starting +0 of 10[\s\S]*held: its domain waits for a guard/)
    expect(await cli('top', '--once')).toMatch(/\d or more domains wait for a guard[\s\S]*starting[\s\S]*live-guards/)
  })

  it('one event tells its begin, and one its end', async () => {
    expect(heard).toEqual([
      { type: 'crowd.started', at: expect.any(Number), limit: 'live-guards', guards: 2, depth: expect.any(Number) },
    ])
    stage.network.script = () => ({})
    stage.network.killCarrier()
    await expect.poll(() => heard.length, { timeout: 15_000 }).toBe(2)
    expect(heard[1]).toMatchObject({ type: 'crowd.ended', limit: 'live-guards', spans: expect.any(Number) })
    expect(await client.call('listGuards')).not.toHaveProperty('crowd')
    expect(await client.call('getGuard', { domain: waiting[0] ?? '' })).toMatchObject({ state: 'idle' })
  })
})
