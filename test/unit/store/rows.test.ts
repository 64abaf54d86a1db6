import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  attemptsBeforeOf,
  createdAtOf,
  isWhole,
  readRowBody,
  requestOf,
  retimedRow,
  retryOf,
} from '#store/row-codec.ts'
import { bufferOf, decodeRows, encodeRows, openBatch, readPackedRow, SHARED_BATCH_BYTES } from '#store/rows.ts'
import type { NewWebhook } from '#store/store.ts'
import { PRIORITIES } from '#webhook/webhook.ts'

const text = fc.string({ unit: 'binary', maxLength: 30 }).filter((value) => value.isWellFormed())
const instant = fc.oneof(fc.integer({ min: 0, max: 2 ** 50 }), fc.constant(Number.MAX_SAFE_INTEGER))
const bytes = fc.uint8Array({ maxLength: 40 })
const retry = fc.record({
  maxAttempts: fc.nat(20),
  backoff: fc.oneof(fc.constantFrom('exponential', 'linear', 'fixed'), fc.array(fc.nat(), { maxLength: 4 })),
  initialDelayMs: fc.nat(),
  maxDelayMs: fc.nat(),
  jitter: fc.constantFrom(0, 0.2, 1, null),
  inDoubt: fc.constantFrom('retry', 'stop'),
}) satisfies fc.Arbitrary<NonNullable<NewWebhook['retry']>>
const webhook: fc.Arbitrary<NewWebhook> = fc.record({
  id: fc.stringMatching(/^msg_[0-9A-Z]{0,40}$/),
  brand: fc.stringMatching(/^[a-z0-9_-]{1,64}$/),
  name: fc.option(text, { nil: null }),
  url: text,
  host: text,
  domain: text,
  method: fc.constantFrom('POST', 'GET'),
  priority: fc.constantFrom(...PRIORITIES),
  at: instant,
  nextAt: instant,
  createdAt: instant,
  timeoutMs: fc.nat(120_000),
  expiresAt: fc.option(instant, { nil: null }),
  retry: fc.option(retry, { nil: null }),
  tags: fc.array(text, { maxLength: 3 }),
  idempotencyKey: fc.option(text, { nil: null }),
  contentHash: fc.option(bytes, { nil: null }),
  request: bytes,
})

describe('a batch of rows', () => {
  it('comes back as it was packed, whatever it holds (STOR-10)', () => {
    fc.assert(
      fc.property(fc.array(webhook, { maxLength: 12 }), (rows) => {
        expect(decodeRows(encodeRows(rows))).toEqual(rows)
      }),
    )
  })
  it('keeps a request of 1 MiB, and lies in shared memory when it is large', () => {
    const [row] = fc.sample(webhook, 1)
    if (row === undefined) throw new Error('no sample')
    const request = new Uint8Array(1_048_576).map((_, i) => i % 251)
    const rows = encodeRows([{ ...row, request }])
    expect(rows.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(rows.length).toBeGreaterThan(SHARED_BATCH_BYTES)
    expect(decodeRows(rows)[0]?.request).toEqual(request)
  })
  it('shows the parts that a mark needs without unpacking the row', () => {
    fc.assert(
      fc.property(webhook, (row) => {
        const packed = bufferOf(encodeRows([row]))
        const { body } = readPackedRow(packed, openBatch(packed).firstAt)
        expect(Uint8Array.from(requestOf(body))).toEqual(row.request)
        expect(retryOf(body)).toEqual(row.retry)
        expect(createdAtOf(body)).toBe(row.createdAt)
      }),
    )
  })
  it('takes other instants, and the attempts before a replay, and is otherwise what it was', () => {
    const times = fc.record({
      at: instant,
      expiresAt: fc.option(instant, { nil: null }),
      attemptsBefore: fc.option(fc.nat(65_535), { nil: null }),
    })
    fc.assert(
      fc.property(webhook, fc.array(times, { maxLength: 3 }), (row, changes) => {
        const packed = bufferOf(encodeRows([row]))
        const { body } = readPackedRow(packed, openBatch(packed).firstAt)
        let before = 0
        let expected = readRowBody(body)
        let bytes = body
        for (const { at, expiresAt, attemptsBefore } of changes) {
          bytes = retimedRow(bytes, { at, expiresAt, attemptsBefore })
          before = attemptsBefore ?? before
          expected = { ...expected, at, nextAt: at, expiresAt }
        }
        expect(isWhole(bytes)).toBe(true)
        expect(readRowBody(bytes)).toEqual(expected)
        expect(attemptsBeforeOf(bytes)).toBe(before)
      }),
    )
  })
  it.each([
    ['a lone surrogate', { name: '\ud800' }],
    ['an instant that is no integer', { at: 1.5 }],
    ['an instant beyond 2^53', { nextAt: 2 ** 53 }],
    ['a text above 65,535 bytes', { idempotencyKey: 'ü'.repeat(40_000) }],
    ['a negative timeout', { timeoutMs: -1 }],
  ])('refuses %s, which it could not keep exactly', (_what, change) => {
    const [row] = fc.sample(webhook, 1)
    if (row === undefined) throw new Error('no sample')
    expect(() => encodeRows([{ ...row, ...change }])).toThrow(RangeError)
  })
  it('is refused with any bit flipped in a row, and when it is cut', () => {
    fc.assert(
      fc.property(fc.array(webhook, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(7), (rows, where, bit) => {
        const packed = Uint8Array.from(encodeRows(rows))
        const first = readPackedRow(bufferOf(packed), 12)
        const at = first.next - first.body.length + (where % first.body.length)
        packed[at] = (packed[at] ?? 0) ^ (1 << bit)
        expect(() => decodeRows(packed)).toThrow()
      }),
    )
    expect(() => decodeRows(encodeRows([]).subarray(0, 10))).toThrow('row is damaged')
  })
})
