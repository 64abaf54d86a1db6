/**
 * Between the guard's yes and the request lies the started mark. When the store stalls there, what was admitted well apart
 * arrives in a heap: the rate holds at the receiver all the same, and what its receiver has refused meanwhile is not sent.
 */
import { describe, expect, it } from 'vitest'
import { guardOf } from '#actors/guard.ts'
import { HANDED_AHEAD_MS } from '#config/limits.ts'
import { DEPARTURE_EARLY_MS, DEPARTURE_HOLD_MS_MAX, DEPARTURE_LAG_MS } from '#guard/departure.ts'
import { NOMINAL_BACK_MS } from '#guard/rate.ts'
import type { WriteOp } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'

const API = 'api.example.com'
const times = <V>(count: number, make: (index: number) => V): V[] =>
  Array.from({ length: count }, (_, index) => make(index))

/** A daemon whose marks take `markMs(now)`. */
const withMarks = (markMs: (mono: number) => number): VirtualDaemon => {
  const beforeWrite = (group: readonly WriteOp[]): Promise<void> | undefined => {
    if (!group.some(({ type }) => type === 'mark-started')) return undefined
    const ms = markMs(daemon.world.monoNow())
    return ms === 0 ? undefined : new Promise((done) => void daemon.world.setTimer(ms, done))
  }
  const daemon: VirtualDaemon = new VirtualDaemon({
    faults: { beforeWrite },
    safeMessages: false,
  })
  return daemon
}
/** The first marks after each instant take so long, all others a millisecond. */
const stalling = (...stalls: (readonly [afterMono: number, ms: number])[]): ((mono: number) => number) => {
  return (mono) => {
    const [afterMono = Number.POSITIVE_INFINITY, ms = 0] = stalls[0] ?? []
    if (mono <= afterMono) return 1
    stalls.shift()
    return ms
  }
}
/** How often more than `rate x (w + slackMs) + burst - 1` start in a window, by the equivalent in instants (ITU-T I.371). */
const broken = (monos: readonly number[], rate: number, burst: number, slackMs: number): number => {
  const intervalMs = 1_000 / rate
  let nominalMono = Number.NEGATIVE_INFINITY
  let count = 0
  for (const mono of monos) {
    if (mono < nominalMono - (burst - 1) * intervalMs - slackMs - 1e-6) count += 1
    nominalMono = Math.max(nominalMono, mono) + intervalMs
  }
  return count
}

describe('a store that stalls between the yes and the request', () => {
  it.each([
    [5, 1],
    [20, 1],
    [20, 4],
    [200, 1],
    [300, 10],
  ])('does not bunch %d a second with a burst of %d at the receiver', async (rate, burst) => {
    const daemon = withMarks(stalling([3_000, 700], [6_000, 2_000]))
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: rate, burst })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 2_000 })
    // Scheduled after a while, so that the stalls come in the middle.
    await daemon.world.advance(2_000)
    await daemon.schedule(times(rate * 8, () => ({})))
    await daemon.world.advance(16_000)
    const starts = daemon.network.starts(API)
    expect(starts).toHaveLength(rate * 8)
    expect(broken(starts, rate, burst, DEPARTURE_EARLY_MS + (rate > 50 ? 4 : 1))).toBe(0)
    // What the stalls cost is lost, not saved up; nothing else is.
    expect((starts.at(-1) ?? 0) - (starts[0] ?? 0)).toBeLessThan(8_000 + 2_700 + 400)
  })

  it('holds the rate of a brand at a domain as well, and lets other brands pass', async () => {
    const daemon = withMarks(stalling([2_000, 1_000]))
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, brand: 'acme', value: 10 })
    await daemon.world.advance(1_500)
    await daemon.schedule(times(30, () => ({ brand: 'acme' })))
    await daemon.schedule(times(10, (i) => ({ brand: 'bolt', inMs: 100 * i })))
    await daemon.world.advance(8_000)
    const of = (brand: string) =>
      daemon.network.arrivals.filter((one) => one.brand === brand).map(({ atMono }) => atMono)
    expect([of('acme').length, of('bolt').length]).toEqual([30, 10])
    expect(broken(of('acme'), 10, 1, DEPARTURE_EARLY_MS + 1)).toBe(0)
    expect(Math.max(...of('bolt'))).toBeLessThan(3_100 + HANDED_AHEAD_MS)
  })

  it('costs a fast rate nothing as long as it is slow all the time', async () => {
    const daemon = withMarks(() => 30)
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 1_000 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 2_000 })
    await daemon.world.advance(1_500)
    await daemon.schedule(times(3_000, () => ({})))
    await daemon.world.advance(4_000)
    const starts = daemon.network.starts(API)
    expect(starts).toHaveLength(3_000)
    expect((starts.at(-1) ?? 0) - (starts[0] ?? 0)).toBeLessThan(3_000 * 1.02 + DEPARTURE_LAG_MS)
    expect(broken(starts.slice(0, 1_000), 1_000, 1, DEPARTURE_EARLY_MS + 4)).toBe(0)
  })

  it('sends what was admitted ahead at the instants of its rate, evenly', async () => {
    const daemon = withMarks(() => 2)
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 500 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 100 })
    await daemon.world.advance(1_500)
    await daemon.schedule(times(500, () => ({})))
    await daemon.world.advance(3_000)
    const starts = daemon.network.starts(API)
    expect(starts).toHaveLength(500)
    // The first mark is late by two as well.
    expect(broken(starts, 500, 1, NOMINAL_BACK_MS + 2)).toBe(0)
    expect((starts.at(-1) ?? 0) - (starts[0] ?? 0)).toBeLessThan(1_000)
  })

  it.each([
    ['while their marks are being written', 700],
    ['while they wait for their instant', 950],
  ])('sends nothing that was admitted before its receiver said "not now": %s', async (_, latencyMs) => {
    const daemon = withMarks(stalling([1_650, 600]))
    daemon.network.script = (_order, { arrival }) =>
      arrival === 0 ? { latencyMs, status: 429, retryAfterMs: 3_000 } : { latencyMs: 1 }
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 10 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 100 })
    await daemon.world.advance(1_500)
    await daemon.schedule([{}])
    await daemon.world.advance(50)
    await daemon.schedule(times(30, () => ({})))
    await daemon.world.advance(30_000)
    const starts = daemon.network.starts(API)
    const refusedMono = (starts[0] ?? 0) + latencyMs
    expect(starts[1]).toBeGreaterThan((starts[0] ?? 0) + 90)
    expect(starts.filter((mono) => mono > refusedMono && mono < refusedMono + 3_000)).toEqual([])
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
    expect(daemon.events.filter(({ type }) => type === 'attempt.in-doubt')).toEqual([])
  })

  it('gives what it does not send back to a guard that was started meanwhile: it counts nothing that is over', async () => {
    const daemon = withMarks(stalling([1_650, 600]))
    daemon.network.script = (_order, { arrival }) =>
      arrival === 0 ? { latencyMs: 950, status: 429, retryAfterMs: 3_000 } : { latencyMs: 1 }
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 10 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 100 })
    await daemon.world.advance(1_500)
    await daemon.schedule([{}])
    await daemon.world.advance(50)
    await daemon.schedule(times(30, () => ({})))
    await daemon.world.advance(800)
    // Some wait at the pool for their instant, with permits of this guard; the 429 comes to the next one.
    daemon.runtime.exit(guardOf(API), 'kill')
    await daemon.world.advance(120_000)
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
    expect(daemon.runtime.whereis(guardOf(API))).toBeNull()
  })

  it('what it does not send says nothing of how long its receiver takes', async () => {
    const daemon = withMarks(() => 1)
    daemon.network.script = (_order, { arrival }) =>
      arrival === 40 ? { latencyMs: 20, status: 429, retryAfterMs: 3_000 } : { latencyMs: 20 }
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 2_000 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 500 })
    await daemon.world.advance(1_500)
    await daemon.schedule(times(400, () => ({})))
    for (let waited = 0; waited < 1_000 && !daemon.events.some(({ type }) => type === 'guard.closed'); waited += 1)
      await daemon.world.advance(1)
    await daemon.world.advance(100)
    expect(daemon.network.starts(API).length).toBeLessThan(400)
    const figures = await daemon.runtime.call(guardOf(API), { type: 'show' })
    expect(figures.serviceMs).toBeGreaterThanOrEqual(20)
  })

  it('costs a slow rate no more than the stall, though what comes too soon after it goes back to its guard', async () => {
    const daemon = withMarks(stalling([1_000, 3_000]))
    await daemon.start()
    await daemon.setLimit({ kind: 'rate', domain: API, value: 0.05 })
    await daemon.world.advance(25_000)
    await daemon.schedule(times(3, () => ({})))
    await daemon.world.advance(60_000)
    const starts = daemon.network.starts(API)
    expect(starts).toHaveLength(3)
    expect(broken(starts, 0.05, 1, DEPARTURE_EARLY_MS + 1)).toBe(0)
    expect((starts[2] ?? 0) - (starts[0] ?? 0)).toBeLessThan(40_100)
  })

  it('a rate that is lowered for a moment holds nothing back once it is what it was', async () => {
    const daemon = withMarks(() => 20)
    await daemon.start()
    const rate = { kind: 'rate', domain: API } as const
    await daemon.setLimit({ ...rate, value: 2_000 })
    await daemon.setLimit({ kind: 'concurrency', domain: API, value: 100 })
    await daemon.world.advance(1_500)
    await daemon.schedule(times(4_000, () => ({})))
    await daemon.world.advance(300)
    // Forty are on their way to the pool.
    await daemon.setLimit({ ...rate, value: 0.2 })
    await daemon.world.advance(600)
    const slowed = daemon.network.starts(API).length
    await daemon.setLimit({ ...rate, value: 2_000 })
    await daemon.world.advance(4_000)
    const starts = daemon.network.starts(API)
    expect(slowed).toBeLessThan(800)
    expect(starts).toHaveLength(4_000)
    // 0.9 s to the rise, 1.8 s for what is left, and what was held at the pool.
    expect((starts.at(-1) ?? 0) - (starts[0] ?? 0)).toBeLessThan(2_700 + DEPARTURE_HOLD_MS_MAX)
    expect(broken(starts, 2_000, 1, DEPARTURE_EARLY_MS + NOMINAL_BACK_MS)).toBe(0)
    expect(daemon.events.filter(({ type }) => type === 'attempt.in-doubt')).toEqual([])
  })
})
