/** The rows of LOAD at any size: short in `npm test`, whole in `npm run test:long`. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect } from 'vitest'
import type { ControlClient } from './control-client.ts'
import type { Daemon } from './daemon.ts'
import type { Offer, Offered } from './offering.ts'

export const offerIn = (offer: Offer): Promise<Offered> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.resolve('#test/support/offering.ts')), { workerData: offer })
    worker.once('message', resolve)
    worker.once('error', reject)
  })

const timed = async (ask: () => Promise<unknown>): Promise<number> => {
  const fromMono = performance.now()
  await ask()
  return performance.now() - fromMono
}

/** While `busy` lasts: how long a cancel, a limit and health take, ten times a second. */
export const control = async (daemon: Daemon, busy: Promise<unknown>, toCancel: readonly string[]) => {
  const client = await daemon.connect()
  const took: Record<'cancel' | 'limit' | 'health', number[]> = { cancel: [], limit: [], health: [] }
  let over = false
  void busy.finally(() => {
    over = true
  })
  for (const id of toCancel) {
    if (over) break
    took.cancel.push(
      await timed(async () => expect(await client.call('cancelWebhook', { id })).toEqual({ outcome: 'cancelled' })),
    )
    took.limit.push(await timed(() => client.call('configureBrandConcurrencyLimit', { limit: 50 })))
    took.health.push(await timed(async () => expect((await fetch(`${daemon.url}/healthz`)).status).toBe(200)))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await client.close()
  return took
}

/** Schedules `count` webhooks for later, in batches. */
export const fillWith = async (
  client: ControlClient,
  count: number,
  make: (index: number) => { readonly url: string; readonly at: number },
): Promise<string[]> => {
  const all: string[] = []
  for (let from = 0; from < count; from += 1_000) {
    const length = Math.min(1_000, count - from)
    const { ids } = await client.scheduleAll(Array.from({ length }, (_, i) => make(from + i)))
    all.push(...ids)
  }
  return all
}

export const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN
