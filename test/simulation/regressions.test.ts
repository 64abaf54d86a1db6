/** Sequences that the simulator has found, each alone: the cure is in the commit that brought its test. */
import { describe, expect, it } from 'vitest'
import { guardOf } from '#actors/guard.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { WAKE_MAX_MS } from '#config/limits.ts'
import { shutDown } from '#main/shutdown.ts'
import { admitRow, createHorizon, mergePage, stepBack, takeDue, wishPage } from '#schedule/horizon.ts'
import { applyOp } from '#store/memory/memory-writes.ts'
import { StoreError } from '#store/store.ts'
import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import type { Due, RetryPolicy } from '#webhook/webhook.ts'

const RETRY: RetryPolicy = {
  maxAttempts: 5,
  backoff: 'fixed',
  initialDelayMs: 1_000,
  maxDelayMs: 1_000,
  jitter: 0,
  inDoubt: 'retry',
}
const killExecutions = (daemon: VirtualDaemon): void => {
  for (const pid of daemon.runtime.processesOf('execution')) daemon.runtime.exit(pid, 'kill')
}
const inDoubt = (daemon: VirtualDaemon): number =>
  daemon.events.filter((event) => event.type === 'attempt.in-doubt').length

describe('an execution that is killed', () => {
  it('with the report in its mailbox: the attempt is in doubt, not unsent', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 40 }) })
    await daemon.start()
    daemon.world.armFailpoint('dispatch-pool.reported', () => killExecutions(daemon))
    const [id = ''] = await daemon.schedule([{}])
    await daemon.world.advance(30_000)
    expect(daemon.stateOf(id)).toBe('delivered')
    expect(daemon.network.arrivals.map(({ attempt }) => attempt)).toEqual([1, 2])
    expect(inDoubt(daemon)).toBe(1)
  })
})

describe('an attempt that is found in doubt', () => {
  it.each([
    ['an execution', async (daemon: VirtualDaemon) => killExecutions(daemon)],
    [
      'the process',
      (daemon: VirtualDaemon) =>
        daemon
          .crash()
          .then(() => daemon.world.advance(9_000))
          .then(() => daemon.start()),
    ],
  ])('after the death of %s is told as of when it was started', async (_what, die) => {
    const daemon = new VirtualDaemon({ script: (_order, { arrival }) => (arrival === 0 ? { never: true } : {}) })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ inMs: 500, retry: RETRY }])
    await daemon.world.advance(2_000)
    await die(daemon)
    await daemon.world.advance(30_000)
    const row = daemon.disk.byId.get(id)
    const attempts = row?.history.map(({ attempt }) => attempt) ?? []
    expect(attempts.map(({ inDoubt: doubted }) => doubted)).toEqual([true, false])
    expect(attempts[0]?.startedAt).toBe(row?.at)
    expect(attempts[0]?.endedAt).toBeGreaterThanOrEqual((row?.at ?? Number.NaN) + 1_500)
  })
})

describe('a store-keeper that is killed while `limits` loads', () => {
  it('comes back: their supervisor is not kept waiting by the one for the other', async () => {
    let holds = false
    const daemon = new VirtualDaemon({
      faults: {
        beforeRead({ type }) {
          if (!holds || type !== 'limits') return undefined
          holds = false
          return new Promise(() => undefined)
        },
      },
    })
    await daemon.start()
    holds = true
    daemon.runtime.exit('limits', 'kill')
    await daemon.world.advance(10)
    daemon.runtime.exit('store-keeper', 'kill')
    await daemon.world.advance(1_000)
    const [id = ''] = await daemon.schedule([{}])
    await daemon.world.advance(1_000)
    expect(daemon.stateOf(id)).toBe('delivered')
  })
})

describe('a retry process that is killed with the answer to its write under way', () => {
  it('has a successor that decides the same: the webhook is not tried before the instant in the store', async () => {
    let kills = 0
    const nextAts: number[] = []
    const daemon = new VirtualDaemon({
      script: ({ attempt }) => ({ status: attempt === 1 ? 500 : 200 }),
      faults: {
        beforeWrite(group) {
          for (const op of group)
            if (op.type === 'record-outcome' && op.next.state === 'retrying') nextAts.push(op.next.nextAt)
        },
        afterWrite(group) {
          if (kills > 0 || !group.some(({ type }) => type === 'record-outcome')) return
          kills += 1
          daemon.runtime.exit('retries', 'kill')
        },
      },
    })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{}])
    await daemon.world.advance(30_000)
    expect(daemon.stateOf(id)).toBe('delivered')
    expect(nextAts).toHaveLength(2)
    expect(nextAts[0]).toBe(nextAts[1])
  })
})

describe('a brand limit that is taken away and set again', () => {
  it('counts what was admitted in between, at every domain', async () => {
    const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 1_000 }) })
    await daemon.start()
    const limit = (value: number | null): Promise<void> =>
      daemon.setLimit({ kind: 'concurrency', brand: 'acme', value })
    await limit(2)
    await daemon.schedule([{ domain: 'a.example', brand: 'acme' }])
    await daemon.world.advance(1_010)
    await limit(null)
    await daemon.schedule([1, 2, 3].map(() => ({ domain: 'a.example', brand: 'acme' })))
    await daemon.world.advance(100)
    await limit(2)
    await daemon.world.advance(1)
    await daemon.schedule([{ domain: 'b.example', brand: 'acme' }])
    await daemon.world.advance(500)
    expect(daemon.network.open('a.example')).toBe(3)
    expect(daemon.network.open('b.example')).toBe(0)
    await daemon.world.advance(5_000)
    expect(daemon.network.arrivals).toHaveLength(5)
  })
})

describe('an attempt of a dead process', () => {
  it('holds its brand permit for its time, also if a guard that knows of it is killed meanwhile', async () => {
    const daemon = new VirtualDaemon({ script: ({ attempt }) => ({ latencyMs: attempt === 1 ? 5_000 : 1 }) })
    await daemon.start()
    await daemon.setLimit({ kind: 'concurrency', brand: 'acme', value: 1 })
    await daemon.schedule([{ domain: 'a.example', brand: 'acme' }])
    await daemon.world.advance(10)
    await daemon.crash()
    await daemon.start()
    const restartedMono = daemon.world.monoNow()
    // One guard has the limiter started, the next one meets it with the dead process's attempt in its own books.
    await daemon.schedule([{ domain: 'b.example', brand: 'acme' }])
    await daemon.world.advance(100)
    await daemon.schedule([{ domain: 'a.example', brand: 'acme' }])
    await daemon.world.advance(100)
    daemon.runtime.exit(guardOf('a.example'), 'kill')
    await daemon.world.advance(10_000)
    const [, ...later] = daemon.network.arrivals
    expect(Math.min(...later.map(({ atMono }) => atMono))).toBeGreaterThanOrEqual(restartedMono + 1_000)
    expect(later.length).toBeGreaterThanOrEqual(2)
  })
})

describe('a store-keeper that is killed between two tries to open the store', () => {
  it('opens nothing any more: its successor has the store for itself', async () => {
    let refusals = 0
    const daemon = new VirtualDaemon({
      faults: {
        beforeOpen() {
          refusals -= 1
          if (refusals >= 0) throw new StoreError('locked', 'not yet')
        },
      },
    })
    await daemon.start()
    refusals = 1
    daemon.runtime.exit('store-keeper', 'kill')
    await daemon.world.advance(50)
    // The one that waits for its second try.
    refusals = 1
    daemon.runtime.exit('store-keeper', 'kill')
    await daemon.world.advance(5_000)
    const [id = ''] = await daemon.schedule([{}])
    await daemon.world.advance(5_000)
    expect(daemon.stateOf(id)).toBe('delivered')
  })
})

describe('a store whose thread dies again just after it was opened again', () => {
  it('is opened once more, also if nobody writes', async () => {
    let opens = 0
    const daemon: VirtualDaemon = new VirtualDaemon({
      faults: {
        beforeOpen() {
          opens += 1
          if (opens !== 2) return
          // As soon as it holds the disk, before its keeper has heard that it is open.
          let soon = Promise.resolve()
          for (let tick = 0; tick < 4; tick++) soon = soon.then(() => daemon.disk.crash('died again'))
        },
      },
    })
    await daemon.start()
    daemon.disk.crash('died')
    await daemon.world.advance(1_000)
    const answer = daemon.runtime.call(storeKeeper, { type: 'limits' })
    await daemon.world.settle()
    expect(await answer).toEqual({ ok: true, value: [] })
    expect(opens).toBe(3)
  })
})

describe('a clock that steps back', () => {
  it('while the head of a lane is read lets nothing start that is not due any more, and nothing be forgotten', async () => {
    let release = (): void => undefined
    let held: Promise<void> | undefined = new Promise((resolve) => {
      release = resolve
    })
    const daemon = new VirtualDaemon({
      faults: {
        beforeRead({ type }) {
          const waits = type === 'lane' ? held : undefined
          if (waits !== undefined) held = undefined
          return waits
        },
      },
    })
    await daemon.start()
    await daemon.schedule([{}])
    await daemon.world.advance(10)
    daemon.world.stepWall(-5_000)
    const [later = ''] = await daemon.schedule([{ inMs: 2_000 }])
    const dueMono = daemon.world.monoNow() + 2_000
    release()
    await daemon.world.advance(20_000)
    const starts = daemon.network.arrivals.filter(({ webhookId }) => webhookId === later)
    expect(starts).toHaveLength(1)
    expect(starts[0]?.atMono).toBeGreaterThanOrEqual(dueMono)
  })
  it('as a guard dies with what was due: it is found as soon as the step is seen, although it is due again by then', async () => {
    let steps: 'before' | 'stepped' | 'lost' = 'before'
    const daemon = new VirtualDaemon({
      faults: {
        beforeRead({ type }) {
          if (steps !== 'stepped' || type !== 'due-lanes') return
          steps = 'lost'
          daemon.runtime.exit('guards', 'kill')
        },
      },
    })
    await daemon.start()
    const [id = ''] = await daemon.schedule([{ inMs: 900 }])
    daemon.onEvent = ({ type }) => {
      if (steps !== 'before' || type !== 'guard.started') return
      steps = 'stepped'
      daemon.world.stepWall(-41)
    }
    await daemon.world.advance(900)
    expect(steps).toBe('lost')
    await daemon.world.advance(WAKE_MAX_MS + 100)
    expect(daemon.stateOf(id)).toBe('delivered')
    expect(daemon.network.arrivals).toHaveLength(1)
  })
  it('makes the horizon read again what it took for past', () => {
    const row = { brand: 'acme', domain: 'a.example', priority: 'normal' as const, attempts: 0, timeoutMs: 1_000 }
    const due = (seq: number, nextAt: number): Due => ({ ...row, id: `msg_${seq}`, seq, nextAt, expiresAt: null })
    const horizon = createHorizon(1_000, 100, 100)
    admitRow(horizon, due(1, 400), 1_000)
    admitRow(horizon, due(2, 900), 1_000)
    stepBack(horizon, 500)
    expect(takeDue(horizon, 500).map(({ id }) => id)).toEqual(['msg_1'])
    expect(wishPage(horizon, 500, 60_000)).toMatchObject({ after: { nextAt: 500 } })
    mergePage(horizon, [due(2, 900)], { nextAt: 60_500, seq: Number.MAX_SAFE_INTEGER }, 500)
    expect(takeDue(horizon, 900).map(({ id }) => id)).toEqual(['msg_2'])
  })
})

describe('an outcome that is recorded a second time, with another throw of the dice', () => {
  it('wakes the webhook at the instant that is in the store', async () => {
    const nextAts: number[] = []
    const daemon = new VirtualDaemon({
      script: ({ attempt }) => ({ status: attempt === 1 ? 500 : 200 }),
      faults: {
        // The first writer has died with the answer: whoever takes the attempt up decides anew.
        beforeWrite(group) {
          for (const op of group)
            if (op.type === 'record-outcome' && op.next.state === 'retrying' && nextAts.length === 0) {
              nextAts.push(op.next.nextAt + 700)
              applyOp(daemon.disk, { ...op, next: { ...op.next, nextAt: op.next.nextAt + 700 } }, 0)
            }
        },
      },
    })
    await daemon.start()
    await daemon.schedule([{ retry: { ...RETRY, maxAttempts: 2 } }])
    await daemon.world.advance(30_000)
    expect(nextAts).toHaveLength(1)
    expect(daemon.network.arrivals.map(({ at }) => at).slice(1)).toEqual(nextAts)
  })
})

describe('a stop while the store loses its answers', () => {
  it('takes back the marks of attempts that were never sent: nothing is in doubt in the next process', async () => {
    let isLosing = false
    const daemon = new VirtualDaemon({
      faults: {
        afterWrite(group) {
          if (isLosing && group.some(({ type }) => type === 'mark-started'))
            throw new StoreError('closed', 'written, and the answer is lost')
        },
      },
    })
    await daemon.start()
    const ids = await daemon.schedule(Array.from({ length: 3 }, () => ({ inMs: 1_000 })))
    isLosing = true
    // Its last try lies 100 ms back, the next is farther away than anything that a stop waits for.
    await daemon.world.advance(7_400)
    expect(daemon.disk.started.size).toBe(ids.length)
    const stopping = shutDown(daemon.runtime)
    await daemon.world.advance(1)
    isLosing = false
    await daemon.world.advance(20_000)
    await stopping
    expect(daemon.network.arrivals).toHaveLength(0)
    expect(daemon.disk.started.size).toBe(0)
    await daemon.crash()
    await daemon.start()
    await daemon.world.advance(30_000)
    expect(ids.map((id) => daemon.stateOf(id))).toEqual(ids.map(() => 'delivered'))
    expect(inDoubt(daemon)).toBe(0)
    expect(daemon.network.arrivals.map(({ attempt }) => attempt)).toEqual(ids.map(() => 1))
  })
})
