import { describe, expect, it } from 'vitest'
import { StoreError } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const DOMAIN = 'api.example.com'
const RETRY = {
  maxAttempts: 3,
  backoff: 'fixed',
  initialDelayMs: 1_000,
  maxDelayMs: 1_000,
  jitter: 0,
  inDoubt: 'retry',
} as const

const arrivalsOf = (daemon: VirtualDaemon, id: string): readonly number[] =>
  daemon.network.arrivals.filter((arrival) => arrival.webhookId === id).map((arrival) => arrival.at)
const reschedule = (daemon: VirtualDaemon, id: string, at: number) =>
  daemon.retime({ type: 'reschedule', id, brand: null, at, now: daemon.world.wallNow() })
const replay = (daemon: VirtualDaemon, id: string, newId: string | null = null) =>
  daemon.retime({ type: 'replay', id, brand: null, newId, at: daemon.world.wallNow() })

describe('a webhook that is given another instant', () => {
  it.each([
    ['later, from within the horizon', 5_000, 60_000],
    ['later, from far ahead', 3_600_000, 7_200_000],
    ['sooner, from far ahead', 3_600_000, 2_000],
    ['now, from far ahead', 3_600_000, 0],
  ])('%s, arrives at that instant and only then', async (_what, firstMs, thenMs) => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const start = daemon.world.wallNow()
    const [id = ''] = await daemon.schedule([{ at: start + firstMs }])
    await daemon.world.advance(100)
    expect(await reschedule(daemon, id, start + thenMs)).toBe('rescheduled')
    const due = Math.max(start + thenMs, daemon.world.wallNow())
    await daemon.world.advance(Math.max(0, due - daemon.world.wallNow() - 1))
    if (thenMs > 0) expect(arrivalsOf(daemon, id)).toEqual([])
    await daemon.world.advance(10)
    expect(arrivalsOf(daemon, id)).toHaveLength(1)
    expect(arrivalsOf(daemon, id)[0]).toBeGreaterThanOrEqual(due)
    await daemon.world.advance(60_000)
    expect(arrivalsOf(daemon, id)).toHaveLength(1)
  })

  it('later, while its guard holds it back, is not sent when its turn comes', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 100 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 1 })
    const ids = await daemon.schedule(Array.from({ length: 5 }, () => ({})))
    await daemon.world.advance(50)
    const at = daemon.world.wallNow() + 10_000
    expect(await reschedule(daemon, ids[2] ?? '', at)).toBe('rescheduled')
    await daemon.world.advance(9_000)
    expect([...daemon.arrivals().values()]).toEqual([1, 1, 0, 1, 1])
    await daemon.world.advance(2_000)
    expect(arrivalsOf(daemon, ids[2] ?? '')[0]).toBeGreaterThanOrEqual(at)
  })

  it('while its mark waits and the clock goes back, is not sent before it, though it was due by the clock of its mark', async () => {
    let release = (): void => undefined
    const daemon = new VirtualDaemon({
      faults: {
        beforeWrite(group) {
          if (daemon.disk.started.size > 0 || !group.some(({ type }) => type === 'mark-started')) return
          return new Promise<void>((resolve) => {
            release = resolve
          })
        },
      },
    })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ inMs: 1_000 }])
    await daemon.world.advance(1_000)
    daemon.world.stepWall(-5_000)
    const at = daemon.world.wallNow() + 3_000
    expect(await reschedule(daemon, id, at)).toBe('rescheduled')
    release()
    await daemon.world.advance(2_900)
    expect(arrivalsOf(daemon, id)).toEqual([])
    release()
    await daemon.world.advance(200)
    release()
    await daemon.world.advance(200)
    expect(arrivalsOf(daemon, id)).toHaveLength(1)
    expect(arrivalsOf(daemon, id)[0]).toBeGreaterThanOrEqual(at)
  })

  it('later, at the moment when it is being started, is either running, or waits for its new instant', async () => {
    for (let delayMs = 0; delayMs < 12; delayMs++) {
      const daemon = new VirtualDaemon({
        seed: delayMs,
        faults: { beforeWrite: () => new Promise<void>((resolve) => daemon.world.setTimer(3, resolve)) },
      })
      await daemon.start()
      const scheduled = daemon.schedule([{ inMs: 20 }])
      await daemon.world.advance(10)
      const [id = ''] = await scheduled
      await daemon.world.advance(5 + delayMs)
      const at = daemon.world.wallNow() + 5_000
      const answer = reschedule(daemon, id, at)
      await daemon.world.advance(1_000)
      const outcome = await answer
      const early = arrivalsOf(daemon, id).filter((arrival) => arrival < at)
      expect(early).toHaveLength(outcome === 'rescheduled' ? 0 : 1)
      await daemon.world.advance(10_000)
      expect(arrivalsOf(daemon, id)).toHaveLength(1)
    }
  })

  it('is given it once, also if the store dies before it answers', async () => {
    let dies = false
    const daemon = new VirtualDaemon({
      faults: {
        afterWrite: (group) => {
          if (!dies || !group.some((op) => op.type === 'reschedule')) return
          dies = false
          throw new StoreError('io', 'the answer is lost')
        },
      },
    })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ inMs: 60_000 }])
    dies = true
    const answer = reschedule(daemon, id, daemon.world.wallNow() + 1_000)
    await daemon.world.advance(500)
    expect(await answer).toBe('rescheduled')
    await daemon.world.advance(1_500)
    expect(daemon.stateOf(id)).toBe('delivered')
  })
})

describe('a replayed webhook', () => {
  it('has a whole new series of attempts under the same id', async () => {
    const daemon = new VirtualDaemon({ script: (order) => ({ status: order.attempt < 6 ? 500 : 200 }) })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ retry: RETRY }])
    await daemon.world.advance(5_000)
    expect(daemon.stateOf(id)).toBe('dead')
    expect(await replay(daemon, id)).toBe('replayed')
    await daemon.world.advance(5_000)
    expect(daemon.stateOf(id)).toBe('delivered')
    expect(daemon.network.arrivals.map(({ webhookId, attempt }) => [webhookId, attempt])).toEqual(
      [1, 2, 3, 4, 5, 6].map((attempt) => [id, attempt]),
    )
    expect(await reschedule(daemon, id, 0)).toBe('alreadyDone')
  })

  it('as a new webhook is delivered beside the first one', async () => {
    const daemon = new VirtualDaemon()
    await daemon.start()
    const [id = ''] = await daemon.schedule([{}])
    await daemon.world.advance(100)
    expect(await replay(daemon, id, 'msg_01ANOTHER')).toBe('replayed')
    await daemon.world.advance(100)
    expect([daemon.stateOf(id), daemon.stateOf('msg_01ANOTHER')]).toEqual(['delivered', 'delivered'])
    expect(arrivalsOf(daemon, id)).toHaveLength(1)
  })

  it('goes through the guard: after a 429 with Retry-After it waits like every other', async () => {
    let isBusy = false
    const daemon = new VirtualDaemon({ script: () => (isBusy ? { status: 429, retryAfterMs: 3_000 } : {}) })
    await daemon.start()
    const [first = ''] = await daemon.schedule([{}])
    await daemon.world.advance(100)
    isBusy = true
    await daemon.schedule([{}])
    await daemon.world.advance(100)
    isBusy = false
    const closedAt = daemon.world.wallNow()
    expect(await replay(daemon, first)).toBe('replayed')
    await daemon.world.advance(2_800)
    expect(daemon.network.arrivals.filter((arrival) => arrival.at >= closedAt)).toEqual([])
    await daemon.world.advance(5_000)
    expect(arrivalsOf(daemon, first)).toHaveLength(2)
  })
})
