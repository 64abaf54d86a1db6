/** The work that scenarios give to the daemon, and waiting until it is done. */
import type { ControlClient, WebhookInput } from '#test/support/control-client.ts'
import type { Ledger } from '#test/support/ledger.ts'

/** 300 bytes of JSON, as bench.md says. */
export const BODY: unknown = ((empty) => ({ ...empty, pad: 'x'.repeat(300 - JSON.stringify(empty).length) }))({
  event: 'order.created',
  order: { id: 4_711, currency: 'EUR', total: 129.5, items: [1, 2, 3] },
  pad: '',
})
export const BODY_TEXT = JSON.stringify(BODY)

const BATCH = 1_000

/** Schedules all of them in batches of 1,000, four in flight, and writes the acknowledgements into the ledger. */
export const scheduleMany = async (
  client: ControlClient,
  count: number,
  make: (index: number) => WebhookInput,
  ledger: Ledger,
): Promise<void> => {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const from = next
      next = Math.min(count, from + BATCH)
      const webhooks = Array.from({ length: next - from }, (_, offset) => make(from + offset))
      const { ids } = await client.scheduleAll(webhooks)
      ledger.acknowledged(
        ids,
        webhooks.map(({ at }) => (typeof at === 'number' ? at : null)).map((at) => at ?? 0),
      )
    }
  }
  await Promise.all(Array.from({ length: 4 }, lane))
}

export const sleepUntil = (at: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, at - Date.now())))

/** Asks the monitor until so many are delivered; false after `withinMs`. */
export const untilDelivered = async (client: ControlClient, count: number, withinMs: number): Promise<boolean> => {
  const end = performance.now() + withinMs
  while (performance.now() < end) {
    if ((await client.monitor()).totals.delivered >= count) return true
    await sleepUntil(Date.now() + 100)
  }
  return false
}
