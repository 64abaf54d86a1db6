/**
 * The books that a test keeps by itself, and the oracle over them (invariants I1, I2, I3 and I6 of reliability.md):
 * what the daemon acknowledged on one side, what the receiver saw on the other.
 */
import type { Arrivals } from './counting-receiver.ts'

export interface Acknowledged {
  readonly id: string
  /** The instant asked for, epoch ms; null where the webhook was to go at once. */
  readonly at: number | null
}
export interface Ledger {
  acknowledged(ids: readonly string[], at?: number | readonly number[] | null): void
  readonly acks: readonly Acknowledged[]
}
export const openLedger = (): Ledger => {
  const acks: Acknowledged[] = []
  return {
    acks,
    acknowledged: (ids, at = null) => {
      ids.forEach((id, index) => {
        acks.push({ id, at: typeof at === 'object' ? (at?.[index] ?? null) : at })
      })
    },
  }
}

export interface Rate {
  readonly perSecond: number
  readonly burst?: number
}
export interface Allowance {
  /** Extra arrivals that faults can explain: attempts that were in flight when something was killed. */
  readonly inDoubt?: number
  readonly concurrency?: number
  readonly rate?: Rate
  /**
   * I6 is judged at the receiver: two starts come closer together than they left by what the way of the first took longer. A
   * stall of a loaded machine is tens of milliseconds; what starts too often for longer than that is found.
   */
  readonly jitterMs?: number
}
export interface Verdict {
  readonly missing: readonly string[]
  readonly unknown: readonly string[]
  readonly extra: number
  readonly early: readonly { readonly id: string; readonly byMs: number }[]
  readonly openMax: number
  /** Most arrivals in any window of one second. */
  readonly perSecondMax: number
  /** One sentence for each promise that was broken. Empty is the aim. */
  readonly broken: readonly string[]
}

/** Most arrivals in any half-open window of `windowMs`. */
export const densest = (at: Float64Array, windowMs: number): number => {
  const sorted = at.toSorted()
  let most = 0
  let from = 0
  sorted.forEach((instant, index) => {
    while (instant - (sorted[from] ?? instant) >= windowMs) from += 1
    most = Math.max(most, index - from + 1)
  })
  return most
}

/** The law of guard.md for a window of `windowMs`: strict up to 50/s, with 2 ms of grace above. */
export const rateLaw = ({ perSecond, burst = 1 }: Rate, windowMs: number): number =>
  Math.ceil((perSecond * (windowMs + (perSecond > 50 ? 2 : 0))) / 1_000) + burst - 1

/** The windows in which the law is judged: from a few intervals to several seconds. */
const windowsOf = ({ perSecond }: Rate): number[] => [2_000 / perSecond, 5_000 / perSecond, 100, 1_000, 3_000]

const firstArrivals = (arrivals: Arrivals): Map<string, number> => {
  const first = new Map<string, number>()
  arrivals.ids.forEach((id, index) => {
    const at = arrivals.at[index] ?? 0
    first.set(id, Math.min(at, first.get(id) ?? at))
  })
  return first
}

const brokenRate = (arrivals: Arrivals, rate: Rate, jitterMs: number): string[] =>
  windowsOf(rate).flatMap((windowMs) => {
    const most = densest(arrivals.at, windowMs)
    const allowed = rateLaw(rate, windowMs + jitterMs)
    return most > allowed ? [`I6: ${most} starts within ${windowMs.toFixed(1)} ms; ${allowed} are allowed`] : []
  })

/** Judges the whole run. `openMax` is the receiver's own count. */
export const judge = (ledger: Ledger, arrivals: Arrivals, openMax: number, allowance: Allowance = {}): Verdict => {
  const first = firstArrivals(arrivals)
  const known = new Set(ledger.acks.map(({ id }) => id))
  const missing = ledger.acks.filter(({ id }) => !first.has(id)).map(({ id }) => id)
  const unknown = [...first.keys()].filter((id) => !known.has(id))
  const extra = arrivals.ids.length - first.size
  const early = ledger.acks.flatMap(({ id, at }) => {
    const arrived = first.get(id)
    return at !== null && arrived !== undefined && arrived < at ? [{ id, byMs: at - arrived }] : []
  })
  const { inDoubt = 0, concurrency = Number.POSITIVE_INFINITY, rate, jitterMs = 150 } = allowance
  const broken = [
    ...(missing.length > 0 ? [`I1: ${missing.length} acknowledged webhooks never arrived, first ${missing[0]}`] : []),
    ...(extra > inDoubt ? [`I2: ${extra} extra arrivals; ${inDoubt} can be explained`] : []),
    ...(early.length > 0 ? [`I3: ${early.length} arrived early, first ${JSON.stringify(early[0])}`] : []),
    ...(openMax > concurrency ? [`I6: ${openMax} requests open at once; the limit is ${concurrency}`] : []),
    ...(rate === undefined ? [] : brokenRate(arrivals, rate, jitterMs)),
  ]
  return { missing, unknown, extra, early, openMax, perSecondMax: densest(arrivals.at, 1_000), broken }
}
