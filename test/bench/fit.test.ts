import { describe, expect, it } from 'vitest'
import { fitLine, lowWater } from '#bench/fit.ts'
import { Prng } from '#world/prng.ts'

const saw = (growth: number, random = new Prng(1)) =>
  Array.from({ length: 600 }, (_, s): readonly [number, number] => [
    s,
    1_000 + growth * s + (s % 10) * 50 + random.below(20),
  ])

describe('a line through what a soak has seen', () => {
  it('finds the growth under the teeth of a heap', () => {
    const { slope, uncertainty } = fitLine(lowWater(saw(2), 15))
    expect(slope).toBeCloseTo(2, 1)
    expect(slope).toBeGreaterThan(uncertainty)
  })
  it('sees none where there is none', () => {
    const { slope, uncertainty } = fitLine(lowWater(saw(0), 15))
    expect(Math.abs(slope)).toBeLessThan(Math.max(uncertainty, 0.02))
  })
  it('is sure of a line and of nothing less', () => {
    expect(
      fitLine([
        [0, 1],
        [1, 3],
        [2, 5],
      ]),
    ).toEqual({ slope: 2, uncertainty: 0 })
    expect(
      fitLine([
        [0, 1],
        [1, 3],
      ]).uncertainty,
    ).toBe(Number.POSITIVE_INFINITY)
  })
})
