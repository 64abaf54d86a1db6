/** The store is gone or cannot be trusted: it is opened again, or, where nothing may go on, the keeper is doomed (reliability.md D7). */
import { STORE_RETRY_MS, STORE_RETRY_MS_MAX, STORE_STEADY_MS } from '#config/limits.ts'
import type { StoreErrorCode } from '#store/store.ts'
import { hold } from './answers.ts'
import { isHopeless } from './holding.ts'
import { flush } from './roads.ts'
import { type Ctx, type Opened, ROADS, type State } from './state.ts'
import { complain, openedAgain, report } from './telling.ts'
import { noteFailure, whyDoomed } from './trouble.ts'

/** The store is gone or cannot be trusted: close it, open it again; what was under way waits at the head of its road. */
export const reopen = (state: State, ctx: Ctx, reason: string, code: StoreErrorCode): void => {
  if (state.phase === 'reopening') return
  complain(state, ctx, reason)
  noteFailure(ctx, code, reason)
  state.phase = 'reopening'
  state.leftIncarnation = state.holding.incarnation
  const doomed = whyDoomed(ctx)
  if (doomed !== null) doom(state, ctx, doomed)
  else if (ctx.world.monoNow() - state.openedMono < STORE_STEADY_MS) openLater(state, ctx)
  else {
    state.reopenMs = STORE_RETRY_MS
    openAgain(state, ctx)
  }
}
/** A store that dies whenever it is opened must not be opened in a circle (SUPV-02); what waits for it goes on waiting. */
const openLater = (state: State, ctx: Ctx): void => {
  ctx.sendAfter(state.reopenMs, { type: 'open-again' })
  state.reopenMs = Math.min(state.reopenMs * 2, STORE_RETRY_MS_MAX)
}
/** What was promised to nobody yet is refused; what is not recorded is in doubt at the next start. */
const doom = (state: State, ctx: Ctx, why: string): void => {
  state.doomed = why
  for (const name of ROADS) hold(state.roads[name], ctx, state.roads[name].waiting.splice(0), 'io')
}
export const CRASHED: Opened = { ok: false, detail: 'the open has crashed', hopeless: false }
const notOpened = (error: Error): Opened => ({ ok: false, detail: error.message, hopeless: isHopeless(error) })
export const openAgain = (state: State, ctx: Ctx): void => {
  ctx.pipe(
    state.holding.reopen().then((error): Opened => (error === null ? { ok: true } : notOpened(error))),
    'opened',
  )
}
export const opened = (state: State, ctx: Ctx, outcome: Opened): void => {
  const { endedEarly } = state
  state.endedEarly = false
  if (outcome.ok && endedEarly) {
    report(state, ctx, 'it ended as soon as it was opened')
    return openLater(state, ctx)
  }
  if (outcome.ok) {
    openedAgain(state)
    state.phase = 'open'
    state.isDown = false
    state.openedMono = ctx.world.monoNow()
    flush(state, ctx)
    return
  }
  if (outcome.hopeless) return doom(state, ctx, `the store cannot be opened again: ${outcome.detail}`)
  // Each time, as at boot: the delay between two tries bounds how often.
  report(state, ctx, outcome.detail)
  state.isDown = true
  for (const name of ROADS) hold(state.roads[name], ctx, state.roads[name].waiting.splice(0), 'closed')
  ctx.sendAfter(state.reopenMs, { type: 'open-again' })
  state.reopenMs = Math.min(state.reopenMs * 2, STORE_RETRY_MS_MAX)
}
