import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  OVERLOAD_CALM_MS,
  OVERLOAD_COMMIT_MS,
  OVERLOAD_HEAP_SHARE,
  OVERLOAD_LOOP_MS,
  OVERLOAD_STORE_WAIT_MS,
} from '#config/limits.ts'
import { CALM, inWords, LEVELS, type LoadFigures, type Overload, sheds, step } from '#overload/levels.ts'

const QUIET: LoadFigures = { storeWaitMs: 0, storeFill: 0, commitMs: 3, loopDelayMs: 5, heapShare: 0.3 }
const at = (figures: Partial<LoadFigures>): LoadFigures => ({ ...QUIET, ...figures })
const calmThen = (figures: Partial<LoadFigures>): Overload => step(CALM, at(figures), 0)

describe('the levels of overload (O2)', () => {
  it('are none while nothing presses', () => {
    expect(step(CALM, QUIET, 0)).toEqual(CALM)
  })

  const bounds: readonly (readonly [string, Partial<LoadFigures>, string])[] = [
    ['store queue', { storeWaitMs: OVERLOAD_STORE_WAIT_MS / 4 }, 'streams'],
    ['store queue', { storeWaitMs: OVERLOAD_STORE_WAIT_MS / 2 }, 'lists'],
    ['store queue', { storeWaitMs: OVERLOAD_STORE_WAIT_MS }, 'schedules'],
    ['store queue', { storeFill: 0.25 }, 'streams'],
    ['store queue', { storeFill: 0.5 }, 'lists'],
    ['store queue', { storeFill: 1 }, 'schedules'],
    ['commit latency', { commitMs: OVERLOAD_COMMIT_MS / 4 }, 'streams'],
    ['commit latency', { commitMs: OVERLOAD_COMMIT_MS / 2 }, 'lists'],
    ['commit latency', { commitMs: OVERLOAD_COMMIT_MS }, 'schedules'],
    ['event loop', { loopDelayMs: 100 }, 'streams'],
    ['event loop', { loopDelayMs: OVERLOAD_LOOP_MS / 2 }, 'lists'],
    ['event loop', { loopDelayMs: OVERLOAD_LOOP_MS }, 'schedules'],
    ['heap', { heapShare: OVERLOAD_HEAP_SHARE - 0.15 }, 'streams'],
    ['heap', { heapShare: OVERLOAD_HEAP_SHARE - 0.07 }, 'lists'],
    ['heap', { heapShare: OVERLOAD_HEAP_SHARE }, 'schedules'],
  ]
  for (const [cause, figures, level] of bounds) {
    it(`reach ${level} by ${JSON.stringify(figures)}, and say that it is the ${cause}`, () => {
      expect(calmThen(figures)).toEqual({ level, cause, calmSinceMono: null })
      const [[name, value] = ['storeFill', 0]] = Object.entries(figures)
      expect(step(CALM, at({ [name]: value * 0.999 }), 0).level).not.toBe(level)
    })
  }

  it('name the cause that presses most', () => {
    expect(calmThen({ commitMs: 600, loopDelayMs: 900 }).cause).toBe('event loop')
    expect(inWords('event loop', at({ loopDelayMs: 900 }))).toBe('the event loop is 900 ms late')
  })

  it('shed in the order streams, lists, schedules', () => {
    expect(
      LEVELS.map((level) => (['streams', 'lists', 'schedules'] as const).filter((what) => sheds(level, what))),
    ).toEqual([[], ['streams'], ['streams', 'lists'], ['streams', 'lists', 'schedules']])
  })

  it('fall one at a time, each after a calm second', () => {
    let now = step(CALM, at({ commitMs: OVERLOAD_COMMIT_MS }), 0)
    const path: [number, string][] = []
    for (let mono = 250; mono <= 4_000; mono += 250) {
      const before = now.level
      now = step(now, QUIET, mono)
      if (now.level !== before) path.push([mono, now.level])
    }
    expect(path).toEqual([
      [250 + OVERLOAD_CALM_MS, 'lists'],
      [250 + 2 * OVERLOAD_CALM_MS, 'streams'],
      [250 + 3 * OVERLOAD_CALM_MS, 'none'],
    ])
  })

  it('stay where the figure swings just below the bound', () => {
    let now = calmThen({ storeWaitMs: OVERLOAD_STORE_WAIT_MS })
    for (let mono = 250; mono < 20_000; mono += 250)
      now = step(now, at({ storeWaitMs: OVERLOAD_STORE_WAIT_MS * (mono % 500 === 0 ? 0.81 : 0.99) }), mono)
    expect(now.level).toBe('schedules')
  })

  it('begin the calm second anew after each figure that presses', () => {
    let now = calmThen({ storeWaitMs: OVERLOAD_STORE_WAIT_MS })
    for (let mono = 250; mono < 20_000; mono += 250)
      now = step(now, mono % 1_000 === 0 ? at({ storeWaitMs: OVERLOAD_STORE_WAIT_MS * 0.9 }) : QUIET, mono)
    expect(now.level).toBe('schedules')
  })

  it('whatever the figures: never fall by more than one at a look, nor twice within a calm while, and end at none', () => {
    const figures = fc.record({
      storeWaitMs: fc.integer({ min: 0, max: 5_000 }),
      storeFill: fc.double({ min: 0, max: 1, noNaN: true }),
      commitMs: fc.integer({ min: 0, max: 5_000 }),
      loopDelayMs: fc.integer({ min: 0, max: 2_000 }),
      heapShare: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(figures, { maxLength: 60 }), (looks) => {
        let now = CALM
        let mono = 0
        let fellMono = Number.NEGATIVE_INFINITY
        const rank = (one: Overload): number => LEVELS.indexOf(one.level)
        for (const look of [...looks, ...Array.from({ length: 20 }, () => QUIET)]) {
          mono += 250
          const before = now
          now = step(before, look, mono)
          if (rank(now) >= rank(before)) continue
          expect(rank(before) - rank(now)).toBe(1)
          expect(mono - fellMono).toBeGreaterThanOrEqual(OVERLOAD_CALM_MS)
          fellMono = mono
        }
        expect(now.level).toBe('none')
      }),
    )
  })
})
