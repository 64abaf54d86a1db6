import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameError, OrderFrame, ReportFrame, readOrders, readReports, type ThreadReport } from '#dispatch/frames.ts'
import { ERROR_CLASSES } from '#webhook/webhook.ts'

const instant = fc.nat(4_000_000_000_000)
const outcome = fc.oneof(
  fc.record({
    kind: fc.constant('response' as const),
    status: fc.integer({ min: 100, max: 599 }),
    retryAfterMs: fc.option(fc.nat(86_400_000)),
    excerpt: fc.option(fc.uint8Array({ minLength: 1, maxLength: 4_096 })),
  }),
  fc.record({
    kind: fc.constant('error' as const),
    error: fc.constantFrom(...ERROR_CLASSES),
    detail: fc.string({ maxLength: 200 }),
  }),
)
const report: fc.Arbitrary<ThreadReport> = fc.record({
  handle: fc.nat(2 ** 31),
  outcome,
  startedAt: instant,
  endedAt: instant,
  networkMs: fc.double({ min: 0, max: 1e6, noNaN: true }).map(Math.abs),
  sent: fc.boolean(),
})
const order = fc.record({
  handle: fc.nat(2 ** 31),
  timeoutMs: fc.nat(120_000),
  webhookId: fc.stringMatching(/^msg_[0-9A-Z]{26}$/),
  brand: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,63}$/),
  request: fc.uint8Array({ maxLength: 3_000 }),
})
const plain = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString('hex'))

describe('frames between main and a dispatch thread', () => {
  it('give back every group as it went in, one after the other', () => {
    fc.assert(
      fc.property(fc.array(fc.array(order, { minLength: 1, maxLength: 20 }), { maxLength: 4 }), (groups) => {
        const frame = new OrderFrame()
        for (const group of groups) {
          for (const one of group) frame.add(one)
          expect(frame.empty).toBe(false)
          const read = readOrders(frame.take())
          expect(frame.empty).toBe(true)
          expect(read.map((one) => ({ ...one, request: plain(one.request) }))).toEqual(
            group.map((one) => ({ ...one, request: plain(one.request) })),
          )
        }
      }),
    )
  })

  it('give back every report as it went in', () => {
    fc.assert(
      fc.property(fc.array(report, { maxLength: 30 }), (reports) => {
        const frame = new ReportFrame()
        for (const one of reports) frame.add(one)
        expect(readReports(frame.take())).toEqual(reports)
      }),
    )
  })

  it('WORK-07: whatever a thread sends is read, or is a FrameError; nothing else is thrown', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        try {
          readReports(bytes.slice().buffer)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
      }),
    )
    for (const odd of [null, undefined, 7, 'text', {}, [], new Uint8Array(44)])
      expect(() => readReports(odd)).toThrow(FrameError)
  })

  it('WORK-07: a report with one byte changed is read, or is a FrameError', () => {
    fc.assert(
      fc.property(fc.array(report, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(255), (reports, where, value) => {
        const frame = new ReportFrame()
        for (const one of reports) frame.add(one)
        const bytes = new Uint8Array(frame.take())
        bytes[where % bytes.length] = value
        try {
          for (const { outcome: read } of readReports(bytes.buffer)) expect(['response', 'error']).toContain(read.kind)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
      }),
    )
  })
})
