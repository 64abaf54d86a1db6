/**
 * A thread that does nothing but sleep, and rings when it is time. Node's own timers count in whole milliseconds of the event
 * loop: at the median they are 0.7 ms late, at worst two; a wait on shared memory ends within 0.2 ms (futex(2)).
 * It only adds precision: who relies on it also sets a timer of Node's, which fires should the thread have died.
 */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { type AlarmFace, sharedNowMs } from './alarm-face.ts'

/** One instant at a time. */
export class Alarm {
  readonly #face: AlarmFace = {
    settings: new Int32Array(new SharedArrayBuffer(4)),
    dueMs: new Float64Array(new SharedArrayBuffer(8)),
  }
  readonly #worker: Worker
  readonly #aheadMs = sharedNowMs() - performance.now()
  /** Until then the thread sleeps, unless it is woken; infinite: until it is woken. */
  #asleepUntil = Number.POSITIVE_INFINITY

  /** `ring`: at the instant or a little later; now and then once more, for nothing. It keeps no process alive. */
  constructor(ring: () => void) {
    this.#face.dueMs[0] = Number.POSITIVE_INFINITY
    this.#worker = new Worker(fileURLToPath(import.meta.resolve('#world/alarm-thread.ts')), {
      workerData: this.#face,
      name: 'alarm',
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
    })
    this.#worker.unref()
    this.#worker.on('error', () => undefined)
    this.#worker.on('message', () => {
      this.#asleepUntil = Number.POSITIVE_INFINITY
      ring()
    })
  }

  /** Rings at `dueMono` (`performance.now`) instead of when it was set for. */
  set(dueMono: number): void {
    const { settings, dueMs } = this.#face
    dueMs[0] = dueMono + this.#aheadMs
    Atomics.add(settings, 0, 1)
    if (dueMono >= this.#asleepUntil) return
    this.#asleepUntil = dueMono
    Atomics.notify(settings, 0)
  }
  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}
