import { describe, expect, it } from 'vitest'
import { errorClassOf, isDelivered, isInDoubt, parseRetryAfter } from '#webhook/outcome.ts'
import { type AttemptEnded, DEFAULT_RETRY_POLICY, decideNext } from '#webhook/retry.ts'
import type { ErrorClass, Outcome, RetryPolicy } from '#webhook/webhook.ts'
import { Prng } from '#world/prng.ts'

const HOUR = 3_600_000
const status = (code: number, retryAfterMs: number | null = null): Outcome => ({
  kind: 'response',
  status: code,
  retryAfterMs,
  excerpt: null,
})
const failed = (error: ErrorClass): Outcome => ({ kind: 'error', error, detail: '' })
const ended = (change: Partial<AttemptEnded> = {}): AttemptEnded => ({
  attempt: 1,
  outcome: status(500),
  policy: null,
  firstAt: 0,
  expiresAt: null,
  endedAt: 1_000,
  random: 0.5,
  ...change,
})
const policy = (change: Partial<RetryPolicy>): RetryPolicy => ({
  maxAttempts: 50,
  backoff: 'fixed',
  initialDelayMs: 1_000,
  maxDelayMs: HOUR,
  jitter: 0,
  inDoubt: 'retry',
  ...change,
})
const delayOf = (change: Partial<AttemptEnded>): number => {
  const next = decideNext(ended(change))
  return next.state === 'retrying' ? next.nextAt - 1_000 : expect.fail(`${next.state}, not retrying`)
}

describe('what an attempt means', () => {
  it.each([
    [200, null],
    [204, null],
    [299, null],
    [301, 'redirect'],
    [304, 'redirect'],
    [399, 'redirect'],
    [400, 'http_4xx'],
    [410, 'http_4xx'],
    [429, 'http_4xx'],
    [500, 'http_5xx'],
    [599, 'http_5xx'],
    [600, 'bad_response'],
    [100, 'bad_response'],
  ])('status %i has the class %s', (code, error) => {
    expect(errorClassOf(status(code))).toBe(error)
    expect(isDelivered(status(code))).toBe(error === null)
  })
  it('is in doubt only if something was sent and no answer came', () => {
    expect(isInDoubt(failed('timeout'), true)).toBe(true)
    expect(isInDoubt(failed('reset_after_send'), true)).toBe(true)
    expect(isInDoubt(failed('timeout'), false)).toBe(false)
    expect(isInDoubt(failed('connect_refused'), false)).toBe(false)
    expect(isInDoubt(status(500), true)).toBe(false)
  })
  it.each([
    ['120', 120_000],
    ['0', 0],
    ['9999999999', 24 * HOUR],
    ['12345678901', null],
    ['-1', null],
    ['1.5', null],
    ['', null],
    ['soon', null],
    ['Thu, 01 Jan 1970 00:02:00 GMT', 60_000],
    ['Wed, 31 Dec 1969 23:00:00 GMT', 0],
    ['Thu, 01 Jan 2070 00:02:00 GMT', 24 * HOUR],
    ['Thursday, 01-Jan-70 00:02:00 GMT', null],
    ['1970-01-01T00:02:00Z', null],
  ])('reads Retry-After %j as %s ms', (value, ms) => expect(parseRetryAfter(value, 60_000)).toBe(ms))
})

describe('the retry decision', () => {
  it('follows the series of Standard Webhooks, then gives up', () => {
    const seconds = Array.from({ length: 9 }, (_, i) => delayOf({ attempt: i + 1 }) / 1_000)
    expect(seconds).toEqual([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400])
    expect(decideNext(ended({ attempt: 10 }))).toEqual({ state: 'dead', finishedAt: 1_000 })
  })
  it('spreads each delay over 20 % to both sides', () => {
    expect([0, 0.5, 0.999_999].map((random) => delayOf({ random }))).toEqual([4_000, 5_000, 6_000])
  })
  it.each([
    ['exponential', [1, 2, 4, 8, 16, 3_600]],
    ['linear', [1, 2, 3, 4, 5, 40]],
    ['fixed', [1, 1, 1, 1, 1, 1]],
    [
      [2_000, 7_000],
      [2, 7, 7, 7, 7, 7],
    ],
  ] as const)('backs off %j', (backoff, seconds) => {
    expect([1, 2, 3, 4, 5, 40].map((attempt) => delayOf({ attempt, policy: policy({ backoff }) }) / 1_000)).toEqual(
      seconds,
    )
  })
  it('spreads a computed backoff fully, from a tenth of it to 1.9 of it, so that its mean is what was asked for', () => {
    const full = policy({ backoff: 'exponential', jitter: null })
    const at = (attempt: number, random: number) => delayOf({ attempt, random, policy: full })
    expect([0, 0.5, 0.999_999].map((random) => at(1, random))).toEqual([100, 1_000, 1_900])
    expect([0, 0.5, 0.999_999].map((random) => at(4, random))).toEqual([800, 8_000, 15_200])
  })
  it('never spreads a computed backoff beyond the longest delay', () => {
    const full = policy({ backoff: 'exponential', jitter: null })
    expect([0, 0.999_999_9].map((random) => delayOf({ attempt: 40, random, policy: full }))).toEqual([HOUR / 10, HOUR])
  })
  it.each([
    ['computed, 30 s', policy({ backoff: 'exponential', initialDelayMs: 30_000, jitter: null }), 1],
    ['fixed, 60 s', policy({ backoff: 'fixed', initialDelayMs: 60_000, jitter: null }), 7],
    ['at its longest delay, one hour', policy({ backoff: 'exponential', initialDelayMs: 30_000, jitter: null }), 40],
    ['the default series, five minutes', DEFAULT_RETRY_POLICY, 2],
    ['the default series, a day', DEFAULT_RETRY_POLICY, 9],
  ])('LOAD-05: 20,000 failures at one instant do not come back at one instant: %s', (_what, retry, attempt) => {
    const failures = 20_000
    const prng = new Prng(5)
    const seconds = new Map<number, number>()
    for (let i = 0; i < failures; i++) {
      const second = Math.floor(delayOf({ attempt, policy: retry, random: prng.next() }) / 1_000)
      seconds.set(second, (seconds.get(second) ?? 0) + 1)
    }
    expect(Math.max(...seconds.values())).toBeLessThanOrEqual(0.03 * failures)
  })
  it('waits at least as long as Retry-After says, a little more at random, and never shorter than its own backoff', () => {
    expect(delayOf({ outcome: status(503, 60_000), random: 0 })).toBe(60_000)
    expect(delayOf({ outcome: status(429, 60_000), random: 0.999_999 })).toBe(66_000)
    expect(delayOf({ outcome: status(503, 1_000) })).toBe(5_000)
  })
  it('ends with the delivery, with 410, with poison, with the expiry', () => {
    expect(decideNext(ended({ outcome: status(204) })).state).toBe('delivered')
    expect(decideNext(ended({ outcome: status(410) })).state).toBe('dead')
    expect(decideNext(ended({ outcome: failed('poison') })).state).toBe('quarantined')
    expect(decideNext(ended({ outcome: failed('expired') })).state).toBe('expired')
    expect(decideNext(ended({ expiresAt: 5_999 })).state).toBe('expired')
    expect(decideNext(ended({ expiresAt: 6_000 })).state).toBe('retrying')
  })
  it('retries an attempt in doubt unless the webhook says stop', () => {
    const stop = policy({ inDoubt: 'stop' })
    expect(decideNext(ended({ outcome: failed('in_doubt') })).state).toBe('retrying')
    expect(decideNext(ended({ outcome: failed('in_doubt'), policy: stop })).state).toBe('dead')
    expect(decideNext(ended({ outcome: failed('timeout'), policy: stop, inDoubt: true })).state).toBe('dead')
    expect(decideNext(ended({ outcome: failed('connect_refused'), policy: stop, inDoubt: false })).state).toBe(
      'retrying',
    )
  })
  it('LOAD-10: never plans beyond five days of age, whatever the policy says', () => {
    const days5 = 5 * 24 * HOUR
    expect(decideNext(ended({ attempt: 2, endedAt: days5 - 300_000 })).state).toBe('retrying')
    expect(decideNext(ended({ attempt: 2, endedAt: days5 - 299_999 })).state).toBe('dead')
  })
  it('does not retry where one attempt was asked for', () => {
    expect(decideNext(ended({ policy: policy({ maxAttempts: 1 }) })).state).toBe('dead')
    expect(DEFAULT_RETRY_POLICY.maxAttempts).toBe(10)
  })
})
