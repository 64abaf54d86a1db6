/** Up to when webhooks are in the hands of their guards: a little further than they are due. */
import { HANDED_AHEAD_MS } from '#config/limits.ts'
import type { Instant } from '#webhook/webhook.ts'

/**
 * What is due by then has been told to its guard, or is told now, and guards read so far in the store: they prepare it, so that it can
 * be sent at its instant. Everything that compares instants of the horizon and of guards compares with this.
 */
export const handedBy = (now: Instant): Instant => now + HANDED_AHEAD_MS
