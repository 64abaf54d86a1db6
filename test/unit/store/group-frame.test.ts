import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { packGroup, packResults, unpackGroup, unpackResults } from '#store/sqlite/group-frame.ts'
import type { MarkStarted, RecordOutcome, WriteOp, WriteResult } from '#store/store.ts'
import { type AttemptRecord, ERROR_CLASSES, FINAL_STATES } from '#webhook/webhook.ts'

const instant = fc.integer({ min: 0, max: 253_402_300_799_999 })
const duration = fc.double({ min: 0, max: 1e9, noNaN: true })
const bytes = fc.uint8Array({ maxLength: 300 })
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> => fc.option(arbitrary, { nil: null })
const text = fc.string({ unit: 'binary', maxLength: 40 })

const whose = fc.record({ id: text, seq: fc.maxSafeNat() }, { requiredKeys: ['id'] })
const mark: fc.Arbitrary<MarkStarted> = fc
  .record({
    type: fc.constant('mark-started' as const),
    attempt: fc.integer({ min: 1, max: 1e6 }),
    token: text,
    startedAt: instant,
  })
  .chain((op) => whose.map((of) => ({ ...op, ...of })))
  .chain((op) => fc.option(instant, { nil: undefined }).map((dueAt) => (dueAt === undefined ? op : { ...op, dueAt })))
const attempt: fc.Arbitrary<AttemptRecord> = fc.record({
  number: fc.integer({ min: 1, max: 1e6 }),
  startedAt: instant,
  endedAt: maybe(instant),
  status: maybe(fc.integer({ min: 100, max: 599 })),
  error: maybe(fc.constantFrom(...ERROR_CLASSES)),
  excerpt: maybe(bytes),
  timerMs: duration,
  guardMs: duration,
  networkMs: duration,
  inDoubt: fc.boolean(),
})
const outcome: fc.Arbitrary<RecordOutcome> = fc
  .record({
    type: fc.constant('record-outcome' as const),
    token: text,
    attempt,
    next: fc.oneof(
      fc.record({ state: fc.constant('retrying' as const), nextAt: instant }),
      fc.record({ state: fc.constantFrom(...FINAL_STATES), finishedAt: instant }),
    ),
  })
  .chain((op) => whose.map((of) => ({ ...op, ...of })))
/** Beside its outcome it says that it was alone in what died. */
const suspect = fc
  .tuple(outcome, maybe(fc.nat(3)))
  .map(([op, lonelyDeaths]): RecordOutcome => ({ ...op, lonelyDeaths }))
const append = fc
  .tuple(fc.nat(300), bytes, fc.boolean())
  .map(([count, rows, shared]): WriteOp => ({ type: 'append', count, rows: shared ? inSharedMemory(rows) : rows }))
const inSharedMemory = (rows: Uint8Array): Uint8Array => {
  const shared = new Uint8Array(new SharedArrayBuffer(rows.length))
  shared.set(rows)
  return shared
}
const rare: fc.Arbitrary<WriteOp> = fc.oneof(
  fc.record({ type: fc.constant('hand-back' as const), id: text, token: text }),
  fc.record({ type: fc.constant('cancel' as const), id: text, brand: maybe(text), at: instant }),
)
const group = fc.array(fc.oneof(mark, outcome, suspect, append, rare), { maxLength: 30 })

const marked = fc.record({
  ok: fc.constant(true as const),
  request: bytes,
  retry: maybe(fc.constant({ delaysMs: [1_000], maxAgeMs: null, jitter: 0 } as never)),
  firstAt: instant,
  lonelyDeaths: maybe(fc.nat(3)),
})
/** Ids of one length, as they are, and of several. */
const appended = fc
  .tuple(fc.nat(40), fc.array(fc.record({ id: text, seq: fc.maxSafeNat(), duplicate: fc.boolean() })), fc.boolean())
  .map(([length, rows, even]): WriteResult<WriteOp> => {
    return {
      ok: true,
      seqs: rows.map(({ seq }) => seq),
      ids: rows.map(({ id }) => (even ? id.padEnd(80).slice(0, length).toWellFormed() : id)),
      duplicates: rows.map(({ duplicate }) => duplicate),
    }
  })
const result: fc.Arbitrary<WriteResult<WriteOp>> = fc.oneof(
  marked,
  appended,
  fc.record({ ok: fc.constant(true as const), seq: fc.nat() }),
  fc.record({ ok: fc.constant(false as const), why: fc.constantFrom('not-found' as const, 'stale' as const) }),
  fc.record({ ok: fc.constant(true as const), pruned: fc.nat() }),
)

/** What a thread gets: the frame alone of its buffer, the others cloned. */
const across = <Packed extends { readonly frame: Uint8Array<ArrayBuffer> }>(packed: Packed): Packed =>
  structuredClone(packed, { transfer: [packed.frame.buffer] })
/** A view of bytes equals the bytes. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

describe('a group on its way to the store and back', () => {
  it('every operation arrives as it was sent, in its order', () => {
    fc.assert(
      fc.property(group, (ops) => {
        expect(plain(unpackGroup(across(packGroup(ops))))).toEqual(plain(ops))
      }),
    )
  })

  it('every answer arrives as it was given, in its order', () => {
    fc.assert(
      fc.property(fc.array(result, { maxLength: 30 }), (given) => {
        expect(plain(unpackResults(across(packResults(given))))).toEqual(plain(given))
      }),
    )
  })

  it('rows in the memory of the caller stay whole, so that they can be sent again', () => {
    const rows = Uint8Array.of(1, 2, 3)
    across(packGroup([{ type: 'append', count: 1, rows }]))
    expect([...rows]).toEqual([1, 2, 3])
  })

  it('rows in shared memory are not copied', () => {
    const rows = inSharedMemory(Uint8Array.of(1, 2, 3))
    const [op] = unpackGroup(packGroup([{ type: 'append', count: 1, rows }]))
    expect(op).toMatchObject({ rows })
    expect(op?.type === 'append' && op.rows.buffer).toBe(rows.buffer)
  })
})
