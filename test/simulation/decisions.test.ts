/** The sequences of decisions.md that need more than one actor to go wrong, each as a test over the whole daemon. */
import { describe, expect, it } from 'vitest'
import { guardOf, guards } from '#actors/guard.ts'
import { scheduler } from '#actors/scheduler.ts'
import { LANE_WINDOW_MAX } from '#config/limits.ts'
import type { WriteOp } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const API = 'api.example.com'
const times = <V>(count: number, make: (index: number) => V): V[] =>
  Array.from({ length: count }, (_, index) => make(index))
const undelivered = (daemon: VirtualDaemon): string[] =>
  daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')
const doubled = (daemon: VirtualDaemon): string[] =>
  [...daemon.arrivals()].filter(([, count]) => count > 1).map(([id]) => id)
const STEADY = {
  maxAttempts: 5,
  backoff: 'fixed',
  initialDelayMs: 1_000,
  maxDelayMs: 1_000,
  jitter: 0,
  inDoubt: 'retry',
} as const

describe('D-2: somebody restarts a dead guard', () => {
  it('a guard killed over a long backlog comes back although no new webhook does', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 10 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 10 })
    await daemon.schedule(times(2_000, () => ({})))
    await daemon.world.advance(300)
    daemon.runtime.exit(guardOf(API), 'kill')
    await daemon.world.advance(10_000)
    expect(undelivered(daemon)).toEqual([])
    expect(daemon.network.openMax(API)).toBeLessThanOrEqual(10)
  })

  it('a scheduler that dies right after it told a guard forgets nothing', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 10 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 20 })
    await daemon.schedule(times(40, (i) => ({ inMs: 100 + i })))
    await daemon.world.advance(120)
    daemon.runtime.exit(scheduler, 'kill')
    daemon.runtime.exit(guardOf(API), 'kill')
    await daemon.world.advance(15_000)
    expect(undelivered(daemon)).toEqual([])
    expect(doubled(daemon)).toEqual([])
  })
})

describe('D-3: starting is a compare-and-set', () => {
  it('a webhook that is told again after it was delivered is not started again', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const [id = ''] = await daemon.schedule([{}])
    await daemon.world.advance(100)
    const row = daemon.disk.byId.get(id)
    if (row === undefined) throw new Error('the row is gone')
    const { seq, nextAt, brand, domain, priority, timeoutMs } = row
    const due = { id, seq, nextAt, brand, domain, priority, attempts: 0, timeoutMs, expiresAt: null }
    daemon.runtime.cast(scheduler, { type: 'handed-back', due })
    await daemon.world.advance(1_000)
    expect(daemon.arrivals().get(id)).toBe(1)
  })

  it('a cancel that was acknowledged is never followed by an attempt, even while a refill brings the row back', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 20 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 2 })
    const ids = await daemon.schedule(times(LANE_WINDOW_MAX + 300, () => ({})))
    const cancelled: string[] = []
    for (let i = 0; i < 200; i++) {
      await daemon.world.advance(7)
      const id = ids[ids.length - 1 - i * 3] ?? ''
      const answer = daemon.runtime.call(scheduler, { type: 'cancel', id, brand: null })
      await daemon.world.settle()
      const outcome = await answer
      if ('outcome' in outcome && outcome.outcome === 'cancelled') cancelled.push(id)
    }
    await daemon.world.advance(20_000)
    const arrived = daemon.arrivals()
    expect(cancelled.length).toBeGreaterThan(100)
    expect(cancelled.filter((id) => arrived.get(id) !== 0)).toEqual([])
    expect(undelivered(daemon).sort()).toEqual([...cancelled].sort())
  })

  it('a keeper that dies after the commit and before its answer starts nothing twice and loses nothing', async () => {
    let losses = 0
    const afterWrite = (group: readonly WriteOp[]): void => {
      if (losses < 6 && group.some((op) => op.type === 'mark-started' || op.type === 'record-outcome')) {
        losses++
        daemon.disk.crash('the store thread died before its answer')
      }
    }
    const daemon: VirtualDaemon = new VirtualDaemon({ script: () => ({ latencyMs: 30 }), faults: { afterWrite } })
    await daemon.start()
    await daemon.schedule(times(50, (i) => ({ inMs: i * 10 })))
    await daemon.world.advance(30_000)
    expect(losses).toBe(6)
    expect(undelivered(daemon)).toEqual([])
    expect(doubled(daemon)).toEqual([])
  })
})

describe('D-4: one owner for retries', () => {
  it('a near retry is tried once, at its instant', async () => {
    const daemon = new VirtualDaemon({ script: (order) => ({ status: order.attempt === 1 ? 500 : 200 }) })
    await daemon.start()
    await daemon.schedule(times(30, (i) => ({ inMs: i * 3, domain: `d${i}.example.com`, retry: STEADY })))
    await daemon.world.advance(10_000)
    expect([...daemon.arrivals().values()]).toEqual(Array(30).fill(2))
  })

  it('a process that dies between a failure and its decision tries again, with an instant', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ status: 500, latencyMs: 5 }) })
    await daemon.start()
    const ids = await daemon.schedule(times(20, (i) => ({ domain: `d${i}.example.com`, retry: STEADY })))
    for (let run = 0; run < 3; run++) {
      await daemon.world.advance(6)
      await daemon.crash()
      await daemon.start()
    }
    daemon.network.script = () => ({})
    await daemon.world.advance(20_000)
    expect(ids.map((id) => daemon.stateOf(id))).toEqual(Array(20).fill('delivered'))
  })
})

describe('D-12: after the death of the process', () => {
  it('attempts in doubt hold their permits, so the limit holds at a receiver that is still at work', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 800 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 3 })
    await daemon.schedule(times(9, () => ({})))
    await daemon.world.advance(200)
    await daemon.crash()
    await daemon.start()
    const restartedMono = daemon.world.monoNow()
    await daemon.world.advance(950)
    expect(daemon.network.starts(API).filter((mono) => mono > restartedMono)).toEqual([])
    await daemon.world.advance(20_000)
    expect(undelivered(daemon)).toEqual([])
    expect(daemon.events.filter((event) => event.type === 'attempt.in-doubt')).toHaveLength(3)
  })

  const DEATHS: readonly (readonly [string, (daemon: VirtualDaemon) => Promise<void>])[] = [
    [
      'a second death of the process',
      async (daemon) => {
        await daemon.crash()
        await daemon.start()
      },
    ],
    ['a kill of all guards with their supervisor', async (daemon) => void daemon.runtime.exit(guards, 'kill')],
  ]
  it.each(DEATHS)('also through %s within that second', async (_, hurt) => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 1_000 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 3 })
    await daemon.schedule(times(9, () => ({})))
    await daemon.world.advance(100)
    await daemon.crash()
    await daemon.start()
    const restartedMono = daemon.world.monoNow()
    await daemon.world.advance(300)
    await hurt(daemon)
    await daemon.world.advance(restartedMono + 880 - daemon.world.monoNow())
    expect(daemon.network.starts(API).filter((mono) => mono > restartedMono)).toEqual([])
    await daemon.world.advance(20_000)
    expect(undelivered(daemon)).toEqual([])
    expect(daemon.events.filter((event) => event.type === 'attempt.in-doubt')).toHaveLength(3)
  })
})
