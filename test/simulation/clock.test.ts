/** TIME: the whole daemon in virtual time, where the wall clock can be stepped apart from the monotonic one (rules T1 to T5). */
import { describe, expect, it, onTestFinished } from 'vitest'
import { VirtualDaemon, type VirtualOptions } from '#test/support/virtual-daemon.ts'
import { drift } from './drift.ts'

const HOUR = 3_600_000
const DOMAIN = 'api.example.com'
const started = async (options: VirtualOptions = {}): Promise<VirtualDaemon> => {
  const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 20 }), ...options })
  await daemon.start()
  onTestFinished(() => daemon.crash())
  return daemon
}
const idsOf = (daemon: VirtualDaemon): string[] => daemon.network.arrivals.map(({ webhookId }) => webhookId)
const steps = (daemon: VirtualDaemon): number[] =>
  daemon.events.flatMap((event) => (event.type === 'clock.stepped' ? [Math.round(event.stepMs)] : []))
/** Each a hundredth of an hour after the one before. */
const spread = (count: number) => Array.from({ length: count }, (_, n) => ({ inMs: (n + 1) * 36_000 }))

describe('the wall clock', () => {
  it('is waited for to its very turn: what is due at a millisecond goes as that begins, not a fraction later', async () => {
    const daemon = await started()
    daemon.world.stepWall(-0.75)
    await daemon.schedule(Array.from({ length: 5 }, (_, n) => ({ inMs: 100 + 10 * n })))
    const dues = Array.from({ length: 5 }, (_, n) => daemon.world.monoAt(daemon.world.wallNow() + 100 + 10 * n))
    await daemon.world.advance(1_000)
    const late = daemon.network.starts(DOMAIN).map((start, n) => start - (dues[n] ?? 0))
    expect(late).toHaveLength(5)
    for (const ms of late) expect(ms).toBeCloseTo(late[0] ?? Number.NaN, 6)
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...late)).toBeLessThan(0.01)
  })

  it('TIME-01: a step of an hour forward is seen within a second; what is due goes out once, in due order, within its limits', async () => {
    const daemon = await started()
    await daemon.setLimit({ kind: 'rate', domain: DOMAIN, value: 20, burst: 1 })
    await daemon.setLimit({ kind: 'concurrency', domain: DOMAIN, value: 3 })
    const ids = await daemon.schedule(spread(100))
    await daemon.world.advance(10_000)
    expect(daemon.network.arrivals).toEqual([])
    daemon.world.stepWall(HOUR)
    const steppedMono = daemon.world.monoNow()
    await daemon.world.advance(7_000)
    expect(idsOf(daemon)).toEqual(ids)
    const at = daemon.network.starts(DOMAIN)
    expect((at[0] ?? Number.NaN) - steppedMono).toBeLessThanOrEqual(1_000)
    for (const [i, start] of at.slice(1).entries()) expect(start - (at[i] ?? 0)).toBeGreaterThanOrEqual(50 - 1e-6)
    expect(daemon.network.openMax(DOMAIN)).toBeLessThanOrEqual(3)
    expect(steps(daemon)).toEqual([HOUR])
  })

  it('TIME-02: a step of an hour back sends nothing twice; what is not due waits for its instant, what runs keeps its deadline', async () => {
    const daemon = await started({
      script: ({ domain }) => ({ latencyMs: domain === 'slow.example.com' ? 60_000 : 20 }),
    })
    const done = await daemon.schedule(Array.from({ length: 20 }, () => ({ inMs: 100 })))
    const waiting = await daemon.schedule(Array.from({ length: 20 }, () => ({ inMs: 600_000 })))
    await daemon.schedule([{ domain: 'slow.example.com', inMs: 1_000, timeoutMs: 5_000, retry: null }])
    await daemon.world.advance(2_000)
    const before = idsOf(daemon)
    expect(before).toHaveLength(21)
    const at = daemon.world.wallNow() + 598_000
    daemon.world.stepWall(-HOUR)
    await daemon.world.advance(5_000)
    const timedOut = daemon.events.find((event) => event.type === 'attempt.finished' && event.error === 'timeout')
    expect(timedOut, 'five seconds are five seconds').toBeDefined()
    await daemon.world.advance(HOUR + 580_000)
    const ofDomain = () => daemon.network.arrivals.filter(({ domain }) => domain === DOMAIN)
    expect(ofDomain()).toHaveLength(20)
    await daemon.world.advance(20_000)
    expect(ofDomain().map(({ webhookId }) => webhookId)).toEqual([...done, ...waiting])
    for (const arrival of ofDomain().slice(20)) expect(arrival.at).toBeGreaterThanOrEqual(at)
    // A new one goes out at its instant of the new time.
    const [next = ''] = await daemon.schedule([{ inMs: 50 }])
    await daemon.world.advance(200)
    expect(idsOf(daemon).at(-1)).toBe(next)
    expect(steps(daemon)).toEqual([-HOUR])
  })

  it('TIME-09: after eight hours of sleep, in which the monotonic clock stood, it is seen within a second and all that is due goes out', async () => {
    const daemon = await started()
    const ids = await daemon.schedule([...spread(50), { inMs: 9 * HOUR }])
    await daemon.world.advance(5_000)
    daemon.world.stepWall(8 * HOUR)
    await daemon.world.advance(1_000)
    expect(steps(daemon)).toEqual([8 * HOUR])
    await daemon.world.advance(2_000)
    expect(idsOf(daemon)).toEqual(ids.slice(0, 50))
    await daemon.world.advance(HOUR - 100_000)
    expect(idsOf(daemon)).toHaveLength(50)
    await daemon.world.advance(100_000)
    expect(idsOf(daemon)).toEqual(ids)
  })

  it('TIME-04: slewed by 500 ppm in 3,000 small steps a day nothing is early, late, or told as a step', async () => {
    const { due, arrived, earliestMs, latestMs, steps: told } = await drift(0.5)
    expect({ arrived, told }).toEqual({ arrived: due, told: 0 })
    expect(earliestMs).toBeGreaterThanOrEqual(0)
    expect(latestMs).toBeLessThanOrEqual(250)
  })

  it('TIME-05: what lies 2^31 ms, 60 days or eight thousand years ahead waits for its instant, and goes out then', async () => {
    const daemon = await started()
    const now = daemon.world.wallNow()
    const instants = [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 60 * 24 * HOUR].map((ms) => now + ms)
    const ids = await daemon.schedule([...instants, 253_402_300_799_999].map((at) => ({ at })))
    const [past = ''] = await daemon.schedule([{ at: now - 1 }])
    await daemon.world.advance(2_000)
    expect(idsOf(daemon), 'a moment ago is now; nothing else fires').toEqual([past])
    for (const [i, at] of instants.entries()) {
      // Time passes without the two million wake-ups.
      daemon.world.jump(Math.max(0, at - daemon.world.wallNow() - 5_000))
      await daemon.world.advance(at - daemon.world.wallNow() - 1)
      expect(idsOf(daemon)).toEqual([past, ...ids.slice(0, i)])
      await daemon.world.advance(1)
      expect(idsOf(daemon)).toEqual([past, ...ids.slice(0, i + 1)])
    }
    daemon.world.stepWall(253_402_300_799_999 - daemon.world.wallNow() - 1_500)
    await daemon.world.advance(3_000)
    expect(idsOf(daemon)).toEqual([past, ...ids])
    const arrivals = daemon.network.arrivals.slice(1)
    for (const [i, { at }] of arrivals.entries())
      expect(at).toBeGreaterThanOrEqual([...instants, 253_402_300_799_999][i] ?? 0)
  })
})
