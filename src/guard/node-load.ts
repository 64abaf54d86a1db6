/**
 * The node's capacity, shared by all guards through one table (D-14). Slow domains may hold three quarters of it. The last eighth is for
 * those that have shown to be quick: thousands of domains that never answer start one attempt each before any of them is known to be slow.
 */
import {
  ATTEMPTS_IN_FLIGHT_MAX,
  QUICK_DOMAINS_MAX,
  SLOW_ATTEMPT_MS,
  SLOW_SHARE_MAX,
  UNPROVEN_SHARE_MAX,
} from '#config/limits.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Flights } from './flights.ts'
import { NODE_SUM, type NodeLoad, type QuickRow } from './tables.ts'

/** The part of a table that this needs. */
interface TableOf<Row> {
  get(key: string): Row | undefined
  set(key: string, row: Row): void
  delete(key: string): boolean
}
export type NodeTable = TableOf<NodeLoad>

/** `slow`: some attempt in flight is; `quick`: none is, and the last one that was answered was not; else nobody knows. */
export type Pace = 'quick' | 'unknown' | 'slow'
/** What a guard says of itself. `isBlocked`: the node's capacity is what it waits for. */
export interface OwnLoad {
  readonly inFlight: number
  readonly pace: Pace
  readonly isBlocked: boolean
}
export const NO_LOAD: OwnLoad = { inFlight: 0, pace: 'unknown', isBlocked: false }
const NOTHING: NodeLoad = { inFlight: 0, slow: 0, unknown: 0, blocked: 0 }

/** Flights are in the order of their admission: a slow one would be the first. */
export const hasSlow = (flights: Flights, nowMono: number): boolean => {
  for (const { admittedMono } of flights.values()) return nowMono - admittedMono >= SLOW_ATTEMPT_MS
  return false
}
export const isQuick = (tookMs: number): boolean => tookMs < SLOW_ATTEMPT_MS

/**
 * A guard says what it holds; the sum follows. Where some of its attempts are slow all are presumed to be: what it starts now
 * goes to the same receiver. Nothing takes its row away.
 */
export const reportLoad = (table: NodeTable, domain: Domain, { inFlight, pace, isBlocked }: OwnLoad): NodeLoad => {
  const sum = table.get(NODE_SUM) ?? { ...NOTHING }
  const before = table.get(domain)
  const mine: NodeLoad = {
    inFlight,
    slow: pace === 'slow' ? inFlight : 0,
    unknown: pace === 'unknown' ? inFlight : 0,
    blocked: isBlocked ? 1 : 0,
  }
  for (const figure of FIGURES) sum[figure] += mine[figure] - (before?.[figure] ?? 0)
  table.set(NODE_SUM, sum)
  if (inFlight === 0 && !isBlocked) table.delete(domain)
  else if (before === undefined) table.set(domain, mine)
  else Object.assign(before, mine)
  return sum
}
const FIGURES = ['inFlight', 'slow', 'unknown', 'blocked'] as const

/** How many more a guard may start, as far as the node is concerned. */
export const nodeRoom = ({ inFlight, slow, unknown }: NodeLoad, pace: Pace): number => {
  const room = ATTEMPTS_IN_FLIGHT_MAX - inFlight
  if (pace === 'quick') return room
  const unproven = Math.min(room, Math.floor(ATTEMPTS_IN_FLIGHT_MAX * UNPROVEN_SHARE_MAX) - slow - unknown)
  return pace === 'unknown' ? unproven : Math.min(unproven, Math.floor(ATTEMPTS_IN_FLIGHT_MAX * SLOW_SHARE_MAX) - slow)
}
export const roomFor = (table: Pick<NodeTable, 'get'>, pace: Pace): number =>
  nodeRoom(table.get(NODE_SUM) ?? NOTHING, pace)

/** Nobody tells when the node has room again: guards look, each this often, and all of them together at most so often in that time. */
const NODE_AGAIN_MS = 20
const NODE_LOOKS_MAX = 64
export const nodeAgainMs = ({ blocked }: NodeLoad): number => NODE_AGAIN_MS * Math.max(1, blocked / NODE_LOOKS_MAX)

export interface QuickTable extends TableOf<QuickRow> {
  readonly size: number
  entries(): Iterable<readonly [Domain, QuickRow]>
}
/** A guard ends: what it knows of its domain's pace outlives it. Null: it has learnt nothing. */
export const keepPace = (table: QuickTable, domain: Domain, wasQuick: boolean | null, nowMono: number): void => {
  if (wasQuick === null) return
  table.delete(domain)
  if (!wasQuick) return
  table.set(domain, nowMono)
  if (table.size <= QUICK_DOMAINS_MAX) return
  for (const [oldest] of table.entries()) return void table.delete(oldest)
}
/** Lets go of what was learnt before this instant. */
export const forgetPaces = (table: QuickTable, beforeMono: number): void => {
  for (const [domain, endedMono] of table.entries()) {
    if (endedMono >= beforeMono) return
    table.delete(domain)
  }
}
