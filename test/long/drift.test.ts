import { expect, it } from 'vitest'
import { drift } from '#test/simulation/drift.ts'

it('TIME-04: thirty days of 3,000 small steps each: nothing early, nothing late, no error that adds up', async () => {
  const { due, arrived, earliestMs, latestMs, steps } = await drift(30)
  expect({ due, arrived, steps }).toEqual({ due: 43_200, arrived: 43_200, steps: 0 })
  expect(earliestMs).toBeGreaterThanOrEqual(0)
  expect(latestMs).toBeLessThanOrEqual(250)
})
