/** Which hosts are this guard's follows from the domain groups: when they change, it is another guard's turn (D-13). */
import type { GuardProtocol } from '#actors/guard.ts'
import { bookIn, GROUPS_TABLE } from '#guard/tables.ts'
import { keep, stop } from '#runtime/behaviour.ts'
import { epochOf, type GroupBook, isGuardKey } from '#webhook/domain-group.ts'
import type { Domain } from '#webhook/webhook.ts'
import type { Ctx, Result, State } from './state.ts'

const bookOf = (ctx: Ctx): GroupBook => bookIn(ctx.table<string, GroupBook>(GROUPS_TABLE))

export const standing = (domain: Domain, ctx: Ctx): Pick<State, 'bookSeen' | 'epoch' | 'isRetired'> => ({
  bookSeen: -1,
  epoch: epochOf(bookOf(ctx), domain),
  isRetired: false,
})

/** Its hosts are others than when it started: from now on the pool refuses its permits, and it gives none. */
export const isReplaced = (state: State, ctx: Ctx): boolean => {
  if (state.isRetired) return true
  const book = bookOf(ctx)
  if (book.version === state.bookSeen) return false
  state.bookSeen = book.version
  return !isGuardKey(book, state.domain) || epochOf(book, state.domain) !== state.epoch
}

/**
 * What waits here is in the store, and its scheduler tells the next guards; what it admitted, the pool hands to them or refuses.
 * It hears out its mailbox first: what a receiver has said there holds for the next guard.
 */
export const retire = (state: State, ctx: Ctx): Result => {
  // Answers to what it has asked for come too late.
  if (!state.isRetired) state.round += 1
  state.isRetired = true
  if (ctx.mailboxLength() > 0) {
    if (!state.turnOwed) ctx.send<GuardProtocol>(ctx.self, { type: 'turn' })
    state.turnOwed = true
    return keep
  }
  ctx.unregister()
  state.events.emit({ type: 'guard.stopped', at: ctx.world.wallNow(), domain: state.domain })
  return stop('normal', state)
}
