/**
 * Admission before the instant: a webhook that is not due yet is admitted, so that its started mark is on disk and it can be sent when it
 * is due, to the millisecond. Only where nobody can be the worse for it: whoever comes due meanwhile must find room as if it were not there.
 */
import { ATTEMPTS_IN_FLIGHT_MAX } from '#config/limits.ts'
import type { Due } from '#webhook/webhook.ts'
import {
  brandBlock,
  concurrencyNow,
  countStart,
  domainBlock,
  type Ground,
  hasExpired,
  type Start,
} from './admission.ts'
import type { BrandQueue } from './brand-queue.ts'
import { fails } from './conditions.ts'
import { concurrencyOf, rateOf } from './limits.ts'
import { type Queues, queueOf } from './queues.ts'

/** What is admitted ahead leaves so much of each concurrency, and of the node, to what is due. */
const LEFT_SHARE = 0.5

/** Nobody waits, and nothing of the domain is scarce. Asked again after each start. */
export const isAtEase = (queues: Queues, ground: Ground): boolean =>
  queues.waiting.size === 0 &&
  queues.hungry.size === 0 &&
  queues.reserved === 0 &&
  rateOf(ground.limits, queues.keys.rate) === null &&
  domainBlock(queues, ground) === null &&
  leavesRoom(queues.inFlight, concurrencyNow(queues, ground).permits) &&
  ground.nodeRoom > ATTEMPTS_IN_FLIGHT_MAX * LEFT_SHARE

const leavesRoom = (inFlight: number, permits: number): boolean => inFlight + 1 <= permits * (1 - LEFT_SHARE)

/** Nor anything of its brand: no rate paces it, no limiter has to be asked, and its receiver does not fail. */
const isBrandAtEase = (queue: BrandQueue, ground: Ground): boolean => {
  const { limits, conditions, nowMono } = ground
  return (
    !fails(conditions, queue.brand) &&
    rateOf(limits, queue.keys.rateInDomain) === null &&
    concurrencyOf(limits, queue.keys.overall) === null &&
    brandBlock(queue, ground, nowMono) === null &&
    leavesRoom(queue.inFlight, concurrencyOf(limits, queue.keys.inDomain) ?? Number.POSITIVE_INFINITY)
  )
}

/** The caller has seen `isAtEase`. `atMono`: when it is due. Null: it has to wait for its instant here. */
export const startAhead = (queues: Queues, due: Due, atMono: number, ground: Ground): Start | null => {
  const queue = queueOf(queues, due.brand)
  if (hasExpired(due, due.nextAt) || !isBrandAtEase(queue, ground)) return null
  return countStart(queues, queue, { due, enteredAt: due.nextAt, atMono }, ground)
}
