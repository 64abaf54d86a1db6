import { expect, it } from 'vitest'
import { isFinal, liveState, mayBecome, TRANSITIONS } from '#webhook/states.ts'

it('starts only what is live, and delivers only what was started', () => {
  const before = (to: 'executing' | 'delivered') =>
    Object.entries(TRANSITIONS)
      .filter(([, next]) => next.includes(to))
      .map(([from]) => from)
  expect(before('executing')).toEqual(['scheduled', 'retrying'])
  expect(before('delivered')).toEqual(['executing'])
})

it('leaves a final state only by a replay, and a cancelled one never', () => {
  expect(mayBecome('dead', 'scheduled')).toBe(true)
  expect(TRANSITIONS.cancelled).toEqual([])
  expect(mayBecome('delivered', 'executing')).toBe(false)
  expect(isFinal('delivered')).toBe(true)
  expect(isFinal('waiting')).toBe(false)
})

it('shows a live webhook by its instant', () => {
  expect(liveState({ started: false, attempts: 0, nextAt: 10 }, 9)).toBe('scheduled')
  expect(liveState({ started: false, attempts: 0, nextAt: 10 }, 10)).toBe('waiting')
  expect(liveState({ started: false, attempts: 2, nextAt: 10 }, 9)).toBe('retrying')
  expect(liveState({ started: false, attempts: 2, nextAt: 10 }, 10, true)).toBe('held')
  expect(liveState({ started: true, attempts: 0, nextAt: 10 }, 9)).toBe('executing')
})
