import type { ControlClient, WebhookInput } from '#test/support/control-client.ts'
import { BODY } from './load.ts'
import { type Bench, type Check, check, type Scenario } from './scenario.ts'

const BATCH = 1_000
const DAY_MS = 24 * 3_600_000
/** A client may have 64 requests in flight on a socket; single calls keep 60, batches 4. */
const SINGLE_IN_FLIGHT = 60
const BATCHES_IN_FLIGHT = 4

const pipelined = async <Item>(items: readonly Item[], inFlight: number, send: (item: Item) => Promise<void>) => {
  const open = items.values()
  const lane = async (): Promise<void> => {
    for (const item of open) await send(item)
  }
  const startMono = performance.now()
  await Promise.all(Array.from({ length: inFlight }, lane))
  return performance.now() - startMono
}

const makeWebhooks = (bench: Bench, label: string, count: number): WebhookInput[] => {
  // From an hour ahead on: nothing falls due while it is measured.
  const from = Date.now() + 3_600_000
  return Array.from({ length: count }, (_, index) => ({
    url: `https://api-${index % 20}.example.com/hooks`,
    body: BODY,
    at: from + bench.random.below(DAY_MS),
    idempotencyKey: `${label}-${index}`,
  }))
}

type Send = () => Promise<readonly string[]>

/** Sends what was prepared; webhooks per second. */
const measured = async (sends: readonly Send[], inFlight: number, webhooks: number, ids: Set<string>) => {
  const ms = await pipelined(sends, inFlight, async (send) => {
    for (const id of await send()) ids.add(id)
  })
  return (webhooks / ms) * 1_000
}

const batched = (client: ControlClient, webhooks: readonly WebhookInput[], ids: Set<string>) => {
  const sends = Array.from({ length: Math.ceil(webhooks.length / BATCH) }, (_, index): Send => {
    const batch = webhooks.slice(index * BATCH, (index + 1) * BATCH)
    const send = client.prepare<{ ids: string[] }>('scheduleWebhooks', { webhooks: batch })
    return async () => (await send()).ids
  })
  return measured(sends, BATCHES_IN_FLIGHT, webhooks.length, ids)
}

const single = (client: ControlClient, webhooks: readonly WebhookInput[], ids: Set<string>) => {
  const sends = webhooks.map((webhook): Send => {
    const send = client.prepare<{ id: string }>('scheduleWebhook', webhook)
    return async () => [(await send()).id]
  })
  return measured(sends, SINGLE_IN_FLIGHT, webhooks.length, ids)
}

const books = async (
  client: ControlClient,
  sent: number,
  ids: Set<string>,
  first: readonly WebhookInput[],
): Promise<Check[]> => {
  const { totals } = await client.monitor()
  const again = await client.scheduleAll(first)
  const after = (await client.monitor()).totals
  return [
    check('every webhook has an id of its own', ids.size === sent, `${ids.size} of ${sent}`),
    check('the store holds each once', totals.scheduled === sent, `${totals.scheduled} of ${sent}`),
    check(
      'sent again with the same keys, they are duplicates with the same ids',
      again.duplicates.every(Boolean) && again.ids.every((id) => ids.has(id)) && after.scheduled === sent,
      `${again.duplicates.filter(Boolean).length} of ${first.length}; ${after.scheduled} stored`,
    ),
  ]
}

const run = async (bench: Bench) => {
  const counts = bench.pick({
    tiny: { batched: 2_000, single: 200 },
    small: { batched: 50_000, single: 10_000 },
    full: { batched: 300_000, single: 60_000 },
  })
  const daemon = await bench.daemon()
  const client = await daemon.connect()
  const ids = new Set<string>()
  const warmUp = makeWebhooks(bench, 'warm', Math.ceil(counts.batched / 10))
  await batched(client, warmUp, ids)
  const many = makeWebhooks(bench, 'batch', counts.batched)
  const batchedPerSecond = await batched(client, many, ids)
  bench.note(`batched ${batchedPerSecond.toFixed(0)}/s`)
  const singlePerSecond = await single(client, makeWebhooks(bench, 'single', counts.single), ids)
  bench.note(`single ${singlePerSecond.toFixed(0)}/s`)
  const sent = warmUp.length + counts.batched + counts.single
  const checks = await books(client, sent, ids, many.slice(0, BATCH))
  await client.close()
  return {
    setup: { ...counts, batch: BATCH, batchesInFlight: BATCHES_IN_FLIGHT, singlesInFlight: SINGLE_IN_FLIGHT },
    figures: [
      { name: 'accepted in batches of 1,000', value: batchedPerSecond, unit: '/s', aim: { atLeast: 60_000 } },
      { name: 'accepted one by one, pipelined', value: singlePerSecond, unit: '/s', aim: { atLeast: 12_000 } },
    ],
    checks,
    plots: [
      {
        title: 'enqueue: webhooks accepted per second',
        unit: '/s',
        kind: 'bars' as const,
        series: [
          { name: 'batches of 1,000', points: [[0, batchedPerSecond]] as const },
          { name: 'one by one', points: [[0, singlePerSecond]] as const },
        ],
      },
    ],
  }
}

export const enqueue: Scenario = {
  name: 'enqueue',
  measures: 'webhooks accepted (on disk) per second, at random instants over 24 h, with idempotency keys',
  run,
}
