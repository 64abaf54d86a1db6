import { describe, expect, it } from 'vitest'
import { LONELY_DEATHS_MAX, SUSPECTS_MAX } from '#config/limits.ts'
import {
  acquit,
  emptyPlacement,
  isReady,
  join,
  leave,
  type Placeable,
  place,
  placeWaiting,
  retire,
  unplace,
} from '#webhook/placement.ts'

const order = (id: string): Placeable => ({ attemptId: `${id}.1`, webhookId: id })
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
    expect(join(placement, 3, false).map(({ order: { webhookId } }) => webhookId)).toEqual(['f', 'g'])
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
    expect(leave(placement, 1).map(({ convicted }) => convicted)).toEqual([false, false])
    expect(isReady(placement)).toBe(false)
    for (const id of ['a', 'b', 'c']) expect(place(placement, order(id))).toBeNull()
    expect(join(placement, 2, true)).toEqual([{ carrier: 2, order: order('a') }])
    expect(isReady(placement)).toBe(false)
    expect(join(placement, 3, false)).toEqual([{ carrier: 3, order: order('c') }])
    expect(retire(placement, 2)).toBe(false)
    unplace(placement, 'a.1')
    acquit(placement, 'a')
    expect(placeWaiting(placement)).toEqual([{ carrier: 2, order: order('b') }])
    unplace(placement, 'b.1')
    expect(retire(placement, 2)).toBe(true)
    expect(place(placement, order('a'))).toEqual({ carrier: 3, order: order('a') })
  })

  it(`convicts after ${LONELY_DEATHS_MAX} lonely deaths, and only then`, () => {
    const placement = filled(10, 1)
    place(placement, order('a'))
    expect(leave(placement, 1)).toEqual([{ order: order('a'), convicted: false }])
    const deaths = Array.from({ length: LONELY_DEATHS_MAX }, (_, i) => {
      place(placement, order('a'))
      join(placement, 10 + i, true)
      return leave(placement, 10 + i)[0]?.convicted
    })
    expect(deaths).toEqual([false, false, true])
    expect(placement.suspects.size).toBe(0)
  })

  it('remembers a bounded number of suspects', () => {
    const placement = filled(SUSPECTS_MAX * 2, 1)
    for (let i = 0; i < SUSPECTS_MAX + 5; i++) place(placement, order(`w${i}`))
    expect(leave(placement, 1).every(({ convicted }) => !convicted)).toBe(true)
    expect(placement.suspects.size).toBe(SUSPECTS_MAX)
    expect(placement.suspects.has('w0')).toBe(false)
  })
})
