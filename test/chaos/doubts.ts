/**
 * What an attempt in doubt was (S6). Its mark comes before its request (D-6), so the store alone cannot say whether it was sent: of each one the
 * receivers' books say whether it arrived, and the book of faults what ended it where it did not. One that neither arrived nor met a
 * fault is a bug: somebody gave an attempt up for no reason.
 */
import { HANDED_AHEAD_MS } from '#config/limits.ts'
import { ADMITTED_AHEAD_MS } from '#guard/rate.ts'
import type { FaultType } from './plan.ts'

/** One attempt of a webhook. */
export interface Try {
  /** Epoch milliseconds of its mark. */
  readonly startedAt: number
  readonly inDoubt: boolean
}
/** What happened and may have ended attempts; epoch milliseconds. */
export interface Blow {
  readonly what: 'end of the process' | FaultType
  readonly from: number
  readonly to: number
}
export interface Doubts {
  /** Requests that a receiver saw whole, and whose answer nobody heard. */
  readonly arrived: number
  /** Never arrived whole: what came between their mark and the next attempt. */
  readonly unsent: Readonly<Record<string, number>>
  /** Never arrived, and nothing had happened: `[id, startedAt]`. */
  readonly unexplained: readonly (readonly [string, number])[]
}

/**
 * Those after which attempts may be in doubt, the surest first, and how long what they began goes on, milliseconds: who depends on a killed actor,
 * or on a store that opens anew, ends a little later. A daemon that only stood still, or waited for its disk, has lost nothing.
 */
const ENDS_ATTEMPTS = { 'end of the process': 0, actor: 5_000, failing: 5_000, full: 5_000 } as const
type Ending = keyof typeof ENDS_ATTEMPTS
const ENDINGS = Object.keys(ENDS_ATTEMPTS) as Ending[]

/** Marks are whole milliseconds, arrivals have fractions. */
const ROUNDING_MS = 1
/** Marks are as of their instants, and written so long before them at most. */
const MARKED_AHEAD_MS = Math.max(HANDED_AHEAD_MS, ADMITTED_AHEAD_MS)

const whatEnded = (from: number, to: number, blows: readonly Blow[]): Ending | null =>
  ENDINGS.find((ending) =>
    blows.some(
      (blow) => blow.what === ending && blow.from <= to && blow.to + ENDS_ATTEMPTS[ending] >= from - MARKED_AHEAD_MS,
    ),
  ) ?? null

/** `tries`: of each webhook in their order. `arrivals`: of each webhook, epoch milliseconds. */
export const tellDoubts = (
  tries: ReadonlyMap<string, readonly Try[]>,
  arrivals: ReadonlyMap<string, readonly number[]>,
  blows: readonly Blow[],
): Doubts => {
  let arrived = 0
  const unsent: Record<string, number> = {}
  const unexplained: (readonly [string, number])[] = []
  for (const [id, all] of tries) {
    const seen = arrivals.get(id) ?? []
    for (const [index, { startedAt, inDoubt }] of all.entries()) {
      if (!inDoubt) continue
      const next = all[index + 1]?.startedAt ?? Number.POSITIVE_INFINITY
      if (seen.some((at) => at >= startedAt - ROUNDING_MS && at < next)) {
        arrived += 1
        continue
      }
      const ending = whatEnded(startedAt, next, blows)
      if (ending === null) unexplained.push([id, startedAt])
      else unsent[ending] = (unsent[ending] ?? 0) + 1
    }
  }
  return { arrived, unsent, unexplained }
}
