/** Starts in the last second, in ten buckets: bounded, whatever the rate. Instants are monotonic milliseconds. */
export interface StartCounter {
  readonly buckets: number[]
  /** Number of the newest bucket since the clock's origin. */
  newest: number
}
const BUCKETS = 10
const BUCKET_MS = 100

export const emptyCounter = (): StartCounter => ({ buckets: new Array<number>(BUCKETS).fill(0), newest: 0 })

const moveTo = (counter: StartCounter, nowMono: number): void => {
  const now = Math.floor(nowMono / BUCKET_MS)
  const from = Math.max(counter.newest, now - BUCKETS)
  for (let bucket = from + 1; bucket <= now; bucket += 1) counter.buckets[bucket % BUCKETS] = 0
  counter.newest = Math.max(counter.newest, now)
}
export const countStart = (counter: StartCounter, nowMono: number): void => {
  moveTo(counter, nowMono)
  const at = counter.newest % BUCKETS
  counter.buckets[at] = (counter.buckets[at] ?? 0) + 1
}
export const startsLastSecond = (counter: StartCounter, nowMono: number): number => {
  moveTo(counter, nowMono)
  return counter.buckets.reduce((sum, count) => sum + count, 0)
}
