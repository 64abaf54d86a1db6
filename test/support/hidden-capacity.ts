/** A real backend that tells nobody its capacity, and how well the guard before it has found it. Judged by ratios, not by time. */
import type { CountingReceiver } from './counting-receiver.ts'

export interface CapacityWatch {
  readonly receiver: CountingReceiver
  /** What one request takes while it does not queue. */
  readonly serviceMs: number
  /** Service times over which open requests are averaged. */
  readonly windowServices: number
}
const SAMPLES_PER_SERVICE = 4

/** The mean of open requests over one window; 0 means that nothing was sent. */
export const meanOpen = async ({ receiver, serviceMs, windowServices }: CapacityWatch): Promise<number> => {
  let sum = 0
  const samples = windowServices * SAMPLES_PER_SERVICE
  for (let n = 0; n < samples; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, serviceMs / SAMPLES_PER_SERVICE))
    sum += (await receiver.figures()).open
  }
  return sum / samples
}

/**
 * Gives the backend this capacity and waits for a window whose mean is within 20 % of it. Answers the means of all windows; the
 * last one is the settled one, or the one after which patience ended.
 */
export const settle = async (
  watch: CapacityWatch,
  capacity: number,
  windowsMax: number,
): Promise<readonly number[]> => {
  await watch.receiver.behave({ capacity })
  const means: number[] = []
  while (means.length < windowsMax) {
    const mean = await meanOpen(watch)
    means.push(mean)
    if (isNear(mean, capacity)) break
  }
  return means
}
export const isNear = (mean: number, capacity: number): boolean => mean >= 0.8 * capacity && mean <= 1.2 * capacity
