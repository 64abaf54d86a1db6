/**
 * What was in hand when a guard crashed. The exit reason names it, as plain data, so that the scheduler can tell a webhook that
 * kills every guard it comes to from a guard that dies of something else.
 */
import { Exit, type ExitReason } from '#runtime/exit.ts'
import type { Due, LaneKey } from '#webhook/webhook.ts'

/** A webhook; or a lane, where its rows had not been looked at yet: its head is meant. */
export type Suspect = { readonly of: 'webhook'; readonly due: Due } | { readonly of: 'lane'; readonly lane: LaneKey }

interface Suspicion {
  readonly type: 'suspect'
  readonly suspect: Suspect
  readonly error: string
}

/** Throw it in the place of what was caught while `suspect` was in hand. */
export const suspicion = (suspect: Suspect, caught: unknown): Exit => {
  const error = caught instanceof Error ? (caught.stack ?? caught.message) : String(caught)
  return new Exit({ type: 'term', term: { type: 'suspect', suspect, error } satisfies Suspicion })
}

/** Null: the crash names nobody. */
export const suspectOf = (reason: ExitReason): (Suspicion & { readonly key: string }) | null => {
  if (typeof reason !== 'object' || reason.type !== 'term' || !isSuspicion(reason.term)) return null
  const { suspect } = reason.term
  const key =
    suspect.of === 'webhook' ? suspect.due.id : `${suspect.lane.brand} ${suspect.lane.priority} ${suspect.lane.kind}`
  return { ...reason.term, key }
}
const isSuspicion = (term: unknown): term is Suspicion =>
  typeof term === 'object' && term !== null && 'type' in term && term.type === 'suspect' && 'suspect' in term
