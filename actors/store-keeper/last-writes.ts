/** The store-keeper ends in order: what is known and not written would be in doubt after the next start. */
import type { StoreErrorCode } from '#store/store.ts'
import { settle } from './answers.ts'
import { writingOf } from './asking.ts'
import { type Ctx, type Pending, ROADS, type State, type Written } from './state.ts'
import { isLeft } from './trouble.ts'

/** Bounded by the keeper's `shutdownMs`. What the store does not take now is lost: outcomes are in doubt, promises were given to nobody. */
export const writeLast = async (state: State, ctx: Ctx): Promise<void> => {
  for (const name of ROADS) {
    const { underWay, writing, waiting } = state.roads[name]
    if (underWay === null || writing === null) continue
    const outcome = await writing
    if (outcome.ok && state.phase === 'open') settle(state, ctx, underWay, outcome)
    else waiting.unshift(...underWay)
    if (!outcome.ok) leave(outcome.failed, state)
  }
  for (const name of ROADS) {
    const { waiting } = state.roads[name]
    if (waiting.length === 0) continue
    const outcome = await write(waiting, state)
    if (outcome === null) return
    settle(state, ctx, waiting, outcome)
  }
}

/** A store that is gone, or goes now, is opened once more, at once: who ends has no time for a delay. Null: it cannot be had. */
const write = async (group: readonly Pending[], state: State): Promise<Written | null> => {
  const { holding } = state
  if (state.phase === 'open' && holding.store !== null) {
    const outcome = await writingOf(holding.store, group)
    if (outcome.ok || !isLeft(outcome.failed)) return outcome
    leave(outcome.failed, state)
  }
  await holding.opening
  if (holding.store === null || holding.incarnation === state.leftIncarnation) await holding.reopen()
  if (holding.store === null) return null
  state.phase = 'open'
  return writingOf(holding.store, group)
}
const leave = (code: StoreErrorCode, state: State): void => {
  if (state.phase !== 'open' || !isLeft(code)) return
  state.phase = 'reopening'
  state.leftIncarnation = state.holding.incarnation
}
