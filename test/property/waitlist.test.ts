/** Laws of the list of domains that wait for a place: bounded, nobody starves whatever the others do, who comes due is served soon. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  age,
  aheadOf,
  emptyWaitlist,
  FRESH_MS,
  goOn,
  isAwaited,
  joinDue,
  joinLine,
  lengthOf,
  longestWaiting,
  othersThan,
  takeCircle,
  takeNext,
  type Waitlist,
  wantsCircle,
} from '#schedule/waitlist.ts'
import type { LaneKey } from '#webhook/webhook.ts'

const laneOf = (domain: string): LaneKey => ({ domain, brand: 'b', priority: 'normal', kind: 'first' })
const NOBODY_RESTS = (): number => 0
const PAGE = 5

/** As the scheduler does it: a page of the store's lanes, in order, behind the cursor. */
const circle = (list: Waitlist, stored: ReadonlySet<string>, placed: ReadonlySet<string>): void => {
  if (!wantsCircle(list)) return
  const after = goOn(list)?.domain ?? ''
  const page = [...stored].filter((domain) => domain > after).toSorted()
  const lanes = page.slice(0, PAGE).map(laneOf)
  const found = lanes.filter(({ domain }) => !placed.has(domain)).map((lane) => [lane.domain, lane] as const)
  takeCircle(list, found, page.length > PAGE ? (lanes.at(-1) ?? null) : null)
}

const step = fc.record({ who: fc.nat(29), how: fc.constantFrom('due', 'line', 'take', 'time'), rests: fc.boolean() })

describe('the list of domains that wait for a place', () => {
  it('is bounded, and everybody gets a place once nobody comes any more', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 12 }), (steps, max) => {
        const list = emptyWaitlist(max)
        const stored = new Set<string>()
        const resting = new Set<string>()
        let now = 0
        const take = (): boolean => {
          const rests = (domain: string): number => (resting.has(domain) ? now + 1 : 0)
          const domain = takeNext(list, rests, now)
          if (domain === undefined) return false
          expect(resting.has(domain)).toBe(false)
          return stored.delete(domain)
        }
        for (const { who, how, rests } of steps) {
          const domain = `d${String(who).padStart(2, '0')}`
          if (how === 'take') take()
          else if (how === 'time') {
            now += FRESH_MS
            age(list, now)
          } else {
            stored.add(domain)
            if (rests) resting.add(domain)
            if (how === 'due') joinDue(list, domain, 'b')
            else joinLine(list, domain, 'b')
          }
          circle(list, stored, new Set())
          expect(lengthOf(list)).toBeLessThanOrEqual(2 * list.halfMax)
          expect(othersThan(list, 'b')).toBe(0)
        }
        resting.clear()
        for (let round = 0; round < 300 && isAwaited(list); round += 1) {
          now += FRESH_MS
          age(list, now)
          circle(list, stored, new Set())
          take()
        }
        expect([...stored]).toEqual([])
        expect(lengthOf(list)).toBe(0)
      }),
    )
  })

  it('tells of everybody in it how many get a place before', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 12 }), (steps, max) => {
        const list = emptyWaitlist(max)
        let now = 0
        for (const { who, how } of steps) {
          if (how === 'take') takeNext(list, NOBODY_RESTS, now)
          else if (how === 'time') {
            now += FRESH_MS
            age(list, now)
          } else if (how === 'due') joinDue(list, `d${who}`, 'b')
          else joinLine(list, `d${who}`, 'b')
        }
        expect(aheadOf(list, 'nobody')).toBeNull()
        const there = longestWaiting(list, 2 * list.halfMax)
        expect(there.length).toBe(lengthOf(list))
        const told = new Map(there.map((domain) => [domain, aheadOf(list, domain)]))
        const served = new Map<string, number>()
        for (let place = 0; place < there.length; place += 1) served.set(takeNext(list, NOBODY_RESTS, now) ?? '', place)
        expect(told).toEqual(served)
      }),
    )
  })

  it('gives one who stands in line its place, however many come due without end', () => {
    const list = emptyWaitlist(20)
    const stored = new Set<string>(['zz-patient'])
    joinLine(list, 'zz-patient', null)
    let now = 0
    let served = -1
    for (let n = 0; n < 2_000 && served < 0; n += 1) {
      now += 10
      for (let k = 0; k < 3; k += 1) {
        stored.add(`d${n}-${k}`)
        joinDue(list, `d${n}-${k}`, null)
      }
      age(list, now)
      circle(list, stored, new Set())
      const domain = takeNext(list, NOBODY_RESTS, now)
      if (domain !== undefined) stored.delete(domain)
      if (domain === 'zz-patient') served = n
    }
    expect(served).toBeGreaterThanOrEqual(0)
    expect(served).toBeLessThanOrEqual(2)
  })

  it('gives one who comes due the next place but one, however many wait', () => {
    const list = emptyWaitlist(100)
    for (let n = 0; n < 500; n += 1) joinDue(list, `d${n}`, null)
    takeNext(list, NOBODY_RESTS, 0)
    joinDue(list, 'healthy', null)
    const next = [takeNext(list, NOBODY_RESTS, 0), takeNext(list, NOBODY_RESTS, 0)]
    expect(next).toContain('healthy')
  })

  it('closes the circle only when nobody was left out behind it meanwhile', () => {
    const list = emptyWaitlist(2)
    const stored = new Set(['d10', 'd11', 'd12', 'd13', 'd14', 'd15', 'd16'])
    for (const domain of stored) joinLine(list, domain, null)
    const serve = (): void => {
      circle(list, stored, new Set())
      const domain = takeNext(list, NOBODY_RESTS, 0)
      if (domain !== undefined) stored.delete(domain)
    }
    for (let n = 0; n < 4; n += 1) serve()
    // The circle has passed it by.
    stored.add('d00')
    joinLine(list, 'd00', null)
    for (let n = 0; n < 50 && isAwaited(list); n += 1) serve()
    expect([...stored]).toEqual([])
  })

  it('does not look at those who come due only after all who rest in line, nor the other way round', () => {
    const rests = (domain: string): number => (domain.startsWith('closed') ? 1_000_000 : 0)
    for (const turns of [0, 1]) {
      const list = emptyWaitlist(100)
      for (let n = 0; n < 40; n += 1) joinLine(list, `closed${n}`, null)
      for (let n = 0; n < turns; n += 1) {
        joinDue(list, `before${n}`, null)
        takeNext(list, rests, 0)
      }
      joinDue(list, 'healthy', null)
      expect(takeNext(list, rests, 0)).toBe('healthy')
    }
  })
})
