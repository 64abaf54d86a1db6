/** TIME-04: a daemon whose wall clock is slewed all the time, with a webhook a minute; days of it in virtual time. */

import { VirtualDaemon } from '#test/support/virtual-daemon.ts'
import { Prng } from '#world/prng.ts'

export interface Drifted {
  readonly due: number
  readonly arrived: number
  /** On the daemon's own wall clock. */
  readonly earliestMs: number
  readonly latestMs: number
  /** Told as steps: none of them is one. */
  readonly steps: number
}
const SCHEDULED_AT_ONCE = 500
/** 3,000 steps a day, each of at most 500 ppm of what has passed since the one before. */
const STEP_EVERY_MS = 28_800
const STEP_MS_MAX = STEP_EVERY_MS * 500e-6

export const drift = async (days: number, seed = 4): Promise<Drifted> => {
  const daemon = new VirtualDaemon({ script: () => ({ latencyMs: 20 }), safeMessages: false })
  await daemon.start()
  const { world } = daemon
  const prng = new Prng(seed)
  const from = world.wallNow()
  const ats = Array.from({ length: Math.floor(days * 24 * 60) }, (_, n) => from + (n + 1) * 60_000)
  let scheduled = 0
  while (world.wallNow() < from + (ats.length + 1) * 60_000) {
    if (world.wallNow() > (ats[scheduled - 1] ?? 0) - 120_000 && scheduled < ats.length) {
      const some = ats.slice(scheduled, scheduled + SCHEDULED_AT_ONCE)
      await daemon.schedule(some.map((at) => ({ at })))
      scheduled += some.length
    }
    await world.advance(STEP_EVERY_MS)
    world.stepWall(Math.round((prng.next() * 2 - 1) * STEP_MS_MAX))
  }
  const late = daemon.network.arrivals.map(({ at }, i) => at - (ats[i] ?? 0))
  const steps = daemon.events.filter(({ type }) => type === 'clock.stepped').length
  await daemon.crash()
  return {
    due: ats.length,
    arrived: late.length,
    earliestMs: late.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
    latestMs: late.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
    steps,
  }
}
