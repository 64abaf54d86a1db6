import { describe, expect, it } from 'vitest'
import { DOMAIN_CONCURRENCY_DEFAULT } from '#config/limits.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { Prng } from '#world/prng.ts'

const DOMAIN = 'api.example.com'
const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** How many of these instants lie within each window of `ms`, at most. */
const mostWithin = (instants: readonly number[], ms: number): number => {
  let most = 0
  let from = 0
  for (const [i, instant] of instants.entries()) {
    while ((instants[from] ?? instant) <= instant - ms) from += 1
    most = Math.max(most, i - from + 1)
  }
  return most
}
const start = async (seed: number) => {
  let isDown = (): boolean => false
  const daemon = new VirtualDaemon({
    seed,
    safeMessages: false,
    script: () => (isDown() ? { status: 503, latencyMs: 20 } : { latencyMs: 20 }),
  })
  await daemon.start()
  const setDown = (down: () => boolean): void => {
    isDown = down
  }
  const arrivals = (sinceMono: number) => daemon.network.arrivals.filter(({ atMono }) => atMono >= sinceMono)
  return { daemon, world: daemon.world, setDown, arrivals }
}

describe('RECV-15: a receiver that flaps, is down for hours, and comes back at once', () => {
  it('down for two hours with 10,000 webhooks due: probed at most once a second, few retries, no stampede when it is back, none lost', async () => {
    const { daemon, world, setDown, arrivals } = await start(15)
    setDown(() => true)
    await daemon.schedule(Array.from({ length: 10_000 }, () => ({})))
    await world.advance(MINUTE)
    const opened = world.monoNow()
    await world.advance(2 * HOUR - MINUTE)
    const down = arrivals(opened)
    // Open for 30 s, doubling to 10 minutes; then one probe a second, of which the first fails and opens it again.
    expect(
      mostWithin(
        down.map(({ atMono }) => atMono),
        999,
      ),
    ).toBe(1)
    expect(down.length).toBeLessThanOrEqual(20)
    expect(down.length).toBeGreaterThanOrEqual(10)
    const all = daemon.network.arrivals
    const retries = all.filter(({ attempt }) => attempt > 1).length
    // Where hardly anything starts, one a second may be a retry (REL-O7); first tries keep their half all the same.
    expect(retries).toBeLessThanOrEqual(all.length / 2)

    const backMono = world.monoNow()
    setDown(() => false)
    for (let i = 0; i < 100 && arrivals(backMono).length === 0; i++) await world.advance(10_000)
    const firstMono = arrivals(backMono)[0]?.atMono ?? Number.NaN
    await world.advance(60_000)
    const back = arrivals(backMono)
    // One probe a second until five have succeeded, then at most as many at once as the limit says.
    expect(back.filter(({ atMono }) => atMono < firstMono + 3_999).length).toBeLessThanOrEqual(4)
    expect(daemon.network.openMax(DOMAIN)).toBeLessThanOrEqual(DOMAIN_CONCURRENCY_DEFAULT)
    const starts = back.map(({ atMono }) => atMono)
    expect(mostWithin(starts, 19)).toBeLessThanOrEqual(DOMAIN_CONCURRENCY_DEFAULT)
    await world.advance(HOUR)
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
    expect(daemon.ended).toBeNull()
  })

  it('every second answer a 503 for half an hour: never more at once than the limit, and all is delivered after it', async () => {
    const { daemon, world, setDown } = await start(16)
    const prng = new Prng(16)
    setDown(() => world.monoNow() < 30 * MINUTE && prng.below(2) === 0)
    for (let minute = 0; minute < 30; minute++) {
      await daemon.schedule(Array.from({ length: 120 }, (_, i) => ({ inMs: i * 500 })))
      await world.advance(MINUTE)
    }
    expect(daemon.network.arrivals.length).toBeGreaterThan(100)
    await world.advance(3 * HOUR)
    expect(daemon.network.openMax(DOMAIN)).toBeLessThanOrEqual(DOMAIN_CONCURRENCY_DEFAULT)
    expect(daemon.acknowledged.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
  })

  it('nine of ten answers a 503, without a breaker: retries stay a tenth of the first tries of two minutes', async () => {
    const { daemon, world, setDown } = await start(17)
    await daemon.setLimit({ kind: 'breaker', domain: DOMAIN, value: 0 })
    const prng = new Prng(17)
    setDown(() => prng.below(10) > 0)
    for (let minute = 0; minute < 5; minute++) {
      await daemon.schedule(Array.from({ length: 1_800 }, (_, i) => ({ inMs: Math.floor((i * 100) / 3) })))
      await world.advance(MINUTE)
    }
    const { arrivals } = daemon.network
    const instants = (isRetry: boolean): number[] =>
      arrivals.filter(({ attempt }) => attempt > 1 === isRetry).map(({ atMono }) => atMono)
    const [firsts, retries] = [instants(false), instants(true)]
    expect(firsts.length).toBe(9_000)
    // Some 27 a second would like to be tried again after five seconds.
    expect(retries.length).toBeGreaterThan(500)
    const within = (of: readonly number[], from: number, to: number): number =>
      of.filter((instant) => instant > from && instant <= to).length
    for (let to = 2 * MINUTE; to <= 5 * MINUTE; to += 1_000) {
      const again = within(retries, to - 2 * MINUTE, to)
      // Buckets of ten seconds make the guard's window up to that much longer; a moment in which the domain does not fail lets a few more pass.
      expect(again).toBeLessThanOrEqual(0.1 * within(firsts, to - 2 * MINUTE - 10_000, to) * 1.1)
    }
  })
})
