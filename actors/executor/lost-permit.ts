import type { Permit } from '#actors/guard.ts'
import { attemptIdOf, type Due, type Instant } from '#webhook/webhook.ts'
import type { Ctx } from './state.ts'

/** What is known of the permit of an attempt that no guard has admitted, or none that is known: it is over. */
export const lostPermit = (due: Due, attempt: number, startedAt: Instant, ctx: Ctx): Permit => ({
  attemptId: attemptIdOf(due.id, attempt),
  domain: due.domain,
  brand: due.brand,
  guard: 0,
  limiter: null,
  dueAt: due.nextAt,
  enteredAt: startedAt,
  admittedAt: startedAt,
  admittedMono: ctx.world.monoNow(),
  rates: [],
})
