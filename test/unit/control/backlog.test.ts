import { describe, expect, it } from 'vitest'
import { type BacklogRow, backlogFull, newBacklog, recount } from '#control/backlog.ts'

/** Counted each second; `left` of each second. */
const countedAt = (row: BacklogRow, left: readonly number[], fromMs = 0): BacklogRow =>
  left.reduce((before, count, second) => recount(before, count, fromMs + second * 1_000), row)

describe('a brand whose backlog is full', () => {
  it('is told nothing of its end before anything has finished, and to come back in a minute', () => {
    const error = backlogFull('acme', countedAt(newBacklog(100), [100, 100, 100]), 1)
    expect(error.message).toBe('brand "acme" has 100 unfinished webhooks and may have 100; 1 more do not fit')
    expect(error.retryAfterMs).toBe(60_000)
  })
  it('is told how long its webhooks take, and when there is room for as many as it has asked for', () => {
    const error = backlogFull('acme', countedAt(newBacklog(100), [100, 90, 80]), 30)
    expect(error.message).toMatch(/has 80 unfinished .* 30 more do not fit; they drain in about 8 s$/)
    expect(error.retryAfterMs).toBe(1_000)
  })
  it('is not promised the pace of long ago when it stands still', () => {
    const still = countedAt(newBacklog(100), [100, 90, ...Array.from({ length: 61 }, () => 90)])
    const drains = /about (\d+) s$/.exec(backlogFull('acme', still, 20).message)?.[1]
    expect(Number(drains)).toBeGreaterThan(60)
    expect(backlogFull('acme', recount(still, 90, 3_600_000), 20).message).not.toMatch(/drain/)
  })
})
