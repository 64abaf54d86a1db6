import { describe, expect, it, onTestFinished } from 'vitest'
import { backendOf } from '#actors/backend.ts'
import type { Backend, Host } from '#control/backend.ts'
import { expectedStarts, forecastView } from '#control/foresight.ts'
import type { Head } from '#control/new-webhook.ts'
import { type Behaviour, ok, reply } from '#runtime/behaviour.ts'
import { type Call, type Name, name } from '#runtime/protocol.ts'
import { Monitor } from '#telemetry/monitor.ts'
import { VirtualDaemon, type VirtualWebhook } from '#test/support/virtual-daemon.ts'
import { WebhookIds } from '#webhook/id.ts'
import type { Instant } from '#webhook/webhook.ts'

type Ask = (backend: Backend) => Promise<unknown>
type Asking = {
  readonly call: Call<{ readonly type: 'ask' }, unknown>
  readonly cast: never
  readonly info: never
  readonly continue: never
}
const asking: Name<Asking> = name('asking')
const host: Host = {
  version: '0',
  node: 'v0',
  processId: 1,
  startedAt: 0,
  store: 'memory',
  tree: () => null,
  isRoot: () => false,
  kill: () => null,
  stopping: () => false,
  notReady: () => null,
}

/** A daemon in virtual time, and what a session would ask of it. */
const stage = async (latencyMs = 20) => {
  const daemon = new VirtualDaemon({ script: () => ({ latencyMs }) })
  await daemon.start()
  onTestFinished(() => daemon.crash())
  let ask: Ask = async () => null
  const asker: Behaviour<Asking, null, null> = {
    name: 'asker',
    version: 1,
    init: () => ok(null),
    call: {
      ask: async (_request, _from, state, ctx) =>
        reply(await ask(backendOf(ctx, { monitor: new Monitor(), ids: new WebhookIds(), host })), state),
    },
  }
  const started = daemon.runtime.start(asker, null, { name: asking })
  await daemon.world.settle()
  await started
  const through = async <R>(asked: (backend: Backend) => Promise<R>): Promise<R> => {
    ask = asked
    const answer = daemon.runtime.call(asking, { type: 'ask' }, Number.POSITIVE_INFINITY)
    await daemon.world.settle()
    return (await answer) as R
  }
  return { daemon, through }
}

const headsOf = (daemon: VirtualDaemon, webhooks: readonly VirtualWebhook[]): readonly Head[] =>
  webhooks.map((webhook) => {
    const { id, brand, domain, priority, nextAt, timeoutMs, expiresAt } = daemon.row(webhook)
    return { id, brand, domain, priority, nextAt, attempts: 0, timeoutMs, expiresAt }
  })

/** Predicts, schedules, lets it run: the median error of the starts, and how long the last one waited. */
const compared = async (
  { daemon, through }: Awaited<ReturnType<typeof stage>>,
  webhooks: readonly VirtualWebhook[],
  runMs: number,
) => {
  const expected = await through((backend) => expectedStarts(headsOf(daemon, webhooks), backend))
  const from = Math.max(daemon.world.wallNow(), webhooks[0]?.at ?? 0)
  const ids = await daemon.schedule(webhooks)
  await daemon.world.advance(runMs)
  const starts = new Map<string, Instant>()
  for (const { webhookId, at } of daemon.network.arrivals) starts.set(webhookId, at)
  const errors = ids.map((id, i) => Math.abs((starts.get(id) ?? 0) - (expected[i] ?? 0))).toSorted((a, b) => a - b)
  return { median: errors[ids.length >> 1] ?? 0, wait: (starts.get(ids.at(-1) ?? '') ?? 0) - from }
}

describe('what webhooks that are being scheduled are told', () => {
  const domain = 'api.example.com'
  const thousand = (more: VirtualWebhook): readonly VirtualWebhook[] =>
    Array.from({ length: 1_000 }, () => ({ domain, ...more }))

  it('is right within 5 % of the wait behind a rate limit, due now', async () => {
    const at = await stage()
    await at.daemon.setLimit({ kind: 'rate', domain, value: 40, burst: 1 })
    const { median, wait } = await compared(at, thousand({}), 40_000)
    expect(wait).toBeGreaterThan(24_000)
    expect(median).toBeLessThan(0.05 * wait)
  })
  it('counts those that wait already', async () => {
    const at = await stage()
    await at.daemon.setLimit({ kind: 'rate', domain, value: 40, burst: 1 })
    await at.daemon.schedule(thousand({}))
    await at.daemon.world.advance(5_000)
    const { median, wait } = await compared(at, thousand({}), 60_000)
    expect(wait).toBeGreaterThan(44_000)
    expect(median).toBeLessThan(0.05 * wait)
  })
  it('is right for one instant that is still to come', async () => {
    const at = await stage()
    await at.daemon.setLimit({ kind: 'rate', domain, value: 40, burst: 1 })
    await at.daemon.schedule(thousand({ inMs: 60_000 }))
    const later = thousand({ at: at.daemon.world.wallNow() + 60_000 })
    const { median, wait } = await compared(at, later, 130_000)
    expect(wait).toBeGreaterThan(48_000)
    expect(median).toBeLessThan(0.05 * wait)
  })
  it('knows how long an answer takes, where slots are what binds', async () => {
    const at = await stage(500)
    await at.daemon.setLimit({ kind: 'concurrency', domain, value: 10 })
    await at.daemon.schedule(thousand({}))
    await at.daemon.world.advance(10_000)
    const { median, wait } = await compared(at, thousand({}), 120_000)
    expect(wait).toBeGreaterThan(85_000)
    expect(median).toBeLessThan(0.05 * wait)
  })
  it('is nothing where nobody can say: paused, or limited to nothing', async () => {
    const { daemon, through } = await stage()
    await daemon.setLimit({ kind: 'rate', domain, value: 0, burst: 1 })
    const heads = headsOf(daemon, [{ domain }, { domain, inMs: 1_000 }])
    expect(await through((backend) => expectedStarts(heads, backend))).toEqual([null, null])
  })
  it('looks at 16 different instants of a call', async () => {
    const { daemon, through } = await stage()
    const heads = headsOf(
      daemon,
      Array.from({ length: 20 }, (_, i) => ({ domain, inMs: 1_000 + i })),
    )
    const expected = await through((backend) => expectedStarts(heads, backend))
    expect(expected.slice(0, 16)).toEqual(heads.slice(0, 16).map(({ nextAt }) => nextAt))
    expect(expected.slice(16)).toEqual([null, null, null, null])
  })

  it('agrees with the forecast about the last one', async () => {
    const { daemon, through } = await stage()
    await daemon.setLimit({ kind: 'rate', domain, value: 10, burst: 1 })
    await daemon.schedule(thousand({ inMs: 60_000 }))
    const ask = { domain, from: undefined, to: daemon.world.wallNow() + 600_000, bucketMs: 10_000 }
    const { lastAt, buckets } = await through((backend) => forecastView(ask, backend))
    await daemon.world.advance(200_000)
    const last = Math.max(...daemon.network.arrivals.map(({ at }) => at))
    expect(Math.abs(Date.parse(lastAt ?? '') - last)).toBeLessThan(1_000)
    expect(buckets.map(({ due }) => due).filter((due) => due > 0)).toEqual([1_000])
    expect(buckets[6]).toMatchObject({ due: 1_000, admitted: 100, backlog: 900 })
  })
})
