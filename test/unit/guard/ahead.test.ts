/** What a fast rate admits ahead of its instant, and where it does not. */
import { expect, it } from 'vitest'
import { type Ground, nextVerdict } from '#guard/admission.ts'
import { newConditions } from '#guard/conditions.ts'
import { emptyQueues, offerDue, queueOf } from '#guard/queues.ts'
import { ADMITTED_AHEAD_MS, NOMINAL_BACK_MS, type RateState, SHARED_AHEAD_MS } from '#guard/rate.ts'
import { DOMAIN, type ModelLimit, tableOf } from '#test/support/guard-model.ts'
import type { Brand } from '#webhook/webhook.ts'

const NOW = 1_000
const INTERVAL_MS = 10
const INSTANT = NOW - NOMINAL_BACK_MS + INTERVAL_MS
interface Case {
  readonly where: string
  readonly limits?: readonly ModelLimit[]
  readonly brands?: readonly Brand[]
  readonly nodeRoom?: number
  readonly aheadMs: number
}
const CASES: readonly Case[] = [
  { where: 'where one brand waits', aheadMs: ADMITTED_AHEAD_MS },
  { where: 'where several wait', brands: ['acme', 'bolt'], aheadMs: SHARED_AHEAD_MS },
  { where: 'where one slot is left', limits: [{ kind: 'concurrency', value: 2 }], aheadMs: 0 },
  { where: 'where one slot of the node is left', nodeRoom: 2, aheadMs: 0 },
  {
    where: 'where a brand has all that it may have here',
    limits: [{ kind: 'concurrency', brand: 'acme', value: 1 }],
    brands: ['acme', 'bolt'],
    aheadMs: 0,
  },
  { where: 'where the limit is found by what is open', limits: [{ kind: 'adaptive', value: 1 }], aheadMs: 0 },
]

it.each(CASES)(
  'the second start of 100 a second is admitted $aheadMs ms ahead $where',
  ({ limits = [], brands = ['acme'], nodeRoom = 100, aheadMs }) => {
    const queues = emptyQueues(DOMAIN, 100)
    for (const [at, brand] of [...brands, ...brands, ...brands].entries())
      offerDue(
        queues,
        {
          id: `msg_${at}`,
          seq: at,
          nextAt: 0,
          brand,
          domain: DOMAIN,
          priority: 'normal',
          attempts: 0,
          timeoutMs: 1_000,
          expiresAt: null,
        },
        0,
      )
    const ground: Ground = {
      limits: tableOf([{ kind: 'rate', value: 1_000 / INTERVAL_MS }, ...limits]),
      limitsVersion: 1,
      rates: new Map<string, RateState>(),
      unknownSinceMono: Number.NEGATIVE_INFINITY,
      conditions: newConditions(),
      nodeRoom,
      nodeAgainMs: 20,
      nowMono: NOW,
      nowAt: NOW,
    }
    expect(nextVerdict(queues, ground)).toMatchObject({ kind: 'start', start: { atMono: NOW } })
    expect(nextVerdict(queues, ground)).toEqual({ kind: 'blocked', by: 'domain-rate', untilMono: INSTANT - aheadMs })
    const then = nextVerdict(queues, { ...ground, nowMono: INSTANT - aheadMs })
    expect(then).toMatchObject({ kind: 'start', start: { atMono: INSTANT } })
    expect([...queues.brands.keys()].every((brand) => queueOf(queues, brand).size > 0)).toBe(true)
  },
)
