/**
 * A dispatch thread as main sees it: orders out, reports in, and the watchdog. What the thread says is checked here; after a
 * malformed frame, or silence past a deadline, it is ended.
 */
import type { MessagePort, Worker } from 'node:worker_threads'
import { CARRIER_EXIT_SETTLE_MS, CARRIER_HANG_MS, CARRIER_WATCH_MS } from '#config/limits.ts'
import type { AddressPolicy } from '#webhook/address.ts'
import type { AttemptId } from '#webhook/webhook.ts'
import type { TimerHandle, World } from '#world/world.ts'
import type { AttemptOrder, AttemptReport, Carrier, CarrierEvents } from './dispatch.ts'
import { OrderFrame, readReports, type ThreadReport } from './frames.ts'
import type { ToThread } from './worker.ts'

interface Held {
  readonly attemptId: AttemptId
  readonly deadlineMono: number
}
/** So long past its oldest deadline a thread is asked whether it lives; one that does not answer is hung. */
const HUNG_MS = CARRIER_HANG_MS / 2
/** A thread that lives and yet reports nothing has lost a report (WORK-07). */
const SILENT_MS = CARRIER_HANG_MS * 3
const HANDLE_MAX = 2 ** 32 - 1

export class ThreadCarrier implements Carrier {
  readonly #world: World
  readonly #port: MessagePort
  readonly #worker: Worker
  readonly #beats: Int32Array
  readonly #events: CarrierEvents
  readonly #held = new Map<number, Held>()
  readonly #handles = new Map<AttemptId, number>()
  readonly #orders = new OrderFrame()
  readonly #exited: Promise<void>
  #lastHandle = 0
  /** Its beats when it was asked for one; null: it was not. */
  #askedAt: number | null = null
  /** What the last look found. */
  #bad: 'hung' | 'silent past a deadline' | null = null
  #watch: TimerHandle | null = null
  #reason = 'ended'
  #over = false
  /** Reports of attempts that it does not hold: late, twice, or never given (WORK-07). Counted and dropped. */
  strays = 0

  constructor(world: World, port: MessagePort, worker: Worker, beats: Int32Array, events: CarrierEvents) {
    this.#world = world
    this.#port = port
    this.#worker = worker
    this.#beats = beats
    this.#events = events
    port.on('message', (frame: unknown) => this.#reported(frame))
    worker.on('error', (error: unknown) => {
      this.#reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    })
    this.#exited = new Promise((resolve) => worker.once('exit', (code) => this.#exit(code, resolve)))
  }

  /** Sent before I/O gets its turn: what one turn hands over travels as one buffer. */
  dispatch(orders: readonly AttemptOrder[]): void {
    if (this.#over) return
    if (this.#orders.empty) this.#world.soon(() => this.#send())
    const now = this.#world.monoNow()
    for (const order of orders) this.#take(order, now)
    this.#startWatch()
  }

  abort(attempts: readonly AttemptId[]): void {
    const handles = attempts.map((id) => this.#handles.get(id)).filter((handle) => handle !== undefined)
    if (this.#over || handles.length === 0) return
    this.#send()
    this.#port.postMessage({ type: 'abort', handles } satisfies ToThread)
  }

  setPolicy(policy: AddressPolicy): void {
    if (!this.#over) this.#port.postMessage({ type: 'policy', policy } satisfies ToThread)
  }

  end(reason = 'ended by its owner'): Promise<void> {
    this.#terminate(reason)
    return this.#exited
  }

  #take(order: AttemptOrder, now: number): void {
    this.#lastHandle = this.#lastHandle === HANDLE_MAX ? 1 : this.#lastHandle + 1
    const handle = this.#lastHandle
    this.#held.set(handle, { attemptId: order.attemptId, deadlineMono: now + order.timeoutMs })
    this.#handles.set(order.attemptId, handle)
    const { webhookId, brand, request, timeoutMs } = order
    this.#orders.add({ handle, webhookId, brand, request, timeoutMs })
  }

  #send(): void {
    if (this.#over || this.#orders.empty) return
    const frame = this.#orders.take()
    this.#port.postMessage(frame satisfies ToThread, [frame])
  }

  #reported(frame: unknown): void {
    if (this.#over) return
    this.#world.failpoint('carrier.reported')
    let reports: readonly ThreadReport[]
    try {
      reports = readReports(frame)
    } catch (error) {
      return this.#terminate(`malformed report: ${String(error)}`)
    }
    const known: AttemptReport[] = []
    for (const report of reports) {
      const attemptId = this.#release(report.handle)
      if (attemptId === null) this.strays += 1
      else {
        const { outcome, startedAt, endedAt, networkMs, sent } = report
        known.push({ attemptId, outcome, startedAt, endedAt, networkMs, sent })
      }
    }
    if (known.length > 0) this.#events.reported(known)
  }

  #release(handle: number): AttemptId | null {
    const held = this.#held.get(handle)
    if (held === undefined) return null
    this.#held.delete(handle)
    if (this.#handles.get(held.attemptId) === handle) this.#handles.delete(held.attemptId)
    return held.attemptId
  }

  #startWatch(): void {
    this.#watch ??= this.#world.setTimer(CARRIER_WATCH_MS, () => {
      this.#watch = null
      this.#look()
      if (!this.#over && this.#held.size > 0) this.#startWatch()
    })
  }

  /**
   * Twice in a row before anything is done: after a pause of main, or of the whole process, the answers and the reports of
   * meanwhile are yet to come.
   */
  #look(): void {
    let oldest = Number.POSITIVE_INFINITY
    for (const { deadlineMono } of this.#held.values()) oldest = Math.min(oldest, deadlineMono)
    const overdueMs = this.#world.monoNow() - oldest
    const isStill = overdueMs > HUNG_MS && !this.#answers()
    const bad = isStill ? 'hung' : overdueMs > SILENT_MS ? 'silent past a deadline' : null
    if (bad !== null && bad === this.#bad) this.#terminate(bad)
    this.#bad = bad
  }
  /** True too when it is asked for the first time: its answer is seen at the next look. */
  #answers(): boolean {
    const beat = Atomics.load(this.#beats, 0)
    if (beat === this.#askedAt) return false
    this.#askedAt = beat
    this.#port.postMessage({ type: 'beat' } satisfies ToThread)
    return true
  }

  #terminate(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#reason = reason
    void this.#worker.terminate()
  }

  /** D-8: only the exit says that no socket is open any more, and the receivers see it a little later. */
  #exit(code: number, resolve: () => void): void {
    const reason = this.#over ? this.#reason : `${this.#reason} (exit code ${code})`
    this.#over = true
    if (this.#watch !== null) this.#world.clearTimer(this.#watch)
    this.#port.close()
    this.#world.setTimer(CARRIER_EXIT_SETTLE_MS, () => {
      this.#events.ended(reason)
      resolve()
    })
  }
}
