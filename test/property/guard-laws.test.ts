/** The laws of the Traffic Guard over random limits, arrivals, service times and late timers; each with a guard that breaks it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Ground } from '#guard/admission.ts'
import type { Queues } from '#guard/queues.ts'
import { earliestStart, neverStarted, type RateLimit, type RateState, recordStart } from '#guard/rate.ts'
import { brandsIn } from '#guard/ring.ts'
import { type Arrival, type ModelConfig, type ModelLimit, type ModelRun, runModel } from '#test/support/guard-model.ts'
import { rateViolations } from '#test/support/guard-stage.ts'
import type { Due, Priority } from '#webhook/webhook.ts'

type Sabotage = NonNullable<ModelConfig['sabotage']>
const BRANDS = ['acme', 'bolt', 'core'] as const
const PRIORITY: readonly Priority[] = ['high', 'normal', 'low']

const arrival = (spreadMs: number): fc.Arbitrary<Arrival> =>
  fc.record({
    atMs: fc.nat(spreadMs),
    brand: fc.constantFrom(...BRANDS),
    priority: fc.constantFrom(...PRIORITY),
    attempts: fc.constantFrom(0, 0, 1),
    serviceMs: fc.integer({ min: 1, max: 400 }),
  })
const arrivals = (spreadMs = 2_000) => fc.array(arrival(spreadMs), { minLength: 1, maxLength: 120 })
const concurrency = fc.integer({ min: 1, max: 8 })
const concurrencyLimits: fc.Arbitrary<readonly ModelLimit[]> = fc
  .tuple(concurrency, fc.option(concurrency), fc.option(concurrency))
  .map(([domain, inDomain, overall]) => [
    { kind: 'concurrency', value: domain },
    ...(inDomain === null ? [] : [{ kind: 'concurrency', brand: 'acme', value: inDomain } as const]),
    ...(overall === null ? [] : [{ kind: 'concurrency', brand: 'bolt', overall: true, value: overall } as const]),
  ])
const perishable: fc.Arbitrary<readonly Arrival[]> = fc.array(
  fc
    .tuple(arrival(2_000), fc.option(fc.nat(1_500)))
    .map(([one, lastsMs]) => (lastsMs === null ? one : { ...one, expiresAt: one.atMs + lastsMs })),
  { minLength: 1, maxLength: 120 },
)
const rateLimits = fc.record({
  perSecond: fc.oneof(fc.double({ min: 0.5, max: 50, noNaN: true }), fc.double({ min: 51, max: 2_000, noNaN: true })),
  burst: fc.integer({ min: 1, max: 10 }),
})
const lateness = fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 1, maxLength: 7 })

/** Some run of the broken guard breaks the law. */
const breaks = <T>(arbitrary: fc.Arbitrary<T>, law: (value: T) => boolean): boolean =>
  fc.check(fc.property(arbitrary, law), { numRuns: 200, seed: 42 }).failed
const holds = <T>(arbitrary: fc.Arbitrary<T>, law: (value: T) => boolean): void =>
  fc.assert(fc.property(arbitrary, law), { numRuns: 150 })

const permitsOf = (limits: readonly ModelLimit[], brand: string): number =>
  Math.min(...limits.filter((limit) => limit.brand === brand).map(({ value }) => value), Number.POSITIVE_INFINITY)
const withinPermits = (limits: readonly ModelLimit[], run: ModelRun): boolean =>
  run.inFlightMax <= (limits.find(({ brand }) => brand === undefined)?.value ?? 10) &&
  BRANDS.every((brand) => (run.inFlightMaxOf.get(brand) ?? 0) <= permitsOf(limits, brand))

describe('concurrency', () => {
  const cases = fc.record({ limits: concurrencyLimits, arrivals: arrivals() })
  const law =
    (sabotage?: Sabotage) =>
    (config: { readonly limits: readonly ModelLimit[]; readonly arrivals: readonly Arrival[] }): boolean =>
      withinPermits(config.limits, runModel(sabotage === undefined ? config : { ...config, sabotage }))

  it('is never over any limit of the ladder', () => holds(cases, law()))
  it('would be, if the guard read its limits one too high', () => {
    const generous: Sabotage = (_queues, ground) => ({
      ...ground,
      limits: {
        get: (key) => {
          const row = ground.limits.get(key)
          return row === undefined || row.value === null ? row : { ...row, value: row.value + 1 }
        },
      },
    })
    expect(breaks(cases, law(generous))).toBe(true)
  })
  it('would be, if the guard forgot what is in flight', () => {
    const forgetful: Sabotage = (queues, ground) => {
      queues.inFlight = 0
      return ground
    }
    expect(breaks(cases, law(forgetful))).toBe(true)
  })
})

describe('rate', () => {
  const cases = fc.record({ rate: rateLimits, arrivals: arrivals(500), latenessMs: lateness })
  const law =
    (sabotage?: Sabotage) =>
    ({
      rate,
      ...rest
    }: { readonly rate: { perSecond: number; burst: number } } & Omit<ModelConfig, 'limits'>): boolean => {
      const limits: ModelLimit[] = [
        { kind: 'rate', value: rate.perSecond, burst: rate.burst },
        { kind: 'concurrency', value: 1_000 },
      ]
      const run = runModel({ limits, ...rest, ...(sabotage === undefined ? {} : { sabotage }) })
      const starts = run.starts.map(({ atMs }) => atMs)
      return run.waiting === 0 && rateViolations(starts, rate.perSecond, rate.burst) === 0
    }

  it('starts at most ceil(rate x w) + burst - 1 in any window, in both regimes, however late the timers are', () =>
    holds(cases, law()))
  it('would start more, if the guard lost its rate state', () => {
    const lost: Sabotage = (_queues, ground) => ({ ...ground, rates: { get: () => undefined, set: () => undefined } })
    expect(breaks(cases, law(lost))).toBe(true)
  })
  it('would start more, if lateness were saved up', () => {
    const saved: Sabotage = (_queues, ground) => {
      const rates: Ground['rates'] = {
        get: (key) => {
          const state = ground.rates.get(key)
          if (state !== undefined) state.nominalMono = Math.min(state.nominalMono, state.lastStartMono - 5)
          return state
        },
        set: (key, state) => ground.rates.set(key, state),
      }
      return { ...ground, rates }
    }
    expect(breaks(cases, law(saved))).toBe(true)
  })
  it.each([1.5, 6])('passes at least 98 percent of 2,000 a second though every timer is %f ms late', (lateMs) => {
    const run = runModel({
      limits: [
        { kind: 'rate', value: 2_000 },
        { kind: 'concurrency', value: 1_000 },
      ],
      arrivals: Array.from({ length: 3_000 }, () => ({ atMs: 0, brand: 'acme', serviceMs: 5 })),
      latenessMs: [lateMs],
      endMs: 1_000,
    })
    expect(
      rateViolations(
        run.starts.map(({ atMs }) => atMs),
        2_000,
      ),
    ).toBe(0)
    expect(run.starts.length).toBeGreaterThanOrEqual(1_960)
  })
})

describe('a rate that is changed again and again', () => {
  const limit = fc.record({ perSecond: fc.constantFrom(0, 0.2, 2, 10, 40), burst: fc.constantFrom(1, 2, 10) })
  const changes = fc.array(fc.tuple(limit, fc.nat(400)), { minLength: 2, maxLength: 40 })
  /** Starts whatever may start at each millisecond. `meddle` sees the state before each look. */
  const startsUnder = (
    all: readonly (readonly [RateLimit, number])[],
    meddle: (state: RateState) => void,
  ): readonly number[] => {
    const state = neverStarted(all[0]?.[0] ?? { perSecond: 1, burst: 1 })
    const starts: number[] = []
    let now = 0
    for (const [limit, lastsMs] of all)
      for (const end = now + lastsMs; now < end; now += 1) {
        meddle(state)
        while (earliestStart(limit, state) <= now && starts.push(now) > 0) recordStart(limit, state, now)
      }
    return starts
  }
  const law =
    (meddle: (state: RateState) => void = () => undefined) =>
    (all: readonly (readonly [RateLimit, number])[]): boolean => {
      const perSecond = Math.max(0.2, ...all.map(([one]) => one.perSecond))
      const burst = Math.max(...all.map(([one]) => one.burst))
      return rateViolations(startsUnder(all, meddle), perSecond, burst) === 0
    }

  it('starts no more than the widest of its limits allows', () => holds(changes, law()))
  it('would start a burst at every rise, if it forgot what is owed', () => {
    const forgetful = (state: RateState): void => {
      state.owed = 0
    }
    expect(breaks(changes, law(forgetful))).toBe(true)
  })
  it('starts no burst again when it goes down to 1 and back', () => {
    const flapping = Array.from(
      { length: 200 },
      (_, n) => [{ perSecond: 10, burst: n % 2 === 0 ? 10 : 1 }, 50] as const,
    )
    expect(startsUnder(flapping, () => undefined).length).toBeLessThanOrEqual(109)
  })
})

describe('order', () => {
  const cases = fc.record({ limits: concurrencyLimits, arrivals: arrivals() })
  const laneOf = ({ brand, priority, attempts }: Due): string =>
    `${brand} ${priority} ${attempts > 0 ? 'retry' : 'first'}`
  const law =
    (sabotage?: Sabotage) =>
    (config: { readonly limits: readonly ModelLimit[]; readonly arrivals: readonly Arrival[] }): boolean => {
      const last = new Map<string, Due>()
      for (const { due } of runModel(sabotage === undefined ? config : { ...config, sabotage }).starts) {
        const before = last.get(laneOf(due))
        if (before !== undefined && (before.nextAt - due.nextAt || before.seq - due.seq) > 0) return false
        last.set(laneOf(due), due)
      }
      return true
    }

  it('is first in, first out within a lane', () => holds(cases, law()))
  it('would not be, if a lane gave its second first', () => {
    const swapped: Sabotage = (queues, ground) => {
      for (const { windows } of queues.brands.values())
        for (const { lane } of windows) {
          const [a, b] = lane.entries.slice(lane.head, lane.head + 2)
          if (a !== undefined && b !== undefined) lane.entries.splice(lane.head, 2, b, a)
        }
      return ground
    }
    expect(breaks(cases, law(swapped))).toBe(true)
  })
})

describe('liveness and work conservation', () => {
  const cases = fc.record({ limits: concurrencyLimits, arrivals: arrivals() })
  type Config = { readonly limits: readonly ModelLimit[]; readonly arrivals: readonly Arrival[] }
  const run = (config: Config, sabotage?: Sabotage) =>
    runModel(sabotage === undefined ? config : { ...config, sabotage })

  it('no lane with work waits for ever', () => holds(cases, (config) => run(config).waiting === 0))
  it('one would, if a brand stayed parked', () => {
    const parked: Sabotage = (queues, ground) => {
      for (const queue of queues.brands.values()) if (queue.brand === 'bolt') queue.parked = true
      return ground
    }
    expect(breaks(cases, (config) => run(config, parked).waiting === 0)).toBe(true)
  })
  it('no slot is idle while a webhook could start', () => holds(cases, (config) => run(config).idled === 0))
  it('one would be, if the guard admitted only one at a time', () => {
    let turn = 0
    const slow: Sabotage = (_queues, ground) => {
      turn += 1
      return turn % 2 === 0 ? null : ground
    }
    expect(breaks(cases, (config) => run({ ...config, arrivals: config.arrivals }, slow).idled === 0)).toBe(true)
  })
})

describe('what expires while it waits', () => {
  const cases = fc.record({ limits: concurrencyLimits, arrivals: perishable })
  const law =
    (sabotage?: Sabotage) =>
    (config: { readonly limits: readonly ModelLimit[]; readonly arrivals: readonly Arrival[] }): boolean => {
      const { starts, waiting } = runModel(sabotage === undefined ? config : { ...config, sabotage })
      const lasting = config.arrivals.filter(({ expiresAt }) => expiresAt === undefined).length
      return (
        waiting === 0 &&
        starts.every(({ due, atMs }) => due.expiresAt === null || atMs < due.expiresAt) &&
        starts.filter(({ due }) => due.expiresAt === null).length === lasting
      )
    }

  it('is not started; everything else is', () => holds(cases, law()))
  it('would be, if the guard had no clock on the wall', () => {
    expect(
      breaks(
        cases,
        law((_queues, ground) => ({ ...ground, nowAt: 0 })),
      ),
    ).toBe(true)
  })
})

describe('fairness between brands', () => {
  const saturated = (
    weights: readonly number[],
    limits: readonly ModelLimit[],
    serviceMs: (brand: string) => number,
  ) => ({
    limits: [
      ...limits,
      ...BRANDS.map((brand, at) => ({ kind: 'weight', brand, overall: true, value: weights[at] ?? 1 }) as const),
    ],
    arrivals: BRANDS.flatMap((brand) =>
      Array.from({ length: 2_000 }, () => ({ atMs: 0, brand, serviceMs: serviceMs(brand) })),
    ),
    endMs: 10_000,
  })
  const weights = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 3, maxLength: 3 })
  const rated: readonly ModelLimit[] = [
    { kind: 'rate', value: 50 },
    { kind: 'concurrency', value: 1_000 },
  ]
  const sharesFollow = (each: readonly number[], sabotage?: Sabotage): boolean => {
    const config = saturated(each, rated, () => 10)
    const { starts } = runModel(sabotage === undefined ? config : { ...config, sabotage })
    const sum = each.reduce((total, weight) => total + weight, 0)
    return BRANDS.every((brand, at) => {
      const share = starts.filter(({ due }) => due.brand === brand).length
      return Math.abs(share - (starts.length * (each[at] ?? 1)) / sum) <= Math.max(...each)
    })
  }

  it('starts follow the weights within one round where rate binds', () => {
    fc.assert(
      fc.property(weights, (each) => sharesFollow(each)),
      { numRuns: 12 },
    )
  })
  it('would not, if the round always began anew', () => {
    const anew: Sabotage = (queues: Queues, ground) => {
      queues.ring.cursor = -1
      for (const queue of queues.brands.values()) queue.deficit = 0
      return ground
    }
    expect(sharesFollow([1, 1, 1], anew)).toBe(false)
  })

  /** Slots suffice for what is sent at 2,000 a second; what is admitted ahead of its instant would fill them. */
  const fewSlots: readonly (readonly [string, readonly ModelLimit[]])[] = [
    ['of the domain', [{ kind: 'concurrency', value: 10 }]],
    [
      'of one brand in the domain',
      [
        { kind: 'concurrency', value: 1_000 },
        { kind: 'concurrency', brand: 'acme', value: 1 },
      ],
    ],
    [
      'of one brand',
      [
        { kind: 'concurrency', value: 1_000 },
        { kind: 'concurrency', brand: 'acme', overall: true, value: 1 },
      ],
    ],
  ]
  const fastShares = (limits: readonly ModelLimit[], sabotage?: Sabotage): number[] => {
    const config = {
      ...saturated([1, 1, 1], [{ kind: 'rate', value: 2_000 }, ...limits], (brand) => (brand === 'acme' ? 1 : 4)),
      latenessMs: [0.5],
      endMs: 2_000,
    }
    const { starts } = runModel(sabotage === undefined ? config : { ...config, sabotage })
    return BRANDS.map((brand) => starts.filter(({ due }) => due.brand === brand).length / starts.length)
  }
  it.each(fewSlots)(
    'starts follow the weights where a fast rate binds, however few slots %s there are',
    (_whose, limits) => {
      for (const share of fastShares(limits)) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.01)
    },
  )
  it('would not, if slots were held ahead though a brand has run into its own', () => {
    const careless: Sabotage = (queues, ground) => {
      queues.exactUntilMono = Number.NEGATIVE_INFINITY
      return ground
    }
    for (const [, limits] of fewSlots.slice(1)) expect(fastShares(limits, careless)[0]).toBeLessThan(0.3)
  })

  it('a single webhook of another brand waits one round of a fast rate at most, though starts are admitted ahead', () => {
    const perSecond = 500
    const config = saturated(
      [1, 1, 1],
      [
        { kind: 'rate', value: perSecond },
        { kind: 'concurrency', value: 100 },
      ],
      () => 5,
    )
    const singles = Array.from({ length: 40 }, (_, n) => ({ atMs: 200 + n * 33.3, brand: 'dawn', serviceMs: 5 }))
    const { starts } = runModel({
      ...config,
      arrivals: [...config.arrivals, ...singles],
      latenessMs: [0.5],
      endMs: 2_000,
    })
    const waits = starts.filter(({ due }) => due.brand === 'dawn').map(({ due, atMs }) => atMs - due.nextAt)
    expect(waits).toHaveLength(40)
    expect(Math.max(...waits)).toBeLessThanOrEqual(((BRANDS.length + 1) * 1_000) / perSecond)
  })

  const slotShares = (
    each: readonly number[],
    limit: number,
    serviceMs: (brand: string) => number,
    sabotage?: Sabotage,
  ): number[] => {
    const config = saturated(each, [{ kind: 'concurrency', value: limit }], serviceMs)
    const { starts } = runModel(sabotage === undefined ? config : { ...config, sabotage })
    const held = BRANDS.map((brand) =>
      starts
        .filter(({ due }) => due.brand === brand)
        .reduce((sum, { atMs, serviceMs: ms }) => sum + Math.min(ms, 10_000 - atMs), 0),
    )
    const all = held.reduce((sum, ms) => sum + ms, 0)
    return held.map((ms) => ms / all)
  }
  it.each([
    [[1, 1, 2], 10],
    [[3, 1, 1], 4],
    [[1, 1, 2], 1],
  ] as const)('slots follow the weights %j within 2 percent with %d of them', (each, limit) => {
    const sum = each.reduce((total, weight) => total + weight, 0)
    const shares = slotShares(each, limit, () => 50)
    for (const [at, share] of shares.entries()) expect(Math.abs(share - (each[at] ?? 1) / sum)).toBeLessThan(0.02)
  })
  it('would not, if whole slots were all that counted', () => {
    const uncredited: Sabotage = (queues, ground) => {
      for (const queue of queues.brands.values()) {
        queue.credit = 0
        queue.heldSlotMs = 0
      }
      return ground
    }
    const shares = slotShares([3, 1, 1], 4, () => 50, uncredited)
    expect(shares.some((share, at) => Math.abs(share - ([3, 1, 1][at] ?? 1) / 5) >= 0.02)).toBe(true)
  })
  const slow = (brand: string): number => (brand === 'acme' ? 3_000 : 50)
  /** Where slots are what is short, it counts starts all the same. */
  const byStarts: Sabotage = (queues, ground) => {
    Object.defineProperty(queues, 'bound', { get: () => 'rate', set: () => undefined, configurable: true })
    return ground
  }
  it('a brand with slow calls does not starve one with quick calls (D-20)', () => {
    for (const share of slotShares([1, 1, 1], 9, slow)) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.12)
  })
  it('it would, if starts were counted where slots are short', () => {
    expect(slotShares([1, 1, 1], 9, slow, byStarts)[0]).toBeGreaterThan(0.6)
  })

  const singleStartsAt = (sabotage?: Sabotage): number => {
    const { starts } = runModel({
      limits: [{ kind: 'concurrency', value: 5 }],
      arrivals: [
        ...Array.from({ length: 15_000 }, () => ({ atMs: 0, brand: 'acme', serviceMs: 100 })),
        { atMs: 1_050, brand: 'bolt', serviceMs: 100 },
      ],
      endMs: 3_000,
      ...(sabotage === undefined ? {} : { sabotage }),
    })
    return starts.find(({ due }) => due.brand === 'bolt')?.atMs ?? Number.POSITIVE_INFINITY
  }
  it('one brand that floods 15,000 delays the single webhook of another by one service time at most', () => {
    expect(singleStartsAt()).toBeLessThanOrEqual(1_150)
  })
  it('it would delay it for longer, if the brand that came first were always served first', () => {
    const firstCome: Sabotage = (queues, ground) => {
      const [first, ...others] = brandsIn(queues.ring)
      for (const queue of others) queue.parked = first?.size !== 0
      return ground
    }
    expect(singleStartsAt(firstCome)).toBeGreaterThan(1_150)
  })
})

describe('priorities', () => {
  const config = (sabotage?: Sabotage): ModelConfig => ({
    limits: [{ kind: 'concurrency', value: 1 }],
    arrivals: PRIORITY.flatMap((priority) =>
      Array.from({ length: 300 }, () => ({ atMs: 0, brand: 'acme', priority, serviceMs: 10 })),
    ),
    endMs: 3_000,
    ...(sabotage === undefined ? {} : { sabotage }),
  })
  const everyClassInTen = (run: ModelRun): boolean => {
    const order = run.starts.map(({ due }) => due.priority)
    const ends = PRIORITY.map((priority) => order.lastIndexOf(priority))
    return PRIORITY.every((priority, at) => {
      for (let from = 0; from + 10 <= (ends[at] ?? 0); from += 1)
        if (!order.slice(from, from + 10).includes(priority)) return false
      return true
    })
  }
  it('high goes first, and every class gets one start in ten', () => {
    const run = runModel(config())
    expect(everyClassInTen(run)).toBe(true)
    const high = run.starts.slice(0, 200).filter(({ due }) => due.priority === 'high').length
    expect(high).toBeGreaterThanOrEqual(155)
    expect(run.starts.filter(({ due }) => due.priority === 'low').length).toBeGreaterThan(0)
  })
  it('low would starve, if nobody counted who was passed over', () => {
    const careless: Sabotage = (queues, ground) => {
      for (const queue of queues.brands.values()) queue.passedOver.fill(0)
      return ground
    }
    const { starts } = runModel(config(careless))
    expect(starts.slice(0, 250).some(({ due }) => due.priority === 'low')).toBe(false)
  })
})
