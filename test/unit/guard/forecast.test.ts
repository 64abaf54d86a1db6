import { describe, expect, it } from 'vitest'
import { forecast } from '#guard/forecast.ts'

const BASE = { fromAt: 0, bucketMs: 60_000, backlog: 0, ratePerSecond: 10, slots: 100, serviceMs: 0 }

describe('forecast', () => {
  it('carries over what a rate does not admit, and says when the last will go', () => {
    const { buckets, lastAt } = forecast({ ...BASE, due: [1_000, 0, 0] })
    expect(buckets.map(({ admitted, backlog }) => [admitted, backlog])).toEqual([
      [600, 400],
      [400, 0],
      [0, 0],
    ])
    expect(lastAt).toBe(100_000)
  })
  it('takes the slots for the bound where attempts are slow', () => {
    const { buckets } = forecast({ ...BASE, slots: 5, serviceMs: 10_000, due: [100] })
    expect(buckets).toMatchObject([{ due: 100, admitted: 30, backlog: 70 }])
  })
  it('goes on beyond the last bucket, and has no end at a limit of zero', () => {
    expect(forecast({ ...BASE, due: [1_200] }).lastAt).toBe(120_000)
    expect(forecast({ ...BASE, ratePerSecond: 0, due: [1] }).lastAt).toBeNull()
    expect(forecast({ ...BASE, due: [0, 0] }).lastAt).toBeNull()
  })
})
