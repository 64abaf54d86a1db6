/** The same random commands, the same answers: the memory model against SQLite (store.md). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MemoryDisk } from '#store/memory/memory-disk.ts'
import { openMemoryStore } from '#store/memory/memory-store.ts'
import type { NewWebhook, ReadQuery, Store, WriteOp } from '#store/store.ts'
import { FINAL_STATES, LANE_KINDS, PRIORITIES, WEBHOOK_STATES } from '#webhook/webhook.ts'
import { appendOf, attemptRecord, HOUR_MS, idOf, newWebhook, noEvents, T0 } from './fixtures.ts'
import { InlineSqlite } from './inline-sqlite.ts'

const DOMAINS = ['a.com', 'b.com', 'b.com:8080']
const GROUPS = ['group:one', 'group:two']
const BRANDS = ['acme', 'zed']
const number = fc.nat(40)
const instant = fc.oneof(
  fc.integer({ min: -5, max: 5 }).map((n) => T0 + n),
  fc.integer({ min: -2, max: 30 }).map((hours) => T0 + hours * HOUR_MS),
)
const brand = fc.constantFrom(...BRANDS)
const domain = fc.constantFrom(...DOMAINS, ...GROUPS)
const lane = fc.record({
  domain,
  brand,
  priority: fc.constantFrom(...PRIORITIES),
  kind: fc.constantFrom(...LANE_KINDS),
})

/** A row's content is a function of its number, as in life: an id is never used twice. Some share keys, some of those content. */
const FAR = [0, 0, 1, -3, 4, HOUR_MS, 2 * HOUR_MS, 30 * HOUR_MS]
/** Some before they are due, some within the random instants. */
const EXPIRIES = [0, 0, 0, 3, HOUR_MS, 5 * HOUR_MS, 20 * HOUR_MS]
const webhookOf = (n: number): NewWebhook => {
  const at = T0 + (FAR[n % FAR.length] ?? 0)
  return newWebhook(n, {
    domain: DOMAINS[n % 3] ?? '',
    brand: BRANDS[n % 2] ?? '',
    priority: PRIORITIES[Math.floor(n / 4) % 3] ?? 'normal',
    at,
    nextAt: at,
    tags: n % 3 === 0 ? ['x', 'y'] : [],
    idempotencyKey: n % 5 === 0 ? `k${n % 4}` : null,
    contentHash: new Uint8Array([Math.floor(n / 8) % 2]),
    expiresAt: n % 7 < 3 ? null : T0 + (EXPIRIES[n % 7] ?? 0),
  })
}
const distinct = fc.uniqueArray(number.map(webhookOf), { selector: (row) => row.id, minLength: 1, maxLength: 8 })

/** Unique for each start of a webhook: attempt 2 has no token of attempt 1. */
const start = fc
  .record({ n: number, attempt: fc.integer({ min: 1, max: 3 }), salt: fc.nat(1), hint: fc.nat(12) })
  .map(({ n, attempt, salt, hint }) => {
    // Often the row's own, often another's.
    return { id: idOf(n), ...(hint > 0 && { seq: hint }), attempt, token: `${n}/${attempt}/${salt}` }
  })
const op: fc.Arbitrary<WriteOp> = fc.oneof(
  { weight: 4, arbitrary: distinct.map((rows) => appendOf(...rows)) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(start, instant)
      .map(([start, startedAt]) => ({ type: 'mark-started' as const, ...start, startedAt })),
  },
  {
    weight: 5,
    arbitrary: fc
      .tuple(
        start,
        fc.boolean(),
        fc.constantFrom(undefined, null, 0, 2),
        fc.oneof(
          fc.record({ state: fc.constant('retrying' as const), nextAt: instant }),
          fc.record({ state: fc.constantFrom(...FINAL_STATES), finishedAt: instant }),
        ),
      )
      .map(([{ attempt, ...whose }, inDoubt, lonelyDeaths, next]) => {
        const record = {
          attempt: attemptRecord(attempt, { inDoubt }),
          ...(lonelyDeaths === undefined ? {} : { lonelyDeaths }),
        }
        return { type: 'record-outcome' as const, ...whose, ...record, next }
      }),
  },
  { weight: 2, arbitrary: start.map(({ id, attempt }) => ({ type: 'mark-alone' as const, id, attempt })) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('prune' as const),
      finishedBefore: instant,
      deadBefore: instant,
      deadMax: fc.integer({ min: 0, max: 3 }),
      closedBefore: fc.integer({ min: 0, max: 4 }),
      limit: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('expire' as const),
      now: instant,
      limit: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: start.map(({ attempt: _, ...whose }) => ({ type: 'hand-back' as const, ...whose })) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('cancel' as const),
      id: number.map(idOf),
      brand: fc.option(brand, { nil: null }),
      at: instant,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('reschedule' as const),
      id: number.map(idOf),
      brand: fc.option(brand, { nil: null }),
      at: instant,
      now: instant,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('replay' as const),
      id: number.map(idOf),
      brand: fc.option(brand, { nil: null }),
      newId: fc.option(
        fc.nat(3).map((n) => idOf(100 + n)),
        { nil: null },
      ),
      at: instant,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('set-group' as const),
      group: fc.constantFrom(...GROUPS),
      members: fc
        .uniqueArray(fc.constantFrom(...DOMAINS, '*.com', '*.com:8080', '*.b.com'), { maxLength: 2 })
        .map((members) => members.sort()),
      setBy: fc.constant('ops'),
      setAt: fc.nat(2),
      carried: fc.array(
        fc.record({
          kind: fc.constant('closed-until' as const),
          domain,
          brand: fc.constant(null),
          value: fc.nat(3),
          burst: fc.constant(null),
          setBy: fc.constant('guard'),
          setAt: fc.nat(2),
        }),
        { maxLength: 1 },
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('set-limit' as const),
      kind: fc.constantFrom('rate' as const, 'concurrency' as const, 'closed-until' as const, 'breaker-until' as const),
      domain: fc.option(domain, { nil: null }),
      brand: fc.option(brand, { nil: null }),
      value: fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
      burst: fc.constantFrom(null, 2),
      setBy: fc.constant('ops'),
      setAt: fc.nat(2),
    }),
  },
)
const limit = fc.integer({ min: 1, max: 5 })
const query: fc.Arbitrary<ReadQuery> = fc.oneof(
  fc.record({
    type: fc.constant('horizon' as const),
    after: fc.record({ nextAt: fc.oneof(fc.constant(0), instant), seq: fc.nat(30) }),
    until: instant,
    limit,
    except: fc.array(lane, { maxLength: 2 }),
  }),
  fc.record({
    type: fc.constant('lane' as const),
    lane,
    after: fc.option(fc.record({ nextAt: instant, seq: fc.nat(30) }), { nil: null }),
    until: instant,
    limit,
  }),
  fc.record({ type: fc.constant('due-lanes' as const), now: instant, after: fc.option(lane, { nil: null }), limit }),
  fc.record({
    type: fc.constant('due-lanes' as const),
    now: instant,
    domain,
    after: fc.option(lane, { nil: null }),
    limit,
  }),
  fc.record({ type: fc.constant('started' as const), after: fc.nat(20), limit }),
  fc.record({
    type: fc.constantFrom('webhook' as const, 'attempts' as const),
    id: number.map(idOf),
    brand: fc.option(brand, { nil: null }),
  }),
  fc.record({
    type: fc.constant('list' as const),
    filter: fc.record(
      {
        brand: fc.option(brand, { nil: null }),
        state: fc.constantFrom(...WEBHOOK_STATES),
        domain,
        tag: fc.constant('x'),
        from: instant,
        to: instant,
      },
      { requiredKeys: ['brand'] },
    ),
    limit,
    cursor: fc.option(fc.nat(30).map(String), { nil: null }),
    now: instant,
  }),
  fc.record({
    type: fc.constant('counts' as const),
    brand: fc.option(brand, { nil: null }),
    domain: fc.option(domain, { nil: null }),
    now: instant,
  }),
  fc.record({ type: fc.constant('backlog' as const), domain, now: instant, cap: limit }),
  fc.constant({ type: 'limits' as const }),
  fc.constant({ type: 'groups' as const }),
)
type Step =
  | { readonly do: 'write'; readonly group: readonly WriteOp[]; readonly again: boolean }
  | { readonly do: 'read'; readonly query: ReadQuery }
  | { readonly do: 'reopen' }
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      group: fc.array(op, { minLength: 1, maxLength: 6 }),
      again: fc.boolean(),
    }),
  },
  { weight: 20, arbitrary: query.map((query) => ({ do: 'read' as const, query })) },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
)

describe('memory and SQLite', () => {
  const RUNS = 30

  it(`give the same answers to the same ${RUNS} lists of 100 commands`, { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 100, maxLength: 100, size: 'max' }), async (steps) => {
        const model = await openMemoryStore(new MemoryDisk())(noEvents)
        const real = new InlineSqlite()
        try {
          for (const step of steps) await agree(model, real, step)
          expect(real.read({ type: 'check' })).toEqual({ problems: [] })
        } finally {
          real.dispose()
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    )
  })

  /** A batch is inserted ten rows a call: what one of the ten has met before must not be seen by the other nine. */
  it('take the same batches of some tens, of which here and there a row is known already', async () => {
    const batch = fc.uniqueArray(fc.nat(150), { minLength: 8, maxLength: 35, size: 'max' })
    // The key of one row in three is another one's too; of one in six the content differs, which is a conflict.
    const row = (salt: number) => (n: number) =>
      newWebhook(n + salt * 1_000, {
        idempotencyKey: n % 4 === 0 ? null : `k${n % 3 === 0 ? n % 50 : n}`,
        contentHash: new Uint8Array([n % 18 === 0 ? n : 0]),
        at: T0 + (n % 5) * HOUR_MS,
      })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(batch, fc.nat(2)), { minLength: 1, maxLength: 8 }), async (batches) => {
        const model = await openMemoryStore(new MemoryDisk())(noEvents)
        const real = new InlineSqlite()
        try {
          for (const [numbers, salt] of batches)
            await agree(model, real, { do: 'write', group: [appendOf(...numbers.map(row(salt)))], again: salt === 0 })
          const list = { type: 'list', filter: { brand: null }, limit: 500, cursor: null, now: T0 } as const
          await agree(model, real, { do: 'read', query: list })
          expect(real.read({ type: 'check' })).toEqual({ problems: [] })
        } finally {
          real.dispose()
        }
      }),
      { numRuns: 25, endOnFailure: true },
    )
  })
})

const agree = async (model: Store, real: InlineSqlite, step: Step): Promise<void> => {
  switch (step.do) {
    case 'read':
      return expect(plain(real.read(step.query))).toEqual(plain(await model.read(step.query)))
    case 'reopen':
      return real.reopen()
    case 'write':
      for (let times = step.again ? 2 : 1; times > 0; times--)
        expect(plain(real.write(step.group))).toEqual(plain(await model.write(step.group)))
      return
    default:
      return step satisfies never
  }
}
/** Bytes compare by value, whatever view they come in. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]))
}
