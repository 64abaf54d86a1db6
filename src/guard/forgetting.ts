/**
 * Whose conditions go where more domains have some than are kept. Only those of domains without a guard: what a guard stands on is never
 * taken away. First go those that hold nothing closed now, the one first that was called longest ago; what is lost of them is a ramp, a
 * failing row, an adaptive limit: the next attempts start as at a domain that nobody knows. Then those that are closed or whose breaker is
 * open, the one first that opens soonest: its receiver may be called once too early, and says so again.
 */
import type { Domain } from '#webhook/webhook.ts'
import { type Conditions, isShut } from './conditions.ts'

/** The domains of `rows` to forget, so that at most `max` without a guard are left. */
export const surplus = (
  rows: Iterable<readonly [Domain, Conditions]>,
  isGuarded: (domain: Domain) => boolean,
  max: number,
  nowMono: number,
): readonly Domain[] => {
  const left = [...rows].filter(([domain]) => !isGuarded(domain))
  if (left.length <= max) return []
  return left
    .map(([domain, row]) => ({ domain, shutMono: shutUntil(row, nowMono), usedMono: lastUse(row) }))
    .sort((a, b) => compare(a.shutMono, b.shutMono) || compare(a.usedMono, b.usedMono))
    .slice(0, left.length - max)
    .map(({ domain }) => domain)
}
/** Not by difference: neither may be infinite then. */
const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1)

const all = ({ domain, shares }: Conditions) => [domain, ...shares.values()]
/** The last instant at which something of it opens; -Infinity: nothing is shut. */
const shutUntil = (row: Conditions, nowMono: number): number =>
  Math.max(
    Number.NEGATIVE_INFINITY,
    ...all(row)
      .filter((one) => isShut(one, nowMono))
      .map(({ closure, breaker }) => Math.max(closure.untilMono, breaker.openUntilMono)),
  )
const lastUse = (row: Conditions): number => Math.max(...all(row).map(({ lastAttemptMono }) => lastAttemptMono))
