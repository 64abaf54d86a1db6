/** More is due than receivers take: what the daemon holds of it is looked at all the while. In virtual time. */
import { expect } from 'vitest'
import { dispatchPool } from '#actors/dispatch-pool.ts'
import { guardOf } from '#actors/guard.ts'
import { scheduler } from '#actors/scheduler.ts'
import { VirtualDaemon } from './virtual-daemon.ts'

export interface SlowReceivers {
  readonly domains: number
  /** Due at one instant, on each of them. */
  readonly each: number
  readonly concurrency: number
  /** Attempts that the one dispatch thread holds. */
  readonly capacity: number
  readonly latencyMs: number
}
/** The most that was held at any look, by count. */
export interface Held {
  /** In windows of guards. */
  windows: number
  horizon: number
  executions: number
  /** By the pool: given to the thread, and waiting for a place in it. */
  inThread: number
  queued: number
}

/** Delivers all of it, looking ten times in the time of one answer. */
export const heldBySlowReceivers = async (asked: SlowReceivers): Promise<Held> => {
  const { domains, each, concurrency, capacity, latencyMs } = asked
  const daemon = new VirtualDaemon({ safeMessages: false, capacity, script: () => ({ latencyMs }) })
  await daemon.start()
  const names = Array.from({ length: domains }, (_, n) => `d${n}.example.com`)
  for (const domain of names) await daemon.setLimit({ kind: 'concurrency', domain, value: concurrency })
  const ids: string[] = []
  for (const domain of names)
    ids.push(...(await daemon.schedule(Array.from({ length: each }, () => ({ domain, at: dueAt(daemon) })))))
  const most: Held = { windows: 0, horizon: 0, executions: 0, inThread: 0, queued: 0 }
  const rounds = Math.ceil(ids.length / Math.min(capacity, domains * concurrency))
  await daemon.world.advance(DUE_MS)
  for (let look = 0; look < 10 * (rounds + 10); look++) {
    await daemon.world.advance(latencyMs / 10)
    const now = await held(daemon, names)
    for (const what of Object.keys(most) as (keyof Held)[]) most[what] = Math.max(most[what], now[what])
  }
  expect(ids.filter((id) => daemon.stateOf(id) !== 'delivered')).toEqual([])
  expect(daemon.network.arrivals).toHaveLength(ids.length)
  return most
}
const DUE_MS = 1_000
const dueAt = ({ world }: VirtualDaemon): number => world.wallNow() + DUE_MS

const held = async ({ runtime, network }: VirtualDaemon, names: readonly string[]): Promise<Held> => {
  const windows: number[] = []
  for (const domain of names)
    if (runtime.whereis(guardOf(domain)) !== null)
      windows.push((await runtime.call(guardOf(domain), { type: 'figures' })).queued)
  const { horizon } = await runtime.call(scheduler, { type: 'figures' })
  const { queued } = await runtime.call(dispatchPool, { type: 'figures' })
  const executions = runtime.processes().filter((pid) => runtime.processInfo(pid)?.behaviour === 'execution').length
  return {
    windows: windows.reduce((sum, rows) => sum + rows, 0),
    horizon,
    executions,
    inThread: network.open(),
    queued,
  }
}
