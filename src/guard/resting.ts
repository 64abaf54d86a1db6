/**
 * Which domains need no guard for now. Live guards are bounded, so where others wait for a place it is not given to a domain that could not
 * start anything: what stands in its way lies in the tables, which outlive its guard (D-10).
 */
import { GUARD_REST_MS_MAX } from '#config/limits.ts'
import type { Brand, Domain } from '#webhook/webhook.ts'
import { type Block, domainBlock, type Ground, shareBlock } from './admission.ts'
import { brandKeys, type DomainKeys, domainKeys, settingOf } from './limits.ts'
import { emptyRing } from './ring.ts'

const NONE_OF_IT = { inFlight: 0, reserved: 0, ring: emptyRing(), exactUntilMono: Number.NEGATIVE_INFINITY } as const

/** What keeps a domain with nothing in flight from starting anything, as far as the tables tell; null: nothing. `brand`: the only one that waits there, or null. */
export const restBlock = (domain: Domain, brand: Brand | null, ground: Ground): Block | null => {
  const keys = domainKeys(domain)
  const block =
    domainBlock({ ...NONE_OF_IT, keys }, ground) ??
    (brand === null
      ? null
      : shareBlock({ ...NONE_OF_IT, brand, keys: brandKeys(domain, brand) }, ground, ground.nowMono))
  return block === null || isLifted(block, keys, ground) ? null : block
}
/**
 * Monotonic instant before which a domain with nothing in flight cannot start anything; at most now: it can, as far as the
 * tables tell. Never further away than GUARD_REST_MS_MAX.
 */
export const restsUntil = (domain: Domain, brand: Brand | null, ground: Ground): number => {
  const block = restBlock(domain, brand, ground)
  return block === null ? ground.nowMono : ground.nowMono + restMs(block, ground.nowMono)
}
/** Switched off meanwhile: its guard ends it when it starts. */
const isLifted = ({ by }: Block, keys: DomainKeys, { limits }: Ground): boolean =>
  (by === 'closed' && settingOf(limits, keys.closure, 1) === 0) ||
  (by === 'breaker' && settingOf(limits, keys.breaker, 1) === 0)

/** How long a guard that is blocked so, with nothing in flight, need not be asked again. Permits come back at any moment. */
export const restMs = ({ by, untilMono }: Block, nowMono: number): number =>
  by === 'node-capacity' || by === 'brand-concurrency' ? 0 : Math.min(GUARD_REST_MS_MAX, untilMono - nowMono)
