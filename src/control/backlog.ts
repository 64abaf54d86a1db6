/** The door for brands whose backlog is bounded: how many unfinished webhooks they have, and when there is room again. */
import { BACKLOG_COUNT_MS } from '#config/limits.ts'
import type { Counts } from '#store/store.ts'
import { type ErrorData, Refusal } from './refusal.ts'

/** One bounded brand. Counted in the store from time to time; what is let in meanwhile is added. */
export interface BacklogRow {
  readonly bound: number
  readonly counted: number
  /** Null: never. */
  readonly countedMono: number | null
  readonly admitted: number
  /** Webhooks that finish in a second, smoothed; null: not known. */
  readonly perSecond: number | null
}
export const newBacklog = (bound: number): BacklogRow => ({
  bound,
  counted: 0,
  countedMono: null,
  admitted: 0,
  perSecond: null,
})

/** Everything that is stored and not finished. */
export const unfinished = ({ scheduled, waiting, executing, retrying }: Counts): number =>
  scheduled + waiting + executing + retrying

export const isStale = ({ countedMono }: BacklogRow, nowMono: number): boolean =>
  countedMono === null || nowMono - countedMono >= BACKLOG_COUNT_MS

/** What finished so long ago hardly counts any more: a brand that stands still is not promised the pace that it had. */
const PACE_MS = 30_000
/** Slower than this nothing is promised. */
const PACE_MIN = 0.001

/** A fresh count. What finished since the last one tells how fast it drains. */
export const recount = (row: BacklogRow, counted: number, nowMono: number): BacklogRow => {
  const sinceMs = row.countedMono === null ? 0 : nowMono - row.countedMono
  const finished = Math.max(0, row.counted + row.admitted - counted)
  const perSecond = sinceMs > 0 ? paceOf(row.perSecond, (finished / sinceMs) * 1_000, sinceMs) : row.perSecond
  return { bound: row.bound, counted, countedMono: nowMono, admitted: 0, perSecond }
}
const paceOf = (before: number | null, perSecond: number, sinceMs: number): number | null => {
  const pace = before === null ? perSecond : perSecond + (before - perSecond) * Math.exp(-sinceMs / PACE_MS)
  return pace < PACE_MIN ? null : pace
}

/** With `count` more, or null: they are beyond the bound. */
export const takeRoomFor = (row: BacklogRow, count: number): BacklogRow | null =>
  row.counted + row.admitted + count > row.bound ? null : { ...row, admitted: row.admitted + count }

const RETRY_MS_MIN = 1_000
/** Nobody knows how fast it drains. */
const RETRY_MS_UNKNOWN = 60_000

/** `retryAfterMs`: when there should be room for them. */
export const backlogFull = (brand: string, row: BacklogRow, count: number): ErrorData => {
  const there = row.counted + row.admitted
  const { bound, perSecond } = row
  const drainMs = perSecond === null ? null : Math.ceil((there / perSecond) * 1_000)
  const tooMany = Math.min(there, there + count - bound)
  const drain = drainMs === null ? '' : `; they drain in about ${Math.ceil(drainMs / 1_000)} s`
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    `brand ${JSON.stringify(brand)} has ${there} unfinished webhooks and may have ${bound}; ${count} more do not fit${drain}`,
    {
      retryAfterMs:
        perSecond === null ? RETRY_MS_UNKNOWN : Math.max(RETRY_MS_MIN, Math.ceil((tooMany / perSecond) * 1_000)),
    },
  ).data
}
