import { expect, it } from 'vitest'
import { ATTEMPTS_IN_FLIGHT_MAX, LANE_WINDOW_MAX } from '#config/limits.ts'
import { heldBySlowReceivers } from '#test/support/slow-receivers.ts'

it('WORK-08: slow receivers and 10,000 due: what main and its threads hold is bounded by count, the rest waits in the store', async () => {
  const asked = { domains: 5, each: 2_000, concurrency: 1_000, capacity: 256, latencyMs: 5_000 }
  const held = await heldBySlowReceivers(asked)
  process.stdout.write(`${JSON.stringify(held)}\n`)
  expect(held.inThread).toBe(asked.capacity)
  expect(held.queued + held.inThread).toBeLessThanOrEqual(ATTEMPTS_IN_FLIGHT_MAX)
  expect(held.executions).toBeLessThanOrEqual(ATTEMPTS_IN_FLIGHT_MAX)
  expect(held.windows).toBeLessThanOrEqual(asked.domains * LANE_WINDOW_MAX)
  expect(held.horizon, 'all of it was told').toBe(0)
})
