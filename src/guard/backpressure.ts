/**
 * Backpressure as state: it starts when waiting work runs into a limit and ends when nothing waits any more. Flapping is
 * folded: an end counts only when it has lasted, and the spans in between are counted. Plain data.
 */
import type { Instant } from '#webhook/webhook.ts'
import type { LimitName } from './admission.ts'

/** An end is told after this long without pressure. */
export const FOLD_MS = 1_000

export interface Pressure {
  /** The limit that was met first, or null: no pressure and none to be told of. */
  limit: LimitName | null
  sinceAt: Instant
  sinceMono: number
  peak: number
  spans: number
  /** Since when nothing waits; null while something does. */
  clearSinceMono: number | null
}
export const noPressure = (): Pressure => ({
  limit: null,
  sinceAt: 0,
  sinceMono: 0,
  peak: 0,
  spans: 0,
  clearSinceMono: null,
})

export interface Observed {
  /** What stands in the way now, or null. */
  readonly blockedBy: LimitName | null
  /** How much waits. */
  readonly depth: number
  readonly nowAt: Instant
  readonly nowMono: number
}
export type PressureChange =
  | { readonly kind: 'started'; readonly limit: LimitName; readonly depth: number }
  | {
      readonly kind: 'ended'
      readonly limit: LimitName
      readonly durationMs: number
      readonly peak: number
      readonly spans: number
    }

export const isPressed = (pressure: Pressure): boolean => pressure.limit !== null && pressure.clearSinceMono === null

/** When an end would be told, if nothing comes; Infinity if none is open. */
export const endDueMono = (pressure: Pressure): number =>
  pressure.clearSinceMono === null ? Number.POSITIVE_INFINITY : pressure.clearSinceMono + FOLD_MS

/** Takes one look at the guard. Answers what is to be told. */
export const observe = (pressure: Pressure, seen: Observed): PressureChange | null => {
  const presses = seen.blockedBy !== null && seen.depth > 0
  if (pressure.limit === null) return presses ? begin(pressure, seen, seen.blockedBy) : null
  if (!presses) return seen.depth > 0 ? null : clear(pressure, seen)
  if (pressure.clearSinceMono !== null) {
    pressure.clearSinceMono = null
    pressure.spans += 1
  }
  pressure.peak = Math.max(pressure.peak, seen.depth)
  return null
}

/** The guard ends; null: there is nothing to be told. */
export const letGo = (pressure: Pressure, nowMono: number): PressureChange | null => {
  if (pressure.limit === null) return null
  const { limit, peak, spans } = pressure
  const durationMs = (pressure.clearSinceMono ?? nowMono) - pressure.sinceMono
  Object.assign(pressure, noPressure())
  return { kind: 'ended', limit, durationMs, peak, spans }
}

const begin = (pressure: Pressure, seen: Observed, limit: LimitName): PressureChange => {
  pressure.limit = limit
  pressure.sinceAt = seen.nowAt
  pressure.sinceMono = seen.nowMono
  pressure.peak = seen.depth
  pressure.spans = 1
  pressure.clearSinceMono = null
  return { kind: 'started', limit, depth: seen.depth }
}

const clear = (pressure: Pressure, seen: Observed): PressureChange | null => {
  pressure.clearSinceMono ??= seen.nowMono
  if (pressure.limit === null || seen.nowMono < endDueMono(pressure)) return null
  const { limit, peak, spans } = pressure
  const durationMs = pressure.clearSinceMono - pressure.sinceMono
  Object.assign(pressure, noPressure())
  return { kind: 'ended', limit, durationMs, peak, spans }
}
