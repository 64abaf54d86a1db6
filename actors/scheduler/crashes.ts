/** Guards that crash again and again: their domain is parked, and what was in hand each time is quarantined. */
import { executor } from '#actors/executor.ts'
import { suspectOf } from '#actors/guard/suspects.ts'
import { storeKeeper } from '#actors/store-keeper.ts'
import { type ExitReason, isBenign } from '#runtime/exit.ts'
import { handedBy } from '#schedule/handed.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Crashes, Ctx, State } from './state.ts'

const CRASHES_MAX = 3
const CRASHES_WITHIN_MS = 60_000
const PARKED_MS = 1_000
const PARKED_MS_MAX = 60_000
/** A kill is somebody's will; a crash may come again. */
export const isCrash = (reason: ExitReason): boolean => !isBenign(reason) && reason !== 'killed'

/**
 * From the third crash within a minute on the domain waits, longer each time, so that a guard that dies at its start costs
 * neither a core nor its neighbours. What is due of it stays in the store. Returns how long; 0: not yet.
 */
export const parkFor = (domain: Domain, reason: ExitReason, state: State, ctx: Ctx): number => {
  const now = ctx.world.monoNow()
  const known = state.crashes.get(domain)
  const before = known?.atMono.filter((mono) => mono > now - CRASHES_WITHIN_MS) ?? []
  const suspects = before.length === 0 || known === undefined ? new Map<string, number>() : known.suspects
  const crashes: Crashes = { atMono: [...before, now], suspects, parked: false }
  state.crashes.set(domain, crashes)
  accuse(reason, suspects, ctx)
  const beyond = crashes.atMono.length - CRASHES_MAX
  if (beyond < 0) return 0
  crashes.parked = true
  const waitMs = Math.min(PARKED_MS_MAX, PARKED_MS * 2 ** beyond)
  const at = ctx.world.wallNow()
  state.events.emit({ type: 'guard.parked', at, domain, crashes: crashes.atMono.length, until: at + waitMs })
  return waitMs
}
/**
 * What was in hand at the third crash is quarantined, and the domain goes on without it; of a lane that could not be read its
 * head. A crash that names nobody condemns nobody.
 */
const accuse = (reason: ExitReason, suspects: Map<string, number>, ctx: Ctx): void => {
  const named = suspectOf(reason)
  if (named === null) return
  const count = (suspects.get(named.key) ?? 0) + 1
  suspects.set(named.key, count)
  if (count < CRASHES_MAX) return
  suspects.delete(named.key)
  const detail = `it was in hand at ${CRASHES_MAX} crashes of its guard: ${named.error}`
  const { suspect } = named
  if (suspect.of === 'webhook') ctx.cast(executor, { type: 'quarantine', due: suspect.due, detail })
  else {
    const until = handedBy(ctx.world.wallNow())
    ctx.request(storeKeeper, { type: 'lane', lane: suspect.lane, after: null, until, limit: 1 }, 'accused', detail)
  }
}
/** Forgets crashes that are long over. */
export const forgetCrashes = (state: State, ctx: Ctx): void => {
  const since = ctx.world.monoNow() - CRASHES_WITHIN_MS
  for (const [domain, { atMono, parked }] of state.crashes)
    if (!parked && (atMono.at(-1) ?? 0) <= since) state.crashes.delete(domain)
}
