/** The node's capacity, shared by all guards through one table (D-14). */
import { ATTEMPTS_IN_FLIGHT_MAX, SLOW_ATTEMPT_MS, SLOW_SHARE_MAX } from '#config/limits.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Flights } from './flights.ts'
import { NODE_SUM, type NodeLoad } from './tables.ts'

/** The part of a table that this needs. */
export interface NodeTable {
  get(key: string): NodeLoad | undefined
  set(key: string, load: NodeLoad): void
  delete(key: string): boolean
}

/** Flights are in the order of their admission: a slow one would be the first. */
export const hasSlow = (flights: Flights, nowMono: number): boolean => {
  for (const { admittedMono } of flights.values()) return nowMono - admittedMono >= SLOW_ATTEMPT_MS
  return false
}

/**
 * A guard says what it holds; the sum follows. Where some of its attempts are slow all are presumed to be: what it starts now
 * goes to the same receiver. Zero takes its row away.
 */
export const reportLoad = (table: NodeTable, domain: Domain, inFlight: number, anySlow: boolean): NodeLoad => {
  const sum = table.get(NODE_SUM) ?? { inFlight: 0, slow: 0 }
  const mine = table.get(domain)
  const slow = anySlow ? inFlight : 0
  sum.inFlight += inFlight - (mine?.inFlight ?? 0)
  sum.slow += slow - (mine?.slow ?? 0)
  table.set(NODE_SUM, sum)
  if (inFlight === 0) table.delete(domain)
  else if (mine === undefined) table.set(domain, { inFlight, slow })
  else Object.assign(mine, { inFlight, slow })
  return sum
}

/** How many more a guard may start, as far as the node is concerned. */
export const nodeRoom = (sum: NodeLoad, anySlow: boolean): number => {
  const room = ATTEMPTS_IN_FLIGHT_MAX - sum.inFlight
  return anySlow ? Math.min(room, Math.floor(ATTEMPTS_IN_FLIGHT_MAX * SLOW_SHARE_MAX) - sum.slow) : room
}
