/**
 * The customers: an open loop of 200 webhooks a second, in batches and one by one, each with an idempotency key, asked again in the
 * same words until it is acknowledged. Some take a refusal as the last word, and some cancel what they had scheduled.
 */
import type { WebhookInput } from '#test/support/control-client.ts'
import { Prng } from '#world/prng.ts'
import { type Line, pause, type Told } from './line.ts'

export const PER_SECOND = 200
const TICK_MS = 100
const PER_TICK = (PER_SECOND * TICK_MS) / 1_000
/** Of each tick's; the rest is one batch. */
const SINGLES = 5
const SOON_MS = 3_000
const CANCELLED_ONE_IN = 8
const RESIGNS_ONE_IN = 10
const BODY_CHARACTERS_MAX = 1_000
const RETRY = { maxAttempts: 50, backoff: 'fixed', initialDelayMs: 200, maxDelayMs: 200, jitter: 0 }
const STREAM = 0x0ffe_2ed0
/** What a daemon in trouble may say; anything else is a finding. */
const MAY_REFUSE = ['STORAGE_UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'SHUTTING_DOWN']

export interface Acknowledged {
  readonly number: number
  readonly id: string
  /** Epoch ms. */
  readonly at: number
}
export interface Books {
  readonly acked: Map<string, Acknowledged>
  /** By id: when the cancel was acknowledged, epoch ms. */
  readonly cancelled: Map<string, number>
  /** Refused with the word that nothing was done, never asked for again. */
  readonly resigned: Set<number>
  /** Refusals by code, cut lines by reason. */
  readonly refusals: Record<string, number>
  readonly findings: string[]
  offered: number
  /** Batches that are not answered for good. */
  open: number
  /** Still wanted at the end, so that idempotency is asked of old keys too: some batches with the ids that they were given. */
  readonly kept: { readonly webhooks: readonly WebhookInput[]; readonly ids: readonly string[] }[]
}
export const newBooks = (): Books => ({
  acked: new Map(),
  cancelled: new Map(),
  resigned: new Set(),
  refusals: {},
  findings: [],
  offered: 0,
  open: 0,
  kept: [],
})
const KEPT_ONE_IN = 20

interface Wanted {
  readonly numbers: readonly number[]
  readonly webhooks: readonly WebhookInput[]
  readonly resigns: boolean
  readonly cancels: boolean
}

export class Offering {
  readonly #line: Line
  readonly #urls: readonly string[]
  readonly #random: Prng
  readonly #seed: number
  /** Late enough that a cancel comes in time. */
  readonly #cancelledInMs: number
  readonly books = newBooks()

  constructor(line: Line, urls: readonly string[], { seed, cancelledInMs }: { seed: number; cancelledInMs: number }) {
    this.#line = line
    this.#urls = urls
    this.#seed = seed
    this.#cancelledInMs = cancelledInMs
    this.#random = new Prng(seed ^ STREAM)
  }

  /** Resolves when all that was offered in `ms` is answered for good. */
  async run(ms: number): Promise<void> {
    const asking: Promise<void>[] = []
    const startMono = performance.now()
    for (let tick = 0; tick * TICK_MS < ms; tick++) {
      await pause(startMono + tick * TICK_MS - performance.now())
      asking.push(this.#get(this.#want(PER_TICK - SINGLES)))
      for (let n = 0; n < SINGLES; n++) asking.push(this.#get(this.#want(1)))
    }
    await Promise.all(asking)
  }

  #want(count: number): Wanted {
    const random = this.#random
    const cancels = count === 1 && random.below(CANCELLED_ONE_IN) === 0
    const numbers = Array.from({ length: count }, (_, index) => this.books.offered + index)
    this.books.offered += count
    const webhooks = numbers.map((number) => ({
      url: `${this.#urls[number % this.#urls.length]}/chaos/${number}`,
      at: Date.now() + (cancels ? this.#cancelledInMs + random.below(SOON_MS) : random.below(SOON_MS)),
      idempotencyKey: `${this.#seed}-${number}`,
      body: { number, text: 'x'.repeat(random.below(BODY_CHARACTERS_MAX)) },
      retry: RETRY,
    }))
    return { numbers, webhooks, cancels, resigns: random.below(RESIGNS_ONE_IN) === 0 }
  }
  async #get(wanted: Wanted): Promise<void> {
    this.books.open += 1
    const ids = await this.#untilAnswered(wanted)
    if (ids !== null) {
      this.#note(wanted, ids)
      if (wanted.cancels) for (const id of ids) await this.#cancel(id)
    }
    this.books.open -= 1
  }
  /** Null: resigned. */
  async #untilAnswered({ numbers, webhooks, resigns }: Wanted): Promise<readonly string[] | null> {
    let mayBeStored = false
    for (;;) {
      const told = await this.#line.ask(async (client) => {
        const [only] = webhooks
        if (webhooks.length === 1 && only !== undefined) return [(await client.schedule(only)).id]
        return (await client.scheduleAll(webhooks)).ids
      })
      if (told.kind === 'yes') return told.value
      this.#count(told)
      if (told.kind === 'unsure') mayBeStored = true
      else if (told.forSure && resigns && !mayBeStored) {
        for (const number of numbers) this.books.resigned.add(number)
        return null
      }
      await pause(told.kind === 'no' ? told.retryAfterMs : 0)
    }
  }
  #note({ numbers, webhooks }: Wanted, ids: readonly string[]): void {
    const { acked, kept } = this.books
    for (const [index, number] of numbers.entries()) {
      const [id, at] = [ids[index] ?? '', Number(webhooks[index]?.at)]
      if (acked.has(id)) this.books.findings.push(`${id} was given to ${number} and to ${acked.get(id)?.number}`)
      acked.set(id, { number, id, at })
    }
    if (this.#random.below(KEPT_ONE_IN) === 0) kept.push({ webhooks, ids })
  }
  async #cancel(id: string): Promise<void> {
    const { outcome } = await this.#line.patiently((client) =>
      client.call<{ readonly outcome: string }>('cancelWebhook', { id }),
    )
    if (outcome === 'cancelled') this.books.cancelled.set(id, Date.now())
    if (outcome === 'notFound') this.books.findings.push(`${id} was acknowledged and cannot be found`)
  }
  #count(told: Exclude<Told<unknown>, { kind: 'yes' }>): void {
    const { refusals, findings } = this.books
    const what = told.kind === 'no' ? told.code : told.why
    refusals[what] = (refusals[what] ?? 0) + 1
    if (told.kind === 'no' && !MAY_REFUSE.includes(told.code) && refusals[what] === 1)
      findings.push(`a schedule was refused as ${told.code}`)
  }
}
