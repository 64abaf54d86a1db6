/** Lanes and windows against the simplest model that could be right: a sorted list. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compareDue,
  countBefore,
  emptyLane,
  headOf,
  insert,
  laneSize,
  removeFrom,
  tailOf,
  takeHead,
  takeTail,
} from '#guard/lane.ts'
import { caughtUp, dropWaiting, emptyQueues, fillWindow, offerDue, wantMore, windowAt } from '#guard/queues.ts'
import type { Due } from '#webhook/webhook.ts'

const due = (seq: number, nextAt: number, attempts = 0): Due => ({
  id: `msg_${seq}`,
  seq,
  nextAt,
  brand: 'acme',
  domain: 'api.example.com',
  priority: 'normal',
  attempts,
  timeoutMs: 1_000,
  expiresAt: null,
})

type Step = { readonly do: 'insert' | 'remove'; readonly nextAt: number } | { readonly do: 'head' | 'tail' }
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constantFrom('insert' as const, 'remove' as const), nextAt: fc.nat(20) }),
    fc.record({ do: fc.constantFrom('head' as const, 'tail' as const) }),
  ),
  { maxLength: 400 },
)

describe('a lane', () => {
  it('behaves as a sorted list', () => {
    fc.assert(
      fc.property(steps, (all: readonly Step[]) => {
        const lane = emptyLane()
        const model: Due[] = []
        for (const [seq, step] of all.entries()) {
          if (step.do === 'insert') {
            const one = due(seq, step.nextAt)
            insert(lane, one)
            model.push(one)
            model.sort(compareDue)
          } else if (step.do === 'remove') {
            const victim = model.find(({ nextAt }) => nextAt === step.nextAt)
            if (victim === undefined) continue
            expect(countBefore(lane, victim)).toBe(model.indexOf(victim))
            expect(removeFrom(lane, victim)).toBe(true)
            model.splice(model.indexOf(victim), 1)
          } else if (step.do === 'head') expect(takeHead(lane)).toEqual(model.shift())
          else expect(takeTail(lane)).toEqual(model.pop())
          expect(laneSize(lane)).toBe(model.length)
          expect(headOf(lane)).toEqual(model[0])
        }
      }),
      { numRuns: 60 },
    )
  })
  it('holds an entry once', () => {
    const lane = emptyLane()
    expect([insert(lane, due(1, 5)), insert(lane, due(1, 5))]).toEqual([true, false])
    expect(laneSize(lane)).toBe(1)
  })
})

describe('a window', () => {
  const filled = (count: number, max: number) => {
    const queues = emptyQueues('api.example.com', max)
    for (let seq = 1; seq <= count; seq += 1) offerDue(queues, due(seq, seq * 10), 0)
    return { queues, window: windowAt(queues, { brand: 'acme', priority: 'normal', kind: 'first' }) }
  }
  it('keeps its bound and leaves the tail to the store', () => {
    const { queues, window } = filled(10, 4)
    expect(laneSize(window.lane)).toBe(4)
    expect(queues.waiting.size).toBe(4)
    expect(window.more).toBe(true)
    expect(tailOf(window.lane)?.seq).toBe(4)
  })
  it('takes an earlier row and evicts the tail, and leaves a later one (D-1)', () => {
    const { queues, window } = filled(10, 4)
    offerDue(queues, due(11, 5), 0)
    expect(headOf(window.lane)?.seq).toBe(11)
    expect(tailOf(window.lane)?.seq).toBe(3)
    offerDue(queues, due(12, 35), 0)
    expect(queues.waiting.has('msg_12')).toBe(false)
    expect(queues.waiting.size).toBe(4)
  })
  it('takes nothing past what it has not read, even when it is empty', () => {
    const { queues, window } = filled(0, 4)
    wantMore(queues, window)
    offerDue(queues, due(1, 10), 0)
    expect(queues.waiting.size).toBe(0)
    caughtUp(queues, window)
    offerDue(queues, due(1, 10), 0)
    expect(queues.waiting.size).toBe(1)
  })
  it('is refilled from the head of the lane, without what is held', () => {
    const { queues, window } = filled(10, 4)
    for (const id of ['msg_1', 'msg_2', 'msg_3']) dropWaiting(queues, id)
    const rows = [4, 5, 6, 7, 8].map((seq) => due(seq, seq * 10))
    expect(fillWindow(queues, window, { rows, more: false }, ({ seq }) => seq === 6)).toEqual({ taken: 3, left: false })
    expect([...queues.waiting.keys()].sort()).toEqual(['msg_4', 'msg_5', 'msg_7', 'msg_8'])
    expect(fillWindow(queues, window, { rows: [due(9, 90)], more: false }, () => false)).toEqual({
      taken: 0,
      left: true,
    })
  })
  it('a row that was missed is found by the next refill, before the tail', () => {
    const { queues, window } = filled(4, 4)
    expect(fillWindow(queues, window, { rows: [due(9, 15)], more: false }, () => false)).toEqual({
      taken: 1,
      left: true,
    })
    expect(tailOf(window.lane)?.seq).toBe(3)
    expect(window.more).toBe(true)
  })
  it('has no gap after a read: what was told before it goes back behind what is only in the store', () => {
    const { queues, window } = filled(0, 4)
    offerDue(queues, due(99, 990), 0)
    fillWindow(queues, window, { rows: [due(1, 10), due(2, 20)], more: true }, () => false)
    expect([...queues.waiting.keys()]).toEqual(['msg_1', 'msg_2'])
  })
  it('a newer word about a webhook replaces the older one', () => {
    const { queues, window } = filled(2, 4)
    offerDue(queues, { ...due(1, 30), attempts: 1 }, 0)
    expect(headOf(window.lane)?.seq).toBe(2)
    const retries = windowAt(queues, { brand: 'acme', priority: 'normal', kind: 'retry' })
    expect([laneSize(window.lane), laneSize(retries.lane)]).toEqual([1, 1])
    expect(queues.waiting.get('msg_1')?.due.attempts).toBe(1)
  })
  it('holds fewer ids where many brands wait: a guard is bounded whatever the number of its lanes', () => {
    const queues = emptyQueues('api.example.com', 512)
    for (let brand = 0; brand < 400; brand += 1)
      for (let n = 0; n < 120; n += 1) {
        const seq = brand * 120 + n + 1
        offerDue(queues, { ...due(seq, n), brand: `brand-${brand}` }, 0)
      }
    expect(queues.waiting.size).toBeGreaterThan(30_000)
    expect(queues.waiting.size).toBeLessThanOrEqual(32_768 + 400 * 16)
    expect(queues.hungry.size).toBeGreaterThan(100)
  })
})
