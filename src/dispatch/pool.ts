/**
 * The Dispatch of production: Piscina threads, each with one long-lived task, the dispatch session (a task per attempt alone
 * costs 1.6 to 2 times raw undici's CPU). A task is never aborted, since Piscina then kills its thread; it is told.
 */
import { MessageChannel, type Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { ATTEMPTS_IN_FLIGHT_MAX, CARRIER_HEAP_MB, LONELY_HEAP_MB, THREAD_YOUNG_HEAP_MB } from '#config/limits.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import type { World } from '#world/world.ts'
import { ThreadCarrier } from './carrier.ts'
import type { Carrier, CarrierEvents, Dispatch } from './dispatch.ts'
import type { OwnTargets } from './own-targets.ts'
import type { DispatchSettings } from './settings.ts'
import type { SessionTask, Started } from './worker.ts'

export interface PoolOptions {
  readonly world: World
  readonly settings: DispatchSettings
  /** Threads to keep: `--threads`, default max(1, cores - 1), at most 4. */
  readonly threads: number
  /** Told of errors that belong to no carrier, such as a thread that cannot start. */
  readonly failed: (error: Error) => void
  /** Denied beside the settings' policy, live. */
  readonly own?: OwnTargets
  /** Only for tests: another entry of the thread. */
  readonly worker?: string
}
/** Threads beyond the kept ones: one being replaced while it still exits. */
const SPARE_THREADS = 1
type Threads = Piscina<SessionTask, void>

export const openDispatchPool = (options: PoolOptions): Dispatch => new PiscinaDispatch(options)

class PiscinaDispatch implements Dispatch {
  readonly capacity: number
  readonly carriers: number
  readonly #options: PoolOptions
  readonly #shared: Threads
  /** One suspect at a time, in a thread of another heap: it is made when there is one (D-17). */
  readonly #lonely: Threads
  readonly #live = new Set<ThreadCarrier>()
  readonly #unfollow: () => void
  #closing: Promise<void> | null = null

  constructor(options: PoolOptions) {
    this.#options = options
    this.carriers = options.threads
    // Few threads must not mean few attempts: 26 dead domains would fill 256 places (D-14).
    this.capacity = Math.ceil(ATTEMPTS_IN_FLIGHT_MAX / options.threads)
    this.#shared = threadsOf(options, options.threads, CARRIER_HEAP_MB)
    this.#lonely = threadsOf(options, 0, LONELY_HEAP_MB)
    this.#unfollow =
      options.own?.follow(() => {
        for (const carrier of this.#live) carrier.setPolicy(this.#policy())
      }) ?? (() => {})
  }

  async startCarrier(events: CarrierEvents, lonely = false): Promise<Carrier> {
    if (this.#closing !== null) throw new Error('the dispatch pool is closed')
    const { port1: port, port2: threadPort } = new MessageChannel()
    const heartbeat = new SharedArrayBuffer(4)
    const started = new Promise<Started>((resolve) => port.once('message', resolve))
    const threads = lonely ? this.#lonely : this.#shared
    const task = threads.run(
      { port: threadPort, settings: { ...this.#options.settings, policy: this.#policy() }, heartbeat },
      { transferList: [threadPort] },
    )
    // The session never ends by itself before its carrier is there; later its thread's exit tells, not the task (D-8).
    const worker = await Promise.race([started, task.then(neverStarted, neverStarted)])
      .then(({ threadId }) => workerOf(threads, threadId))
      .catch((error: unknown) => {
        port.close()
        throw error
      })
    const carrier = new ThreadCarrier(this.#options.world, port, worker, new Int32Array(heartbeat), {
      reported: (reports) => events.reported(reports),
      ended: (reason) => {
        this.#live.delete(carrier)
        events.ended(reason)
      },
    })
    this.#live.add(carrier)
    // It may have changed while the thread started.
    if (this.#options.own !== undefined) carrier.setPolicy(this.#policy())
    return carrier
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #policy(): AddressPolicy {
    const { settings, own } = this.#options
    const denyTargets = [...settings.policy.denyTargets, ...(own?.current ?? [])]
    return { ...settings.policy, denyTargets }
  }

  async #close(): Promise<void> {
    this.#unfollow()
    // Piscina first: it would replace a thread that ended by itself.
    const ended = [this.#shared.destroy(), this.#lonely.destroy()]
    await Promise.all([...ended, ...[...this.#live].map((carrier) => carrier.end('closed'))])
  }
}

const threadsOf = (options: PoolOptions, kept: number, heapMb: number): Threads => {
  const most = kept + SPARE_THREADS
  const threads = new Piscina<SessionTask, void>({
    filename: options.worker ?? import.meta.resolve('#dispatch/worker.ts'),
    minThreads: kept,
    maxThreads: most,
    maxQueue: most,
    concurrentTasksPerWorker: 1,
    // The default freezes an idle thread: no timers, no DNS.
    atomics: 'disabled',
    idleTimeout: Number.POSITIVE_INFINITY,
    resourceLimits: { maxOldGenerationSizeMb: heapMb, maxYoungGenerationSizeMb: THREAD_YOUNG_HEAP_MB },
  })
  threads.on('error', options.failed)
  return threads
}

const workerOf = (threads: Threads, threadId: number): Worker => {
  const worker = threads.threads.find((thread) => thread.threadId === threadId)
  if (worker === undefined) throw new Error(`dispatch thread ${threadId} ended at its start`)
  return worker
}

const neverStarted = (reason: unknown): never => {
  throw new Error(`a dispatch thread could not start: ${String(reason ?? 'its task ended')}`)
}
