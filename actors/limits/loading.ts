/** What `limits` reads at its start: limits, closures and open breakers of an earlier process, and since when rates are known. */
import { forgetSurplus } from '#actors/guard/forgetting.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import { newConditions, restore } from '#guard/conditions.ts'
import { CONDITIONS_TABLE, type ConditionsRow, RATES_KNOWN_SINCE, RATES_TABLE, type RatesRow } from '#guard/tables.ts'
import type { Context } from '#runtime/context.ts'
import type { StoredLimit } from '#store/store.ts'
import type { Domain } from '#webhook/webhook.ts'
import { isKeptCondition } from './holding.ts'

type Ctx = Pick<Context, 'table' | 'world' | 'whereis' | 'sleep'>
/** The store is opening, or failing: its keeper decides when that is too long. */
const LOAD_AGAIN_MS = 50

/** Closures and open breakers of an earlier process that still last (D-10); a row that is there knows better. */
export const restoreConditions = (stored: readonly StoredLimit[], ctx: Ctx): void => {
  const table = ctx.table<Domain, ConditionsRow>(CONDITIONS_TABLE)
  const known = new Set([...table.entries()].map(([domain]) => domain))
  const nowMono = ctx.world.monoNow()
  for (const row of stored) {
    const leftMs = (row.value ?? 0) - ctx.world.wallNow()
    if (!isKeptCondition(row) || row.domain === null || leftMs <= 0 || known.has(row.domain)) continue
    const conditions = table.get(row.domain) ?? newConditions()
    table.set(row.domain, conditions)
    restore(conditions, row.kind === 'closed-until' ? 'closed' : 'breaker-opened', row.brand, leftMs, nowMono)
  }
  forgetSurplus(ctx)
}

export type Loaded<V> = { readonly ok: true; readonly value: V } | StoreFailed
/** Reads until it is answered: no webhook moves before the limits are known. Throws if the store-keeper is dead. */
export const load = async <V>(ask: () => Promise<Loaded<V>>, ctx: Ctx): Promise<V> => {
  for (;;) {
    const stored = await ask().catch(() => null)
    if (stored?.ok) return stored.value
    // Its supervisor is ours: it cannot start it again while it waits for this init.
    if (ctx.whereis(storeKeeper) === null) throw new Error('the store-keeper is dead')
    await ctx.sleep(LOAD_AGAIN_MS)
  }
}

/** What was started before this instant nobody knows: rates count from here (D-10). */
export const knowSince = (ctx: Ctx): void => {
  const rates = ctx.table<string, RatesRow>(RATES_TABLE)
  if (rates.has(RATES_KNOWN_SINCE)) return
  const now = ctx.world.monoNow()
  rates.set(RATES_KNOWN_SINCE, { nominalMono: now, lastStartMono: now, owed: 1, perSecond: 0, burst: 1 })
}
