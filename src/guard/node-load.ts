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

/** Flights are in the order of their admission: the slow ones come first. */
export const slowFlights = (flights: Flights, nowMono: number): number => {
  let slow = 0
  for (const { admittedMono } of flights.values()) {
    if (nowMono - admittedMono < SLOW_ATTEMPT_MS) break
    slow += 1
  }
  return slow
}

/** A guard says what it holds; the sum follows. Zero takes its row away. */
export const reportLoad = (table: NodeTable, domain: Domain, inFlight: number, slow: number): NodeLoad => {
  const sum = table.get(NODE_SUM) ?? { inFlight: 0, slow: 0 }
  const mine = table.get(domain)
  sum.inFlight += inFlight - (mine?.inFlight ?? 0)
  sum.slow += slow - (mine?.slow ?? 0)
  table.set(NODE_SUM, sum)
  if (inFlight === 0 && slow === 0) table.delete(domain)
  else if (mine === undefined) table.set(domain, { inFlight, slow })
  else Object.assign(mine, { inFlight, slow })
  return sum
}

/** No slot of the node for one more start of a guard with `slow` slow attempts. */
export const isNodeFull = (sum: NodeLoad, slow: number): boolean =>
  sum.inFlight >= ATTEMPTS_IN_FLIGHT_MAX || (slow > 0 && sum.slow >= ATTEMPTS_IN_FLIGHT_MAX * SLOW_SHARE_MAX)
