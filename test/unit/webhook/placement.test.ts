import { describe, expect, it } from 'vitest'
import { LONELY_DEATHS_MAX } from '#config/limits.ts'
import {
  emptyPlacement,
  isConvicted,
  isReady,
  join,
  leave,
  type Placeable,
  place,
  placeWaiting,
  retire,
  unplace,
} from '#webhook/placement.ts'

const order = (id: string, lonelyDeaths: number | null = null): Placeable => ({ attemptId: `${id}.1`, lonelyDeaths })
const filled = (capacity: number, ...carriers: number[]) => {
  const placement = emptyPlacement<Placeable>(capacity)
  for (const number of carriers) join(placement, number, false)
  return placement
}

describe('placement', () => {
  it('gives to the least loaded carrier, and makes wait what has no room, in order', () => {
    const placement = filled(2, 1, 2)
    const given = ['a', 'b', 'c', 'd', 'e', 'f'].map((id) => place(placement, order(id))?.carrier ?? null)
    expect(given).toEqual([1, 2, 1, 2, null, null])
    unplace(placement, 'b.1')
    expect(place(placement, order('g')), 'nobody overtakes').toBeNull()
    expect(placeWaiting(placement)).toEqual([{ carrier: 2, order: order('e') }])
    expect(join(placement, 3, false).map(({ order: { attemptId } }) => attemptId)).toEqual(['f.1', 'g.1'])
  })

  it('forgets what ended while it waited', () => {
    const placement = filled(1, 1)
    for (const id of ['a', 'b', 'c']) place(placement, order(id))
    unplace(placement, 'b.1')
    unplace(placement, 'a.1')
    expect(placeWaiting(placement)).toEqual([{ carrier: 1, order: order('c') }])
  })

  it('D-17: suspects go alone into a spare carrier, which takes nothing else', () => {
    const placement = filled(10, 1)
    for (const id of ['a', 'b']) place(placement, order(id))
    expect(leave(placement, 1).map(({ lonelyDeaths }) => lonelyDeaths)).toEqual([0, 0])
    expect(isReady(placement)).toBe(false)
    for (const one of [order('a', 0), order('b', 0), order('c')]) expect(place(placement, one)).toBeNull()
    expect(join(placement, 2, true)).toEqual([{ carrier: 2, order: order('a', 0) }])
    expect(isReady(placement)).toBe(false)
    expect(join(placement, 3, false)).toEqual([{ carrier: 3, order: order('c') }])
    expect(retire(placement, 2)).toBe(false)
    unplace(placement, 'a.1')
    expect(placeWaiting(placement)).toEqual([{ carrier: 2, order: order('b', 0) }])
    unplace(placement, 'b.1')
    expect(retire(placement, 2)).toBe(true)
    expect(place(placement, order('a'))).toEqual({ carrier: 3, order: order('a') })
  })

  it(`convicts after ${LONELY_DEATHS_MAX} lonely deaths, and only then: a death in company adds nothing`, () => {
    let lonelyDeaths: number | null = null
    const verdicts = [false, false, true, true, true].map((lonely, number) => {
      const placement = filled(10)
      join(placement, number, lonely)
      if (lonely) place(placement, order('a', lonelyDeaths))
      else placement.carriers.get(number)?.attempts.set('a.1', order('a', lonelyDeaths))
      lonelyDeaths = leave(placement, number)[0]?.lonelyDeaths ?? null
      return isConvicted(lonelyDeaths ?? 0)
    })
    expect(verdicts).toEqual([false, false, false, false, true])
  })
})
