/** Webhooks that are in the guard's hands and not due yet, in due order. Plain data. */
import type { Due, Instant, WebhookId } from '#webhook/webhook.ts'
import { emptyLane, headOf, insert, type Lane, laneSize, removeFrom, takeHead } from './lane.ts'

export interface Early {
  readonly lane: Lane
  readonly byId: Map<WebhookId, Due>
}
export const noneEarly = (): Early => ({ lane: emptyLane(), byId: new Map() })
export const isNoneEarly = (early: Early): boolean => laneSize(early.lane) === 0
export const firstEarly = (early: Early): Due | undefined => headOf(early.lane)

/** A newer word about one that is here already replaces the older one. */
export const keepEarly = (early: Early, due: Due): void => {
  dropEarly(early, due.id)
  early.byId.set(due.id, due)
  insert(early.lane, due)
}
/** Cancelled, replaced, or in flight: what was here. */
export const dropEarly = (early: Early, id: WebhookId): Due | undefined => {
  const due = early.byId.get(id)
  if (due === undefined) return undefined
  early.byId.delete(id)
  removeFrom(early.lane, due)
  return due
}
export const takeEarly = (early: Early): Due | undefined => {
  const due = takeHead(early.lane)
  if (due !== undefined) early.byId.delete(due.id)
  return due
}
/** The next that has become due by `now`, taken out. */
export const takeDue = (early: Early, now: Instant): Due | undefined => {
  const first = firstEarly(early)
  return first === undefined || first.nextAt > now ? undefined : takeEarly(early)
}
