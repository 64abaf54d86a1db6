/**
 * Fast rates, whose starts are admitted ahead of their instants and wait for them at the dispatch pool: whoever is killed meanwhile,
 * whatever the marks take, however the receiver refuses, the receiver never sees more open than it may, nor more often.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { executor } from '#actors/executor.ts'
import { guardOf } from '#actors/guard.ts'
import { scheduler } from '#actors/scheduler.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { DEPARTURE_EARLY_MS } from '#guard/departure.ts'
import { ADMITTED_AHEAD_MS, NOMINAL_BACK_MS } from '#guard/rate.ts'
import type { WriteOp } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import type { RetryPolicy } from '#webhook/webhook.ts'

const API = 'api.example.com'
const BRANDS = ['acme', 'bolt'] as const
const VICTIMS = [guardOf(API), brandLimiterOf('acme'), dispatchPool, executor, scheduler, storeKeeper] as const
/** Some of them take another with them, and from the sixth restart in ten seconds on root rightly gives up. */
const KILLS_MAX = 3
const STALL_EACH = 50
const STALL_MS = 40
const RETRY_AFTER_MS = 700
const RETRY: RetryPolicy = {
  maxAttempts: 100,
  backoff: 'fixed',
  initialDelayMs: 100,
  maxDelayMs: 100,
  jitter: null,
  inDoubt: 'retry',
}

const cases = fc.record({
  rate: fc.constantFrom(60, 200, 500, 2_000),
  burst: fc.constantFrom(1, 3),
  slots: fc.constantFrom(1, 2, 10, 40),
  /** Of acme over all domains. */
  overall: fc.option(fc.constantFrom(1, 3)),
  marksMs: fc.array(fc.constantFrom(0, 1, 3, 8, 20), { minLength: 1, maxLength: 7 }),
  servicesMs: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
  /** Each so many arrivals one is refused; null: none. */
  refusesEach: fc.option(fc.integer({ min: 40, max: 200 })),
  kills: fc.array(fc.record({ atMs: fc.nat(500), who: fc.constantFrom(...VICTIMS) }), { maxLength: KILLS_MAX }),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const open = (one: Case): VirtualDaemon => {
  let marks = 0
  const beforeWrite = (group: readonly WriteOp[]): Promise<void> | undefined => {
    if (!group.some(({ type }) => type === 'mark-started')) return undefined
    marks += 1
    const ms = marks % STALL_EACH === 0 ? STALL_MS : (one.marksMs[marks % one.marksMs.length] ?? 0)
    return new Promise((done) => void daemon.world.setTimer(ms, done))
  }
  const daemon: VirtualDaemon = new VirtualDaemon({ faults: { beforeWrite }, safeMessages: false })
  daemon.network.script = (_order, { arrival }) => {
    const latencyMs = one.servicesMs[arrival % one.servicesMs.length] ?? 1
    const refused = one.refusesEach !== null && arrival % one.refusesEach === one.refusesEach - 1
    return refused ? { latencyMs, status: 429, retryAfterMs: RETRY_AFTER_MS } : { latencyMs }
  }
  return daemon
}
/** How much sooner than its rate allows the soonest start came (ITU-T I.371). */
const soonestMs = (monos: readonly number[], { rate, burst }: Case): number => {
  let nominalMono = Number.NEGATIVE_INFINITY
  let soonest = 0
  for (const mono of monos) {
    soonest = Math.max(soonest, nominalMono - ((burst - 1) * 1_000) / rate - mono)
    nominalMono = Math.max(nominalMono, mono) + 1_000 / rate
  }
  return soonest
}
const play = async (one: Case): Promise<readonly string[]> => {
  const daemon = open(one)
  await daemon.start()
  await daemon.setLimit({ kind: 'rate', domain: API, value: one.rate, burst: one.burst })
  await daemon.setLimit({ kind: 'concurrency', domain: API, value: one.slots })
  await daemon.setLimit({ kind: 'concurrency', brand: 'acme', value: one.overall })
  await daemon.world.advance(1_500)
  await daemon.schedule(
    Array.from({ length: Math.min(400, one.rate) }, (_, at) => ({
      brand: BRANDS[at % 2] ?? 'acme',
      retry: RETRY,
      inMs: at % 5 === 0 ? at : 0,
    })),
  )
  let elapsedMs = 0
  for (const { atMs, who } of one.kills.toSorted((a, b) => a.atMs - b.atMs)) {
    await daemon.world.advance(atMs - elapsedMs)
    elapsedMs = atMs
    daemon.runtime.exit(who, 'kill')
  }
  await daemon.world.advance(120_000)
  const undone = daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')
  const early = soonestMs(daemon.network.starts(API), one)
  // What a dead pool was to send at its instant nobody counts any more.
  const allowed = DEPARTURE_EARLY_MS + NOMINAL_BACK_MS + (one.kills.length > 0 ? ADMITTED_AHEAD_MS : 0) + 0.1
  return [
    ...(undone.length > 0 ? [`${undone.length} not delivered`] : []),
    ...(daemon.network.openMax(API) > one.slots ? [`${daemon.network.openMax(API)} open at once`] : []),
    ...(early > allowed ? [`a start came ${early} ms too soon`] : []),
  ]
}

describe('starts that wait for their instant at the dispatch pool', () => {
  it('keep to rate and slots, and none is lost, whoever is killed', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        expect(await play(one)).toEqual([])
      }),
      { numRuns: 20 },
    )
  }, 60_000)
})
