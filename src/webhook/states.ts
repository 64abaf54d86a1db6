/** Which state may follow which (reliability.md S4). The store enforces it by compare-and-set; this is the table it obeys. */
import { FINAL_STATES, type FinalState, type WebhookState } from './webhook.ts'

/** States as stored: `waiting` and `held` are derived from a live row whose instant has passed. */
export type StoredState = Exclude<WebhookState, 'waiting' | 'held'>

export const TRANSITIONS: Readonly<Record<StoredState, readonly StoredState[]>> = {
  scheduled: ['executing', 'cancelled', 'expired', 'quarantined'],
  /** Back to `scheduled` or `retrying`: handed back unsent. */
  executing: ['delivered', 'retrying', 'scheduled', 'dead', 'expired', 'quarantined'],
  retrying: ['executing', 'cancelled', 'expired', 'quarantined'],
  delivered: ['scheduled'],
  dead: ['scheduled'],
  cancelled: [],
  expired: ['scheduled'],
  quarantined: ['scheduled'],
}

export const mayBecome = (from: StoredState, to: StoredState): boolean => TRANSITIONS[from].includes(to)

export const isFinal = (state: WebhookState): state is FinalState => FINAL_STATES.some((final) => final === state)

/** What a client sees of a live webhook. `started`: its mark is set; `attempts`: how many were started before. */
export const liveState = (
  row: { readonly started: boolean; readonly attempts: number; readonly nextAt: number },
  now: number,
  held = false,
): WebhookState => {
  if (row.started) return 'executing'
  if (row.nextAt <= now) return held ? 'held' : 'waiting'
  return row.attempts === 0 ? 'scheduled' : 'retrying'
}
