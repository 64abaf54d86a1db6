import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listener } from '#actors/control.ts'
import { ingest } from '#actors/ingest.ts'
import { limits } from '#actors/limits.ts'
import { scheduler } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { ingestThread } from '#control/ingest-thread.ts'
import { type ControlClient, connectControl, RpcError } from '#test/support/control-client.ts'
import { ControlStage } from '#test/support/control-stage.ts'
import { RawClient } from '#test/support/raw-client.ts'

const policy = { allowPrivate: true, allowTargets: [], denyTargets: [] }
const LATER_MS = 3_600_000
const later = (more: object = {}): { url: string; delayMs: number } => ({
  url: 'http://10.1.2.3:8080/hook',
  delayMs: LATER_MS,
  ...more,
})

describe('a session', () => {
  let stage: ControlStage
  let client: ControlClient
  beforeAll(async () => {
    stage = await ControlStage.start({ policy, ingest: ingestThread(policy) })
    client = await connectControl(stage.url, stage.adminKey)
  })
  afterAll(async () => {
    await client.close()
    await stage.stop()
  })
  const code = async (asked: Promise<unknown>): Promise<string | undefined> => {
    try {
      await asked
      return undefined
    } catch (error) {
      return error instanceof RpcError ? error.data?.code : String(error)
    }
  }

  describe('schedules', () => {
    it('answers with the id, the instant and the state, and the webhook is there', async () => {
      const at = '2031-01-31T10:00:00.000+01:00'
      const scheduled = await client.schedule({ url: 'https://API.acme.com:443/a?b=1#c', at, name: 'invoice' })
      expect(scheduled).toEqual({
        id: expect.stringMatching(/^msg_[0-9A-Z]{26}$/),
        state: 'scheduled',
        at: '2031-01-31T09:00:00.000Z',
        duplicate: false,
      })
      expect(await client.call('getWebhook', { id: scheduled.id })).toEqual({
        id: scheduled.id,
        brand: 'default',
        name: 'invoice',
        url: 'https://api.acme.com/a?b=1',
        domain: 'api.acme.com',
        method: 'POST',
        priority: 'normal',
        state: 'scheduled',
        at: '2031-01-31T09:00:00.000Z',
        createdAt: expect.stringMatching(/Z$/),
        attemptCount: 0,
        nextAttemptAt: '2031-01-31T09:00:00.000Z',
      })
    })

    it('takes an idempotency key twice for the same webhook, and not for another', async () => {
      const first = await client.schedule(later({ idempotencyKey: 'order-1' }))
      const second = await client.schedule(later({ idempotencyKey: 'order-1' }))
      expect(second).toMatchObject({ id: first.id, duplicate: true, state: 'scheduled' })
      for (const other of [
        { name: 'other' },
        { delayMs: LATER_MS + 1 },
        { url: 'http://10.1.2.3:8080/other' },
        { method: 'PUT' },
        { headers: { 'x-a': 'b' } },
        { body: null },
        { bodyText: '' },
        { priority: 'low' },
        { timeoutMs: 5 },
        { retry: { maxAttempts: 2 } },
        { tags: ['a'] },
        { expiresAt: 1_999_999_999_999 },
      ]) {
        const asked = client.schedule(later({ idempotencyKey: 'order-1', ...other }))
        expect([other, await code(asked)]).toEqual([other, 'IDEMPOTENCY_CONFLICT'])
      }
    })

    it('groups calls that come together, and a refused one costs the others nothing', async () => {
      await client.schedule(later({ idempotencyKey: 'taken' }))
      const calls = Array.from({ length: 40 }, (_, i) =>
        client.schedule(later(i === 7 ? { idempotencyKey: 'taken', name: 'x' } : i === 9 ? { url: 'ftp://a' } : {})),
      )
      const settled = await Promise.allSettled(calls)
      expect(settled.map(({ status }) => status).filter((status) => status === 'rejected')).toHaveLength(2)
      expect(settled[7]).toMatchObject({ reason: { data: { code: 'IDEMPOTENCY_CONFLICT' } } })
      expect(settled[9]).toMatchObject({ reason: { data: { code: 'INVALID_PARAMS', field: 'url' } } })
    })

    it('answers the same key twice in one group with one webhook', async () => {
      const [a, b] = await Promise.all([
        client.schedule(later({ idempotencyKey: 'twin' })),
        client.schedule(later({ idempotencyKey: 'twin' })),
      ])
      expect(a?.id).toBe(b?.id)
      expect([a?.duplicate, b?.duplicate]).toEqual([false, true])
    })

    it('takes 2,000 at once through the ingest thread, with defaults, and says which are duplicates', async () => {
      const webhooks = Array.from({ length: 2_000 }, (_, i) => ({
        url: `http://10.1.2.3:8080/${i}`,
        idempotencyKey: `batch-${i}`,
      }))
      const defaults = { delayMs: LATER_MS, headers: { 'x-team': 'a' }, tags: ['bulk'] }
      const first = await client.scheduleAll(webhooks, defaults as object)
      expect(new Set(first.ids).size).toBe(2_000)
      expect(first.duplicates).toEqual(Array(2_000).fill(false))
      const again = await client.scheduleAll(webhooks, defaults as object)
      expect(again.ids).toEqual(first.ids)
      expect(again.duplicates).toEqual(Array(2_000).fill(true))
      const page = await client.call<{ webhooks: unknown[] }>('listWebhooks', { tag: 'bulk', limit: 500 })
      expect(page.webhooks).toHaveLength(500)
    })

    it('stores all of a batch or none', async () => {
      const before = stage.disk.byId.size
      const webhooks = [...Array(1_999).fill(later()), { url: 'http://10.1.2.3:22/' }]
      await expect(client.scheduleAll(webhooks)).rejects.toMatchObject({
        data: { code: 'INVALID_PARAMS', field: 'webhooks[1999].url' },
      })
      expect(stage.disk.byId.size).toBe(before)
    })

    it('names the item of a batch whose key is taken', async () => {
      await client.schedule(later({ idempotencyKey: 'in the way' }))
      const webhooks = [later(), later({ idempotencyKey: 'in the way', name: 'other' })]
      await expect(client.scheduleAll(webhooks)).rejects.toMatchObject({
        data: { code: 'IDEMPOTENCY_CONFLICT', field: 'webhooks[1].idempotencyKey' },
      })
    })
  })

  it('cancels once, and says the truth afterwards', async () => {
    const { id } = await client.schedule(later())
    expect(await client.call('cancelWebhook', { id })).toEqual({ outcome: 'cancelled' })
    // Within the same millisecond it is the same cancel, said twice.
    await expect.poll(() => client.call('cancelWebhook', { id })).toEqual({ outcome: 'alreadyDone' })
    expect(await client.call('getWebhook', { id })).toMatchObject({ state: 'cancelled' })
  })

  it('delivers, and shows the attempt', async () => {
    const { id } = await client.schedule({ url: 'http://10.1.2.3:8080/now' })
    await expect.poll(async () => (await client.call<{ state: string }>('getWebhook', { id })).state).toBe('delivered')
    const { attempts } = await client.call<{ attempts: unknown[] }>('getAttempts', { id })
    expect(attempts).toMatchObject([{ number: 1, status: 200, inDoubt: false, startedAt: expect.stringMatching(/Z$/) }])
  })

  describe('limits', () => {
    it('are set, shown with their version and who set them, and removed', async () => {
      const domain = 'API.limits.com.:443'
      const set = await client.call('configureDomainConcurrencyLimit', { domain, limit: 3 })
      const limit = { value: 3, version: 1, setBy: expect.stringContaining('admin'), setAt: expect.any(String) }
      const { setBy, setAt } = limit
      expect(set).toEqual({ domain: 'api.limits.com', concurrency: limit, rate: null, version: 1, setBy, setAt })
      const rated = await client.call('configureRateLimit', { domain, requestsPerSecond: 0.2, burst: 2 })
      expect(rated).toMatchObject({ concurrency: { value: 3 }, rate: { value: 0.2, burst: 2 }, version: 2 })
      expect(await client.call('getLimits', { domain })).toEqual({ limits: [rated] })
      const removed = await client.call('configureDomainConcurrencyLimit', { domain, limit: null })
      expect(removed).toMatchObject({ concurrency: null, rate: { value: 0.2 }, version: 3 })
    })
    it('of a domain may be found by the guard itself', async () => {
      const domain = 'adaptive.example.com'
      const set = await client.call('configureDomainConcurrencyLimit', { domain, limit: 50, adaptive: true })
      expect(set).toMatchObject({ concurrency: { value: 50 }, adaptive: true, version: 2 })
      expect(await client.call('getLimits', { domain })).toEqual({ limits: [set] })
    })
    it('are not what holds a pause: a paused domain or brand waits until it is resumed', async () => {
      const domain = '10.7.7.7:8080'
      const stateOf = async (id: string) => (await client.call<{ state: string }>('getWebhook', { id })).state
      expect(await client.call('pauseDomain', { domain, reason: 'release' })).toEqual({ domain, paused: true })
      const { id } = await client.schedule({ url: `http://${domain}/` })
      await expect.poll(async () => (await client.call<{ state: string }>('getGuard', { domain })).state).toBe('paused')
      expect(await stateOf(id)).not.toBe('delivered')
      expect(await client.call('getLimits', { domain })).toEqual({ limits: [] })
      const paused = { setBy: expect.stringMatching(/^admin .*: release$/), setAt: expect.any(String) }
      await client.call('configureRateLimit', { domain, requestsPerSecond: 10 })
      const held = await client.call('getGuard', { domain })
      expect(held).toMatchObject({ paused, queueDepth: 1, rate: { limit: 10 } })
      expect(held).not.toHaveProperty('drainMs')
      const listed = async () =>
        (await client.call<{ guards: { domain: string }[] }>('listGuards')).guards.find((one) => one.domain === domain)
      await expect.poll(listed).toMatchObject({ state: 'paused', queueDepth: 1 })
      expect(await listed()).not.toHaveProperty('drainMs')
      expect(await client.call('explainWebhook', { id })).toMatchObject({ paused })
      expect(await client.call('resumeDomain', { domain })).toEqual({ domain, paused: false })
      expect(await client.call('getGuard', { domain })).not.toHaveProperty('paused')
      await expect.poll(() => stateOf(id)).toBe('delivered')
      const acme = await connectControl(stage.url, stage.brandKey('acme').key)
      expect(await acme.call('pauseBrand')).toEqual({ brand: 'acme', paused: true })
      expect(await acme.call('resumeBrand')).toEqual({ brand: 'acme', paused: false })
      expect(await code(acme.call('pauseDomain', { domain }))).toBe('FORBIDDEN')
      await acme.close()
    })
    it('of a brand come into being with it', async () => {
      const set = await client.call('configureBrandConcurrencyLimit', { brand: 'newcomer', limit: 5 })
      expect(set).toMatchObject({ brand: 'newcomer', concurrency: { value: 5 }, rate: null })
    })
  })

  describe('steering', () => {
    it('sets what a guard makes of failures; what is not said stays, null resets', async () => {
      const domain = 'steered.example.com'
      const first = await client.call('configureBreaker', { domain, openMs: 5_000, closure: 'domain' })
      expect(first).toEqual({ domain, enabled: true, openMs: 5_000, closure: 'domain', retryBudget: 0.1, version: 2 })
      const off = await client.call('configureBreaker', { domain, enabled: false, openMs: null, retryBudget: 0.5 })
      expect(off).toEqual({ domain, enabled: false, openMs: 30_000, closure: 'domain', retryBudget: 0.5, version: 5 })
      expect(await client.call('configureBreaker', { domain })).toEqual(off)
      expect(await code(client.call('configureBreaker', { domain, closure: 'all' }))).toBe('INVALID_PARAMS')
      expect(await client.call('getLimits', { domain })).toEqual({ limits: [] })
    })
    it('weighs brands, everywhere or at one domain, and takes only what is a weight', async () => {
      const set = await client.call('configureBrandWeight', { brand: 'heavy', weight: 3 })
      const changed = { version: 1, setBy: expect.stringContaining('admin'), setAt: expect.any(String) }
      expect(set).toEqual({ brand: 'heavy', concurrency: null, rate: null, weight: 3, ...changed })
      const at = await client.call('configureBrandWeight', { brand: 'heavy', domain: 'x.com', weight: 0.5 })
      expect(at).toMatchObject({ domain: 'x.com', brand: 'heavy', weight: 0.5 })
      expect(await client.call('configureBrandWeight', { brand: 'heavy', weight: null })).not.toHaveProperty('weight')
      expect(await code(client.call('configureBrandWeight', { brand: 'heavy', weight: 0 }))).toBe('INVALID_PARAMS')
    })
    it('is for admins: a brand must not weigh itself', async () => {
      const acme = await connectControl(stage.url, stage.brandKey('acme').key)
      expect(await code(acme.call('configureBrandWeight', { weight: 9 }))).toBe('FORBIDDEN')
      expect(await code(acme.call('configureBrandBacklog', { limit: null }))).toBe('FORBIDDEN')
      expect(await code(acme.call('configureBreaker', { domain: 'x.com', enabled: false }))).toBe('FORBIDDEN')
      await acme.close()
    })
  })

  describe('a bounded backlog', () => {
    it('lets in what fits, refuses the rest with the time after which there is room, and is lifted at once', async () => {
      const brand = 'bounded'
      expect(await client.call('configureBrandBacklog', { brand, limit: 3 })).toMatchObject({ brand, backlog: 3 })
      const hour = { url: 'http://10.1.2.3:8080/far', delayMs: 3_600_000, brand }
      const four = await Promise.allSettled(Array.from({ length: 4 }, () => client.schedule(hour)))
      expect(four.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
      const refused = await client.schedule(hour).catch((error: RpcError) => error.data)
      expect(refused).toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryAfterMs: expect.any(Number) })
      expect(await code(client.call('scheduleWebhooks', { webhooks: [hour], brand }))).toBe('RESOURCE_EXHAUSTED')
      await client.schedule(later())
      expect(await client.call('configureBrandBacklog', { brand, limit: null })).not.toHaveProperty('backlog')
      await client.schedule(hour)
    })
    it('is known again to the next listener', async () => {
      const brand = 'bounded-again'
      await client.call('configureBrandBacklog', { brand, limit: 0 })
      stage.runtime.exit('control', 'kill')
      await expect.poll(async () => (await fetch(`${stage.url}/readyz`).catch(() => null))?.status).toBe(200)
      const next = await connectControl(stage.url, stage.adminKey)
      expect(await code(next.schedule(later({ brand })))).toBe('RESOURCE_EXHAUSTED')
      await next.close()
      client = await connectControl(stage.url, stage.adminKey)
    })
  })

  describe('looking ahead', () => {
    const domain = '10.8.8.8:8080'
    const url = `http://${domain}/ahead`
    it('tells with the answer when a webhook should start, behind those that were there before', async () => {
      await client.call('configureRateLimit', { domain, requestsPerSecond: 2 })
      const at = Date.now() + 600_000
      const { expectedAt } = await client.call<{ expectedAt: (string | null)[] }>('scheduleWebhooks', {
        webhooks: Array.from({ length: 5 }, () => ({ url, at })),
        defaults: { predict: true },
      })
      expect(expectedAt.map((text) => Date.parse(text ?? '') - at)).toEqual([0, 500, 1_000, 1_500, 2_000])
      const one = await client.call<{ expectedAt: string }>('scheduleWebhook', { url, at, predict: true })
      expect(Date.parse(one.expectedAt) - at).toBe(2_500)
      expect(await client.schedule({ url, at })).not.toHaveProperty('expectedAt')
      expect(await client.call('scheduleWebhook', { url: 'http://10.8.8.9:8080/', at, predict: true })).toMatchObject({
        expectedAt: new Date(at).toISOString(),
      })
    })
    it('tells what is due now from the queue of its guard', async () => {
      const host = '10.8.8.10:8080'
      await client.call('configureRateLimit', { domain: host, requestsPerSecond: 1 })
      const webhooks = Array.from({ length: 30 }, () => ({ url: `http://${host}/`, predict: true }))
      const told = async () => {
        const { expectedAt } = await client.call<{ expectedAt: string[] }>('scheduleWebhooks', { webhooks })
        return expectedAt.map((text) => Date.parse(text))
      }
      const first = await told()
      expect((first[29] ?? 0) - (first[0] ?? 0)).toBe(29_000)
      const depth = async () => (await client.call<{ queueDepth: number }>('getGuard', { domain: host })).queueDepth
      await expect.poll(depth).toBeGreaterThan(25)
      expect(((await told())[0] ?? 0) - (first[0] ?? 0)).toBeGreaterThan(25_000)
    })
    it('forecasts what the calendar holds against the limits', async () => {
      const host = '10.8.8.11:8080'
      await client.call('configureRateLimit', { domain: host, requestsPerSecond: 1 })
      const from = Date.now() + 3_600_000
      const webhooks = Array.from({ length: 90 }, () => ({ url: `http://${host}/`, at: from + 60_000 }))
      await client.call('scheduleWebhooks', { webhooks })
      const seen = await client.call('forecast', { domain: host, from, to: from + 300_000, bucketMs: 60_000 })
      const figures = [
        [0, 0, 0],
        [90, 60, 30],
        [0, 30, 0],
        [0, 0, 0],
        [0, 0, 0],
      ].map(([due, admitted, backlog]) => ({ due, admitted, backlog }))
      expect(seen).toMatchObject({ domain: host, bucketMs: 60_000, capped: false, assumptions: { ratePerSecond: 1 } })
      expect(seen).toMatchObject({ buckets: figures })
      expect(await code(client.call('forecast', { domain: host, to: 1 }))).toBe('INVALID_PARAMS')
      expect(await code(client.call('forecast', { domain: host, bucketMs: 1 }))).toBe('INVALID_PARAMS')
      const acme = await connectControl(stage.url, stage.brandKey('acme').key)
      expect(await code(acme.call('forecast', { domain: host }))).toBe('NOT_FOUND')
      await acme.close()
    })
  })

  it('explains what waits: on which limit, in which place, until when', async () => {
    const url = 'http://10.9.9.9:8080/slow'
    await client.call('configureRateLimit', { domain: '10.9.9.9:8080', requestsPerSecond: 0.1 })
    const ids = (await client.scheduleAll(Array(3).fill({ url }))).ids
    const explain = (id: string | undefined) =>
      client.call<{ state: string; blockedOn?: object; position?: { lane: number }; expectedAt?: string }>(
        'explainWebhook',
        { id },
      )
    // What was started before this daemon is not known, so the first one may have to wait as well.
    await expect.poll(async () => (await explain(ids[2])).position?.lane).toBeGreaterThan(1)
    expect(await explain(ids[2])).toMatchObject({
      state: 'waiting',
      blockedOn: { limit: expect.stringContaining('rate') },
      since: expect.stringMatching(/Z$/),
      expectedAt: expect.stringMatching(/Z$/),
    })
    const guard = await client.call('getGuard', { domain: '10.9.9.9:8080' })
    expect(guard).toMatchObject({
      domain: '10.9.9.9:8080',
      queueDepth: expect.any(Number),
      rate: { limit: 0.1 },
      depths: [{ brand: 'default', priority: 'normal', first: expect.any(Number) }],
      limits: [{ rate: { value: 0.1 } }],
    })
    const { guards } = await client.call<{ guards: { domain: string }[] }>('listGuards')
    expect(guards.map(({ domain }) => domain)).toContain('10.9.9.9:8080')
    expect(await client.call('getGuard', { domain: 'nobody.example' })).toMatchObject({ state: 'idle', queueDepth: 0 })
    const { id } = await client.schedule(later())
    expect(await explain(id)).toMatchObject({ state: 'scheduled', expectedAt: expect.any(String) })
  })

  it('explains what is still on disk, far behind the window of its guard', async () => {
    const domain = '10.9.9.8:8080'
    await client.call('pauseDomain', { domain })
    const ids: string[] = []
    for (let i = 0; i < 2; i++)
      ids.push(...(await client.scheduleAll(Array.from({ length: 600 }, () => ({ url: `http://${domain}/` })))).ids)
    const explained = () => client.call<{ position?: { lane: number } }>('explainWebhook', { id: ids.at(-1) })
    await expect.poll(async () => (await explained()).position?.lane).toBe(1_200)
    expect(await explained()).toMatchObject({ state: 'waiting', blockedOn: { limit: 'domain-paused', key: domain } })
    expect(await explained()).not.toHaveProperty('expectedAt')
    const later = await client.call('scheduleWebhook', { url: `http://${domain}/`, predict: true })
    expect(later).not.toHaveProperty('expectedAt')
  })

  describe('brands', () => {
    it('see nothing of each other: what is another brand’s is as if it did not exist (I7)', async () => {
      const acme = await connectControl(stage.url, stage.brandKey('acme').key)
      const other = await connectControl(stage.url, stage.brandKey('other').key)
      const { id } = await acme.schedule(later({ idempotencyKey: 'order-1' }))
      expect(await acme.call('getWebhook', { id })).toMatchObject({ brand: 'acme' })
      const nothing = await other.call('getWebhook', { id: 'msg_nothing' }).catch((error: RpcError) => error.data)
      for (const method of ['getWebhook', 'getAttempts', 'explainWebhook', 'cancelWebhook']) {
        const answer = await other.call(method, { id }).catch((error: RpcError) => error.data)
        expect(JSON.stringify(answer).replace(id, 'msg_nothing')).toBe(JSON.stringify(nothing))
      }
      expect(await other.call('listWebhooks')).toEqual({ webhooks: [] })
      expect(await other.call('getMonitor')).toMatchObject({ domains: [], brands: [{ brand: 'other' }] })
      expect(await code(other.schedule(later({ brand: 'acme' })))).toBe('FORBIDDEN')
      expect(await code(other.call('getLimits', { brand: 'acme' }))).toBe('FORBIDDEN')
      expect(await code(other.call('getGuard', { domain: '10.1.2.3:8080' }))).toBe('NOT_FOUND')
      for (const method of ['getSupervisionTree', 'killProcess', 'listGuards', 'listBrands', 'createApiKey']) {
        expect(await code(other.call(method, method === 'killProcess' ? { name: 'root' } : {}))).toBe('FORBIDDEN')
      }
      await acme.close()
      await other.close()
    })
  })

  describe('keys', () => {
    interface Key {
      readonly id: string
      readonly key: string
    }
    it('are made, listed without themselves, and revoked with their open sockets', async () => {
      const made = await client.call<Key>('createApiKey', { brand: 'keyed' })
      expect(made).toEqual({
        id: expect.stringMatching(/^key_/),
        key: expect.stringMatching(/^hp_brand_/),
        role: 'brand',
        brand: 'keyed',
        createdAt: expect.any(String),
      })
      const guest = await connectControl(stage.url, made.key)
      expect(await guest.call('getInfo')).toMatchObject({ role: 'brand', brand: 'keyed' })
      const listed = await client.call('listApiKeys', { brand: 'keyed' })
      expect(listed).toMatchObject({ keys: [{ id: made.id, role: 'brand' }] })
      expect(JSON.stringify(listed)).not.toContain(made.key)
      expect(await client.call('revokeApiKey', { id: made.id })).toMatchObject({ revokedAt: expect.any(String) })
      expect(await guest.closed).toBe(4401)
      await expect(connectControl(stage.url, made.key)).rejects.toThrow(/40?[12]9?/)
      expect(await client.call('listBrands')).toMatchObject({
        brands: expect.arrayContaining([{ brand: 'keyed', createdAt: expect.any(String) }]),
      })
    })
    it('expire on open sockets too', async () => {
      const made = await client.call<Key>('createApiKey', { expiresAt: Date.now() + 1_500 })
      const guest = await connectControl(stage.url, made.key)
      expect(await guest.closed).toBe(4401)
    })
    it('never leave a daemon without an admin', async () => {
      const { keys } = await client.call<{ keys: { id: string; role: string }[] }>('listApiKeys')
      const id = keys.find(({ role }) => role === 'admin')?.id
      expect(await code(client.call('revokeApiKey', { id }))).toBe('CONFLICT')
      expect(await code(client.call('createApiKey', { role: 'admin', brand: 'x' }))).toBe('INVALID_PARAMS')
      expect(await code(client.call('createApiKey', { expiresAt: 1 }))).toBe('INVALID_PARAMS')
      expect(await code(client.call('revokeApiKey', { id: 'key_none' }))).toBe('NOT_FOUND')
    })
  })

  describe('subscriptions', () => {
    const events = (topic: string): { seq: number; data: Record<string, unknown> }[] =>
      client.notifications.filter(
        (one): one is { topic: string; seq: number; data: Record<string, unknown> } =>
          typeof one === 'object' && one !== null && 'topic' in one && one.topic === topic,
      )

    it('tell what the supervisors do, under ascending numbers, and go on from a number', async () => {
      const { subscription } = await client.call<{ subscription: string }>('subscribe', { topics: ['supervision'] })
      await client.call('killProcess', { name: 'retry-manager' })
      await expect.poll(() => events('supervision').map(({ data }) => data['name'])).toContain('retry-manager')
      const [first] = events('supervision')
      expect(first?.data).toMatchObject({ type: 'process.restarted', at: expect.stringMatching(/Z$/) })
      await client.call('unsubscribe', { subscription })
      const before = client.notifications.length
      const again = await connectControl(stage.url, stage.adminKey)
      await again.call('subscribe', { topics: ['supervision'], fromSeq: (first?.seq ?? 1) - 1 })
      await expect.poll(() => again.notifications.length).toBeGreaterThan(0)
      expect(again.notifications[0]).toMatchObject({ seq: first?.seq, data: first?.data })
      expect(client.notifications).toHaveLength(before)
      await again.close()
    })

    it('tell a brand what becomes of its own webhooks, and of nobody else’s', async () => {
      const acme = await connectControl(stage.url, stage.brandKey('acme').key)
      await acme.call('subscribe', { topics: ['webhooks'] })
      await client.schedule({ url: 'http://10.1.2.3:8080/other' })
      const { id } = await acme.schedule({ url: 'http://10.1.2.3:8080/own' })
      const finished = {
        type: 'webhook.finished',
        id,
        brand: 'acme',
        state: 'delivered',
        at: expect.stringMatching(/Z$/),
      }
      await expect.poll(() => acme.notifications).toMatchObject([{ topic: 'webhooks', data: finished }])
      expect(await code(acme.call('subscribe', { topics: ['backpressure'] }))).toBe('FORBIDDEN')
      await acme.close()
    })
    it('tell where it presses, of one domain if asked', async () => {
      const domain = '10.6.6.6:8080'
      const other = '10.6.6.7:8080'
      for (const one of [domain, other]) await client.call('configureRateLimit', { domain: one, requestsPerSecond: 50 })
      await client.call('subscribe', { topics: ['backpressure'], filter: { domain } })
      await client.scheduleAll(Array.from({ length: 20 }, (_, i) => ({ url: `http://${i % 2 ? domain : other}/` })))
      const told = () => events('backpressure').map(({ data }) => [data['type'], data['domain']])
      await expect.poll(told, { timeout: 5_000 }).toEqual([
        ['backpressure.started', domain],
        ['backpressure.ended', domain],
      ])
    })
    it('show the monitor at once and every second', async () => {
      const { subscription } = await client.call<{ subscription: string }>('subscribe', { topics: ['monitor'] })
      await expect.poll(() => events('monitor').length, { timeout: 5_000 }).toBeGreaterThan(1)
      expect(events('monitor')[0]?.data).toMatchObject({ totals: { delivered: expect.any(Number) } })
      await client.call('unsubscribe', { subscription })
    })

    it('are at most 64 on a socket (CTRL-11)', async () => {
      const greedy = await connectControl(stage.url, stage.adminKey)
      const codes = new Set<string | undefined>()
      for (let i = 0; i < 70; i++) codes.add(await code(greedy.call('subscribe', { topics: ['supervision'] })))
      expect(codes).toContain('RESOURCE_EXHAUSTED')
      await greedy.close()
    })

    it('need a socket', async () => {
      expect((await stage.call('subscribe', { topics: ['monitor'] })).error?.data.code).toBe('INVALID_PARAMS')
    })
  })

  describe('survives', () => {
    // A daemon for each: five deaths in ten seconds under one supervisor are one too many, by design.
    it.each([scheduler, storeKeeper, limits, ingest])('the death of %s in the middle of its calls', async (name) => {
      const own = await ControlStage.start({ policy, ingest: ingestThread(policy) })
      const guest = await connectControl(own.url, own.adminKey)
      const single = Array.from({ length: 50 }, (_, i) => guest.schedule(later({ idempotencyKey: `${name} ${i}` })))
      const many = guest.scheduleAll(Array(500).fill(later()))
      const set = guest.call('configureRateLimit', { domain: 'x.com', requestsPerSecond: 5 })
      const [singles, batch] = await Promise.all([Promise.all(single), many, set, guest.call('killProcess', { name })])
      const ids = new Set([...singles.map(({ id }) => id), ...batch.ids])
      expect(ids.size).toBe(550)
      for (const id of ids) expect(own.disk.byId.has(id)).toBe(true)
      await guest.close()
      await own.stop()
    })

    it('the death of the listener: open sockets live on, and the port is the same again', async () => {
      const { url } = stage
      await client.call('killProcess', { name: listener })
      expect(await client.call('getInfo')).toMatchObject({ name: 'hookpulse' })
      await expect.poll(async () => (await fetch(`${url}/healthz`).catch(() => null))?.status).toBe(200)
      const another = await connectControl(url, stage.adminKey)
      await another.close()
    })
  })

  it('CTRL-13: holds 64 requests of a socket at most, reads on as they are answered, and answers all', async () => {
    const raw = new RawClient(await stage.dial())
    await raw.upgrade({ authorization: `Bearer ${stage.adminKey}` })
    const asked = 5_000
    for (let i = 0; i < asked; i++)
      raw.text(JSON.stringify({ jsonrpc: '2.0', id: i, method: 'scheduleWebhook', params: later() }))
    await raw.until(() => raw.texts().length === asked)
    const ids = new Set(raw.texts().map((text) => Number(/"id":(\d+)/.exec(text)?.[1])))
    expect(ids.size).toBe(asked)
    raw.socket.destroy()
  })

  it('CTRL-13: waits for a client that does not read, and has every answer for it when it reads again', async () => {
    const raw = new RawClient(await stage.dial())
    await raw.upgrade({ authorization: `Bearer ${stage.adminKey}` })
    raw.socket.pause()
    for (let i = 0; i < 100; i++)
      raw.text(JSON.stringify({ jsonrpc: '2.0', id: i, method: 'listWebhooks', params: { limit: 200 } }))
    await client.call('getInfo')
    raw.socket.resume()
    await raw.until(() => raw.texts().length === 100)
    raw.socket.destroy()
  })

  it('takes nothing new once the daemon is stopping, and still cancels and shows', async () => {
    const { id } = await client.schedule(later())
    stage.stopping = true
    expect(await code(client.schedule(later()))).toBe('SHUTTING_DOWN')
    expect(await code(client.scheduleAll(Array(500).fill(later())))).toBe('SHUTTING_DOWN')
    expect(await client.call('cancelWebhook', { id })).toEqual({ outcome: 'cancelled' })
    stage.stopping = false
  })

  it('lists in pages of at most 256 KiB, by cursor', async () => {
    const seen = new Set<string>()
    let cursor: string | undefined
    do {
      const page: { webhooks: { id: string }[]; nextCursor?: string } = await client.call('listWebhooks', {
        limit: 500,
        tag: 'bulk',
        ...(cursor === undefined ? {} : { cursor }),
      })
      expect(JSON.stringify(page).length).toBeLessThan(270_000)
      for (const { id } of page.webhooks) seen.add(id)
      cursor = page.nextCursor
    } while (cursor !== undefined)
    expect(seen.size).toBe(2_000)
  })

  it('says goodbye with 1001 when the daemon stops', async () => {
    const short = await ControlStage.start()
    const guest = await connectControl(short.url, short.adminKey)
    await short.stop()
    expect(await guest.closed).toBe(1001)
  })
})
