import { describe, expect, it } from 'vitest'
import { type Adaptive, newAdaptive, sampleAdaptive } from '#guard/adaptive.ts'
import { Prng } from '#world/prng.ts'

/** A receiver with a hidden capacity: above it requests are refused, or queue and grow slow. */
interface Backend {
  capacity: number
  readonly kind: 'refuses' | 'queues'
  readonly baseMs: number
  readonly noise: number
}
interface Running {
  readonly endMono: number
  readonly startMono: number
  readonly lost: boolean
}

const simulate = (
  backend: Backend,
  adaptive: Adaptive,
  fromMono: number,
  forMs: number,
  random: Prng,
): readonly number[] => {
  const running: Running[] = []
  const limits: number[] = []
  let now = fromMono
  const start = (): void => {
    const noise = 1 + backend.noise * (2 * random.next() - 1)
    const over = running.length + 1 > backend.capacity
    const crowd = Math.max(1, (running.length + 1) / backend.capacity)
    const refused = over && backend.kind === 'refuses'
    const takes = refused ? backend.baseMs / 5 : backend.baseMs * noise * (backend.kind === 'queues' ? crowd : 1)
    const place = running.findLastIndex(({ endMono }) => endMono <= now + takes)
    running.splice(place + 1, 0, { startMono: now, endMono: now + takes, lost: refused })
  }
  while (now < fromMono + forMs) {
    while (running.length < Math.floor(adaptive.limit)) start()
    const ended = running[0] as Running
    now = ended.endMono
    const inFlight = running.length
    running.shift()
    sampleAdaptive(adaptive, {
      latencyMs: now - ended.startMono,
      lost: ended.lost,
      inFlight,
      nowMono: now,
      ceiling: 1_000,
    })
    if (now > fromMono + forMs / 2) limits.push(Math.floor(adaptive.limit))
  }
  return limits
}
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe('adaptive concurrency', () => {
  it.each([
    ['refuses', 10],
    ['refuses', 40],
    ['refuses', 100],
    ['queues', 10],
    ['queues', 40],
    ['queues', 100],
  ] as const)(
    'settles within 20 percent of a backend that %s above %d, and follows when that halves and doubles',
    (kind, capacity) => {
      const random = new Prng(11)
      const backend: Backend = { kind, capacity, baseMs: 50, noise: 0.1 }
      const adaptive = newAdaptive(0)
      const settled = mean(simulate(backend, adaptive, 0, 20_000, random))
      expect(settled / capacity, 'settled').toBeGreaterThan(0.8)
      expect(settled / capacity, 'settled').toBeLessThan(1.2)
      backend.capacity = capacity / 2
      const halved = mean(simulate(backend, adaptive, 60_000, 20_000, random))
      expect(halved / backend.capacity, 'halved').toBeGreaterThan(0.8)
      expect(halved / backend.capacity, 'halved').toBeLessThan(1.2)
      backend.capacity = capacity * 2
      const doubled = mean(simulate(backend, adaptive, 40_000, 40_000, random))
      expect(doubled / backend.capacity, 'doubled').toBeGreaterThan(0.8)
      expect(doubled / backend.capacity, 'doubled').toBeLessThan(1.2)
    },
  )

  it('holds no standing queue at the receiver, however long it runs, and sees when that has become faster or slower', () => {
    const random = new Prng(3)
    const backend = { kind: 'queues', capacity: 12, baseMs: 150, noise: 0.05 } satisfies Backend
    const adaptive = newAdaptive(0)
    const long = simulate(backend, adaptive, 0, 2_000_000, random)
    expect(mean(long) / backend.capacity).toBeGreaterThan(0.8)
    expect(mean(long) / backend.capacity).toBeLessThan(1.2)
    const slower = simulate({ ...backend, baseMs: 600 }, adaptive, 2_000_000, 1_000_000, random)
    expect(mean(slower) / backend.capacity).toBeGreaterThan(0.8)
    expect(mean(slower) / backend.capacity).toBeLessThan(1.2)
  })
  it('never drops below one, whatever is lost', () => {
    const adaptive = newAdaptive(0)
    for (let n = 0; n < 500; n += 1)
      sampleAdaptive(adaptive, { latencyMs: 10, lost: true, inFlight: 1, nowMono: n * 100, ceiling: 1_000 })
    expect(adaptive.limit).toBe(1)
  })
  it('learns nothing while it is hardly used, and never exceeds its ceiling', () => {
    const idle = newAdaptive(0)
    for (let n = 0; n < 500; n += 1)
      sampleAdaptive(idle, { latencyMs: 10, lost: false, inFlight: 1, nowMono: n * 100, ceiling: 1_000 })
    expect(idle.limit).toBe(4)
    const busy = newAdaptive(0)
    for (let n = 0; n < 5_000; n += 1)
      sampleAdaptive(busy, { latencyMs: 10, lost: false, inFlight: 50, nowMono: n * 100, ceiling: 20 })
    expect(busy.limit).toBe(20)
  })
})
