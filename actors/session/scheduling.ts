/** session: how schedule calls become appends, and what their senders are told. */
import { ASK_AGAIN_MS, BRANDS_TABLE, ensureBrand, isPassing, timedOut, unavailable } from '#actors/backend.ts'
import { scheduler } from '#actors/scheduler.ts'
import { type Ctx, type Info, refuse, type State, settle } from '#actors/session/state.ts'
import { REQUEST_MS_MAX } from '#config/limits.ts'
import type { Backend } from '#control/backend.ts'
import { type Asked, Group, scheduledManyText, scheduledText } from '#control/flight.ts'
import type { Taken } from '#control/new-webhook.ts'
import { type ErrorData, Refusal } from '#control/refusal.ts'
import { webhookView } from '#control/views.ts'
import { encodeRows } from '#store/rows.ts'
import type { Appended } from '#store/store.ts'
import type { Brand } from '#webhook/webhook.ts'

export const groupOf = (asked: Asked, taken: readonly Taken[], ctx: Ctx): Group => {
  const heads = taken.map(({ head }) => head)
  const rows = encodeRows(taken.map(({ row }) => row))
  const brands = [...new Set(heads.map((head) => head.brand))]
  return Group.ofPacked(asked, { rows, heads, brands, many: true, at: 0 }, ctx.world.monoNow())
}

/** A brand that is named for the first time comes into being before its webhooks. */
export const submit = (group: Group, ctx: Ctx): void => {
  const known = ctx.table<Brand, true>(BRANDS_TABLE)
  const unknown = [...group.brands].filter((brand) => !known.has(brand))
  if (unknown.length === 0) return append(group, ctx)
  ctx.pipe(makeBrands(unknown, ctx), 'brands-known', group)
}

const makeBrands = async (brands: readonly Brand[], ctx: Ctx): Promise<void> => {
  for (const brand of brands) await ensureBrand(brand, ctx)
}

export const append = (group: Group, ctx: Ctx): void =>
  ctx.request(
    scheduler,
    { type: 'schedule', append: group.append, heads: group.heads },
    'appended',
    group,
    REQUEST_MS_MAX,
  )

export const appended = (message: Extract<Info, { type: 'appended' }>, state: State, ctx: Ctx): void => {
  const group = message.data
  if (!message.ok)
    return message.reason === 'timeout'
      ? refuseGroup(group, timedOut().data, state)
      : again(group, unavailable('restarting').data, state, ctx)
  const { value } = message
  if (value.ok) return stored(group, value, state, ctx)
  if ('failed' in value) {
    const data = unavailable(value.failed).data
    return isPassing(value.failed) ? again(group, data, state, ctx) : refuseGroup(group, data, state)
  }
  if (group.asked.length === 1) return refuseGroup(group, conflictOf(value.conflict, group.many), state)
  for (const single of group.split()) append(single, ctx)
}

/** The same ids again, so what was stored after all is not stored twice (D-3). */
const again = (group: Group, data: ErrorData, state: State, ctx: Ctx): void => {
  if (ctx.world.monoNow() - group.startedMono > REQUEST_MS_MAX) return refuseGroup(group, data, state)
  ctx.sendAfter(ASK_AGAIN_MS, { type: 'submit', group })
}

const conflictOf = (
  conflict: { readonly index: number; readonly idempotencyKey: string; readonly id: string },
  many: boolean,
): ErrorData => ({
  code: 'IDEMPOTENCY_CONFLICT',
  message: `idempotencyKey ${JSON.stringify(conflict.idempotencyKey)} was used for another webhook, ${conflict.id}; use a new key or send the same content`,
  field: many ? `webhooks[${conflict.index}].idempotencyKey` : 'idempotencyKey',
})

export const refuseGroup = (group: Group, data: ErrorData, state: State): void => {
  for (const asked of group.asked) refuse(asked, data, state)
}

const stored = (group: Group, { ids, duplicates }: Extract<Appended, { ok: true }>, state: State, ctx: Ctx): void => {
  const [first] = group.asked
  if (group.many && first !== undefined) return settle(first, scheduledManyText(ids, duplicates), state)
  group.asked.forEach((asked, i) => {
    const id = ids[i] ?? ''
    if (duplicates[i] === true) ctx.pipe(earlier(id, state.backend), 'done', asked)
    else settle(asked, scheduledText(id, group.ats[i] ?? 0), state)
  })
}

/** A repetition is answered with what the first one has become. */
const earlier = async (id: string, backend: Backend): Promise<unknown> => {
  const record = await backend.read({ type: 'webhook', id, brand: null })
  if (record === null) throw new Refusal('NOT_FOUND', `the first webhook of this idempotencyKey, ${id}, is gone`)
  const { state, at } = webhookView(record, backend.now())
  return { id, state, at, duplicate: true }
}
