import { describe, expect, it } from 'vitest'
import { fitLine, lowWater } from '#bench/fit.ts'
import { growths, heapsOf, isGrowing } from '#bench/growth.ts'
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
  it('takes no part of a slow wave for growth', () => {
    const wave = Array.from({ length: 300 }, (_, s): readonly [number, number] => [s, -100 * Math.cos(s / 30)])
    const { slope, uncertainty } = fitLine(wave)
    expect(Math.abs(slope)).toBeLessThan(uncertainty)
  })
  it('judges each thread by what is left after its collections', () => {
    const page = (dispatch: number): string =>
      `hookpulse_thread_heap_used_bytes{thread="main"} 20000000\nhookpulse_thread_heap_used_bytes{thread="dispatch"} ${dispatch}\n`
    const samples = saw(3_000).map(([s, bytes]) => ({
      s,
      heaps: heapsOf(page(bytes)),
      own: 1e8,
      files: 7e7,
      descriptors: 50,
    }))
    const growing = growths(samples).filter(isGrowing)
    expect(growing.map(({ what }) => what)).toEqual(['heap that lives, dispatch'])
    expect(growing[0]?.slope, 'KiB a minute').toBeCloseTo((3_000 * 60) / 1_024, 0)
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
