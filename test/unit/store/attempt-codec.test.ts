import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { packAttempt, unpackAttempt } from '#store/sqlite/attempt-codec.ts'
import { ERROR_CLASSES } from '#webhook/webhook.ts'

const instant = fc.integer({ min: 0, max: 253_402_300_799_999 })
const duration = fc.double({ min: 0, max: 1e9, noNaN: true })
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> => fc.option(arbitrary, { nil: null })
const attempt = fc.record({
  number: fc.integer({ min: 1, max: 1e6 }),
  startedAt: instant,
  endedAt: maybe(instant),
  status: maybe(fc.integer({ min: 100, max: 999 })),
  error: maybe(fc.constantFrom(...ERROR_CLASSES)),
  excerpt: maybe(fc.uint8Array({ maxLength: 300 })),
  timerMs: duration,
  guardMs: duration,
  networkMs: duration,
  inDoubt: fc.boolean(),
})

describe('the last attempt in a row of done', () => {
  it('comes back as it was kept, with its token', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), attempt, (token, record) => {
        fc.pre(token.isWellFormed())
        expect(unpackAttempt(Buffer.from(packAttempt(token, record)))).toEqual({ token, attempt: record })
      }),
    )
  })
  it('is nothing where it was cut, is of another version, or of an error that nobody knows', () => {
    fc.assert(
      fc.property(attempt, (record) => {
        const bytes = packAttempt('t', { ...record, error: 'timeout' })
        for (const end of [20, 54]) expect(unpackAttempt(bytes.subarray(0, end))).toBeNull()
        for (const [at, value] of [
          [0, 9],
          [53, 120],
        ] as const)
          expect(unpackAttempt(Buffer.from(bytes.with(at, value)))).toBeNull()
      }),
    )
  })
})
