import { describe, expect, it } from 'vitest'
import { carriesNothing, earliestAfter, earliestStart, recordStart, unknownHistory } from '#guard/rate.ts'

const fresh = (perSecond: number, burst: number, at: number) => unknownHistory({ perSecond, burst }, at)

describe('a rate', () => {
  it('counts unknown history as a burst just made', () => {
    const limit = { perSecond: 10, burst: 3 }
    expect(earliestStart(limit, fresh(10, 3, 1_000))).toBe(1_100)
  })
  it('gives a burst after idle time, and no more', () => {
    const limit = { perSecond: 10, burst: 3 }
    const state = fresh(10, 3, -10_000)
    for (let n = 0; n < 3; n += 1) {
      expect(earliestStart(limit, state)).toBeLessThanOrEqual(0)
      recordStart(limit, state, 0)
    }
    expect(earliestStart(limit, state)).toBeCloseTo(100)
  })
  it('counts strictly up to 50 a second, from the nominal instant above, at most 2 ms back', () => {
    const strict = fresh(50, 1, -1_000)
    recordStart({ perSecond: 50, burst: 1 }, strict, 7)
    expect(earliestStart({ perSecond: 50, burst: 1 }, strict)).toBe(27)
    const quick = fresh(1_000, 1, -1_000)
    recordStart({ perSecond: 1_000, burst: 1 }, quick, 7)
    expect(earliestStart({ perSecond: 1_000, burst: 1 }, quick)).toBe(6)
  })
  it('of zero never allows a start; a raise does not wait for the old instant', () => {
    const state = fresh(0.001, 1, 0)
    expect(earliestStart({ perSecond: 0, burst: 1 }, state)).toBe(Number.POSITIVE_INFINITY)
    expect(earliestStart({ perSecond: 10, burst: 1 }, state)).toBe(100)
  })
  it('keeps a place for what is asked for', () => {
    const state = fresh(10, 1, 0)
    expect(earliestAfter({ perSecond: 10, burst: 1 }, state, 2)).toBe(300)
  })
  it('may be forgotten when it tells nothing', () => {
    const state = fresh(10, 1, 0)
    expect([carriesNothing(state, 50), carriesNothing(state, 200)]).toEqual([false, true])
  })
})
