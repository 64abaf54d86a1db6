/** What is admitted before it is due: nothing that anybody else may need meanwhile. */
import { expect, it } from 'vitest'
import { ATTEMPTS_IN_FLIGHT_MAX } from '#config/limits.ts'
import type { Ground } from '#guard/admission.ts'
import { isAtEase, startAhead } from '#guard/ahead.ts'
import { newConditions } from '#guard/conditions.ts'
import { emptyQueues, offerDue, queueOf } from '#guard/queues.ts'
import { DOMAIN, type ModelLimit, tableOf } from '#test/support/guard-model.ts'
import type { Due } from '#webhook/webhook.ts'

const NOW = 1_000
const DUE_AT = 1_008
const due = (seq: number, change: Partial<Due> = {}): Due => ({
  id: `msg_${seq}`,
  seq,
  nextAt: DUE_AT,
  brand: 'acme',
  domain: DOMAIN,
  priority: 'normal',
  attempts: 0,
  timeoutMs: 1_000,
  expiresAt: null,
  ...change,
})
const stage = (limits: readonly ModelLimit[] = [], nodeRoom = ATTEMPTS_IN_FLIGHT_MAX) => {
  const queues = emptyQueues(DOMAIN, 100)
  const ground: Ground = {
    limits: tableOf(limits),
    limitsVersion: 1,
    rates: new Map(),
    unknownSinceMono: Number.NEGATIVE_INFINITY,
    conditions: newConditions(),
    nodeRoom,
    nodeAgainMs: 20,
    nowMono: NOW,
    nowAt: NOW,
  }
  return { queues, ground }
}
const admitted = ({ queues, ground }: ReturnType<typeof stage>, count: number, change: Partial<Due> = {}): number => {
  let started = 0
  for (let seq = 0; seq < count && isAtEase(queues, ground); seq++) {
    const start = startAhead(queues, due(seq, change), DUE_AT, ground)
    if (start === null) break
    expect(start).toMatchObject({ atMono: DUE_AT, enteredAt: DUE_AT })
    started += 1
  }
  expect(queues.inFlight).toBe(started)
  return started
}

it.each<readonly [string, readonly ModelLimit[], number, number]>([
  ['of a hundred slots, half', [{ kind: 'concurrency', value: 100 }], ATTEMPTS_IN_FLIGHT_MAX, 50],
  ['the last slot never', [{ kind: 'concurrency', value: 1 }], ATTEMPTS_IN_FLIGHT_MAX, 0],
  ['nothing of a paused domain', [{ kind: 'pause', value: 1 }], ATTEMPTS_IN_FLIGHT_MAX, 0],
  ['nothing of a rate of the domain', [{ kind: 'rate', value: 1_000 }], ATTEMPTS_IN_FLIGHT_MAX, 0],
  ['nothing of a rate of the brand', [{ kind: 'rate', brand: 'acme', value: 1_000 }], ATTEMPTS_IN_FLIGHT_MAX, 0],
  [
    'of a share of the domain, half',
    [
      { kind: 'concurrency', value: 100 },
      { kind: 'concurrency', brand: 'acme', value: 10 },
    ],
    ATTEMPTS_IN_FLIGHT_MAX,
    5,
  ],
  [
    'nothing that a brand-limiter has to grant',
    [{ kind: 'concurrency', brand: 'acme', overall: true, value: 10 }],
    ATTEMPTS_IN_FLIGHT_MAX,
    0,
  ],
  ['of the node, half', [{ kind: 'concurrency', value: 100 }], ATTEMPTS_IN_FLIGHT_MAX / 2 + 3, 3],
])('%s', (_what, limits, nodeRoom, count) => {
  expect(admitted(stage(limits, nodeRoom), 200)).toBe(count)
})

it('nothing while somebody who is due waits', () => {
  const one = stage([{ kind: 'concurrency', value: 100 }])
  offerDue(one.queues, due(0, { nextAt: NOW }), NOW)
  expect(admitted(one, 10)).toBe(0)
})

it('nothing that expires before it is due', () => {
  expect(admitted(stage(), 1, { expiresAt: DUE_AT - 1 })).toBe(0)
  expect(admitted(stage(), 1, { expiresAt: DUE_AT + 1 })).toBe(1)
})

it('counts it against the brand as well', () => {
  const one = stage()
  admitted(one, 3)
  expect(queueOf(one.queues, 'acme').inFlight).toBe(3)
})
