import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NewWebhook, Store, StoredLimit } from '#store/store.ts'
import type { Due, Edge, LaneKey } from '#webhook/webhook.ts'
import {
  alone,
  append,
  appendOf,
  attemptRecord,
  DELIVERED,
  ENGINES,
  HOUR_MS,
  idOf,
  LANE,
  LATER,
  newWebhook,
  noEvents,
  outcomeOf,
  PAIR,
  SOON,
  start,
  T0,
} from './fixtures.ts'

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n)

describe.each(ENGINES)('a $name store', (engine) => {
  let place: ReturnType<typeof engine.make>
  let store: Store
  beforeEach(async () => {
    place = engine.make()
    store = await place.open(noEvents)
  })
  afterEach(async () => {
    await store.close()
    place.dispose()
  })
  const reopen = async (): Promise<void> => {
    await store.close()
    store = await place.open(noEvents)
  }
  const webhook = (id: string, brand: string | null = null) => store.read({ type: 'webhook', id, brand })
  const horizon = (until: number, limit = 500, except: (typeof LANE)[] = [], after = { nextAt: 0, seq: 0 }) =>
    store.read({ type: 'horizon', after, until, limit, except })
  const counts = (brand: string | null = null, domain: string | null = null) =>
    store.read({ type: 'counts', brand, domain, now: T0 })

  describe('append', () => {
    it('numbers the rows from 1 in their order and keeps every field', async () => {
      const full: Partial<NewWebhook> = {
        name: 'Rechnung «ü» \u0000 end',
        tags: ['a', 'b c', '✓'],
        method: 'PUT',
        priority: 'high',
        expiresAt: T0 + HOUR_MS,
        idempotencyKey: 'order-1',
        contentHash: new Uint8Array([1, 2, 3]),
        request: new Uint8Array(0),
      }
      const answer = await append(store, newWebhook(1), newWebhook(2, full))
      expect(answer).toEqual({ ok: true, seqs: [1, 2], ids: [idOf(1), idOf(2)], duplicates: [false, false] })
      expect(await webhook(idOf(2))).toEqual({
        id: idOf(2),
        seq: 2,
        brand: 'acme',
        name: 'Rechnung «ü» \u0000 end',
        url: 'https://api.example.com/hooks/2',
        domain: 'api.example.com',
        method: 'PUT',
        priority: 'high',
        state: 'scheduled',
        at: T0 + 2,
        createdAt: T0 - HOUR_MS,
        tags: ['a', 'b c', '✓'],
        attempts: 0,
        nextAt: T0 + 2,
        lastStatus: null,
        lastError: null,
        finishedAt: null,
        lateness: null,
      })
    })
    it('is still there after the store was closed and opened', async () => {
      await append(store, newWebhook(1), newWebhook(2, { at: T0 + 400 * HOUR_MS }))
      await reopen()
      expect((await webhook(idOf(2)))?.nextAt).toBe(T0 + 400 * HOUR_MS)
      expect((await horizon(T0 + HOUR_MS)).rows.map((row) => row.id)).toEqual([idOf(1)])
      expect(await append(store, newWebhook(3))).toMatchObject({ seqs: [3] })
    })
    it('sent again answers as the first time', async () => {
      const rows = [newWebhook(1, { idempotencyKey: 'k' }), newWebhook(2)]
      const first = await append(store, ...rows)
      await append(store, newWebhook(3))
      expect(await append(store, ...rows)).toEqual(first)
      expect((await counts()).scheduled).toBe(3)
    })
    it('answers the same idempotency key and content with the first webhook', async () => {
      const said = { idempotencyKey: 'k', contentHash: new Uint8Array([9]) }
      await append(store, newWebhook(1, said))
      const answer = await append(store, newWebhook(2), newWebhook(3, said))
      expect(answer).toEqual({ ok: true, seqs: [2, 1], ids: [idOf(2), idOf(1)], duplicates: [false, true] })
      expect(await webhook(idOf(3))).toBeNull()
    })
    it('refuses the same key with other content, and then stores nothing of the batch', async () => {
      await append(store, newWebhook(1, { idempotencyKey: 'k', contentHash: new Uint8Array([1]) }))
      const answer = await append(store, newWebhook(2), newWebhook(3, { idempotencyKey: 'k' }), newWebhook(4))
      expect(answer).toEqual({ ok: false, conflict: { index: 1, idempotencyKey: 'k', id: idOf(1) } })
      expect(await webhook(idOf(2))).toBeNull()
      expect(await append(store, newWebhook(5))).toMatchObject({ seqs: [2] })
      expect((await counts()).scheduled).toBe(2)
    })
    it('keeps the keys of brands apart', async () => {
      await append(store, newWebhook(1, { idempotencyKey: 'k' }))
      const answer = await append(store, newWebhook(2, { idempotencyKey: 'k', brand: 'other' }))
      expect(answer).toMatchObject({ ok: true, duplicates: [false] })
    })
    it('takes 10,000 rows as one, with duplicates among them', async () => {
      const rows = Array.from({ length: 10_000 }, (_, n) =>
        newWebhook(n, { at: T0 + n * 10_000, idempotencyKey: `k${n === 9_999 ? 0 : n}` }),
      )
      const answer = await append(store, ...rows)
      expect(answer).toMatchObject({ ok: true })
      if (!answer.ok) return
      expect(answer.duplicates.filter((duplicate) => duplicate)).toHaveLength(1)
      expect(answer.ids[9_999]).toBe(idOf(0))
      expect((await counts()).scheduled + (await counts()).waiting).toBe(9_999)
      expect(await append(store, newWebhook(20_000))).toMatchObject({ seqs: [10_000] })
      expect(await append(store, ...rows)).toEqual(answer)
    })
    it('takes nothing of 10,000 rows when the last one conflicts', async () => {
      await append(store, newWebhook(1, { idempotencyKey: 'taken', contentHash: new Uint8Array([1]) }))
      const rows = Array.from({ length: 10_000 }, (_, n) => newWebhook(n + 10, { idempotencyKey: `k${n}` }))
      rows.push(newWebhook(50_000, { idempotencyKey: 'taken' }))
      expect(await append(store, ...rows)).toMatchObject({ ok: false, conflict: { index: 10_000, id: idOf(1) } })
      expect(await webhook(idOf(10))).toBeNull()
      expect((await horizon(T0 + HOUR_MS)).rows).toHaveLength(1)
      expect(await append(store, newWebhook(2, { idempotencyKey: 'k5' }))).toMatchObject({
        seqs: [2],
        duplicates: [false],
      })
      expect(await counts()).toMatchObject({ scheduled: 2, waiting: 0 })
    })
    it('rejects bytes that are no batch as invalid, naming the operation, and takes nothing of the group', async () => {
      const bad = { type: 'append', count: 1, rows: new Uint8Array([1, 2, 3]) } as const
      await expect(store.write([appendOf(newWebhook(1)), bad])).rejects.toMatchObject({ code: 'invalid', op: 1 })
      expect(await webhook(idOf(1))).toBeNull()
      expect(await append(store, newWebhook(1))).toMatchObject({ seqs: [1] })
    })
    it('rejects a batch with a flipped bit', async () => {
      const op = appendOf(newWebhook(1))
      const rows = Uint8Array.from(op.rows)
      rows[60] = (rows[60] ?? 0) ^ 1
      await expect(store.write([{ ...op, rows }])).rejects.toMatchObject({ code: 'invalid', op: 0 })
    })
    it('leaves the bytes of the caller whole', async () => {
      const op = appendOf(newWebhook(1))
      await store.write([op])
      expect(op.rows.length).toBeGreaterThan(0)
      expect((await store.write([op]))[0]).toMatchObject({ ok: true, seqs: [1] })
    })
  })

  describe('mark-started', () => {
    it('starts a live row once and gives its request', async () => {
      const retry = {
        maxAttempts: 3,
        backoff: [1_000, 2_000],
        initialDelayMs: 5,
        maxDelayMs: 10,
        jitter: 0.2,
        inDoubt: 'stop',
      } as const
      await append(store, newWebhook(1, { retry }))
      const marked = await start(store, idOf(1))
      expect(marked).toMatchObject({ ok: true, retry, firstAt: newWebhook(1).nextAt })
      if (marked.ok) expect(Buffer.from(marked.request).toString()).toBe('{"n":1}')
      expect((await webhook(idOf(1)))?.state).toBe('executing')
      expect(await start(store, idOf(1), 1, 'other')).toEqual({ ok: false, why: 'already-started' })
      expect((await horizon(T0 + HOUR_MS)).rows).toEqual([])
    })
    it('says yes again to the same token', async () => {
      await append(store, newWebhook(1))
      const first = await start(store, idOf(1))
      expect(await start(store, idOf(1))).toEqual(first)
      expect((await counts()).executing).toBe(1)
    })
    it('refuses what is not there, another attempt, and what is over', async () => {
      await append(store, newWebhook(1))
      expect(await start(store, idOf(9))).toEqual({ ok: false, why: 'not-found' })
      expect(await start(store, idOf(1), 2)).toEqual({ ok: false, why: 'other-attempt' })
      await store.write([{ type: 'cancel', id: idOf(1), brand: null, at: T0 }])
      expect(await start(store, idOf(1))).toEqual({ ok: false, why: 'not-live' })
    })
    it('goes by the id where the number is of another, by both in each operation of a start', async () => {
      await append(store, newWebhook(1), newWebhook(2))
      const start = (seq: number) =>
        ({ type: 'mark-started', id: idOf(1), seq, attempt: 1, token: 't', startedAt: SOON }) as const
      for (const seq of [2, 1, 7]) expect((await store.write([start(seq)]))[0]).toMatchObject({ ok: true })
      expect((await store.read({ type: 'started', after: 0, limit: 9 })).rows.map(({ due }) => due.seq)).toEqual([1])
      const [back] = await store.write([{ type: 'hand-back', id: idOf(1), seq: 2, token: 't' }])
      expect(back).toMatchObject({ ok: true, due: { id: idOf(1), seq: 1 } })
      await store.write([{ ...start(2), token: 'u' }])
      const outcome = { ...outcomeOf(idOf(1), DELIVERED, attemptRecord(1), 'u'), seq: 2 }
      expect((await store.write([outcome]))[0]).toEqual({ ok: true, seq: 1 })
      expect([(await webhook(idOf(1)))?.state, (await webhook(idOf(2)))?.state]).toEqual(['delivered', 'scheduled'])
    })
    it('starts a row that is due in a year', async () => {
      await append(store, newWebhook(1, { at: T0 + 8_760 * HOUR_MS }))
      expect(await start(store, idOf(1), 1, 't', LATER)).toMatchObject({ ok: true })
      expect((await store.read({ type: 'started', after: 0, limit: 10 })).rows).toHaveLength(1)
    })
    it('starts nothing before its instant, and says when that is', async () => {
      await append(store, newWebhook(1, { at: T0 + 50 }), newWebhook(2, { at: T0 + 8_760 * HOUR_MS }))
      expect(await start(store, idOf(1), 1, 't', T0 + 49)).toEqual({ ok: false, why: 'not-due', nextAt: T0 + 50 })
      const far = T0 + 8_760 * HOUR_MS
      expect(await start(store, idOf(2), 1, 't', T0 + 49)).toEqual({ ok: false, why: 'not-due', nextAt: far })
      expect(await counts()).toMatchObject({ executing: 0, scheduled: 2 })
      expect(await start(store, idOf(1), 1, 't', T0 + 50)).toMatchObject({ ok: true })
    })
    it.each([{ seq: 1 }, {}])(
      'starts nothing as of an instant that it has not any more, whatever the clock said then (%o)',
      async (hint) => {
        await append(store, newWebhook(1, { at: T0 }))
        const [rescheduled] = await store.write([
          { type: 'reschedule', id: idOf(1), brand: null, at: T0 + 50, now: T0 - 10 },
        ])
        expect(rescheduled).toMatchObject({ outcome: 'rescheduled' })
        const mark = { type: 'mark-started', id: idOf(1), ...hint, attempt: 1, token: 't', startedAt: T0 + 90 } as const
        expect(await store.write([{ ...mark, dueAt: T0 }])).toEqual([{ ok: false, why: 'not-due', nextAt: T0 + 50 }])
        expect(await store.write([{ ...mark, dueAt: T0 + 50 }])).toMatchObject([{ ok: true }])
      },
    )
    it('answers several marks of one group each with its own request', async () => {
      await append(store, ...[1, 2, 3].map((n) => newWebhook(n)))
      const marks = [1, 2, 3].map((n) => {
        return { type: 'mark-started', id: idOf(n), attempt: 1, token: `t${n}`, startedAt: LATER } as const
      })
      const texts = (await store.write(marks)).map((marked) =>
        marked.ok ? Buffer.from(marked.request).toString() : '',
      )
      expect(texts).toEqual(['{"n":1}', '{"n":2}', '{"n":3}'])
    })
  })

  describe('record-outcome', () => {
    it('finishes a started row, keeps its attempt and its lateness', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      const attempt = attemptRecord(1, { excerpt: new Uint8Array([104, 105]), inDoubt: true, error: 'in_doubt' })
      const outcome = outcomeOf(idOf(1), DELIVERED, attempt)
      expect((await store.write([outcome]))[0]).toEqual({ ok: true, seq: 1 })
      expect(await webhook(idOf(1))).toMatchObject({
        state: 'delivered',
        attempts: 1,
        nextAt: null,
        lastStatus: 200,
        lastError: 'in_doubt',
        finishedAt: T0 + 20,
        lateness: { timerMs: 0.5, guardMs: 1, networkMs: 18.25 },
      })
      expect(await store.read({ type: 'attempts', id: idOf(1), brand: null })).toEqual([attempt])
      expect(await counts()).toMatchObject({ executing: 0, delivered: 1 })
    })
    it('puts a failed row back with its next instant, and the next attempt starts from there', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      await store.write([outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 + 5_000 })])
      expect(await webhook(idOf(1))).toMatchObject({ state: 'retrying', attempts: 1, nextAt: T0 + 5_000 })
      const { rows } = await store.read({
        type: 'lane',
        lane: { ...LANE, kind: 'retry' },
        after: null,
        until: T0 + 5_000,
        limit: 10,
      })
      expect(rows).toMatchObject([{ id: idOf(1), attempts: 1, nextAt: T0 + 5_000 }])
      expect(await start(store, idOf(1), 1)).toEqual({ ok: false, why: 'other-attempt' })
      expect(await start(store, idOf(1), 2)).toMatchObject({ ok: true })
    })
    it('sent again answers as the first time, also after the next attempt has started', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      const outcome = outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 + 5_000 })
      await store.write([outcome])
      expect((await store.write([outcome]))[0]).toEqual({ ok: true, seq: 1 })
      await start(store, idOf(1), 2)
      expect((await store.write([outcome]))[0]).toEqual({ ok: true, seq: 1 })
      expect((await webhook(idOf(1)))?.state).toBe('executing')
      await store.write([outcomeOf(idOf(1), DELIVERED, attemptRecord(2))])
      expect((await store.write([outcomeOf(idOf(1), DELIVERED, attemptRecord(2))]))[0]).toEqual({ ok: true, seq: 1 })
      expect(await store.read({ type: 'attempts', id: idOf(1), brand: null })).toHaveLength(2)
    })
    it('changes nothing with a token that has not started the row', async () => {
      await append(store, newWebhook(1))
      expect((await store.write([outcomeOf(idOf(1), DELIVERED)]))[0]).toEqual({ ok: false, why: 'stale' })
      await start(store, idOf(1))
      const stale = outcomeOf(idOf(1), DELIVERED, attemptRecord(1), 'other')
      expect((await store.write([stale]))[0]).toEqual({ ok: false, why: 'stale' })
      expect((await store.write([outcomeOf(idOf(7), DELIVERED)]))[0]).toEqual({ ok: false, why: 'not-found' })
      expect((await webhook(idOf(1)))?.state).toBe('executing')
    })
  })

  describe('suspicion (D-17)', () => {
    const inDoubt = attemptRecord(1, { inDoubt: true, error: 'in_doubt', status: null })
    const suspected = (n: number, lonelyDeaths: number | null, attempt = 1) =>
      store.write([
        {
          ...outcomeOf(idOf(n), { state: 'retrying', nextAt: T0 }, { ...inDoubt, number: attempt }),
          lonelyDeaths,
        },
      ])
    const startedRows = async () => (await store.read({ type: 'started', after: 0, limit: 10 })).rows
    it('is told by the next mark, by the started rows, and outlives the store', async () => {
      await append(store, newWebhook(1), newWebhook(2))
      for (const n of [1, 2]) expect(await start(store, idOf(n))).toMatchObject({ ok: true, lonelyDeaths: null })
      await suspected(1, 2)
      await suspected(2, null)
      await reopen()
      expect(await start(store, idOf(1), 2)).toMatchObject({ ok: true, lonelyDeaths: 2 })
      expect(await start(store, idOf(1), 2), 'sent again').toMatchObject({ ok: true, lonelyDeaths: 2 })
      await reopen()
      expect(await startedRows()).toMatchObject([{ attempt: 2, lonelyDeaths: 2, alone: false }])
    })
    it('ends with the first outcome that does not name it', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      await suspected(1, 0)
      await start(store, idOf(1), 2)
      await store.write([outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 }, attemptRecord(2))])
      expect(await start(store, idOf(1), 3)).toMatchObject({ ok: true, lonelyDeaths: null })
    })
    it('outlives an attempt that is handed back; who is alone is so for one attempt', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      await suspected(1, 1)
      await start(store, idOf(1), 2)
      expect(await alone(store, idOf(1), 2)).toEqual({ ok: true })
      expect(await alone(store, idOf(1), 2)).toEqual({ ok: true })
      await reopen()
      expect(await startedRows()).toMatchObject([{ lonelyDeaths: 1, alone: true }])
      await store.write([{ type: 'hand-back', id: idOf(1), token: `${idOf(1)}/2` }])
      expect(await start(store, idOf(1), 2, 'again')).toMatchObject({ ok: true, lonelyDeaths: 1 })
      expect(await startedRows()).toMatchObject([{ lonelyDeaths: 1, alone: false }])
      await alone(store, idOf(1), 2)
      await store.write([
        {
          ...outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 }, { ...inDoubt, number: 2 }, 'again'),
          lonelyDeaths: 2,
        },
      ])
      await start(store, idOf(1), 3)
      expect(await startedRows()).toMatchObject([{ lonelyDeaths: 2, alone: false }])
    })
    it('nobody is alone who is not started as that attempt', async () => {
      await append(store, newWebhook(1))
      expect(await alone(store, idOf(1))).toEqual({ ok: false, why: 'stale' })
      await start(store, idOf(1))
      expect(await alone(store, idOf(1), 2)).toEqual({ ok: false, why: 'stale' })
      expect(await alone(store, idOf(9))).toEqual({ ok: false, why: 'not-found' })
      await store.write([outcomeOf(idOf(1), DELIVERED)])
      expect(await alone(store, idOf(1))).toEqual({ ok: false, why: 'stale' })
    })
  })

  describe('hand-back', () => {
    it('makes the row live as before the mark', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      const back = { type: 'hand-back', id: idOf(1), token: `${idOf(1)}/1` } as const
      const due = { id: idOf(1), seq: 1, nextAt: T0 + 1, attempts: 0, timeoutMs: 30_000, expiresAt: null, ...PAIR }
      expect((await store.write([back]))[0]).toEqual({ ok: true, due })
      expect((await store.write([back]))[0]).toEqual({ ok: true, due })
      expect((await horizon(T0 + HOUR_MS)).rows).toEqual([due])
      expect(await counts()).toMatchObject({ scheduled: 1, executing: 0 })
      expect(await start(store, idOf(1), 1, 'again')).toMatchObject({ ok: true })
    })
    it('lets the same start never begin again: what was given back as unsent stays unsent', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      await store.write([{ type: 'hand-back', id: idOf(1), token: `${idOf(1)}/1` }])
      expect(await start(store, idOf(1))).toEqual({ ok: false, why: 'other-attempt' })
      expect(await counts()).toMatchObject({ scheduled: 1, executing: 0 })
      expect(await start(store, idOf(1), 1, 'again')).toMatchObject({ ok: true })
      expect(await start(store, idOf(1))).toEqual({ ok: false, why: 'already-started' })
    })
    it('is stale with another token and after the outcome', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      expect((await store.write([{ type: 'hand-back', id: idOf(1), token: 'x' }]))[0]).toEqual({
        ok: false,
        why: 'stale',
      })
      await store.write([outcomeOf(idOf(1), DELIVERED)])
      const late = { type: 'hand-back', id: idOf(1), token: `${idOf(1)}/1` } as const
      expect((await store.write([late]))[0]).toEqual({ ok: false, why: 'stale' })
      expect((await store.write([{ ...late, id: idOf(5) }]))[0]).toEqual({ ok: false, why: 'not-found' })
    })
  })

  describe('cancel', () => {
    const cancel = (n: number, brand: string | null = null, at = T0) =>
      store.write([{ type: 'cancel', id: idOf(n), brand, at }]).then(([answer]) => answer)
    it('ends a waiting row, whether due soon or in a year, and says what it was', async () => {
      await append(store, newWebhook(1), newWebhook(2, { at: T0 + 8_760 * HOUR_MS }))
      await horizon(T0 + HOUR_MS)
      expect(await cancel(1)).toMatchObject({ outcome: 'cancelled', due: { id: idOf(1), nextAt: T0 + 1 } })
      expect(await cancel(2)).toMatchObject({ outcome: 'cancelled', due: { nextAt: T0 + 8_760 * HOUR_MS } })
      expect(await webhook(idOf(2))).toMatchObject({ state: 'cancelled', finishedAt: T0, nextAt: null })
      expect((await horizon(Number.MAX_SAFE_INTEGER)).rows).toEqual([])
      expect(await counts()).toMatchObject({ scheduled: 0, waiting: 0, cancelled: 2 })
    })
    it('sent again is answered as the first time; another cancel is told that it is over', async () => {
      await append(store, newWebhook(1))
      const first = await cancel(1)
      expect(await cancel(1)).toEqual(first)
      expect(await cancel(1, null, T0 + 5)).toEqual({ outcome: 'alreadyDone', due: null })
    })
    it('tells the truth about what runs, what is over, and what is not there', async () => {
      await append(store, newWebhook(1), newWebhook(2))
      await start(store, idOf(1))
      expect(await cancel(1)).toEqual({ outcome: 'alreadyRunning', due: null })
      await store.write([outcomeOf(idOf(1), DELIVERED)])
      expect(await cancel(1)).toEqual({ outcome: 'alreadyDone', due: null })
      expect(await cancel(9)).toEqual({ outcome: 'notFound', due: null })
      expect(await cancel(2, 'other')).toEqual({ outcome: 'notFound', due: null })
      expect(await cancel(2, 'acme')).toMatchObject({ outcome: 'cancelled' })
    })
  })

  describe('reschedule', () => {
    const move = async (n: number, at: number, now = T0, brand: string | null = null) =>
      (await store.write([{ type: 'reschedule', id: idOf(n), brand, at, now }]))[0]
    const year = T0 + 8_760 * HOUR_MS

    it('gives a waiting row another instant, near or far, and its retries age from there', async () => {
      await append(store, newWebhook(1), newWebhook(2, { at: year }))
      expect(await move(1, year)).toMatchObject({ outcome: 'rescheduled', due: { id: idOf(1), seq: 1, nextAt: year } })
      expect(await move(2, T0 + 5)).toMatchObject({ outcome: 'rescheduled', due: { id: idOf(2), nextAt: T0 + 5 } })
      expect(await move(2, T0 + 5)).toMatchObject({ outcome: 'rescheduled', due: { id: idOf(2), nextAt: T0 + 5 } })
      expect((await horizon(T0 + HOUR_MS)).rows.map((row) => row.id)).toEqual([idOf(2)])
      expect(await webhook(idOf(1))).toMatchObject({ at: year, nextAt: year, state: 'scheduled' })
      expect(await start(store, idOf(2))).toMatchObject({ ok: true, firstAt: T0 + 5 })
      expect(await start(store, idOf(1))).toEqual({ ok: false, why: 'not-due', nextAt: year })
      await reopen()
      expect((await horizon(year)).rows.map((row) => row.id)).toEqual([idOf(1)])
      expect(await counts()).toMatchObject({ scheduled: 1, executing: 1 })
    })
    it('now means now, and what is due already keeps its place', async () => {
      await append(store, newWebhook(1, { at: T0 + 10 }), newWebhook(2, { at: T0 + HOUR_MS }))
      expect(await move(2, 0, T0 + 20)).toMatchObject({ outcome: 'rescheduled', due: { nextAt: T0 + 20 } })
      expect(await move(1, T0, T0 + 30)).toMatchObject({ outcome: 'rescheduled', due: { nextAt: T0 + 10 } })
      expect((await horizon(T0 + 30)).rows.map((row) => row.id)).toEqual([idOf(1), idOf(2)])
    })
    it('brings a retry forward without counting it anew', async () => {
      await append(store, newWebhook(1))
      await start(store, idOf(1))
      await store.write([outcomeOf(idOf(1), { state: 'retrying', nextAt: year })])
      expect(await move(1, T0 + 90)).toMatchObject({ outcome: 'rescheduled', due: { attempts: 1, nextAt: T0 + 90 } })
      expect(await start(store, idOf(1), 2)).toMatchObject({ ok: true, attemptsBefore: 0 })
    })
    it('tells the truth about what runs, is over, would expire, and is not there', async () => {
      await append(store, newWebhook(1), newWebhook(2), newWebhook(3, { expiresAt: T0 + 50 }))
      await start(store, idOf(1))
      expect(await move(1, year)).toEqual({ outcome: 'alreadyRunning' })
      await store.write([outcomeOf(idOf(1), DELIVERED)])
      expect(await move(1, year)).toEqual({ outcome: 'alreadyDone' })
      expect(await move(3, T0 + 50)).toEqual({ outcome: 'expiresBefore' })
      expect(await move(2, year, T0, 'other')).toEqual({ outcome: 'notFound' })
      expect(await move(9, year)).toEqual({ outcome: 'notFound' })
    })
  })

  describe('replay', () => {
    const again = async (n: number, newId: string | null = null, at = T0 + HOUR_MS, brand: string | null = null) =>
      (await store.write([{ type: 'replay', id: idOf(n), brand, newId, at }]))[0]
    const finished = async (n: number, state: 'dead' | 'delivered' = 'dead', change: Partial<NewWebhook> = {}) => {
      await append(store, newWebhook(n, change))
      await start(store, idOf(n))
      await store.write([outcomeOf(idOf(n), { state, finishedAt: T0 + 20 })])
    }

    it('begins a new series under the same id; its attempts are numbered on', async () => {
      await finished(1, 'dead', { expiresAt: T0 + HOUR_MS })
      const replayed = await again(1)
      const due = { id: idOf(1), seq: 1, nextAt: T0 + HOUR_MS, attempts: 1, expiresAt: null }
      expect(replayed).toMatchObject({ outcome: 'replayed', due })
      expect(await again(1)).toEqual(replayed)
      expect(await webhook(idOf(1))).toMatchObject({ state: 'retrying', attempts: 1, finishedAt: null })
      expect((await horizon(T0 + HOUR_MS)).rows).toMatchObject([due])
      expect(await counts()).toMatchObject({ dead: 0, retrying: 1 })
      const series = { firstAt: T0 + HOUR_MS, attemptsBefore: 1 }
      expect(await start(store, idOf(1), 2)).toMatchObject({ ok: true, ...series })
      await reopen()
      const { rows } = await store.read({ type: 'started', after: 0, limit: 1 })
      expect(rows).toMatchObject([{ attempt: 2, ...series }])
      await store.write([outcomeOf(idOf(1), DELIVERED, attemptRecord(2))])
      expect(await again(1)).toMatchObject({ outcome: 'replayed' })
      expect(await webhook(idOf(1))).toMatchObject({ state: 'delivered', attempts: 2 })
      expect(await store.read({ type: 'attempts', id: idOf(1), brand: null })).toHaveLength(2)
      expect(await again(1, null, T0 + 2 * HOUR_MS)).toMatchObject({ outcome: 'replayed', due: { attempts: 2 } })
      const request = await start(store, idOf(1), 3)
      expect(request).toMatchObject({ ok: true, attemptsBefore: 2 })
      if (request.ok) expect(Buffer.from(request.request).toString()).toBe('{"n":1}')
    })
    it('with a new id makes another webhook of the same content, once', async () => {
      await finished(1, 'delivered', { idempotencyKey: 'k', contentHash: new Uint8Array([1]), tags: ['x'] })
      const replayed = await again(1, idOf(7))
      const due = { id: idOf(7), seq: 2, nextAt: T0 + HOUR_MS, attempts: 0 }
      expect(replayed).toMatchObject({ outcome: 'replayed', due })
      expect(await again(1, idOf(7))).toEqual(replayed)
      expect(await webhook(idOf(1))).toMatchObject({ state: 'delivered' })
      expect(await webhook(idOf(7))).toMatchObject({ state: 'scheduled', tags: ['x'], createdAt: T0 + HOUR_MS })
      expect(await counts()).toMatchObject({ delivered: 1, scheduled: 1 })
      const same = newWebhook(8, { idempotencyKey: 'k', contentHash: new Uint8Array([1]) })
      expect(await append(store, same)).toMatchObject({ ok: true, ids: [idOf(1)], duplicates: [true] })
      expect(await append(store, newWebhook(9))).toMatchObject({ ok: true, seqs: [3] })
    })
    it('tells the truth about what is not over and what is not there', async () => {
      await append(store, newWebhook(1))
      expect(await again(1)).toEqual({ outcome: 'notDone' })
      expect(await again(1, idOf(5))).toEqual({ outcome: 'notDone' })
      await start(store, idOf(1))
      expect(await again(1)).toEqual({ outcome: 'notDone' })
      expect(await again(2)).toEqual({ outcome: 'notFound' })
      await store.write([outcomeOf(idOf(1), DELIVERED)])
      expect(await again(1, null, T0 + HOUR_MS, 'other')).toEqual({ outcome: 'notFound' })
    })
  })

  describe('horizon', () => {
    it('gives rows in due order, by page, to the end', async () => {
      await append(
        store,
        newWebhook(3, { at: T0 + 30 }),
        newWebhook(1, { at: T0 + 10 }),
        newWebhook(2, { at: T0 + 10 }),
      )
      const first = await horizon(T0 + 20, 1)
      expect(first.rows.map((row) => row.seq)).toEqual([2])
      expect(first.edge).toEqual({ nextAt: T0 + 10, seq: 2 })
      const rest = await horizon(T0 + 20, 5, [], first.edge)
      expect(rest.rows.map((row) => row.seq)).toEqual([3])
      expect(rest.edge).toEqual({ nextAt: T0 + 20, seq: Number.MAX_SAFE_INTEGER })
    })
    it('leaves lanes out, and its edge goes on over them', async () => {
      await append(store, newWebhook(1), newWebhook(2, { domain: 'b.example.com' }), newWebhook(3))
      const page = await horizon(T0 + 100, 10, [LANE])
      expect(page.rows.map((row) => row.domain)).toEqual(['b.example.com'])
      expect(page.edge).toEqual({ nextAt: T0 + 100, seq: Number.MAX_SAFE_INTEGER })
    })
    it('finds rows of every distance exactly, hour by hour', async () => {
      const hours = [0, 1, 5, 23, 24, 200, 9_000]
      await append(store, ...hours.map((hour, n) => newWebhook(n, { at: T0 + hour * HOUR_MS })))
      for (const [n, hour] of hours.entries()) {
        const { rows } = await horizon(T0 + hour * HOUR_MS)
        expect(rows.map((row) => row.id)).toEqual(hours.slice(0, n + 1).map((_, m) => idOf(m)))
      }
    })
    it('pages through 3,000 rows of one instant', async () => {
      await append(store, ...Array.from({ length: 3_000 }, (_, n) => newWebhook(n, { at: T0 })))
      const seqs: number[] = []
      let after = { nextAt: 0, seq: 0 }
      for (;;) {
        const page = await horizon(T0, 500, [], after)
        seqs.push(...page.rows.map((row) => row.seq))
        after = page.edge
        if (after.seq === Number.MAX_SAFE_INTEGER) break
      }
      expect(seqs).toEqual(Array.from({ length: 3_000 }, (_, n) => n + 1))
    })
  })

  describe('lanes', () => {
    it('gives the head of one lane and whether there is more', async () => {
      await append(store, ...[5, 4, 3].map((n) => newWebhook(n)), newWebhook(1, { priority: 'low' }))
      const lane = (limit: number) => store.read({ type: 'lane', lane: LANE, after: null, until: T0 + 9, limit })
      expect((await lane(2)).rows.map((row) => row.id)).toEqual([idOf(3), idOf(4)])
      expect((await lane(2)).more).toBe(true)
      expect((await lane(3)).more).toBe(false)
      const after = { nextAt: T0 + 3, seq: 3 }
      const rest = await store.read({ type: 'lane', lane: LANE, after, until: T0 + 4, limit: 9 })
      expect(rest.rows.map((row) => row.id)).toEqual([idOf(4)])
      const other = { ...LANE, brand: 'nobody' }
      expect(await store.read({ type: 'lane', lane: other, after: null, until: T0, limit: 1 })).toEqual({
        rows: [],
        more: false,
      })
    })
    it('names the lanes that have a row due, in order, by page, and of one domain', async () => {
      const lanes = [
        { domain: 'b.com', brand: 'x', priority: 'normal', kind: 'first' },
        { domain: 'a.com', brand: 'y', priority: 'low', kind: 'first' },
        { domain: 'a.com', brand: 'y', priority: 'high', kind: 'first' },
        { domain: 'a.com', brand: 'x', priority: 'low', kind: 'first' },
        { domain: 'c.com', brand: 'x', priority: 'low', kind: 'first' },
      ] as const
      const rows = lanes.map(({ kind: _kind, ...lane }, n) => newWebhook(n, { ...lane, at: T0 + (n === 4 ? 50 : 0) }))
      await append(store, ...rows)
      const ask = (after: LaneKey | null, limit: number, domain?: string) =>
        store.read({ type: 'due-lanes', now: T0, after, limit, ...(domain === undefined ? {} : { domain }) })
      expect(await ask(null, 3)).toEqual({ lanes: [lanes[3], lanes[2], lanes[1]], next: lanes[1] })
      expect(await ask(lanes[1], 3)).toEqual({ lanes: [lanes[0]], next: null })
      expect(await ask(lanes[3], 10, 'a.com')).toEqual({ lanes: [lanes[2], lanes[1]], next: null })
      await start(store, idOf(3))
      expect((await ask(null, 10, 'a.com')).lanes).toEqual([lanes[2], lanes[1]])
    })
    it('a failed first try moves to the lane of retries, a hand-back of the first attempt moves it back (D-21)', async () => {
      await append(store, ...[1, 2, 3].map((n) => newWebhook(n)))
      const retries = { ...LANE, kind: 'retry' } as const
      const idsIn = async (lane: LaneKey): Promise<string[]> => {
        const { rows } = await store.read({ type: 'lane', lane, after: null, until: T0 + 99, limit: 9 })
        return rows.map((row) => row.id)
      }
      const dueKinds = async () =>
        (await store.read({ type: 'due-lanes', now: T0 + 99, after: null, limit: 9 })).lanes.map(({ kind }) => kind)
      const outside = async (...except: LaneKey[]): Promise<string[]> => {
        const after = { nextAt: 0, seq: 0 }
        const { rows } = await store.read({ type: 'horizon', after, until: T0 + 99, limit: 9, except })
        return rows.map((row) => row.id)
      }
      for (const n of [1, 2]) await start(store, idOf(n))
      await store.write([outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 + 50 })])
      expect(await dueKinds()).toEqual(['first', 'retry'])
      expect([await idsIn(LANE), await idsIn(retries)]).toEqual([[idOf(3)], [idOf(1)]])
      await store.write([{ type: 'hand-back', id: idOf(2), token: `${idOf(2)}/1` }])
      expect([await idsIn(LANE), await idsIn(retries)]).toEqual([[idOf(2), idOf(3)], [idOf(1)]])
      await start(store, idOf(1), 2)
      expect(await dueKinds()).toEqual(['first'])
      await store.write([{ type: 'hand-back', id: idOf(1), token: `${idOf(1)}/2` }])
      expect([await outside(LANE), await outside(retries)]).toEqual([[idOf(1)], [idOf(2), idOf(3)]])
      const page = await store.read({ type: 'due-lanes', now: T0 + 99, after: LANE, limit: 9 })
      expect(page).toEqual({ lanes: [retries], next: null })
    })
    it('a group has the lanes of its hosts as one, in due order over any number of pages (D-13)', async () => {
      const hosts = ['a.example.org', 'b.example.org', 'c.example.org', 'api.example.com', 'other.test']
      const rows = Array.from({ length: 200 }, (_, n) =>
        newWebhook(n, { domain: hosts[(n * 7) % 5] ?? '', at: T0 + ((n * 37) % 50) }),
      )
      await append(store, ...rows)
      const set = (members: readonly string[], group = 'group:one') =>
        store.write([{ type: 'set-group', group, members, setBy: 'ops', setAt: T0, carried: [] }])
      expect(await set(['*.example.org', 'api.example.com'])).toMatchObject([
        { ok: true, group: { version: 1 }, carried: [] },
      ])
      expect(await set(['c.example.org'], 'group:two')).toMatchObject([{ ok: true }])
      const lane = { ...LANE, domain: 'group:one' } as const
      const mine = (domains: readonly string[]) =>
        rows
          .filter((row) => domains.includes(row.domain))
          .sort((a, b) => a.nextAt - b.nextAt || (a.id < b.id ? -1 : 1))
          .map((row) => row.id)
      for (const limit of [1, 7, 30, 500]) {
        const ids: string[] = []
        for (let after: Edge | null = null; ; ) {
          const page: { rows: readonly Due[]; more: boolean } = await store.read({
            type: 'lane',
            lane,
            after,
            until: T0 + 40,
            limit,
          })
          ids.push(...page.rows.map((row) => row.id))
          const last = page.rows.at(-1)
          if (!page.more || last === undefined) break
          after = { nextAt: last.nextAt, seq: last.seq }
        }
        const due = mine(['a.example.org', 'b.example.org', 'api.example.com']).filter(
          (id) => (rows.find((row) => row.id === id)?.nextAt ?? 0) <= T0 + 40,
        )
        expect(ids).toEqual(due)
      }
      const lanes = await store.read({ type: 'due-lanes', now: T0 + 50, domain: 'group:one', after: null, limit: 9 })
      expect(lanes.lanes.map(({ domain }) => domain)).toEqual(['a.example.org', 'api.example.com', 'b.example.org'])
      const backlog = await store.read({ type: 'backlog', domain: 'group:one', now: T0 + 50, cap: 999 })
      expect(backlog).toEqual({ count: 120, oldestAt: T0 })
      expect(await set(['other.test', 'c.example.org'])).toEqual([
        { ok: false, why: 'taken', member: 'c.example.org', by: 'group:two' },
      ])
      await reopen()
      expect(await store.read({ type: 'groups' })).toMatchObject([
        { group: 'group:one', members: ['*.example.org', 'api.example.com'] },
        { group: 'group:two', members: ['c.example.org'] },
      ])
      expect(await set([])).toMatchObject([{ ok: true, group: { members: [], version: 2 } }])
      expect(await store.read({ type: 'lane', lane, after: null, until: T0 + 50, limit: 5 })).toEqual({
        rows: [],
        more: false,
      })
    })
    it('counts a backlog to a cap', async () => {
      await append(store, ...[1, 2, 3, 4].map((n) => newWebhook(n)), newWebhook(5, { domain: 'b.com', at: T0 - 5 }))
      const ask = (cap: number, now = T0 + 3) => store.read({ type: 'backlog', domain: LANE.domain, now, cap })
      expect(await ask(10)).toEqual({ count: 3, oldestAt: T0 + 1 })
      expect(await ask(2)).toEqual({ count: 2, oldestAt: T0 + 1 })
      expect(await ask(2, T0)).toEqual({ count: 0, oldestAt: null })
    })
  })

  it('names started rows by seq, by page, also after it was opened again', async () => {
    await append(store, ...[1, 2, 3].map((n) => newWebhook(n)))
    for (const n of [3, 1, 2]) await start(store, idOf(n))
    await reopen()
    const first = await store.read({ type: 'started', after: 0, limit: 2 })
    expect(first.rows.map((row) => row.due.seq)).toEqual([1, 2])
    expect(first.next).toBe(2)
    const rest = await store.read({ type: 'started', after: 2, limit: 2 })
    expect(rest).toMatchObject({ next: null, rows: [{ attempt: 1, token: `${idOf(3)}/1`, startedAt: SOON }] })
  })

  describe('lists and counts', () => {
    const listed = async (filter: object, now = T0): Promise<string[]> => {
      const ids: string[] = []
      let cursor: string | null = null
      do {
        const query = { type: 'list', filter: { brand: null, ...filter }, limit: 2, cursor, now } as const
        const page: { webhooks: readonly { id: string }[]; nextCursor: string | null } = await store.read(query)
        ids.push(...page.webhooks.map((row) => row.id))
        cursor = page.nextCursor
      } while (cursor !== null)
      return ids
    }
    it('lists newest first by every filter', async () => {
      await append(
        store,
        newWebhook(1, { at: T0 - 1 }),
        newWebhook(2, { tags: ['x', 'y'] }),
        newWebhook(3, { name: 'bill', domain: 'b.com' }),
        newWebhook(4, { brand: 'zed' }),
        newWebhook(5, { at: T0 + 500 * HOUR_MS }),
      )
      expect(await listed({})).toEqual([5, 4, 3, 2, 1].map(idOf))
      expect(await listed({ tag: 'y' })).toEqual([idOf(2)])
      expect(await listed({ name: 'bill' })).toEqual([idOf(3)])
      expect(await listed({ domain: 'b.com' })).toEqual([idOf(3)])
      expect(await listed({ brand: 'zed' })).toEqual([idOf(4)])
      expect(await listed({ brand: 'acme', domain: 'nowhere.com' })).toEqual([])
      expect(await listed({ from: T0 + 2, to: T0 + 3 })).toEqual([3, 2].map(idOf))
      expect(await listed({ state: 'waiting' })).toEqual([idOf(1)])
      expect(await listed({ state: 'held' })).toEqual([])
    })
    it('lists and counts by state, disjoint', async () => {
      await append(store, ...[1, 2, 3, 4, 5, 6].map((n) => newWebhook(n, { at: T0 + (n === 6 ? 0 : n) })))
      for (const n of [1, 2, 3]) await start(store, idOf(n))
      await store.write([
        outcomeOf(idOf(1), { state: 'dead', finishedAt: T0 }),
        outcomeOf(idOf(2), { state: 'retrying', nextAt: T0 + 9 }),
        { type: 'cancel', id: idOf(4), brand: null, at: T0 },
      ])
      expect(await listed({ state: 'dead' })).toEqual([idOf(1)])
      expect(await listed({ state: 'retrying' })).toEqual([idOf(2)])
      expect(await listed({ state: 'executing' })).toEqual([idOf(3)])
      expect(await listed({ state: 'cancelled' })).toEqual([idOf(4)])
      expect(await listed({ state: 'scheduled' })).toEqual([idOf(5)])
      expect(await listed({ state: 'waiting' })).toEqual([idOf(6)])
      const figures = { scheduled: 1, waiting: 1, executing: 1, retrying: 1, delivered: 0, dead: 1, cancelled: 1 }
      expect(await counts()).toEqual({ ...figures, expired: 0, quarantined: 0 })
      expect(await counts('acme', LANE.domain)).toEqual({ ...figures, expired: 0, quarantined: 0 })
      expect(await counts('nobody')).toMatchObject({ scheduled: 0, waiting: 0 })
    })
    it('shows a brand nothing of another', async () => {
      await append(store, newWebhook(1))
      expect(await webhook(idOf(1), 'other')).toBeNull()
      expect(await store.read({ type: 'attempts', id: idOf(1), brand: 'other' })).toBeNull()
      expect(await store.read({ type: 'attempts', id: idOf(1), brand: 'acme' })).toEqual([])
    })
  })

  describe('limits, brands, keys', () => {
    const limit = { type: 'set-limit', kind: 'rate', domain: 'a.com', brand: null, burst: 2, setBy: 'ops' } as const
    it('counts the changes of a limit, also over its removal', async () => {
      const set = (value: number | null, setAt: number) =>
        store.write([{ ...limit, value, setAt }]).then(([stored]) => stored.version)
      expect(await set(1.5, 1)).toBe(1)
      expect(await set(1.5, 1)).toBe(1)
      expect(await set(2, 2)).toBe(2)
      expect(await set(null, 3)).toBe(3)
      expect(await store.read({ type: 'limits' })).toEqual([])
      expect(await set(4, 4)).toBe(4)
      await reopen()
      const { type: _type, ...stored } = limit
      expect(await store.read({ type: 'limits' })).toEqual([{ ...stored, value: 4, setAt: 4, version: 4 }])
    })
    it('keeps brands and keys', async () => {
      const key = {
        keyId: 'k1',
        digest: new Uint8Array([1, 2]),
        role: 'brand',
        brand: 'acme',
        createdAt: 1,
        expiresAt: null,
        revokedAt: null,
      } as const
      await store.write([
        { type: 'put-brand', brand: 'zed', createdAt: 1 },
        { type: 'put-brand', brand: 'acme', createdAt: 2 },
        { type: 'put-brand', brand: 'zed', createdAt: 3 },
        { type: 'put-key', key },
        { type: 'put-key', key: { ...key, revokedAt: 9 } },
      ])
      await reopen()
      expect(await store.read({ type: 'brands' })).toEqual([
        { brand: 'acme', createdAt: 2 },
        { brand: 'zed', createdAt: 1 },
      ])
      expect(await store.read({ type: 'keys' })).toEqual([{ ...key, revokedAt: 9 }])
    })
  })

  describe('expiresAt', () => {
    const expire = async (now: number, limit = 10) => (await store.write([{ type: 'expire', now, limit }]))[0]
    const endedOf = (n: number) => ({ id: idOf(n), brand: LANE.brand, domain: LANE.domain, state: 'expired' })
    const mark = async (n: number, startedAt: number, attempt = 1, token = `${idOf(n)}/${attempt}`) =>
      (await store.write([{ type: 'mark-started', id: idOf(n), attempt, token, startedAt }]))[0]

    it('ends a row that would start at it or later, and says so once', async () => {
      await append(store, newWebhook(1, { expiresAt: T0 + 50 }), newWebhook(2, { expiresAt: T0 + 50 }))
      expect(await mark(1, T0 + 49)).toMatchObject({ ok: true })
      expect(await mark(2, T0 + 50)).toEqual({ ok: false, why: 'not-live', ended: endedOf(2) })
      expect(await mark(2, T0 + 50), 'sent again').toEqual({ ok: false, why: 'not-live', ended: endedOf(2) })
      expect(await mark(2, T0 + 51), 'another one').toEqual({ ok: false, why: 'not-live' })
      expect(await webhook(idOf(2))).toMatchObject({ state: 'expired', finishedAt: T0 + 50, attempts: 0, nextAt: null })
      expect(await counts()).toMatchObject({ scheduled: 0, waiting: 0, executing: 1, expired: 1 })
    })
    it('ends a retry too, and a row that is due in a year', async () => {
      const far = T0 + 8_760 * HOUR_MS
      await append(store, newWebhook(1, { expiresAt: T0 + 50 }), newWebhook(2, { at: far, expiresAt: far + 1 }))
      await start(store, idOf(1))
      await store.write([outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 + 30 })])
      expect(await mark(1, T0 + 60, 2)).toMatchObject({ ok: false, why: 'not-live', ended: endedOf(1) })
      expect(await mark(2, far + 1)).toMatchObject({ ok: false, why: 'not-live', ended: endedOf(2) })
      expect(await webhook(idOf(1))).toMatchObject({ state: 'expired', finishedAt: T0 + 60, attempts: 1 })
      expect(await counts()).toMatchObject({ scheduled: 0, retrying: 0, expired: 2 })
    })
    it('does not end an attempt that has begun: its mark is answered again, its outcome is taken', async () => {
      await append(store, newWebhook(1, { expiresAt: T0 + 50 }))
      await mark(1, T0 + 40)
      expect(await mark(1, T0 + 40)).toMatchObject({ ok: true })
      expect(await expire(T0 + HOUR_MS)).toEqual({ ok: true, expired: [], more: false })
      expect((await store.write([outcomeOf(idOf(1), DELIVERED)]))[0]).toMatchObject({ ok: true })
    })
    it('is swept oldest first, near and far, in slices', async () => {
      const rows = [
        newWebhook(1, { expiresAt: T0 + 300 }),
        newWebhook(2, { at: T0 + 50 * HOUR_MS, expiresAt: T0 + 100 }),
        newWebhook(3, { expiresAt: T0 + 200 }),
        newWebhook(4, { expiresAt: T0 + 301 }),
        newWebhook(5),
      ]
      await append(store, ...rows)
      await horizon(T0 + 1)
      await start(store, idOf(1))
      await store.write([outcomeOf(idOf(1), { state: 'retrying', nextAt: T0 + 30 })])
      const one = await expire(T0 + 300, 2)
      expect(one).toEqual({ ok: true, expired: [endedOf(2), endedOf(3)], more: true })
      expect(await expire(T0 + 300, 2)).toEqual({ ok: true, expired: [endedOf(1)], more: false })
      expect(await expire(T0 + 300, 2)).toEqual({ ok: true, expired: [], more: false })
      expect(await webhook(idOf(2))).toMatchObject({
        state: 'expired',
        finishedAt: T0 + 300,
        attempts: 0,
        nextAt: null,
      })
      expect(await webhook(idOf(1))).toMatchObject({ state: 'expired', attempts: 1 })
      expect((await horizon(T0 + 100 * HOUR_MS)).rows.map((row) => row.id)).toEqual([idOf(4), idOf(5)])
      expect(await mark(3, T0)).toEqual({ ok: false, why: 'not-live' })
      const { outcome } = (await store.write([{ type: 'cancel', id: idOf(3), brand: null, at: T0 + 300 }]))[0]
      expect(outcome).toBe('alreadyDone')
      expect(await counts()).toMatchObject({ scheduled: 2, waiting: 0, retrying: 0, expired: 3 })
      expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
    })
    it('is remembered over a reopen', async () => {
      await append(store, newWebhook(1, { expiresAt: T0 + 50 }), newWebhook(2, { expiresAt: T0 + 60 }))
      await expire(T0 + 50)
      await reopen()
      expect((await webhook(idOf(1)))?.state).toBe('expired')
      expect(await expire(T0 + 60)).toMatchObject({ expired: [endedOf(2)] })
    })
  })

  describe('prune', () => {
    const prune = (finishedBefore: number, deadBefore: number, limit = 10) =>
      store
        .write([{ type: 'prune', finishedBefore, deadBefore, deadMax: 100, closedBefore: 0, limit }])
        .then(([answer]) => answer.pruned)
    it('removes what finished long ago with everything that hangs on it, dead letters by their own instant', async () => {
      await append(store, ...[1, 2, 3, 4].map((n) => newWebhook(n, { idempotencyKey: `k${n}` })))
      for (const n of [1, 2, 3]) await start(store, idOf(n))
      await store.write([
        outcomeOf(idOf(1), { state: 'delivered', finishedAt: T0 }),
        outcomeOf(idOf(2), { state: 'dead', finishedAt: T0 }),
        outcomeOf(idOf(3), { state: 'delivered', finishedAt: T0 + 9 }),
      ])
      expect(await prune(T0 + 1, T0)).toBe(1)
      expect(await webhook(idOf(1))).toBeNull()
      expect(await store.read({ type: 'attempts', id: idOf(1), brand: null })).toBeNull()
      expect((await webhook(idOf(2)))?.state).toBe('dead')
      expect(await prune(T0 + 10, T0 + 1, 1)).toBe(1)
      expect(await prune(T0 + 10, T0 + 1, 1)).toBe(1)
      expect(await prune(T0 + 10, T0 + 1, 1)).toBe(0)
      expect(await counts()).toMatchObject({ scheduled: 1, delivered: 0, dead: 0 })
      expect(await append(store, newWebhook(5, { idempotencyKey: 'k1' }))).toMatchObject({ duplicates: [false] })
      expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
    })
    it('RECV-17: removes closures and open breakers that are over or were lifted, the soonest first, and no limit', async () => {
      const keep = (kind: StoredLimit['kind'], domain: string, value: number | null) =>
        ({ type: 'set-limit', kind, domain, brand: null, value, burst: null, setBy: 'guard', setAt: T0 }) as const
      await store.write([
        keep('closed-until', 'a.com', T0 + 3),
        keep('breaker-until', 'b.com', T0 + 1),
        keep('closed-until', 'c.com', T0 + 10),
        keep('breaker-until', 'd.com', null),
        keep('rate', 'e.com', 1),
      ])
      const kept = async () => (await store.read({ type: 'limits' })).map(({ domain }) => domain).sort()
      const over = (limit: number) =>
        store
          .write([{ type: 'prune', finishedBefore: 0, deadBefore: 0, deadMax: 100, closedBefore: T0 + 10, limit }])
          .then(([answer]) => answer.more)
      expect(await over(2)).toBe(true)
      expect(await kept()).toEqual(['a.com', 'c.com', 'e.com'])
      expect(await over(2)).toBe(false)
      await reopen()
      expect(await kept()).toEqual(['c.com', 'e.com'])
    })
    it('gives no number twice, also when the last ones are gone and the store was opened again', async () => {
      await append(store, newWebhook(1), newWebhook(2))
      await store.write([{ type: 'cancel', id: idOf(2), brand: null, at: T0 }])
      expect(await prune(T0 + 1, T0 + 1)).toBe(1)
      await reopen()
      expect(await append(store, newWebhook(3))).toMatchObject({ seqs: [3] })
    })
  })

  describe('the bound of dead letters', () => {
    /** `n` of a brand, dead at T0 + their number; `hosts`: over how many domains. */
    const die = async (
      numbers: readonly number[],
      brand: string,
      state: 'dead' | 'quarantined' = 'dead',
      hosts = 3,
    ) => {
      const hostOf = (n: number) => ({ host: `h${n % hosts}.example.com`, domain: `h${n % hosts}.example.com` })
      await append(store, ...numbers.map((n) => newWebhook(n, { brand, ...hostOf(n) })))
      await store.write(
        numbers.flatMap((n) => [
          { type: 'mark-started', id: idOf(n), attempt: 1, token: 't', startedAt: LATER } as const,
          outcomeOf(idOf(n), { state, finishedAt: T0 + n }, attemptRecord(1), 't'),
        ]),
      )
    }
    const prune = (deadMax: number, limit = 100_000, deadBefore = 0) =>
      store
        .write([{ type: 'prune', finishedBefore: 0, deadBefore, deadMax, closedBefore: 0, limit }])
        .then(([answer]) => answer)
    /** To the end: what was dropped in all. */
    const pruneAll = async (deadMax: number, limit: number, calls = 1): Promise<{ calls: number; dropped: number }> => {
      const { more, dropped } = await prune(deadMax, limit)
      const count = dropped.reduce((sum, drop) => sum + drop.count, 0)
      if (!more) return { calls, dropped: count }
      const rest = await pruneAll(deadMax, limit, calls + 1)
      return { calls: rest.calls, dropped: rest.dropped + count }
    }
    const alive = async (numbers: readonly number[]) => {
      const found = await Promise.all(numbers.map((n) => webhook(idOf(n))))
      return numbers.filter((_, index) => found[index] !== null)
    }

    it('LOAD-10: a brand keeps its newest dead letters, the others are counted; its neighbours keep theirs', async () => {
      await die([1, 2, 3, 4, 5], 'acme')
      await die([6, 7, 8], 'other')
      expect(await prune(3)).toEqual({
        ok: true,
        pruned: 2,
        more: false,
        dropped: [{ brand: 'acme', count: 2 }],
        crowded: ['acme', 'other'],
      })
      expect(await alive([1, 2, 3, 4, 5, 6, 7, 8])).toEqual([3, 4, 5, 6, 7, 8])
      expect(await prune(3)).toMatchObject({ pruned: 0, more: false, dropped: [] })
      expect(await counts('acme')).toMatchObject({ dead: 3 })
      expect(await store.read({ type: 'check' })).toEqual({ problems: [] })
    })
    it('LOAD-10: what has not come to 90 % of the bound is not crowded', async () => {
      await die(range(1, 17), 'acme')
      expect(await prune(20)).toMatchObject({ pruned: 0, crowded: [] })
      await die([18], 'acme')
      expect(await prune(20)).toMatchObject({ pruned: 0, crowded: ['acme'] })
    })
    it('LOAD-10: quarantined ones have a bound of their own', async () => {
      await die([1, 2, 3], 'acme', 'quarantined')
      await die([4, 5], 'acme')
      expect(await prune(2)).toMatchObject({ pruned: 1, dropped: [{ brand: 'acme', count: 1 }] })
      expect(await alive([1, 2, 3, 4, 5])).toEqual([2, 3, 4, 5])
    })
    it('LOAD-10: goes on where it stopped, past any number of other dead letters, and says when it is through', async () => {
      await die(range(1, 1_200), 'other')
      await die(range(1_201, 1_800), 'acme')
      await die(range(1_801, 1_805), 'other')
      // Over the bound only with what came last: its oldest lie before those of the other.
      expect((await pruneAll(590, 7)).dropped).toBe(625)
      expect(await counts('acme')).toMatchObject({ dead: 590 })
      expect(await counts('other')).toMatchObject({ dead: 590 })
      expect(await alive([1, 615, 616, 1_201, 1_210, 1_211, 1_805])).toEqual([616, 1_211, 1_805])
    })
    it('LOAD-10: is the same over more lanes than one call looks at', async () => {
      await die(range(1, 1_300), 'acme', 'dead', 1_300)
      const { dropped } = await pruneAll(1_000, 100_000)
      expect(dropped).toBe(300)
      expect(await alive([1, 300, 301, 1_300])).toEqual([301, 1_300])
    })
    it('LOAD-10: what was replayed while it was looked for is spared, and nothing else goes in its place', async () => {
      await die([1, 2, 3, 4], 'acme')
      expect(await prune(2, 1)).toMatchObject({ pruned: 1, more: true })
      await store.write([{ type: 'replay', id: idOf(2), brand: null, newId: null, at: T0 + 9 }])
      expect(await prune(2)).toMatchObject({ pruned: 0, more: false })
      expect(await counts('acme')).toMatchObject({ dead: 2 })
    })
  })

  it('applies the operations of a group in their order', async () => {
    const results = await store.write([
      appendOf(newWebhook(1)),
      { type: 'mark-started', id: idOf(1), attempt: 1, token: 't', startedAt: LATER },
      { type: 'cancel', id: idOf(1), brand: null, at: T0 },
      outcomeOf(idOf(1), DELIVERED, attemptRecord(1), 't'),
    ])
    expect(results.map((result) => ('outcome' in result ? result.outcome : 'ok' in result && result.ok))).toEqual([
      true,
      true,
      'alreadyRunning',
      true,
    ])
  })
  it('rejects with `closed` after close, which may be called twice', async () => {
    await store.close()
    await store.close()
    await expect(store.write([])).rejects.toMatchObject({ code: 'closed' })
    await expect(store.read({ type: 'limits' })).rejects.toMatchObject({ code: 'closed' })
  })
})
