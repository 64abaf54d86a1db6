import { describe, expect, it } from 'vitest'
import { STORE_FAILURES_TABLE } from '#actors/store-keeper/trouble.ts'
import { storeKeeper, storeKeeperActor } from '#actors/store-keeper.ts'
import {
  CHECK_AFTER_MS,
  CHECK_EVERY_MS,
  DEAD_LETTERS_BRAND_MAX,
  DISK_FAILURES_MS,
  EXPIRE_EVERY_MS,
  LARGE_GROUP_ROWS_MAX,
  OUTCOME_RIDE_MS,
  OUTCOMES_RIDE_MAX,
  PRUNE_EVERY_MS,
  RETENTION_MS,
  STORE_RETRY_MS_MAX,
  STORE_WAITING_ROWS_MAX,
} from '#config/limits.ts'
import type { StoreLoadShown } from '#overload/store-load.ts'
import { ONE, STORE_LOAD_TABLE } from '#overload/tables.ts'
import type { ExitReason } from '#runtime/exit.ts'
import type { Report } from '#runtime/reports.ts'
import { Runtime } from '#runtime/runtime.ts'
import { supervisor } from '#runtime/supervisor.ts'
import { worker } from '#runtime/supervisor-spec.ts'
import { MemoryDisk } from '#store/memory/memory-disk.ts'
import { type MemoryFaults, openMemoryStore } from '#store/memory/memory-store.ts'
import { encodeRows } from '#store/rows.ts'
import {
  type NewWebhook,
  type OpenStore,
  type Store,
  StoreError,
  type StoreErrorCode,
  type WriteOp,
} from '#store/store.ts'
import { EventHub } from '#telemetry/event-hub.ts'
import { VirtualWorld } from '#world/virtual-world.ts'

/** When every row is due. */
const LATER = 1e13

const idOf = (n: number): string => `msg_01K${String(n).padStart(23, '0')}`
const webhook = (n: number, expiresAt: number | null = null): NewWebhook => ({
  id: idOf(n),
  brand: 'acme',
  name: null,
  url: 'https://a.com/',
  host: 'a.com',
  domain: 'a.com',
  method: 'POST',
  priority: 'normal',
  at: n,
  nextAt: n,
  createdAt: 0,
  timeoutMs: 1_000,
  expiresAt,
  retry: null,
  tags: [],
  idempotencyKey: null,
  contentHash: null,
  request: new Uint8Array([n % 256]),
})
const appendOf = (...numbers: readonly number[]) =>
  ({ type: 'append', count: numbers.length, rows: encodeRows(numbers.map((n) => webhook(n))) }) as const
const markOf = (n: number) =>
  ({ type: 'mark-started', id: idOf(n), attempt: 1, token: `t${n}`, startedAt: LATER }) as const
const cancelOf = (n: number) => ({ type: 'cancel', id: idOf(n), brand: null, at: 1 }) as const

const outcomeOf = (n: number) =>
  ({
    type: 'record-outcome',
    id: idOf(n),
    token: `t${n}`,
    attempt: {
      number: 1,
      startedAt: LATER,
      endedAt: LATER,
      status: 200,
      error: null,
      excerpt: null,
      timerMs: 0,
      guardMs: 0,
      networkMs: 1,
      inDoubt: false,
    },
    next: { state: 'delivered', finishedAt: LATER },
  }) as const

/** A store that behaves as said where it is said, else as the one in memory. */
const changed =
  (open: OpenStore, change: (store: Store) => Partial<Store>): OpenStore =>
  async (events) => {
    const store = await open(events)
    const own: Store = {
      write: (group) => store.write(group),
      read: (query) => store.read(query),
      close: () => store.close(),
    }
    return { ...own, ...change(store) }
  }

const stage = async (faults: MemoryFaults = {}, change: (store: Store) => Partial<Store> = () => ({})) => {
  const world = new VirtualWorld({ seed: 3 })
  const disk = new MemoryDisk()
  const events: string[] = []
  const groups: WriteOp['type'][][] = []
  const hub = new EventHub((error) => {
    throw error
  })
  hub.on(['store.opened', 'store.failed', 'store.refused', 'store.damaged'], (event) =>
    events.push(`${event.type} ${event.detail}`),
  )
  hub.on(['dead-letters.crowded'], ({ type, brand }) => events.push(`${type} ${brand}`))
  hub.on(['dead-letters.dropped'], ({ type, brand, count }) => events.push(`${type} ${brand} ${count}`))
  hub.on(['webhook.finished'], (event) => events.push(`${event.state} ${event.id}`))
  const watched: MemoryFaults = {
    ...faults,
    beforeWrite: (group) => {
      groups.push(group.map((op) => op.type))
      return faults.beforeWrite?.(group)
    },
  }
  const reports: Report[] = []
  const runtime = new Runtime(world, { safeMessages: true, report: (report) => reports.push(report) })
  const args = { open: changed(openMemoryStore(disk, watched), change), events: hub }
  const starting = runtime.start(
    supervisor,
    {
      flags: { strategy: 'one_for_one', intensity: 5, periodMs: 10_000 },
      tables: [STORE_FAILURES_TABLE],
      children: [worker(storeKeeperActor, args, { name: storeKeeper })],
    },
    { name: 'root' },
  )
  await world.settle()
  const ask = <Op extends WriteOp>(op: Op) =>
    runtime.call<never>(storeKeeper as never, op as never, Number.POSITIVE_INFINITY) as Promise<unknown>
  const ended = starting.then(() => new Promise<ExitReason>((resolve) => runtime.monitor('root', resolve)))
  return { world, disk, events, groups, reports, runtime, starting, ended, ask }
}

describe('the store-keeper', () => {
  it('writes what waits in one group; marks and outcomes apart from promises, and what steers apart from appends', async () => {
    const { world, groups, ask } = await stage()
    const answers = [ask(appendOf(1)), ask(appendOf(2)), ask(markOf(1)), ask(cancelOf(9)), ask(cancelOf(8))]
    await world.settle()
    expect(groups).toEqual([['mark-started'], ['cancel', 'cancel'], ['append', 'append']])
    expect(await Promise.all(answers)).toMatchObject([
      { ok: true, seqs: [1] },
      { ok: true, seqs: [2] },
      { ok: false, why: 'not-found' },
      { outcome: 'notFound' },
      { outcome: 'notFound' },
    ])
  })

  it('lets a cancel pass whatever waits of appends', async () => {
    const gates: (() => void)[] = []
    const { world, groups, ask } = await stage({
      beforeWrite: (group) => {
        if (group[0]?.type !== 'append') return
        return new Promise<void>((resolve) => gates.push(resolve))
      },
    })
    const first = ask(appendOf(1))
    await world.settle()
    const waiting = Array.from({ length: 2_000 }, (_, n) => ask(appendOf(n + 10)))
    await world.settle()
    const cancelled = ask(cancelOf(5))
    await world.settle()
    expect(await cancelled).toMatchObject({ outcome: 'notFound' })
    expect(groups).toEqual([['append'], ['cancel']])
    for (let i = 0; i < 20; i++) {
      for (const open of gates.splice(0)) open()
      await world.settle()
    }
    for (const one of [first, ...waiting]) expect(await one).toMatchObject({ ok: true })
  })

  it('sends several large appends together, as many as their group may hold', async () => {
    const gates: (() => void)[] = []
    const { world, groups, ask } = await stage({
      beforeWrite: () => new Promise<void>((resolve) => gates.push(resolve)),
    })
    const rows = encodeRows([webhook(1)])
    const asked = [1_000, 1_000, 1_000, 1_000, 1_000, LARGE_GROUP_ROWS_MAX + 1, 301].map((count) =>
      ask({ type: 'append', count, rows }),
    )
    for (let group = 0; group < 5; group++) {
      await world.settle()
      gates.shift()?.()
    }
    await Promise.all(asked)
    expect(groups.map((group) => group.length)).toEqual([4, 1, 1, 1])
  })

  it('refuses appends beyond the bound of what may wait, and shows what waits of them in a table', async () => {
    let gate: () => void = () => undefined
    const { world, runtime, ask } = await stage({
      beforeWrite: (group) =>
        group[0]?.type === 'append' ? new Promise<void>((resolve) => (gate = resolve)) : undefined,
    })
    const rows = encodeRows([webhook(1)])
    // What it says of itself is all that is counted: the rows of ten batches need not be made.
    const batch = { type: 'append', count: STORE_WAITING_ROWS_MAX, rows } as const
    const held = ask(batch)
    await world.settle()
    const load = runtime.table<string, StoreLoadShown>(STORE_LOAD_TABLE).get(ONE)
    expect(load?.large).toMatchObject({ rows: STORE_WAITING_ROWS_MAX, bytes: rows.length, sentMono: world.monoNow() })
    expect(await ask(appendOf(2))).toEqual({ ok: false, failed: 'crowded' })
    expect(await ask(cancelOf(2))).toMatchObject({ outcome: 'notFound' })
    gate()
    await world.settle()
    expect(await held).toBeDefined()
    expect(load?.large).toMatchObject({ rows: 0, bytes: 0, sentMono: null })
    const small = ask(appendOf(2))
    await world.settle()
    gate()
    expect(await small).toMatchObject({ ok: true })
  })

  it('counts what waits down again when the store refuses it', async () => {
    const { world, runtime, ask } = await stage({
      beforeWrite: () => {
        throw new StoreError('full', 'no space')
      },
    })
    const refused = ask(appendOf(1, 2, 3))
    await world.settle()
    expect(await refused).toEqual({ ok: false, failed: 'full' })
    const load = runtime.table<string, StoreLoadShown>(STORE_LOAD_TABLE).get(ONE)
    expect(load?.promised).toMatchObject({ rows: 0, bytes: 0, sentMono: null })
  })

  it('begins at nothing again after its death: who waited sends again', async () => {
    const { world, runtime, ask } = await stage({ beforeWrite: () => new Promise(() => undefined) })
    ask(appendOf(1, 2, 3)).catch(() => undefined)
    await world.settle()
    const shown = (): number =>
      runtime.table<string, StoreLoadShown>(STORE_LOAD_TABLE).get(ONE)?.promised.rows ?? Number.NaN
    expect(shown()).toBe(3)
    const keeper = runtime.whereis(storeKeeper)
    if (keeper !== null) runtime.exit(keeper, 'kill')
    await world.settle()
    expect(shown()).toBe(0)
  })

  it('sends the next group as soon as the previous one has returned, and marks pass a large append', async () => {
    const gates: (() => void)[] = []
    const { world, groups, ask } = await stage({
      beforeWrite: (group) => {
        if (group[0]?.type !== 'append') return
        return new Promise<void>((resolve) => gates.push(resolve))
      },
    })
    const large = ask(appendOf(...Array.from({ length: 301 }, (_, n) => n + 1_000)))
    await world.settle()
    const small = [ask(appendOf(1)), ask(appendOf(2))]
    await world.settle()
    const late = [ask(appendOf(3)), ask(appendOf(4))]
    const mark = ask(markOf(9))
    await world.settle()
    expect(await mark).toEqual({ ok: false, why: 'not-found' })
    expect(groups.map((group) => group.length)).toEqual([1, 2, 1])
    gates[1]?.()
    await world.settle()
    expect(groups.at(-1)).toEqual(['append', 'append'])
    for (const open of gates) open()
    await world.settle()
    await Promise.all([large, ...small, ...late])
  })

  it('answers promises that meet a full disk with `full`, and keeps marks until there is space', async () => {
    let isFull = false
    const { world, events, ask } = await stage({
      beforeWrite: () => {
        if (isFull) throw new StoreError('full', 'no space left')
      },
    })
    await ask(appendOf(1, 2))
    isFull = true
    const promise = ask(appendOf(3))
    const mark = ask(markOf(1))
    await world.settle()
    expect(await promise).toEqual({ ok: false, failed: 'full' })
    await world.advance(60_000)
    isFull = false
    await world.advance(5_000)
    expect(await mark).toMatchObject({ ok: true })
    expect(events).toEqual(['store.opened open 1', 'store.failed full: no space left', 'store.opened writes again'])
  })

  it('opens the store again when its thread dies, and sends again what was not answered', async () => {
    let lose = false
    const held = await stage({
      afterWrite: () => {
        if (!lose) return
        lose = false
        held.disk.crash('thread died')
      },
    })
    await held.ask(appendOf(1))
    lose = true
    const answer = held.ask(appendOf(2))
    const mark = held.ask(markOf(1))
    await held.world.settle()
    expect(await answer).toMatchObject({ ok: true, seqs: [2] })
    expect(await mark).toMatchObject({ ok: true })
    expect(held.events).toContain('store.opened open 2')
    expect(held.disk.bySeq.size).toBe(2)
  })

  it('answers promises with a failure while the store cannot be opened, and comes back by itself', async () => {
    let isGone = false
    const { world, disk, ask } = await stage({
      beforeOpen: () => {
        if (isGone) throw new StoreError('io', 'no such device')
      },
    })
    await ask(appendOf(1))
    isGone = true
    disk.crash('device lost')
    await world.settle()
    const mark = ask(markOf(1))
    expect(await ask(appendOf(2))).toEqual({ ok: false, failed: 'closed' })
    await world.advance(30_000)
    isGone = false
    await world.advance(5_000)
    expect(await mark).toMatchObject({ ok: true })
    expect(await ask(appendOf(2))).toMatchObject({ ok: true })
  })

  it('says of a promise that it may be done, where its commit was durable, its answer lost, and the store cannot be opened again', async () => {
    let isGone = false
    const { world, disk, ask } = await stage(
      {
        beforeOpen: () => {
          if (isGone) throw new StoreError('io', 'no such device')
        },
      },
      (store) => ({
        write: async (group) => {
          const results = await store.write(group)
          if (!isGone) return results
          throw new StoreError('closed', 'the answer is lost')
        },
      }),
    )
    isGone = true
    const answer = ask(appendOf(1))
    await world.settle()
    expect(await answer).toEqual({ ok: false, failed: 'closed', mayBeDone: true })
    expect(disk.bySeq.size).toBe(1)
    expect(await ask(appendOf(2)), 'never under way').toEqual({ ok: false, failed: 'closed' })
    isGone = false
    await world.advance(5_000)
    expect(await ask(appendOf(1))).toMatchObject({ ok: true })
    expect(disk.bySeq.size).toBe(1)
  })

  it('tells that it takes no writes whenever it had told that it is open: who is asked whether he is ready knows it from there', async () => {
    let losses = 0
    const { world, events, ask } = await stage({
      afterWrite: () => {
        losses -= 1
        if (losses >= 0) throw new StoreError('closed', 'the answer is lost')
      },
    })
    await ask(appendOf(1))
    losses = 2
    const mark = ask(markOf(1))
    await world.settle()
    await world.advance(STORE_RETRY_MS_MAX)
    expect(await mark).toMatchObject({ ok: true })
    expect(events).toEqual([
      'store.opened open 1',
      'store.failed closed: the answer is lost',
      'store.opened open 2',
      'store.failed closed: the answer is lost',
      'store.opened open 3',
      'store.opened writes again',
    ])
  })

  it('tells of every try to open that fails, with its reason, never more than STORE_RETRY_MS_MAX apart (SUPV-02)', async () => {
    let isGone = false
    const tries: number[] = []
    const { world, disk, events } = await stage({
      beforeOpen: () => {
        if (!isGone) return
        tries.push(world.monoNow())
        throw new StoreError('io', 'no such device')
      },
    })
    isGone = true
    disk.crash('device lost')
    await world.advance(60_000)
    const waits = tries.slice(1).map((mono, index) => mono - (tries[index] ?? 0))
    expect(Math.max(...waits)).toBe(STORE_RETRY_MS_MAX)
    expect(tries.length).toBeGreaterThan(60_000 / STORE_RETRY_MS_MAX)
    expect(events.slice(1)).toEqual(['store.failed device lost', ...tries.map(() => 'store.failed no such device')])
    isGone = false
    await world.advance(STORE_RETRY_MS_MAX)
    expect(events.at(-1)).toMatch(/^store.opened open/)
  })

  it('tells of a store that ended before it was taken into use', async () => {
    let isDoomed = false
    const held = await stage({}, (store) => {
      if (isDoomed) held.disk.crash('its thread died at once')
      isDoomed = false
      return { close: () => store.close() }
    })
    isDoomed = true
    held.disk.crash('thread died')
    await held.world.settle()
    expect(held.events.at(-1)).toBe('store.failed it ended as soon as it was opened')
    await held.world.advance(STORE_RETRY_MS_MAX)
    expect(await held.ask(appendOf(1))).toMatchObject({ ok: true })
  })

  it('refuses the one operation that can never be taken, and writes the others', async () => {
    const { world, ask } = await stage()
    const bad = { type: 'append', count: 1, rows: new Uint8Array([1]) } as const
    const answers = [ask(appendOf(1)), ask(bad), ask(appendOf(2))]
    await world.settle()
    expect(await Promise.all(answers)).toMatchObject([{ ok: true }, { ok: false, failed: 'invalid' }, { ok: true }])
  })

  it('gives a promise up that was under way each time the store died', async () => {
    const held = await stage({
      beforeWrite: (group) => {
        if (group[0]?.type === 'append') held.disk.crash('thread died')
      },
    })
    const answer = held.ask(appendOf(1))
    await held.world.advance(10_000)
    expect(await answer).toEqual({ ok: false, failed: 'io', mayBeDone: true })
    expect(await held.ask(markOf(1))).toEqual({ ok: false, why: 'not-found' })
  })

  it('closes the store at its death, and its successor opens it', async () => {
    const { world, disk, runtime, ask, events } = await stage()
    await ask(appendOf(1))
    runtime.exit(storeKeeper, 'kill')
    await world.settle()
    expect(events).toEqual(['store.opened open 1', 'store.opened open 1'])
    expect(await ask(markOf(1))).toMatchObject({ ok: true })
    expect(disk.started.size).toBe(1)
  })

  it('waits at boot for a store that is locked, and gives up at once on a corrupt one', async () => {
    const disk = new MemoryDisk()
    let tries = 0
    const locked = await stage({
      beforeOpen: () => {
        if (tries++ < 5) throw new StoreError('locked', 'held')
      },
    })
    await locked.world.advance(10_000)
    expect((await locked.starting).ok).toBe(true)
    const corrupt = await stage({
      beforeOpen: () => {
        throw new StoreError('corrupt', 'hookpulse.db is damaged')
      },
    })
    expect(await corrupt.starting).toMatchObject({ ok: false })
    expect(corrupt.events).toEqual(['store.failed hookpulse.db is damaged'])
    expect(disk.nextSeq).toBe(1)
  })

  it('writes what waits before it stops', async () => {
    const { world, runtime, disk, ask } = await stage()
    const answer = ask(appendOf(1))
    const stopped = runtime.stop('root', 'shutdown')
    await world.settle()
    await stopped
    expect(await answer).toMatchObject({ ok: true })
    expect(disk.bySeq.size).toBe(1)
  })
})

describe('outcomes', () => {
  const started = async (...numbers: readonly number[]) => {
    const staged = await stage()
    const appended = staged.ask(appendOf(...numbers))
    await staged.world.settle()
    await appended
    return staged
  }

  it('go at once when no mark has been written lately', async () => {
    const { world, groups, ask } = await started(1)
    const marked = ask(markOf(1))
    await world.settle()
    await marked
    await world.advance(OUTCOME_RIDE_MS + 1)
    const recorded = ask(outcomeOf(1))
    await world.settle()
    expect(groups.at(-1)).toEqual(['record-outcome'])
    expect(await recorded).toMatchObject({ ok: true })
  })

  it('ride with the next mark while marks come', async () => {
    const { world, groups, ask } = await started(1, 2)
    const answers = [ask(markOf(1))]
    await world.settle()
    answers.push(ask(outcomeOf(1)))
    await world.advance(1)
    expect(groups.at(-1)).toEqual(['mark-started'])
    answers.push(ask(markOf(2)))
    await world.settle()
    expect(groups.at(-1)).toEqual(['record-outcome', 'mark-started'])
    expect(await Promise.all(answers)).toMatchObject([{ ok: true }, { ok: true }, { ok: true }])
  })

  it('wait for one no longer than their time', async () => {
    const { world, groups, ask } = await started(1)
    void ask(markOf(1))
    await world.settle()
    const recorded = ask(outcomeOf(1))
    await world.advance(OUTCOME_RIDE_MS - 1)
    expect(groups.at(-1)).toEqual(['mark-started'])
    await world.advance(1)
    expect(groups.at(-1)).toEqual(['record-outcome'])
    expect(await recorded).toMatchObject({ ok: true })
  })

  it('go by themselves when they are many', async () => {
    const numbers = Array.from({ length: OUTCOMES_RIDE_MAX }, (_, index) => index + 1)
    const { world, groups, ask } = await started(...numbers)
    for (const n of numbers) void ask(markOf(n))
    await world.settle()
    for (const n of numbers) void ask(outcomeOf(n))
    await world.settle()
    expect(groups.at(-1)).toEqual(numbers.map(() => 'record-outcome'))
  })

  it('that ride are written when the store-keeper stops', async () => {
    const { world, groups, runtime, ask } = await started(1)
    void ask(markOf(1))
    await world.settle()
    void ask(outcomeOf(1))
    await world.settle()
    const stopped = runtime.stop('root', 'shutdown')
    await world.settle()
    await stopped
    expect(groups.at(-1)).toEqual(['record-outcome'])
  })
})

describe('a store that is gone when the store-keeper stops', () => {
  it('waits for its next try: it is opened at once, and what is known is written', async () => {
    let isLost = false
    const { world, disk, runtime, ask } = await stage({
      afterWrite: () => {
        if (isLost) throw new StoreError('closed', 'the answer is lost')
      },
      beforeWrite: () => {
        if (isLost) throw new StoreError('closed', 'the thread is gone')
      },
    })
    await ask(appendOf(1))
    await ask(markOf(1))
    isLost = true
    void ask(outcomeOf(1))
    await world.advance(1_000)
    expect(disk.byId.get(idOf(1))?.state).toBe('live')
    isLost = false
    const stopped = runtime.stop('root', 'shutdown')
    await world.settle()
    await stopped
    expect(disk.byId.get(idOf(1))?.state).toBe('delivered')
  })

  it.each(['closed', 'io'] as const)(
    'goes with the group that was under way (%s): it is written once more',
    async (code) => {
      let release = (): void => undefined
      let fails = false
      const { world, disk, events, runtime, ask } = await stage({
        beforeWrite: (group) => {
          if (!fails || group[0]?.type !== 'record-outcome') return
          fails = false
          return new Promise<void>((_, reject) => {
            release = () => reject(new StoreError(code, 'the thread is gone'))
          })
        },
      })
      await ask(appendOf(1))
      await ask(markOf(1))
      fails = true
      void ask(outcomeOf(1))
      await world.advance(1_000)
      const stopped = runtime.stop('root', 'shutdown')
      await world.settle()
      release()
      await world.settle()
      await stopped
      expect(disk.byId.get(idOf(1))?.state).toBe('delivered')
      // Its page cache may claim what is not on disk (D7).
      expect(events.at(-1)).toBe('store.opened open 2')
    },
  )

  it('and cannot be opened: it ends all the same', async () => {
    let isGone = false
    const { world, disk, runtime, ask } = await stage({
      beforeOpen: () => {
        if (isGone) throw new StoreError('io', 'no such device')
      },
    })
    await ask(appendOf(1))
    isGone = true
    disk.crash('device lost')
    await world.settle()
    const mark = ask(markOf(1)).catch(String)
    await world.settle()
    const stopped = runtime.stop('root', 'shutdown')
    await world.settle()
    await stopped
    expect(await mark).toContain('shutdown')
    expect(disk.byId.get(idOf(1))?.attempts).toBe(0)
  })
})

describe('an old store that does not close in order', () => {
  it('is told of, and does not keep the store-keeper from opening a new one', async () => {
    const held = await stage({}, (store) => ({
      close: async () => {
        await store.close()
        throw new Error('the thread was gone already')
      },
    }))
    await held.ask(appendOf(1))
    held.disk.crash('thread died')
    await held.world.settle()
    expect(await held.ask(markOf(1))).toMatchObject({ ok: true })
    expect(await held.ask(appendOf(2))).toMatchObject({ ok: true })
    expect(held.events).toContain('store.failed the old store did not close: the thread was gone already')
  })
  it('nor does one that throws instead of opening', async () => {
    let isBroken = false
    const held = await stage({
      beforeOpen: () => {
        if (isBroken) throw new TypeError('no such worker')
      },
    })
    await held.ask(appendOf(1))
    isBroken = true
    held.disk.crash('thread died')
    await held.world.advance(60_000)
    isBroken = false
    await held.world.advance(5_000)
    expect(await held.ask(markOf(1))).toMatchObject({ ok: true })
  })
})

describe('a disk that fails (D7)', () => {
  const failing = () => {
    let failsNext: StoreError | null = null
    const fail = (code: StoreErrorCode = 'io') => {
      failsNext = new StoreError(code, 'disk I/O error')
    }
    const faults: MemoryFaults = {
      beforeWrite: (group) => {
        const error = failsNext
        if (error === null || group[0]?.type === 'expire') return
        failsNext = null
        throw error
      },
    }
    return { fail, faults }
  }
  it.each(['io', 'corrupt'] as const)(
    '%s: opened again through recovery before anything more is acknowledged',
    async (code) => {
      const { fail, faults } = failing()
      const { world, events, groups, ask } = await stage(faults)
      await ask(appendOf(1))
      fail(code)
      const order: string[] = []
      const answers = [ask(appendOf(2)), ask(markOf(1))].map((answer) =>
        answer.then(() => order.push(...events.splice(0))),
      )
      await world.settle()
      await Promise.all(answers)
      const reopened = ['store.opened open 1', `store.failed ${code}: disk I/O error`, 'store.opened open 2']
      expect(order.slice(0, 3)).toEqual(reopened)
      expect(groups.filter(([type]) => type === 'append')).toHaveLength(3)
    },
  )
  it('three times within ten minutes: nothing more is acknowledged, and root gives up with the reason', async () => {
    const { fail, faults } = failing()
    const { world, reports, ended, ask } = await stage(faults)
    for (const n of [1, 2]) {
      fail()
      const answer = ask(appendOf(n))
      await world.advance(DISK_FAILURES_MS / 3)
      expect(await answer).toMatchObject({ ok: true })
    }
    fail()
    const answer = ask(appendOf(3))
    await world.advance(1)
    expect(await answer).toEqual({ ok: false, failed: 'io', mayBeDone: true })
    expect(await ended).toBe('shutdown')
    expect(reports.map((report) => report.type)).toContain('supervisor-gave-up')
    const failedStart = reports.find((report) => report.type === 'child-start-failed')
    expect(JSON.stringify(failedStart, reasonText)).toContain("the store's disk failed 3 times within 10 min")
  })
  it('three times in longer than that: it goes on; so it does when threads die for other reasons', async () => {
    const { fail, faults } = failing()
    const { world, ask } = await stage(faults)
    for (let n = 1; n <= 6; n++) {
      fail()
      expect(await ask(appendOf(n))).toMatchObject({ ok: true })
      await world.advance(DISK_FAILURES_MS / 2 + 1)
    }
    for (let n = 7; n <= 20; n++) {
      fail('closed')
      const answer = ask(appendOf(n))
      await world.advance(STORE_RETRY_MS_MAX)
      expect(await answer).toMatchObject({ ok: true })
    }
  })
  it('is counted over the deaths of the store-keeper', async () => {
    const { fail, faults } = failing()
    const { world, runtime, ended, ask } = await stage(faults)
    for (const n of [1, 2]) {
      fail()
      await ask(appendOf(n))
      runtime.exit(storeKeeper, 'kill')
      await world.settle()
    }
    fail()
    const answer = ask(appendOf(3))
    await world.settle()
    expect(await answer).toEqual({ ok: false, failed: 'io', mayBeDone: true })
    expect(await ended).toBe('shutdown')
  })
  it('a store that is found corrupt when it is opened again is not tried for ever', async () => {
    let isCorrupt = false
    const { world, disk, ended } = await stage({
      beforeOpen: () => {
        if (isCorrupt) throw new StoreError('corrupt', 'hookpulse.db is damaged')
      },
    })
    isCorrupt = true
    disk.crash('thread died')
    await world.settle()
    expect(await ended).toBe('shutdown')
  })
})
const reasonText = (_key: string, value: unknown): unknown => (value instanceof Error ? value.message : value)

describe('expiry', () => {
  it('ends what has waited for too long in batches, without being asked, and tells each once', async () => {
    const { world, disk, groups, events, ask } = await stage()
    const now = world.wallNow()
    const rows = Array.from({ length: 500 }, (_, n) => webhook(n + 1, n === 499 ? now + 3_600_000 : now + 100))
    await ask({ type: 'append', count: rows.length, rows: encodeRows(rows) })
    await world.advance(2 * EXPIRE_EVERY_MS)
    expect([...disk.byId.values()].filter((row) => row.state === 'live').map((row) => row.id)).toEqual([idOf(500)])
    expect(groups.filter((group) => group[0] === 'expire').length).toBeGreaterThanOrEqual(3)
    const told = events.filter((event) => event.startsWith('expired '))
    expect(told).toEqual(Array.from({ length: 499 }, (_, n) => `expired ${idOf(n + 1)}`))
  })
  it('goes on after the store was away', async () => {
    let isGone = false
    const { world, disk, ask } = await stage({
      beforeOpen: () => {
        if (isGone) throw new StoreError('io', 'no such device')
      },
    })
    const row = webhook(1, world.wallNow() + 5_000)
    await ask({ type: 'append', count: 1, rows: encodeRows([row]) })
    isGone = true
    disk.crash('device lost')
    await world.advance(20_000)
    isGone = false
    await world.advance(10_000)
    expect(disk.byId.get(idOf(1))?.state).toBe('expired')
  })
})

describe('the look for damage', () => {
  const damaged = (asked: string[]) => (store: Store) => {
    const read = async (query: Parameters<Store['read']>[0]) => {
      if (query.type !== 'check') return store.read(query)
      asked.push(query.type)
      return { problems: ['/data/hookpulse.db: webhook 7 is damaged', '/data/hookpulse.db: 1 webhooks of no lane'] }
    }
    return { read } as Partial<Store>
  }
  it('happens again every week, and not while something is being written', async () => {
    const asked: string[] = []
    const gates: (() => void)[] = []
    const hold: MemoryFaults = {
      beforeWrite: (group) =>
        group[0]?.type === 'append' ? new Promise<void>((resolve) => gates.push(resolve)) : undefined,
    }
    const { world, ask } = await stage(hold, damaged(asked))
    const answer = ask(appendOf(1))
    await world.advance(3 * CHECK_AFTER_MS)
    expect(asked).toEqual([])
    for (const open of gates) open()
    await world.settle()
    await answer
    await world.advance(CHECK_AFTER_MS)
    expect(asked).toEqual(['check'])
    world.jump(CHECK_EVERY_MS - CHECK_AFTER_MS)
    await world.advance(2 * CHECK_AFTER_MS)
    expect(asked).toEqual(['check', 'check'])
  })
  it('happens once, a while after boot, and names the file and what is wrong', async () => {
    const asked: string[] = []
    const { world, disk, events } = await stage({}, damaged(asked))
    await world.advance(CHECK_AFTER_MS - 1)
    expect(asked).toEqual([])
    await world.advance(CHECK_AFTER_MS)
    disk.crash('thread died')
    await world.advance(10 * CHECK_AFTER_MS)
    expect(asked).toEqual(['check'])
    expect(events.filter((event) => event.includes('damaged'))).toEqual([
      'store.damaged /data/hookpulse.db: webhook 7 is damaged; /data/hookpulse.db: 1 webhooks of no lane',
    ])
  })
  it('is asked for again if the store went away meanwhile, and says nothing of what is well', async () => {
    let tries = 0
    const { world, events } = await stage({
      beforeRead: (query) => {
        if (query.type === 'check' && tries++ < 2) throw new StoreError('closed', 'the store is closed')
      },
    })
    await world.advance(10 * CHECK_AFTER_MS)
    expect(tries).toBe(3)
    expect(events).toEqual(['store.opened open 1'])
  })
})

describe('retention', () => {
  it('removes what finished more than 7 days ago, in batches, without being asked', async () => {
    const { world, disk, groups, ask } = await stage()
    const numbers = Array.from({ length: 500 }, (_, n) => n + 1)
    await ask(appendOf(...numbers))
    const now = world.wallNow()
    await Promise.all(numbers.map((n) => ask({ ...cancelOf(n), at: n === 500 ? now : now - RETENTION_MS })))
    await world.advance(2 * PRUNE_EVERY_MS)
    expect([...disk.byId.keys()]).toEqual([idOf(500)])
    expect(groups.filter((group) => group[0] === 'prune').length).toBeGreaterThanOrEqual(3)
  })
  it('LOAD-10: tells once of a brand whose dead letters come near their bound, and of every one that is dropped', async () => {
    const crowded: (readonly string[] | null)[] = [[], ['acme'], ['acme'], null, ['acme', 'b'], ['b'], ['acme', 'b']]
    const dropped = [[], [], [{ brand: 'acme', count: 7 }], [{ brand: 'acme', count: 2 }]]
    const asked: WriteOp[] = []
    const { world, events } = await stage({}, (store) => ({
      write: async (group) => {
        if (group[0]?.type !== 'prune') return store.write(group)
        asked.push(...group)
        const answer = { ok: true, pruned: 0, more: false, dropped: dropped.shift() ?? [], crowded: crowded.shift() }
        return [answer] as never
      },
    }))
    const tell = async (): Promise<readonly string[]> => {
      const before = events.length
      await world.advance(PRUNE_EVERY_MS)
      return events.slice(before)
    }
    expect(await tell()).toEqual([])
    expect(asked).toMatchObject([{ deadMax: DEAD_LETTERS_BRAND_MAX }])
    expect(await tell()).toEqual(['dead-letters.crowded acme'])
    expect(await tell()).toEqual(['dead-letters.dropped acme 7'])
    expect(await tell()).toEqual(['dead-letters.dropped acme 2'])
    expect(await tell()).toEqual(['dead-letters.crowded b'])
    expect(await tell()).toEqual([])
    expect(await tell()).toEqual(['dead-letters.crowded acme'])
  })
})
