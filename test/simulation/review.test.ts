/** Sequences that a review aimed at the delivery rooms; each broke them once. */
import { describe, expect, it } from 'vitest'
import { executor } from '#actors/executor.ts'
import { guardOf, guards } from '#actors/guard.ts'
import { scheduler } from '#actors/scheduler.ts'
import type { WriteOp } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const LATE = {
  maxAttempts: 5,
  backoff: 'fixed',
  initialDelayMs: 60_000,
  maxDelayMs: 60_000,
  jitter: 0.2,
  inDoubt: 'retry',
} as const

const STEADY = { ...LATE, initialDelayMs: 1_000, maxDelayMs: 1_000, jitter: 0 } as const

describe('a retry is decided once', () => {
  it('also if its process dies between the write and the answer: stored and told are one instant', async () => {
    let killed = false
    const afterWrite = (group: readonly WriteOp[]): void => {
      if (killed || !group.some((op) => op.type === 'record-outcome' && op.next.state === 'retrying')) return
      killed = true
      for (const pid of daemon.runtime.processes())
        if (daemon.runtime.processInfo(pid)?.behaviour === 'retry') daemon.runtime.exit(pid, 'kill')
    }
    const daemon: VirtualDaemon = new VirtualDaemon({
      faults: { afterWrite },
      script: (order) => ({ status: order.attempt === 1 ? 500 : 200 }),
    })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ retry: LATE }])
    await daemon.world.advance(1_000)
    const told = daemon.events.flatMap((event) => (event.type === 'webhook.retried' ? [event.nextAt] : []))
    expect(killed).toBe(true)
    expect(told).toEqual([daemon.disk.byId.get(id)?.nextAt])
  })
})

describe('a cancel that is asked again is the same cancel', () => {
  it('its client hears `cancelled`, although the store died before its answer', async () => {
    let died = false
    const afterWrite = (group: readonly WriteOp[]): void => {
      if (died || !group.some((op) => op.type === 'cancel')) return
      died = true
      daemon.disk.crash('the store thread died before its answer')
    }
    const daemon: VirtualDaemon = new VirtualDaemon({ faults: { afterWrite } })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ inMs: 60_000 }])
    const answer = daemon.runtime.call(scheduler, { type: 'cancel', id, brand: null })
    await daemon.world.advance(2_000)
    expect(died).toBe(true)
    expect(await answer).toMatchObject({ outcome: 'cancelled' })
  })
})

describe('a guard that dies at its start', () => {
  it('is parked, longer each time, and its neighbour does not notice', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const poisoned = 'poisoned.example.com'
    let deaths = 0
    daemon.onEvent = (event) => {
      if (event.type !== 'guard.started' || event.domain !== poisoned) return
      deaths++
      daemon.world.soon(() => daemon.runtime.exit(guardOf(poisoned), { type: 'term', term: 'poison' }))
    }
    await daemon.schedule([{ domain: poisoned }, { domain: 'healthy.example.com' }])
    await daemon.world.advance(30_000)
    expect(deaths).toBeGreaterThan(2)
    expect(deaths).toBeLessThan(12)
    expect(daemon.arrivals().get(daemon.acknowledged[1] ?? '')).toBe(1)
    expect(daemon.runtime.whereis(guards)).not.toBeNull()
  })
})

describe('executions', () => {
  it('that begin for an executor that has died are watched by the next one', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 30_000 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: 'api.example.com', value: 1_000 })
    let started = 0
    daemon.onEvent = (event) => {
      if (event.type === 'attempt.started' && ++started === 1) daemon.runtime.exit(executor, 'kill')
    }
    await daemon.schedule(Array.from({ length: 400 }, () => ({ retry: STEADY })))
    await daemon.world.advance(15_000)
    const victims = daemon.runtime
      .processes()
      .filter((pid) => daemon.runtime.processInfo(pid)?.behaviour === 'execution')
    for (const pid of victims) daemon.runtime.exit(pid, 'kill')
    daemon.network.script = () => ({})
    await daemon.world.advance(120_000)
    expect(started).toBeGreaterThan(1)
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
  })

  it('that die of what they take up are started again with patience', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 10 }) })
    await daemon.start()
    let deaths = 0
    const arm = (): void =>
      daemon.world.armFailpoint('execution.ended', () => {
        deaths++
        arm()
        throw new Error('poison')
      })
    arm()
    await daemon.schedule([{ retry: STEADY }])
    await daemon.world.advance(60_000)
    expect(deaths).toBeGreaterThan(3)
    expect(deaths).toBeLessThan(40)
    expect(daemon.network.arrivals).toHaveLength(1)
  })
})
