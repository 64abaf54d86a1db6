/** Whose turn it is where the rate binds, against the plainest model that could be right: one that looks at every brand at every start. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { brandBlock, domainBlock, type Ground, nextVerdict, releasePermit, startAt } from '#guard/admission.ts'
import { newConditions } from '#guard/conditions.ts'
import { type LimitRow, weightOf } from '#guard/limits.ts'
import { dropWaiting, emptyQueues, offerDue, type Queues, queueOf } from '#guard/queues.ts'
import type { RateState } from '#guard/rate.ts'
import { DOMAIN, type ModelLimit, tableOf } from '#test/support/guard-model.ts'
import type { Brand, LimitKind, WebhookId } from '#webhook/webhook.ts'

type Bend = (queues: Queues, ground: Ground) => Ground
type Step =
  | { readonly do: 'offer' | 'withdraw' | 'park'; readonly brand: number }
  | { readonly do: 'limit'; readonly brand: number; readonly kind: LimitKind; readonly value: number }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'end' }
interface History {
  readonly brands: number
  /** So many of them are paused at first: beyond some the guard has to look at all. */
  readonly pausedShare: number
  readonly weights: readonly number[]
  readonly steps: readonly Step[]
}
const nameOf = (at: number): Brand => `brand-${at}`
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('offer' as const), brand: fc.nat(79) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('withdraw' as const, 'park' as const), brand: fc.nat(79) }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.nat(79),
        fc.constantFrom<readonly [LimitKind, number]>(
          ['weight', 1],
          ['weight', 7],
          ['weight', 0.3],
          ['pause', 1],
          ['pause', 0],
          ['concurrency', 1],
          ['rate', 20],
        ),
      )
      .map(([brand, [kind, value]]) => ({ do: 'limit' as const, brand, kind, value })),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0.5, 1, 3, 12) }) },
  { weight: 4, arbitrary: fc.constant({ do: 'end' as const }) },
)
const histories: fc.Arbitrary<History> = fc.record({
  brands: fc.integer({ min: 1, max: 80 }),
  pausedShare: fc.constantFrom(0, 0, 0.5, 0.97),
  weights: fc.constantFrom([1], [1], [1, 3], [1, 0.5, 10], [1, 1, 1, 1, 100]),
  steps: fc.array(steps, { minLength: 50, maxLength: 400 }),
})

/** The round as an array that is walked from end to end. */
class PlainRound {
  private order: Brand[] = []
  private cursor = -1
  private readonly deficits = new Map<Brand, number>()

  join(brand: Brand): void {
    if (this.order.includes(brand)) return
    this.order.push(brand)
    this.deficits.set(brand, 0)
  }
  next(queues: Queues, ground: Ground): Brand | undefined {
    this.leave((brand) => queueOf(queues, brand).size === 0)
    const atMono = startAt(queues.keys.rate, ground)
    const able = this.order.filter((brand) => brandBlock(queueOf(queues, brand), ground, atMono) === null)
    const weightAt = (brand: Brand): number => weightOf(ground.limits, queueOf(queues, brand).keys)
    const heaviest = Math.max(...able.map(weightAt))
    const after = able.findIndex((brand) => this.order.indexOf(brand) > this.cursor)
    for (let at = Math.max(0, after); able.length > 0; at += 1) {
      const brand = able[at % able.length] as Brand
      const deficit = (this.deficits.get(brand) ?? 0) + weightAt(brand) / heaviest
      const isServed = deficit >= 1 - 1e-9
      this.deficits.set(brand, isServed ? deficit - 1 : deficit)
      if (!isServed) continue
      this.cursor = this.order.indexOf(brand)
      return brand
    }
    return undefined
  }
  private leave(hasNothing: (brand: Brand) => boolean): void {
    const before = this.order.slice(0, this.cursor + 1).filter((brand) => !hasNothing(brand))
    this.order = this.order.filter((brand) => !hasNothing(brand))
    this.cursor = before.length - 1
  }
}

class Run {
  readonly chosen: Brand[] = []
  readonly expected: Brand[] = []
  private readonly limits: Map<string, LimitRow>
  private readonly rates = new Map<string, RateState>()
  private readonly queues = emptyQueues(DOMAIN, 1_000)
  private readonly conditions = newConditions()
  private readonly plain = new PlainRound()
  private readonly flights: Brand[] = []
  private readonly waiting = new Map<Brand, WebhookId[]>()
  private readonly bend: Bend
  private version = 1
  private now = 0
  private seq = 0

  constructor({ brands, pausedShare, weights }: History, bend: Bend) {
    this.bend = bend
    this.queues.bound = 'rate'
    const each = Array.from({ length: brands }, (_, at): readonly ModelLimit[] => [
      { kind: 'weight', brand: nameOf(at), value: weights[at % weights.length] ?? 1 },
      ...(at < brands * pausedShare ? [{ kind: 'pause', overall: true, brand: nameOf(at), value: 1 } as const] : []),
    ])
    this.limits = tableOf([
      { kind: 'rate', value: 1_000, burst: 3 },
      { kind: 'concurrency', value: 10_000 },
      ...each.flat(),
    ])
    for (let at = 0; at < 2 * brands; at += 1) this.offer(nameOf(at % brands))
  }
  take(step: Step): void {
    switch (step.do) {
      case 'offer':
        return this.offer(nameOf(step.brand))
      case 'withdraw':
        return this.withdraw(nameOf(step.brand))
      case 'park': {
        const queue = queueOf(this.queues, nameOf(step.brand))
        queue.parked = !queue.parked
        return
      }
      case 'limit':
        return this.change(step)
      case 'pass':
        this.now += step.ms
        return
      case 'end': {
        const brand = this.flights.shift()
        if (brand !== undefined) releasePermit(this.queues, queueOf(this.queues, brand), this.now, 5)
        return
      }
      default:
        return step satisfies never
    }
  }
  /** All that may start now, and whom the plain round would have started. */
  admit(): void {
    for (;;) {
      const ground = this.bend(this.queues, this.ground())
      const isOpen = this.queues.waiting.size > 0 && domainBlock(this.queues, ground) === null
      const expected = isOpen ? this.plain.next(this.queues, this.ground()) : undefined
      const verdict = nextVerdict(this.queues, ground)
      if (expected !== undefined) this.expected.push(expected)
      if (verdict.kind !== 'start') return
      const { due } = verdict.start
      this.chosen.push(due.brand)
      this.flights.push(due.brand)
    }
  }
  private offer(brand: Brand): void {
    this.seq += 1
    const id = `msg_${this.seq}`
    this.waiting.set(brand, [...(this.waiting.get(brand) ?? []), id])
    offerDue(
      this.queues,
      {
        id,
        seq: this.seq,
        nextAt: 0,
        brand,
        domain: DOMAIN,
        priority: 'normal',
        attempts: 0,
        timeoutMs: 1_000,
        expiresAt: null,
      },
      this.now,
    )
    this.plain.join(brand)
  }
  /** All that waits of it. */
  private withdraw(brand: Brand): void {
    for (const id of this.waiting.get(brand) ?? []) dropWaiting(this.queues, id)
    this.waiting.delete(brand)
  }
  private change({
    brand,
    kind,
    value,
  }: {
    readonly brand: number
    readonly kind: LimitKind
    readonly value: number
  }): void {
    for (const [key, row] of tableOf([{ kind, brand: nameOf(brand), overall: kind === 'pause', value }]))
      this.limits.set(key, row)
    this.version += 1
  }
  private ground(): Ground {
    return {
      limits: this.limits,
      limitsVersion: this.version,
      rates: this.rates,
      unknownSinceMono: Number.NEGATIVE_INFINITY,
      conditions: this.conditions,
      nodeRoom: 1_000_000,
      nodeAgainMs: 20,
      nowMono: this.now,
      nowAt: this.now,
    }
  }
}

const play = (history: History, bend: Bend = (_queues, ground) => ground): Run => {
  const run = new Run(history, bend)
  run.admit()
  for (const step of history.steps) {
    run.take(step)
    run.admit()
  }
  return run
}
const differs = (bend: Bend): boolean =>
  fc.check(
    fc.property(histories, (history) => {
      const { chosen, expected } = play(history, bend)
      return chosen.join() === expected.join()
    }),
    { numRuns: 100, seed: 42 },
  ).failed

describe('where the rate of a domain binds', () => {
  it('the brands are served in the order of a round that looks at all of them', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { chosen, expected } = play(history)
        expect(chosen).toEqual(expected)
      }),
      { numRuns: 150 },
    )
  })
  it('they would not be, if a weight that was changed were not seen', () => {
    expect(differs((_queues, ground) => ({ ...ground, limitsVersion: 1 }))).toBe(true)
  })
  it('they would not be, if the round lost its place', () => {
    const lose: Bend = (queues, ground) => {
      queues.ring.cursor = -1
      return ground
    }
    expect(differs(lose)).toBe(true)
  })
  it('a start looks at two brands, not at all that wait', () => {
    const limits = tableOf([
      { kind: 'rate', value: 1_000, burst: 500 },
      { kind: 'concurrency', value: 10_000 },
      { kind: 'weight', brand: nameOf(1), value: 9 },
    ])
    let looks = 0
    const counted = {
      get: (key: string) => {
        if (key.startsWith('pause * brand')) looks += 1
        return limits.get(key)
      },
    }
    const queues = emptyQueues(DOMAIN, 1_000)
    queues.bound = 'rate'
    for (let seq = 1; seq <= 2_000; seq += 1)
      offerDue(
        queues,
        {
          id: `msg_${seq}`,
          seq,
          nextAt: 0,
          brand: nameOf(seq),
          domain: DOMAIN,
          priority: 'normal',
          attempts: 0,
          timeoutMs: 1_000,
          expiresAt: null,
        },
        0,
      )
    const ground: Ground = {
      limits: counted,
      limitsVersion: 1,
      rates: new Map(),
      unknownSinceMono: Number.NEGATIVE_INFINITY,
      conditions: newConditions(),
      nodeRoom: 1_000_000,
      nodeAgainMs: 20,
      nowMono: 1_000_000,
      nowAt: 0,
    }
    let starts = 0
    while (nextVerdict(queues, ground).kind === 'start') starts += 1
    expect(starts).toBeGreaterThan(100)
    expect(looks).toBeLessThanOrEqual(2 * starts)
  })
})
