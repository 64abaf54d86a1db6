/** `expiresAt`: what waits beyond it is never sent and ends `expired` (guard.md, Backpressure; D-28). */
import { describe, expect, it } from 'vitest'
import type { WriteOp } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const API = 'api.example.com'
const finished = (daemon: VirtualDaemon, id: string): unknown[] =>
  daemon.events.filter((event) => event.type === 'webhook.finished' && event.id === id)
const endOf = (daemon: VirtualDaemon, id: string) => ({
  type: 'webhook.finished',
  at: expect.any(Number),
  id,
  brand: 'default',
  domain: daemon.disk.byId.get(id)?.domain,
  state: 'expired',
})

describe('a webhook that may expire', () => {
  it('is never sent if it waits behind a concurrency limit for too long', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 5_000 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 1 })
    const now = daemon.world.wallNow()
    const [first = '', swept = '', patient = ''] = await daemon.schedule([
      { expiresAt: now + 1_000 },
      { expiresAt: now + 2_000 },
      { expiresAt: now + 20_000 },
    ])
    await daemon.world.advance(4_000)
    expect(daemon.stateOf(swept)).toBe('expired')
    await daemon.world.advance(26_000)
    expect([first, swept, patient].map((id) => daemon.stateOf(id))).toEqual(['delivered', 'expired', 'delivered'])
    expect(daemon.arrivals()).toEqual(
      new Map([
        [first, 1],
        [swept, 0],
        [patient, 1],
      ]),
    )
    expect(finished(daemon, swept)).toEqual([endOf(daemon, swept)])
  })

  it('gives its turn to the next if the limit would let it go before the sweep has ended it', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 1_450 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 1 })
    const now = daemon.world.wallNow()
    const ids = await daemon.schedule([{}, { expiresAt: now + 1_300 }, {}])
    await daemon.world.advance(1_500)
    expect(ids.map((id) => daemon.stateOf(id))).toEqual(['delivered', 'live', 'live'])
    expect(daemon.network.starts(API)).toHaveLength(2)
    const [, late = ''] = ids
    await daemon.world.advance(700)
    expect(finished(daemon, late)).toEqual([endOf(daemon, late)])
    await daemon.world.advance(10_000)
    expect([...daemon.arrivals().values()]).toEqual([1, 0, 1])
    expect(finished(daemon, late)).toHaveLength(1)
  })

  it.each([
    ['a paused domain', { kind: 'concurrency', domain: API, value: 0 }],
    ['a paused brand', { kind: 'concurrency', brand: 'default', value: 0 }],
  ] as const)(
    'ends in %s as well, whoever dies meanwhile, and is not sent when the pause is over',
    async (_, limit) => {
      const daemon = new VirtualDaemon()
      await daemon.start()
      await daemon.setLimit(limit)
      const expiresAt = daemon.world.wallNow() + 3_000
      const ids = await daemon.schedule([{ expiresAt }, {}, { inMs: 1_000, expiresAt }])
      await daemon.world.advance(2_500)
      daemon.runtime.exit('store-keeper', 'kill')
      await daemon.world.advance(2_500)
      expect(ids.map((id) => daemon.stateOf(id))).toEqual(['expired', 'live', 'expired'])
      await daemon.setLimit({ ...limit, value: null })
      await daemon.world.advance(10_000)
      expect([...daemon.arrivals().values()]).toEqual([0, 1, 0])
      for (const id of [ids[0] ?? '', ids[2] ?? '']) expect(finished(daemon, id)).toEqual([endOf(daemon, id)])
    },
  )

  it('costs neither a mark nor a start of the rate: what comes after it goes at the very next instant', async () => {
    let marks = 0
    const beforeWrite = (group: readonly WriteOp[]): void => {
      marks += group.filter(({ type }) => type === 'mark-started').length
    }
    const daemon = new VirtualDaemon({ faults: { beforeWrite } })
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 1 })
    await daemon.schedule([{}])
    await daemon.world.advance(1_100)
    const beganMono = daemon.world.monoNow()
    const expiresAt = daemon.world.wallNow() + 850
    const hasty = await daemon.schedule(Array.from({ length: 20 }, () => ({ expiresAt })))
    const [last = ''] = await daemon.schedule([{}])
    await daemon.world.advance(5_000)
    expect(hasty.map((id) => daemon.stateOf(id))).toEqual(Array(20).fill('expired'))
    expect(daemon.stateOf(last)).toBe('delivered')
    const [, second = 0] = daemon.network.starts(API)
    expect(second - beganMono).toBeLessThan(1_000)
    expect(marks).toBe(2)
    for (const id of hasty) expect(finished(daemon, id)).toEqual([endOf(daemon, id)])
  })

  it('ends as expired when its retry comes too late', async () => {
    const daemon = new VirtualDaemon({ script: ({ attempt }) => ({ status: attempt === 1 ? 500 : 200 }) })
    await daemon.start()
    const expiresAt = daemon.world.wallNow() + 5_000
    const retry = { maxAttempts: 3, backoff: 'fixed', initialDelayMs: 2_000, maxDelayMs: 2_000, jitter: 0 } as const
    const [id = ''] = await daemon.schedule([{ expiresAt, retry: { ...retry, inDoubt: 'retry' } }])
    await daemon.world.advance(500)
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 0 })
    await daemon.world.advance(10_000)
    expect(daemon.stateOf(id)).toBe('expired')
    expect(daemon.network.arrivals.map(({ attempt }) => attempt)).toEqual([1])
    expect(finished(daemon, id)).toEqual([endOf(daemon, id)])
  })
})
