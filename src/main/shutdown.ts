/**
 * How the daemon stops (reliability.md U10): nobody new is let in, nothing more is told to guards, they admit nothing more, what is in flight is
 * finished within the grace period, its outcomes are written, then the tree ends in reverse order and the store closes last.
 */
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { executor } from '#actors/executor.ts'
import { limits } from '#actors/limits.ts'
import { retryManager } from '#actors/retry-manager.ts'
import { scheduler } from '#actors/scheduler.ts'
import { SHUTDOWN_GRACE_MS } from '#config/limits.ts'
import type { Runtime } from '#runtime/runtime.ts'
import { root } from '#supervisors/root.ts'

/** Resolves when the tree has ended. Steps whose actor is gone are skipped: nothing of theirs is lost, the store has it. */
export const shutDown = async (runtime: Runtime): Promise<void> => {
  runtime.cast(scheduler, { type: 'quiesce' })
  runtime.cast(limits, { type: 'quiesce' })
  await settled(runtime.call(dispatchPool, { type: 'drain' }, SHUTDOWN_GRACE_MS))
  await settled(runtime.call(executor, { type: 'drain' }, DRAIN_MS))
  await settled(runtime.call(retryManager, { type: 'drain' }, DRAIN_MS))
  await runtime.stop(root, 'shutdown')
}

/** Outcomes of attempts that have ended: a commit or two. */
const DRAIN_MS = 3_000

const settled = (step: Promise<unknown>): Promise<unknown> => step.catch((reason: unknown) => reason)
