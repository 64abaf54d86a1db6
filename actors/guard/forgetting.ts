/** Bounds by count what is remembered of domains that have no guard any more (RECV-17). */
import { guardOf } from '#actors/guard.ts'
import { CONDITIONS_KEPT_MAX, CONDITIONS_SURPLUS_MAX } from '#config/limits.ts'
import { surplus } from '#guard/forgetting.ts'
import { CONDITIONS_TABLE, type ConditionsRow, FIGURES_TABLE } from '#guard/tables.ts'
import type { Context } from '#runtime/context.ts'
import type { Domain } from '#webhook/webhook.ts'

type Ctx = Pick<Context, 'table' | 'world' | 'whereis'>

/** Looks at every row, so it is done in batches: live guards show their figures, the others are too many by a tenth. */
export const forgetIfMany = (ctx: Ctx): void => {
  const guarded = ctx.table(FIGURES_TABLE).size
  const { size } = ctx.table(CONDITIONS_TABLE)
  if (size > guarded + CONDITIONS_KEPT_MAX + CONDITIONS_SURPLUS_MAX) forgetSurplus(ctx)
}
export const forgetSurplus = (ctx: Ctx): void => {
  const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  if (table.size <= CONDITIONS_KEPT_MAX) return
  const isGuarded = (domain: Domain): boolean => ctx.whereis(guardOf(domain)) !== null
  for (const domain of surplus(table.entries(), isGuarded, CONDITIONS_KEPT_MAX, ctx.world.monoNow()))
    table.delete(domain)
}
