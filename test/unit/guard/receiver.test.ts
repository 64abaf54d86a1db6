/** Closures, breakers, budgets: what the receiver's answers do, as arithmetic. */
import { describe, expect, it } from 'vitest'
import { closedBreaker, isFailing, nextAllowed, noteStart, pass, recordOutcome } from '#guard/breaker.ts'
import { close, isClosed, open, rampUp } from '#guard/closure.ts'
import {
  type ConditionPolicy,
  type Conditions,
  forgetShares,
  gateOf,
  type Heard,
  hear,
  mergeConditions,
  newConditions,
  passTime,
  restore,
  saysNothing,
} from '#guard/conditions.ts'
import { countTry, emptyBudget, nextRetry } from '#guard/retry-budget.ts'

const BREAKER = { enabled: true, openMs: 30_000 }
const POLICY: ConditionPolicy = { closure: 1, breaker: BREAKER, adaptiveCeiling: null }
const heard = (status: number, more: Partial<Heard> = {}, retryAfterMs: number | null = null): Heard => ({
  brand: 'acme',
  outcome: { kind: 'response', status, retryAfterMs, excerpt: null },
  latencyMs: 10,
  inFlight: 1,
  othersWait: false,
  nowMono: 0,
  ...more,
})

describe('a closure', () => {
  it('lasts as long as the receiver says, at most an hour', () => {
    const closure = open()
    close(closure, 3_000, 0)
    expect([isClosed(closure, 2_999), isClosed(closure, 3_000)]).toEqual([true, false])
    close(closure, 1_000_000_000, 3_000)
    expect(closure.untilMono).toBe(3_603_000)
  })
  it.each([
    ['an instant', null],
    ['an instant ahead (Retry-After: 0, or a date in the past)', 0],
  ])('without %s doubles from 1 s to 60 s, once per closing', (_what, retryAfterMs) => {
    const closure = open()
    const waits: number[] = []
    for (let n = 0; n < 8; n += 1) {
      const now = Math.max(0, closure.untilMono)
      close(closure, retryAfterMs, now)
      close(closure, retryAfterMs, now + 1)
      waits.push(closure.untilMono - now)
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })
  it('is never shortened, and ramps up after it', () => {
    const closure = open()
    close(closure, 10_000, 0)
    expect(close(closure, 1_000, 0)).toBe(false)
    expect(rampUp(closure, 5_000)).toBe(false)
    expect(closure.ramp).toBe(1)
    const ends = Array.from({ length: 7 }, () => rampUp(closure, 11_000))
    expect(ends.indexOf(true)).toBe(6)
    expect(closure.ramp).toBeNull()
  })
})

describe('what is our own lack', () => {
  it('LOAD-09: is heard as nothing: no breaker counts it, no adaptive limit learns from it', () => {
    const conditions = newConditions()
    const policy = { ...POLICY, adaptiveCeiling: 100 }
    hear(conditions, policy, heard(200))
    const before = structuredClone(conditions.adaptive)
    const outcome = { kind: 'error', error: 'in_doubt', detail: 'EMFILE' } as const
    for (let n = 1; n <= 100; n += 1)
      expect(hear(conditions, policy, heard(0, { outcome, latencyMs: 0, nowMono: n * 100 }))).toEqual([])
    expect(conditions.adaptive).toEqual(before)
    expect(conditions.domain.breaker.state).toBe('closed')
  })
})

describe('a breaker', () => {
  const fail = (breaker: ReturnType<typeof closedBreaker>, times: number, now = 0) =>
    Array.from({ length: times }, () => recordOutcome(breaker, true, BREAKER, now)).at(-1)

  it('opens after ten failures in a row, or at seventy percent of at least ten', () => {
    expect(fail(closedBreaker(), 9)).toBeNull()
    expect(fail(closedBreaker(), 10)).toBe('opened')
    const mixed = closedBreaker()
    const changes = Array.from({ length: 20 }, (_, n) => recordOutcome(mixed, n % 4 !== 3, BREAKER, 0))
    expect(changes.indexOf('opened')).toBe(9)
    const half = closedBreaker()
    for (let n = 0; n < 100; n += 1) expect(recordOutcome(half, n % 2 === 0, BREAKER, 0)).toBeNull()
    expect(isFailing(half)).toBe(true)
  })
  it('stays open for 30 s, doubling to 10 min; then one probe a second; five successes close it', () => {
    const breaker = closedBreaker()
    fail(breaker, 10)
    let now = 0
    const waits: number[] = []
    for (let n = 0; n < 7; n += 1) {
      waits.push(breaker.openUntilMono - now)
      now = breaker.openUntilMono
      expect(pass(breaker, now)).toBe('half-opened')
      expect(nextAllowed(breaker)).toBeLessThanOrEqual(now)
      noteStart(breaker, now)
      expect(nextAllowed(breaker)).toBe(now + 1_000)
      recordOutcome(breaker, true, BREAKER, now)
    }
    expect(waits).toEqual([30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000])
    now = breaker.openUntilMono
    pass(breaker, now)
    const closing = Array.from({ length: 5 }, () => recordOutcome(breaker, false, BREAKER, now))
    expect(closing).toEqual([null, null, null, null, 'closed'])
  })
})

describe('shares', () => {
  it('one brand alone closes the domain; one of two closes its own share', () => {
    const alone = newConditions()
    expect(hear(alone, POLICY, heard(429, {}, 5_000))).toMatchObject([
      { what: 'closed', brand: null, untilMono: 5_000 },
    ])
    const shared = newConditions()
    expect(hear(shared, POLICY, heard(429, { othersWait: true }, 5_000))).toMatchObject([
      { what: 'closed', brand: 'acme' },
    ])
    expect(gateOf(shared.domain, 0, 0, 1)).toBeNull()
    expect(hear(shared, POLICY, heard(429, { brand: 'bolt', nowMono: 100 }, 5_000))).toMatchObject([{ brand: null }])
    expect(gateOf(shared.domain, 0, 0, 101)).toMatchObject({ by: 'closed', untilMono: 5_100 })
  })
  it('two closures more than a minute apart do not count together', () => {
    const shared = newConditions()
    hear(shared, POLICY, heard(200, { brand: 'core', nowMono: 0 }))
    hear(shared, POLICY, heard(429, { othersWait: true }, 1_000))
    const late = hear(shared, POLICY, heard(429, { brand: 'bolt', nowMono: 61_000, othersWait: true }, 1_000))
    expect(late).toMatchObject([{ brand: 'bolt' }])
  })
  it('with closure "domain" always all, with 0 nobody; 503 closes only with Retry-After', () => {
    const all = newConditions()
    const policy = { ...POLICY, closure: 2 }
    expect(hear(all, policy, heard(429, { othersWait: true }, 1_000))).toMatchObject([{ brand: null }])
    expect(hear(newConditions(), { ...POLICY, closure: 0 }, heard(429, {}, 1_000))).toEqual([])
    expect(hear(newConditions(), POLICY, heard(503))).toEqual([])
    expect(hear(newConditions(), POLICY, heard(503, {}, 1_000))).toMatchObject([{ what: 'closed' }])
  })
  it('an answer of 4xx is no failure, and a fresh row says nothing', () => {
    const conditions = newConditions()
    for (let n = 0; n < 30; n += 1) hear(conditions, POLICY, heard(404))
    expect(conditions.domain.breaker.state).toBe('closed')
    expect(saysNothing(conditions, 0)).toBe(true)
    for (let n = 0; n < 10; n += 1) hear(conditions, POLICY, heard(500))
    expect(conditions.domain.breaker.state).toBe('open')
    expect(saysNothing(conditions, 0)).toBe(false)
  })
})

describe('what a receiver has said', () => {
  it('is forgotten ten minutes after its last attempt, brand by brand, unless it holds something closed', () => {
    const conditions = newConditions()
    hear(conditions, POLICY, heard(429, { othersWait: true }, 1_000))
    hear(conditions, POLICY, heard(429, { brand: 'bolt', nowMono: 100_000, othersWait: true }, 3_600_000))
    hear(conditions, POLICY, heard(200, { brand: 'core', nowMono: 500_000 }))
    expect(saysNothing(conditions, 599_000)).toBe(false)
    forgetShares(conditions, 1_099_000)
    expect([...conditions.shares.keys()]).toEqual(['bolt', 'core'])
    forgetShares(conditions, 1_100_001)
    expect([...conditions.shares.keys()]).toEqual(['bolt'])
    expect(saysNothing(conditions, 1_100_001)).toBe(false)
    forgetShares(conditions, 3_700_001)
    expect(conditions.shares.size).toBe(0)
    expect(saysNothing(conditions, 3_700_001)).toBe(true)
  })
})

describe('the breakers of shares', () => {
  const halfOpened = (conditions: Conditions, nowMono: number): readonly (string | null)[] =>
    passTime(conditions, nowMono).map(({ brand }) => brand)
  const failTenTimes = (conditions: Conditions, brand: string, nowMono: number): void => {
    for (let n = 0; n < 10; n += 1) hear(conditions, POLICY, heard(500, { brand, nowMono, othersWait: true }))
  }
  /** Opened at 0 and at 70 s, 30 s each. */
  const twoOpen = (): Conditions => {
    const conditions = newConditions()
    failTenTimes(conditions, 'acme', 0)
    failTenTimes(conditions, 'bolt', 70_000)
    return conditions
  }
  it('become half-open each at its instant, and once more where the probe fails', () => {
    const conditions = twoOpen()
    expect([halfOpened(conditions, 29_999), halfOpened(conditions, 30_000)]).toEqual([[], ['acme']])
    expect([halfOpened(conditions, 99_999), halfOpened(conditions, 100_000)]).toEqual([[], ['bolt']])
    hear(conditions, POLICY, heard(500, { nowMono: 140_000, othersWait: true }))
    expect([halfOpened(conditions, 199_999), halfOpened(conditions, 200_000)]).toEqual([[], ['acme']])
  })
  it('do so as well where another guard, or another process, has heard of them', () => {
    const merged = newConditions()
    mergeConditions(merged, twoOpen())
    expect(halfOpened(merged, 100_000)).toEqual(['acme', 'bolt'])
    const restored = newConditions()
    restore(restored, 'breaker-opened', 'acme', 5_000, 1_000)
    expect([halfOpened(restored, 5_999), halfOpened(restored, 6_000)]).toEqual([[], ['acme']])
  })
})

describe('a breaker beside an adaptive limit', () => {
  const adaptive: ConditionPolicy = { ...POLICY, adaptiveCeiling: 100 }
  const stateAfter = (status: number, limit: number): string => {
    const conditions = newConditions()
    hear(conditions, adaptive, heard(200))
    for (let n = 1; n <= 12; n += 1) {
      if (conditions.adaptive !== null) conditions.adaptive.limit = limit
      hear(conditions, adaptive, heard(status, { nowMono: n }))
    }
    return conditions.domain.breaker.state
  }
  it('leaves a 503 to the limit as long as that can go down; the rest, and a backend that refuses even one, is its own', () => {
    expect(stateAfter(503, 16)).toBe('closed')
    expect(stateAfter(503, 1)).toBe('open')
    expect(stateAfter(500, 16)).toBe('open')
  })
})

describe('a retry budget', () => {
  it('is a tenth of the first tries of two minutes, and at least one a second', () => {
    const budget = emptyBudget()
    expect(nextRetry(budget, 0.1, 0)).toBeLessThanOrEqual(0)
    for (let n = 0; n < 100; n += 1) countTry(budget, false, 0)
    for (let n = 0; n < 10; n += 1) {
      expect(nextRetry(budget, 0.1, 5)).toBeLessThanOrEqual(5)
      countTry(budget, true, 5)
    }
    expect(nextRetry(budget, 0.1, 5)).toBe(1_005)
    expect(nextRetry(budget, 0.1, 1_005)).toBeLessThanOrEqual(1_005)
    expect(nextRetry(budget, 0.1, 130_000)).toBeLessThanOrEqual(130_000)
  })
})
