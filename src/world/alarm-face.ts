/** What the alarm and its thread share. */

/** What both sides see: how often it was set, and for when (the thread that made it: `process.hrtime`, ms). */
export interface AlarmFace {
  readonly settings: Int32Array<SharedArrayBuffer>
  readonly dueMs: Float64Array<SharedArrayBuffer>
}

/** Milliseconds on CLOCK_MONOTONIC, the same for all threads (`performance.now` begins with each thread). */
export const sharedNowMs = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1e6
}
