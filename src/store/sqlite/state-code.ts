/** States as small integers, in tables and counters. The order is part of the schema. */
import type { FinalState, WebhookState } from '#webhook/webhook.ts'

export const STORED_STATES = [
  'scheduled',
  'executing',
  'retrying',
  'delivered',
  'dead',
  'cancelled',
  'expired',
  'quarantined',
] as const satisfies readonly WebhookState[]
export type StoredState = (typeof STORED_STATES)[number]

export const stateCode = (state: StoredState): number => STORED_STATES.indexOf(state)
export const finalStateOf = (code: number): FinalState => {
  const state = STORED_STATES[code]
  if (state === undefined || state === 'scheduled' || state === 'executing' || state === 'retrying')
    throw new Error(`state ${code} is not final`)
  return state
}
/** What a live, not started row counts as. */
export const restingState = (attempts: number): StoredState => (attempts === 0 ? 'scheduled' : 'retrying')
