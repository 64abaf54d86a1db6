/** What waits for each actor (`actors/mailboxes.ts`): bounded by construction under a flood of work, and a declared end beyond it. In virtual time. */
import { describe, expect, it, vi } from 'vitest'
import { FEW, MANY } from '#actors/mailboxes.ts'
import { DOMAIN_CONCURRENCY_DEFAULT, LANE_WINDOW_MAX } from '#config/limits.ts'
import { ingestInline } from '#control/ingest-inline.ts'
import { Kernel } from '#runtime/kernel.ts'
import { ingestWorker, overloadWorker, telemetryWorker } from '#supervisors/control.ts'
import { heldBySlowReceivers } from '#test/support/slow-receivers.ts'
import { VirtualDaemon, type VirtualOptions } from '#test/support/virtual-daemon.ts'
import { DEFAULT_RETRY_POLICY } from '#webhook/retry.ts'

const QUICK = { ...DEFAULT_RETRY_POLICY, maxAttempts: 90, backoff: 'fixed', initialDelayMs: 100, jitter: 0 } as const
const DOMAIN = 'api.example.com'
const LIMITED = 'limited'
const POLICY = { allowPrivate: true, allowTargets: [], denyTargets: [] }

/** With the actors beside the way of a webhook, and without copies of messages: a million of them are sent here. */
const wholeDaemon = (options: VirtualOptions = {}): VirtualDaemon => {
  const daemon: VirtualDaemon = new VirtualDaemon({
    safeMessages: false,
    ...options,
    before: (events) => [
      telemetryWorker({ events, listeners: [] }),
      overloadWorker({ events }),
      ingestWorker({ start: ingestInline(POLICY, daemon.world) }),
    ],
  })
  return daemon
}
/** Too seldom for a breaker. */
const failsAt = (arrival: number): number => (arrival % 4 === 3 ? 500 : 200)
/** Processes that run this behaviour. */
const living = ({ runtime }: VirtualDaemon, behaviour: string) =>
  runtime.processes().filter((pid) => runtime.processInfo(pid)?.behaviour === behaviour)

describe('beyond its bound', () => {
  const flood = (daemon: VirtualDaemon, behaviour: string, max: number): void => {
    const pid = living(daemon, behaviour)[0] ?? expect.fail(`no ${behaviour} lives`)
    for (let sent = 0; sent <= max; sent++) daemon.runtime.cast(pid, { type: 'flood' })
  }
  it.each([
    ['store-keeper', MANY, 'restarted'],
    ['telemetry', FEW, 'restarted'],
    ['overload', FEW, 'restarted'],
    ['ingest', MANY, 'restarted'],
    ['limits', MANY, 'restarted'],
    ['guard', MANY, 'on demand'],
    ['brand-limiter', MANY, 'on demand'],
    ['dispatch-pool', MANY, 'restarted'],
    ['executor', MANY, 'restarted'],
    ['execution', FEW, 'taken up'],
    ['retry-manager', MANY, 'restarted'],
    ['retry', FEW, 'taken up'],
    ['scheduler', MANY, 'restarted'],
  ] as const)(
    'SUPV-04: more messages than the actor %s declares end it: one report, only this one is started anew, and nothing is lost',
    async (behaviour, { max }, comesBack) => {
      const daemon = wholeDaemon({ script: (_order, { arrival }) => ({ latencyMs: 20, status: failsAt(arrival) }) })
      await daemon.start()
      await daemon.setLimit({ kind: 'concurrency', brand: LIMITED, value: 5 })
      // While it lives: these two end within a turn.
      const point = { execution: 'execution.marked', retry: 'retry.decided' }[behaviour as string]
      if (point !== undefined) daemon.world.armFailpoint(point, () => flood(daemon, behaviour, max), 3)
      const ids = await daemon.schedule(
        Array.from({ length: 20 }, (_, n) => ({ inMs: 5 * n, brand: LIMITED, domain: DOMAIN, retry: QUICK })),
      )
      await daemon.world.advance(50)
      if (point === undefined) flood(daemon, behaviour, max)
      await daemon.world.advance(30_000)
      const told = daemon.reports.flatMap((report) =>
        report.type === 'mailbox-overflowed' ? [[report.length, report.policy]] : [],
      )
      expect(told).toEqual([[max, 'crash']])
      const restarted = daemon.reports.flatMap((report) => (report.type === 'process-restarted' ? [report.id] : []))
      expect(restarted).toEqual(comesBack === 'restarted' ? [behaviour] : [])
      expect(daemon.ended).toBeNull()
      for (const id of ids) expect(daemon.stateOf(id)).toBe('delivered')
      expect(daemon.network.openMax(DOMAIN)).toBeLessThanOrEqual(5)
    },
  )
})

describe('under a flood of work', () => {
  /** The longest that a mailbox of each behaviour ever was. */
  const watchMailboxes = (): ReadonlyMap<string, number> => {
    const longest = new Map<string, number>()
    const { push } = Kernel.prototype
    vi.spyOn(Kernel.prototype, 'push').mockImplementation(function (this: Kernel, to, message, meta) {
      push.call(this, to, message, meta)
      const { name } = to.slot.current
      if (to.mailboxLength > (longest.get(name) ?? 0)) longest.set(name, to.mailboxLength)
    })
    return longest
  }

  it('SUPV-04: what waits for an actor is bounded by who may send how much, far below its bound, and all is delivered', async () => {
    const [domains, each, brands] = [400, 10, 50]
    const permits = domains * DOMAIN_CONCURRENCY_DEFAULT
    const longest = watchMailboxes()
    const daemon = wholeDaemon({
      capacity: permits,
      script: (_order, { arrival }) => ({ latencyMs: 50, status: failsAt(arrival) }),
    })
    await daemon.start()
    for (let n = 0; n < brands; n += 2) await daemon.setLimit({ kind: 'concurrency', brand: `b${n}`, value: 100 })
    const rows = Array.from({ length: domains * each }, (_, n) => ({
      domain: `d${n % domains}.example.com`,
      brand: `b${n % brands}`,
      inMs: 1_000,
      retry: QUICK,
    }))
    const ids = await daemon.schedule(rows)
    await daemon.world.advance(20_000)
    vi.restoreAllMocks()
    expect(ids.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
    /** As `actors/mailboxes.ts` says it: of each permit one thing at a time and its end, of each guard a question and a word. */
    const most: Readonly<Record<string, number>> = {
      'store-keeper': 2 * permits + 2 * domains,
      scheduler: permits + 2 * domains,
      'dispatch-pool': 2 * permits + domains,
      executor: 2 * permits,
      'retry-manager': 3 * permits,
      limits: 1 + domains,
      guard: 3 * DOMAIN_CONCURRENCY_DEFAULT,
      'brand-limiter': domains,
      execution: 2,
      retry: 2,
      overload: 1,
    }
    for (const [behaviour, bound] of Object.entries(most)) {
      expect(longest.get(behaviour) ?? 0, behaviour).toBeGreaterThan(0)
      expect(longest.get(behaviour), behaviour).toBeLessThanOrEqual(bound)
    }
    expect(MANY.max).toBeGreaterThan(50 * Math.max(...Object.values(most)))
    const few = ['execution', 'retry', 'overload'].map((behaviour) => most[behaviour] ?? 0)
    expect(FEW.max).toBeGreaterThan(1_000 * Math.max(...few))
  })
})

it('WORK-08: slow receivers and 3,000 due: what main and its thread hold is bounded by count, the rest waits in the store', async () => {
  const asked = { domains: 3, each: 1_000, concurrency: 100, capacity: 64, latencyMs: 1_000 }
  const held = await heldBySlowReceivers(asked)
  expect(held.inThread).toBe(asked.capacity)
  expect(held.queued).toBe(asked.domains * asked.concurrency - asked.capacity)
  expect(held.executions).toBeLessThanOrEqual(asked.domains * asked.concurrency)
  expect(held.windows).toBeLessThanOrEqual(asked.domains * LANE_WINDOW_MAX)
  expect(held.horizon, 'all of it was told').toBe(0)
})
