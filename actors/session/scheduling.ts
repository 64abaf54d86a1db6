/** session: how schedule calls become appends, and what their senders are told. */
import {
  ASK_AGAIN_MS,
  BACKLOGS_TABLE,
  BRANDS_TABLE,
  ensureBrand,
  isPassing,
  recountBacklog,
  timedOut,
  unavailable,
  unsure,
} from '#actors/backend.ts'
import { scheduler } from '#actors/scheduler.ts'
import { refusedAppend, refusedByKeeper, sendsAppend } from '#actors/session/door.ts'
import { type Ctx, type Info, refusalOf, refuse, type State, settle } from '#actors/session/state.ts'
import { REQUEST_MS_MAX } from '#config/limits.ts'
import type { Backend } from '#control/backend.ts'
import { type BacklogRow, backlogFull, isStale, takeRoomFor } from '#control/backlog.ts'
import { type Asked, Group, scheduledManyText, scheduledText } from '#control/flight.ts'
import { expectedStarts } from '#control/foresight.ts'
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
  return Group.ofPacked(
    asked,
    { rows, heads, brands, many: true, predict: taken.some(({ predict }) => predict), at: 0 },
    ctx.world.monoNow(),
  )
}

/** A brand that is named for the first time comes into being before its webhooks. */
export const submit = (group: Group, state: State, ctx: Ctx): void => {
  const known = ctx.table<Brand, true>(BRANDS_TABLE)
  const unknown = [...group.brands].filter((brand) => !known.has(brand))
  if (unknown.length === 0) return admit(group, state, ctx)
  ctx.pipe(makeBrands(unknown, ctx), 'brands-known', group)
}

const makeBrands = async (brands: readonly Brand[], ctx: Ctx): Promise<void> => {
  for (const brand of brands) await ensureBrand(brand, ctx)
}

/** Brands whose backlog is bounded are counted first, if the last count is old; most have no bound. */
export const admit = (group: Group, state: State, ctx: Ctx): void => {
  const backlogs = ctx.table<Brand, BacklogRow>(BACKLOGS_TABLE)
  const stale = [...group.brands].filter((brand) => {
    const row = backlogs.get(brand)
    return row !== undefined && isStale(row, ctx.world.monoNow())
  })
  if (stale.length === 0) return letIn(group, state, ctx)
  ctx.pipe(countBacklogs(stale, ctx), 'backlogs-counted', group)
}

const countBacklogs = async (brands: readonly Brand[], ctx: Ctx): Promise<void> => {
  for (const brand of brands) await recountBacklog(brand, ctx)
}
export const backlogsCounted = (message: Extract<Info, { type: 'backlogs-counted' }>, state: State, ctx: Ctx): void =>
  message.ok ? letIn(message.data, state, ctx) : refuseGroup(message.data, refusalOf(message.reason, state), state)

/** Single calls are let in one by one where not all of them fit. */
const letIn = (group: Group, state: State, ctx: Ctx): void => {
  const full = refusedAppend(group, ctx) ?? takeRoom(group, ctx)
  if (full === null) return foresee(group, state, ctx)
  if (group.asked.length === 1) return refuseGroup(group, full, state)
  for (const single of group.split()) letIn(single, state, ctx)
}

/** All brands of the group or none; answers why not. */
const takeRoom = (group: Group, ctx: Ctx): ErrorData | null => {
  const backlogs = ctx.table<Brand, BacklogRow>(BACKLOGS_TABLE)
  const taken: (readonly [Brand, BacklogRow])[] = []
  for (const brand of group.brands) {
    const row = backlogs.get(brand)
    if (row === undefined) continue
    const count = group.heads.reduce((sum, head) => sum + Number(head.brand === brand), 0)
    const after = takeRoomFor(row, count)
    if (after === null) return backlogFull(brand, row, count)
    taken.push([brand, after])
  }
  for (const [brand, after] of taken) backlogs.set(brand, after)
  return null
}

/** Before the append, so that nobody counts them twice. */
const foresee = (group: Group, state: State, ctx: Ctx): void => {
  sendsAppend(group, ctx)
  if (!group.predict) return append(group, ctx)
  ctx.pipe(expectedStarts(group.heads, state.backend), 'foreseen', group)
}
export const foreseen = (message: Extract<Info, { type: 'foreseen' }>, state: State, ctx: Ctx): void => {
  const group = message.data
  if (!message.ok) return refuseGroup(group, refusalOf(message.reason, state), state)
  group.expected = message.value
  append(group, ctx)
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
  if (!message.ok) {
    if (message.reason === 'timeout') return refuseGroup(group, timedOut().data, state)
    group.mayBeStored ||= message.reason !== 'noproc'
    return again(group, (group.mayBeStored ? unsure() : unavailable('restarting')).data, state, ctx)
  }
  const { value } = message
  if (value.ok) return stored(group, value, state, ctx)
  if ('failed' in value) {
    group.mayBeStored ||= value.mayBeDone === true
    if (value.failed === 'crowded' && !group.mayBeStored) return refuseGroup(group, refusedByKeeper(group, ctx), state)
    const { data } = group.mayBeStored ? unsure() : unavailable(value.failed)
    return isPassing(value.failed) ? again(group, data, state, ctx) : refuseGroup(group, data, state)
  }
  if (group.asked.length === 1) return refuseGroup(group, conflictOf(value.conflict, group.many), state)
  for (const single of group.split()) append(single, ctx)
}

/** The same ids again, so what was stored after all is not stored twice (D-3). */
const again = (group: Group, data: ErrorData, state: State, ctx: Ctx): void => {
  if (ctx.world.monoNow() - group.startedMono > REQUEST_MS_MAX) return refuseGroup(group, data, state)
  ctx.sendAfter(ASK_AGAIN_MS, { type: 'append-again', group })
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
  if (group.many && first !== undefined) return settle(first, scheduledManyText(ids, duplicates, group.expected), state)
  group.asked.forEach((asked, i) => {
    const id = ids[i] ?? ''
    if (duplicates[i] === true) ctx.pipe(earlier(id, state.backend), 'done', asked)
    else settle(asked, scheduledText(id, group.ats[i] ?? 0, group.expectedAt(i)), state)
  })
}

/** A repetition is answered with what the first one has become. */
const earlier = async (id: string, backend: Backend): Promise<unknown> => {
  const record = await backend.read({ type: 'webhook', id, brand: null })
  if (record === null) throw new Refusal('NOT_FOUND', `the first webhook of this idempotencyKey, ${id}, is gone`)
  const { state, at } = webhookView(record, backend.now())
  return { id, state, at, duplicate: true }
}
