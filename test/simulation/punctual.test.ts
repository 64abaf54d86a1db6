/** A webhook is handed over, admitted and marked a little before it is due: on time where that takes time, and never early whatever happens meanwhile. */
import { expect, it, onTestFinished } from 'vitest'
import { scheduler } from '#actors/scheduler.ts'
import { HANDED_AHEAD_MS } from '#config/limits.ts'
import type { WriteOp } from '#store/store.ts'
import { VirtualDaemon, type VirtualWebhook } from '#test/support/virtual-daemon.ts'

const DOMAIN = 'api.example.com'
/** Of a started mark on a slow disk. */
const MARK_MS = 4
/** Between them one is admitted, marked and waits for its instant. */
const BEFORE_MS = [HANDED_AHEAD_MS + 1, 6, 3, 1] as const

const started = async (): Promise<VirtualDaemon> => {
  const beforeWrite = (group: readonly WriteOp[]): Promise<void> | undefined =>
    group.some(({ type }) => type === 'mark-started')
      ? new Promise((done) => void daemon.world.setTimer(MARK_MS, done))
      : undefined
  const daemon: VirtualDaemon = new VirtualDaemon({ faults: { beforeWrite }, script: () => ({ latencyMs: 20 }) })
  onTestFinished(() => daemon.crash())
  await daemon.start()
  return daemon
}
const latenessOf = (daemon: VirtualDaemon): readonly number[] =>
  daemon.network.arrivals.map(({ webhookId, at }) => at - (daemon.disk.byId.get(webhookId)?.at ?? Number.NaN))
const justBefore = async (ms: number, daemon: VirtualDaemon, webhook: VirtualWebhook = {}): Promise<string> => {
  const [id = ''] = await daemon.schedule([{ ...webhook, inMs: 500 }])
  await daemon.world.advance(500 - ms)
  expect(daemon.network.arrivals).toEqual([])
  return id
}

it('what a started mark takes makes nobody late: each is sent at its millisecond', async () => {
  const daemon = await started()
  const ids = await daemon.schedule(
    Array.from({ length: 200 }, (_, n) => ({ inMs: 200 + n * 7, domain: `d${n % 3}.example.com` })),
  )
  await daemon.world.advance(3_000)
  const late = latenessOf(daemon)
  expect(late).toHaveLength(200)
  expect(Math.min(...late)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...late)).toBeLessThan(1)
  const told = new Map(
    daemon.events.flatMap((event) => (event.type === 'attempt.started' ? [[event.attemptId, event.at]] : [])),
  )
  for (const id of ids) expect(told.get(`${id}.1`)).toBeGreaterThanOrEqual(daemon.disk.byId.get(id)?.at ?? Number.NaN)
})

it('nobody who is due waits for one that is not: half of the slots are left to it', async () => {
  const daemon = await started()
  await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 2 })
  await daemon.schedule(Array.from({ length: 3 }, () => ({ inMs: 500 })))
  await daemon.world.advance(497)
  const [now = ''] = await daemon.schedule([{ inMs: 0 }])
  await daemon.world.advance(1_000)
  expect(daemon.network.arrivals.slice(0, 2).map(({ webhookId }) => webhookId)).toContain(now)
  expect(Math.max(...latenessOf(daemon).slice(0, 2))).toBeLessThanOrEqual(MARK_MS)
  expect(daemon.network.openMax(DOMAIN)).toBe(2)
})

it('nobody who is due stands behind one that is not, whatever their priorities', async () => {
  const daemon = await started()
  await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 1 })
  const ids = await daemon.schedule([
    { inMs: 500 },
    { inMs: 510, priority: 'normal' },
    // The slot is free 24 ms after the first is due.
    { inMs: 526, priority: 'high' },
  ])
  await daemon.world.advance(1_000)
  expect(daemon.network.arrivals.map(({ webhookId }) => webhookId)).toEqual(ids)
})

it.each(BEFORE_MS)(
  'cancelled %i ms before its instant it is cancelled and never sent, or running and sent',
  async (ms) => {
    const daemon = await started()
    const id = await justBefore(ms, daemon)
    const answer = daemon.runtime.call(scheduler, { type: 'cancel', id, brand: null })
    await daemon.world.advance(1_000)
    const cancelled = await answer
    const outcome = 'outcome' in cancelled ? cancelled.outcome : expect.fail('it was not answered')
    expect(['cancelled', 'alreadyRunning']).toContain(outcome)
    expect(daemon.arrivals().get(id)).toBe(outcome === 'cancelled' ? 0 : 1)
    expect(daemon.stateOf(id)).toBe(outcome === 'cancelled' ? 'cancelled' : 'delivered')
  },
)

it.each([1, 5, 5_000].flatMap((backMs) => BEFORE_MS.map((ms) => [backMs, ms] as const)))(
  'where the clock goes back %i ms, %i ms before it, it waits for its instant again, and no attempt is counted in vain',
  async (backMs, ms) => {
    const daemon = await started()
    const id = await justBefore(ms, daemon)
    daemon.world.stepWall(-backMs)
    await daemon.world.advance((ms + backMs) / 2)
    if (backMs > 1_000) expect((await daemon.guard(DOMAIN))?.concurrency.current ?? 0).toBe(0)
    await daemon.world.advance((ms + backMs) / 2 - 1)
    expect(daemon.network.arrivals).toEqual([])
    await daemon.world.advance(2_000)
    expect(daemon.arrivals().get(id)).toBe(1)
    expect(latenessOf(daemon)[0]).toBeGreaterThanOrEqual(0)
    expect(await daemon.attemptsOf(id)).toHaveLength(1)
  },
)

it.each(BEFORE_MS)('where the process dies %i ms before it, it was not sent, and is delivered once', async (ms) => {
  const daemon = await started()
  const id = await justBefore(ms, daemon)
  await daemon.crash()
  await daemon.start()
  await daemon.world.advance(20_000)
  expect(daemon.arrivals().get(id)).toBe(1)
  expect(daemon.stateOf(id)).toBe('delivered')
})

it.each(BEFORE_MS)(
  'where its domain is paused %i ms before it, it is not sent until that is resumed, and no attempt is counted in vain',
  async (ms) => {
    const daemon = await started()
    const id = await justBefore(ms, daemon)
    await daemon.setLimit({ kind: 'pause', domain: DOMAIN, value: 1 })
    await daemon.world.advance(2_000)
    expect(daemon.network.arrivals).toEqual([])
    await daemon.setLimit({ kind: 'pause', domain: DOMAIN, value: null })
    await daemon.world.advance(2_000)
    expect(daemon.arrivals().get(id)).toBe(1)
    expect(await daemon.attemptsOf(id)).toHaveLength(1)
  },
)
