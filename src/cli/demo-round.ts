/** One round of the demo: many webhooks at one instant to a fragile receiver, with or without its limit. */
import type { Client } from '#client/node.ts'
import type { World } from '#world/world.ts'
import { FragileReceiver } from './fragile-receiver.ts'

export interface DemoOptions {
  readonly webhooks: number
  readonly capacity: number
}
/** How a round stands, and at its end how it went. */
export interface Round {
  readonly guarded: boolean
  readonly webhooks: number
  readonly capacity: number
  readonly delivered: number
  readonly dead: number
  /** Requests that reached the receiver. */
  readonly requests: number
  readonly open: number
  readonly openMost: number
  /** How often the receiver fell over. */
  readonly falls: number
  readonly tookMs: number
  /** Open requests over time, one figure a look. */
  readonly course: readonly number[]
}

const WORK_MS = 40
const DOWN_MS = 1_000
const LOOK_MS = 100
const LEAD_MS = 1_000
/** As many senders do it: a few tries, a second apart. */
const RETRY = { maxAttempts: 3, backoff: 'fixed', initialDelayMs: 1_000, maxDelayMs: 1_000, jitter: 0 } as const
const NO_LIMIT = 1_000_000

export interface RoundGiven {
  readonly client: Client
  readonly world: World
  readonly options: DemoOptions
  /** Hears each look. */
  readonly look: (round: Round) => void
  readonly quit: () => boolean
}

/** Resolves when all are delivered or dead, or with what there is when it is asked to quit. */
export const runRound = async (guarded: boolean, given: RoundGiven): Promise<Round> => {
  const { client, world, options } = given
  const receiver = new FragileReceiver(world, { capacity: options.capacity, workMs: WORK_MS, downMs: DOWN_MS })
  const domain = await receiver.listen()
  try {
    await client.configureDomainConcurrencyLimit({ domain, limit: guarded ? options.capacity : NO_LIMIT })
    if (!guarded) await client.configureBreaker({ domain, enabled: false, closure: 'off', retryBudget: 100 })
    const at = world.wallNow() + LEAD_MS
    const webhooks = Array.from({ length: options.webhooks }, (_, i) => ({ url: `http://${domain}/${i}`, body: { i } }))
    await client.scheduleWebhooks({ webhooks, defaults: { at, retry: RETRY } })
    return await watchRound(guarded, { ...given, receiver, domain, at })
  } finally {
    await receiver.close()
  }
}

const watchRound = async (
  guarded: boolean,
  given: RoundGiven & { readonly receiver: FragileReceiver; readonly domain: string; readonly at: number },
): Promise<Round> => {
  const { client, world, options, receiver, domain, at } = given
  const course: number[] = []
  for (;;) {
    const { totals } = await client.getMonitor({ domain })
    const figures = receiver.figures()
    course.push(figures.open)
    const { delivered, dead } = totals
    const tookMs = Math.max(0, world.wallNow() - at)
    const round: Round = { guarded, ...options, ...figures, delivered, dead, tookMs, course }
    given.look(round)
    if (delivered + dead >= options.webhooks || given.quit()) return round
    await new Promise<void>((resolve) => world.setTimer(LOOK_MS, resolve))
  }
}
