/** What changes webhooks goes through here, so that the horizon knows it: new ones, cancels, new instants. Each is asked of the store until it answers (D-3). */
import { guardFor } from '#actors/guard.ts'
import type { NewDue, Retimed } from '#actors/scheduler.ts'
import { type StoreFailed, storeKeeper } from '#actors/store-keeper.ts'
import type { Answer } from '#runtime/protocol.ts'
import { handedBy } from '#schedule/handed.ts'
import { admitRow, type Horizon, isBefore, remove } from '#schedule/horizon.ts'
import type { Appended, Cancelled } from '#store/store.ts'
import type { Instant } from '#webhook/webhook.ts'
import { ASK_AGAIN_MS, type Cancelling, type Ctx, type Retiming, type Scheduling, type State } from './state.ts'
import { tick } from './wake-up.ts'

export const requestAppend = (scheduling: Scheduling, ctx: Ctx): void =>
  ctx.request(storeKeeper, scheduling.append, 'appended', scheduling, Number.POSITIVE_INFINITY)

export const onAppended = (
  message: Answer<'appended', Appended | StoreFailed, Scheduling>,
  state: State,
  ctx: Ctx,
): void => {
  const { from, heads } = message.data
  if (!message.ok) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'append-again', scheduling: message.data })
    return
  }
  const appended = message.value
  if (appended.ok) {
    const now = ctx.world.wallNow()
    for (let i = 0; i < heads.length; i++) {
      if (appended.duplicates[i] === true) continue
      const head = heads[i] as NewDue
      const seq = appended.seqs[i] as number
      if (reaches(state.horizon, head.nextAt, seq)) admitRow(state.horizon, { ...head, seq }, handedBy(now))
    }
    state.events.emit({ type: 'webhook.scheduled', at: now, count: heads.length, brand: heads[0]?.brand ?? 'default' })
  }
  ctx.reply(from, appended)
  tick(state, ctx)
}
/** Most of a batch lies far ahead: nothing is made of it here. */
const reaches = (horizon: Horizon, nextAt: Instant, seq: number): boolean =>
  !isBefore(horizon.edge, { nextAt, seq }) || (horizon.load !== null && nextAt <= horizon.load.until)

export const requestCancel = (cancelling: Cancelling, ctx: Ctx): void =>
  ctx.request(
    storeKeeper,
    { type: 'cancel', id: cancelling.id, brand: cancelling.brand, at: cancelling.at },
    'cancelled',
    cancelling,
    Number.POSITIVE_INFINITY,
  )

export const onCancelled = (
  message: Answer<'cancelled', Cancelled | StoreFailed, Cancelling>,
  state: State,
  ctx: Ctx,
): void => {
  const { from, id } = message.data
  if (!message.ok) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'cancel-again', cancelling: message.data })
    return
  }
  const cancelled = message.value
  if ('outcome' in cancelled && cancelled.outcome === 'cancelled') {
    remove(state.horizon, id)
    if (cancelled.due !== null) ctx.cast(guardFor(ctx, cancelled.due.domain), { type: 'withdrawn', id })
  }
  ctx.reply(from, cancelled)
}

export const requestRetiming = (retiming: Retiming, ctx: Ctx): void =>
  ctx.request(storeKeeper, retiming.op, 'retimed', retiming, Number.POSITIVE_INFINITY)

/** Its guard forgets the old instant; what was admitted at it is refused by its mark. */
export const onRetimed = (
  message: Answer<'retimed', Retimed | StoreFailed, Retiming>,
  state: State,
  ctx: Ctx,
): void => {
  const { from, op } = message.data
  if (!message.ok) {
    ctx.sendAfter(ASK_AGAIN_MS, { type: 'retime-again', retiming: message.data })
    return
  }
  const retimed = message.value
  ctx.reply(from, retimed)
  if (!('due' in retimed)) return
  const { due } = retimed
  const now = ctx.world.wallNow()
  remove(state.horizon, due.id)
  if (due.nextAt > now) ctx.cast(guardFor(ctx, due.domain), { type: 'withdrawn', id: due.id })
  admitRow(state.horizon, due, handedBy(now))
  const type = op.type === 'replay' ? 'webhook.replayed' : 'webhook.rescheduled'
  state.events.emit({ type, at: now, id: due.id, domain: due.domain, brand: due.brand, nextAt: due.nextAt })
  tick(state, ctx)
}
