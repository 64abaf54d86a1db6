/** What a guard shows of itself all the time: its row of the table `guard-figures`, and backpressure as events. */
import type { GuardFigures } from '#actors/guard.ts'
import { FIGURES_MS } from '#config/limits.ts'
import { concurrencyNow } from '#guard/admission.ts'
import { isPressed, letGo, observe, type PressureChange } from '#guard/backpressure.ts'
import { stateShown } from '#guard/explain.ts'
import { rateOf } from '#guard/limits.ts'
import { oldestWaiting, sweepBrands } from '#guard/queues.ts'
import { startsLastSecond } from '#guard/start-counter.ts'
import { FIGURES_TABLE, LIMITS_TABLE, type LimitsRow } from '#guard/tables.ts'
import type { Domain } from '#webhook/webhook.ts'
import { groundOf } from './ground.ts'
import type { Ctx, State } from './state.ts'

export const tellPressure = (nowMono: number, state: State, ctx: Ctx): void => {
  const at = ctx.world.wallNow()
  const seen = { blockedBy: state.block?.by ?? null, depth: state.queues.waiting.size, nowAt: at, nowMono }
  tellPressureChange(observe(state.pressure, seen), state, ctx)
}
/** The guard ends. */
export const endPressure = (state: State, ctx: Ctx): void =>
  tellPressureChange(letGo(state.pressure, ctx.world.monoNow()), state, ctx)

const tellPressureChange = (change: PressureChange | null, state: State, ctx: Ctx): void => {
  if (change === null) return
  const at = ctx.world.wallNow()
  const { domain } = state
  if (change.kind === 'started')
    state.events.emit({ type: 'backpressure.started', at, domain, limit: change.limit, depth: change.depth })
  else {
    const { limit, durationMs, peak, spans } = change
    state.events.emit({ type: 'backpressure.ended', at, domain, limit, durationMs, peak, spans })
  }
}

export const writeFigures = (nowMono: number, state: State, ctx: Ctx): void => {
  if (!state.figuresStale || nowMono < state.figuresMono + FIGURES_MS) return
  state.figuresMono = nowMono
  const shown = figures(state, ctx)
  ctx.table<Domain, GuardFigures>(FIGURES_TABLE).set(state.domain, shown)
  state.figuresStale = shown.rate.startsLastSecond > 0
  sweepBrands(state.queues)
}

export const figures = (state: State, ctx: Ctx): GuardFigures => {
  const limits = ctx.table<string, LimitsRow>(LIMITS_TABLE)
  const rate = rateOf(limits, state.queues.keys.rate)
  const ground = groundOf(state, ctx)
  const limit = concurrencyNow(state.queues, ground).permits
  const pressed = isPressed(state.pressure)
  return {
    domain: state.domain,
    state: state.phase === 'open' ? stateShown(state.queues.keys, ground) : 'starting',
    concurrency: { current: state.flights.size, limit },
    rate: {
      startsLastSecond: startsLastSecond(state.starts, ctx.world.monoNow()),
      limit: rate?.perSecond ?? null,
      burst: rate?.burst ?? null,
    },
    queued: state.queues.waiting.size,
    more: state.queues.hungry.size > 0,
    oldestWaitingAt: oldestWaiting(state.queues),
    backpressure: {
      active: pressed,
      since: pressed ? state.pressure.sinceAt : null,
      // What presses now, not what did first: a breaker may have opened since.
      limit: pressed ? (state.block?.by ?? state.pressure.limit) : null,
    },
    overshoot: state.overshoot,
  }
}
