/**
 * A state that cannot be: whoever finds it dies of it, its successor has its own from the store and from who lives, and nothing of the bad one is
 * written or sent. Each case changes the state of a live actor, or what it is told, under work. In virtual time.
 */
import { expect, it } from 'vitest'
import { brandLimiterOf } from '#actors/brand-limiter.ts'
import { executor } from '#actors/executor.ts'
import { guardOf } from '#actors/guard.ts'
import { type PendingRetry, RETRIES_TABLE } from '#actors/retry.ts'
import { retryManager } from '#actors/retry-manager.ts'
import { scheduler } from '#actors/scheduler.ts'
import { replaceState } from '#runtime/sys.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { DEFAULT_RETRY_POLICY } from '#webhook/retry.ts'

const QUICK = { ...DEFAULT_RETRY_POLICY, maxAttempts: 90, backoff: 'fixed', initialDelayMs: 300, jitter: 0 } as const
const DOMAIN = 'api.example.com'
const BRAND = 'acme'
const CONCURRENCY = 4
const BRAND_LIMIT = 3

type Hurt = (daemon: VirtualDaemon) => void | Promise<void>
/** In the state of every process that runs this behaviour. */
const inState =
  (behaviour: string, change: (state: never) => void): Hurt =>
  ({ runtime }) => {
    const pids = runtime.processes().filter((one) => runtime.processInfo(one)?.behaviour === behaviour)
    expect(pids.length, `a living ${behaviour}`).toBeGreaterThan(0)
    for (const pid of pids)
      void replaceState(runtime, pid, (state) => {
        change(state as never)
        return state
      })
  }
const DUE = {
  id: 'msg_01KDVDNA00H5T1A9X7KWAKWPZ5',
  seq: 1,
  nextAt: 0,
  brand: BRAND,
  domain: DOMAIN,
  priority: 'normal',
  attempts: 0,
  timeoutMs: 1_000,
  expiresAt: null,
} as const

interface Case {
  readonly actor: string
  readonly what: string
  readonly hurt: Hurt
  /** In the report of its end. */
  readonly says: string
}
const CASES: readonly Case[] = [
  {
    actor: 'scheduler',
    what: 'has lost an entry of its horizon',
    hurt: inState('scheduler', ({ horizon }: { horizon: { entries: unknown[] } }) => void horizon.entries.pop()),
    says: 'the horizon holds',
  },
  {
    actor: 'guard',
    what: 'counts fewer attempts than hold its permits',
    hurt: inState('guard', ({ queues }: { queues: { inFlight: number } }) => {
      queues.inFlight -= 2
    }),
    says: 'attempts hold permits',
  },
  {
    actor: 'brand-limiter',
    what: 'believes that it has granted less than nothing',
    hurt: inState('brand-limiter', ({ permits }: { permits: { grantedSum: number } }) => {
      permits.grantedSum -= 5
    }),
    says: '-5 permits are granted to 0 guards',
  },
  {
    actor: 'executor',
    what: 'is told to start an attempt under the permit of another',
    hurt: ({ runtime }) => {
      const permit = {
        attemptId: `${DUE.id}.7`,
        domain: DOMAIN,
        brand: BRAND,
        guard: 1,
        limiter: null,
        dueAt: 0,
        enteredAt: 0,
        admittedAt: 0,
        admittedMono: 0,
        rates: [],
      }
      runtime.cast(executor, { type: 'start', admitted: [{ due: DUE, permit }] })
    },
    says: `${DUE.id}.7 is not that of attempt 1`,
  },
  {
    actor: 'execution',
    what: 'does not know of what series its attempt is',
    hurt: async (daemon) => {
      // Only a failed attempt asks for it.
      const { script } = daemon.network
      daemon.network.script = () => ({ latencyMs: 40, status: 500 })
      await daemon.world.advance(60)
      daemon.network.script = script
      inState('execution', (state: { series: unknown }) => {
        state.series = null
      })(daemon)
    },
    says: 'an attempt ends only after its mark',
  },
  {
    actor: 'retry-manager',
    what: 'is told of the failure of an attempt that was not due',
    hurt: ({ runtime }) => {
      const attempt = {
        number: 5,
        startedAt: 0,
        endedAt: 1,
        status: 500,
        error: 'http_5xx',
        excerpt: null,
        timerMs: 0,
        guardMs: 0,
        networkMs: 0,
        inDoubt: false,
      } as const
      const outcome = { kind: 'error', error: 'timeout', detail: 'test' } as const
      const series = { retry: QUICK, firstAt: 0, attemptsBefore: 0 }
      const failure = { due: DUE, token: 't', attempt, outcome, lonelyDeaths: null, series }
      void runtime.call(retryManager, { type: 'attempt-failed', failure }).catch(() => undefined)
    },
    says: 'but attempt 1 was due',
  },
  {
    actor: 'retry',
    what: 'finds a decision for an instant that is none',
    hurt: ({ world, runtime }) => {
      // After it has decided, it dies; its successor finds what stands in the table.
      world.armFailpoint('retry.decided', () => {
        for (const [, row] of runtime.table<string, PendingRetry>(RETRIES_TABLE).entries())
          row.decision = { state: 'retrying', nextAt: Number.NaN }
        throw new Error('after its decision')
      })
    },
    says: 'would be retrying at NaN',
  },
]

const words = (reports: readonly unknown[]): string =>
  JSON.stringify(reports, (_key, value) => (value instanceof Error ? value.message : value))

it.each(CASES)(
  'SUPV-05: $actor: who $what dies of it; nothing of that is written, and limits hold',
  async ({ hurt, says }) => {
    const daemon = new VirtualDaemon({
      safeMessages: false,
      script: (_order, { arrival }) => ({ latencyMs: 40, status: arrival % 4 === 1 ? 500 : 200 }),
    })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: CONCURRENCY })
    await daemon.setLimit({ kind: 'concurrency', brand: BRAND, value: BRAND_LIMIT })
    const ids = await daemon.schedule(
      Array.from({ length: 40 }, (_, n) => ({ inMs: 10 * n, brand: BRAND, domain: DOMAIN, retry: QUICK })),
    )
    await daemon.world.advance(100)
    expect(daemon.runtime.whereis(guardOf(DOMAIN)), 'it is in the middle of its work').not.toBeNull()
    expect(daemon.runtime.whereis(brandLimiterOf(BRAND))).not.toBeNull()
    expect(daemon.runtime.whereis(scheduler)).not.toBeNull()
    await hurt(daemon)
    await daemon.world.advance(30_000)
    expect(words(daemon.reports)).toContain(says)
    expect(daemon.ended).toBeNull()
    expect(daemon.network.openMax(DOMAIN)).toBeLessThanOrEqual(BRAND_LIMIT)
    for (const id of ids) {
      expect(daemon.stateOf(id)).toBe('delivered')
      const { history = [] } = daemon.disk.byId.get(id) ?? {}
      expect(history.map(({ attempt }) => attempt.number)).toEqual(history.map((_, index) => index + 1))
      expect(history.filter(({ attempt }) => !attempt.inDoubt && attempt.status === null)).toEqual([])
    }
    expect(daemon.disk.byId.has(DUE.id)).toBe(false)
    const repeats = [...daemon.arrivals().values()].reduce((sum, arrivals) => sum + arrivals, 0)
    const attempts = ids.reduce((sum, id) => sum + (daemon.disk.byId.get(id)?.history.length ?? 0), 0)
    expect(repeats, 'every request stands in a history').toBeLessThanOrEqual(attempts)
  },
)
