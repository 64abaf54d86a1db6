/** The network of a simulation: a receiver per domain, drawn from the seed, and threads that die, hang and do not start. */
import type { AttemptOrder, Carrier, CarrierEvents, Dispatch } from '#dispatch/dispatch.ts'
import { type FakeAnswer, FakeNetwork } from '#dispatch/fake.ts'
import { attemptIdOf } from '#webhook/webhook.ts'
import type { VirtualWorld } from '#world/virtual-world.ts'
import { Draws } from './draws.ts'
import type { Ledger } from './ledger.ts'
import type { Receiver, SimOptions } from './options.ts'
import type { ProcessWorld } from './process-world.ts'
import type { Tally } from './tally.ts'

export interface NetworkHooks {
  readonly tally: Tally
  readonly passage: (name: string) => void
  readonly trace: (text: string) => void
}
const HEALTHY: FakeAnswer = { latencyMs: 5 }
/** A receiver sees the close of a dead thread's socket this much later at most, before the permit ends (D-8). */
const CLOSE_SEEN_MS = 9

export class SimNetwork extends FakeNetwork {
  healed = false
  /** The whole process is dying: who is open stays open for a while (D-12). */
  processDies = false
  readonly #options: SimOptions
  readonly #ledger: Ledger
  readonly #hooks: NetworkHooks
  readonly #draws: Draws
  readonly #starts: Draws
  readonly #answers = new Map<string, FakeAnswer>()

  constructor(world: VirtualWorld, options: SimOptions, ledger: Ledger, hooks: NetworkHooks) {
    super(world)
    this.script = (order) => this.#answer(order)
    this.#options = options
    this.#ledger = ledger
    this.#hooks = hooks
    this.#draws = new Draws(options.seed, 'receivers')
    this.#starts = new Draws(options.seed, 'carrier starts')
  }

  /** The Dispatch of one process: nothing starts in a dead one. */
  openFor(process: ProcessWorld): Dispatch {
    const dispatch = this.openDispatch(this.#options)
    return {
      capacity: dispatch.capacity,
      carriers: dispatch.carriers,
      startCarrier: (events) => this.#startCarrier(dispatch, process, events),
      close: () => dispatch.close(),
    }
  }
  async #startCarrier(dispatch: Dispatch, process: ProcessWorld, events: CarrierEvents): Promise<Carrier> {
    const share = this.healed ? 0 : this.#options.carrierStartFails
    if (share > 0) {
      await process.sleep(this.#starts.between(0, 50))
      if (this.#starts.chance(share)) {
        this.#hooks.tally.count('thread did not start')
        throw new Error('the thread did not start')
      }
    }
    if (!process.alive) throw new Error('the process is dead')
    return dispatch.startCarrier({
      // The thread stands still with its process: what came meanwhile is told afterwards.
      reported: (reports) =>
        process.run(() => {
          this.#hooks.passage('reported')
          events.reported(reports)
        }),
      ended: (reason) =>
        process.run(() => {
          this.#hooks.passage('carrier ended')
          events.ended(reason)
        }),
    })
  }
  /** As kill -9 does to every thread. */
  endProcess(): void {
    this.processDies = true
    for (const carrier of this.carriers) carrier.die('the process died')
    this.processDies = false
    this.#ledger.processDied()
  }

  override arrived(order: AttemptOrder): void {
    super.arrived(order)
    const drawn = this.#answers.get(order.attemptId) ?? HEALTHY
    this.#answers.delete(order.attemptId)
    const latencyMs = drawn.latencyMs ?? 1
    const answer = latencyMs >= order.timeoutMs ? { ...drawn, never: true } : drawn
    const ends = answer.never === true ? order.timeoutMs : latencyMs
    this.#hooks.trace(`arrives ${order.attemptId} ${order.domain} ${order.brand} ${JSON.stringify(answer)}`)
    this.#ledger.arrived({
      id: order.webhookId,
      attempt: order.attempt,
      domain: order.domain,
      brand: order.brand,
      answer,
      endsMono: this.world.monoNow() + ends,
    })
    this.#hooks.passage('arrived')
  }
  override closed(order: AttemptOrder, died: boolean): void {
    super.closed(order, died)
    if (died && this.processDies) return
    const attemptId = attemptIdOf(order.webhookId, order.attempt)
    const arrival = this.#ledger.open.get(attemptId)
    if (died) this.world.setTimer(CLOSE_SEEN_MS, () => this.#ledger.ended(attemptId, false, arrival))
    else this.#ledger.ended(attemptId, true)
  }

  #answer(order: AttemptOrder): FakeAnswer {
    const receiver = this.#options.receivers.get(order.domain)
    const answer = this.healed || receiver === undefined ? HEALTHY : drawAnswer(this.#draws, receiver, order)
    if (answer.sent === false) this.#ledger.unsent.set(order.domain, (this.#ledger.unsent.get(order.domain) ?? 0) + 1)
    this.#answers.set(order.attemptId, answer)
    this.#hooks.tally.count(nameOf(answer))
    if (answer.retryAfterMs !== undefined) this.#hooks.tally.count('answer 429 with Retry-After')
    if (answer.killsCarrier === true || answer.hangsCarrier === true) {
      this.#ledger.lastDoubtMono = Number.POSITIVE_INFINITY
      this.#ledger.poison.add(order.webhookId)
    }
    return answer
  }
}

const nameOf = ({ status = 200, error, sent, never, killsCarrier, hangsCarrier }: FakeAnswer): string => {
  if (killsCarrier === true) return 'request that kills its thread'
  if (hangsCarrier === true) return 'request that hangs its thread'
  if (sent === false) return 'connection refused'
  if (never === true) return 'no answer'
  if (error !== undefined) return 'broken answer'
  return status === 429 ? 'answer 429' : `answer ${Math.floor(status / 100)}xx`
}
const drawAnswer = (draws: Draws, receiver: Receiver, { webhookId }: AttemptOrder): FakeAnswer => {
  const latencyMs = draws.between(...receiver.latencyMs)
  if (receiver.poison > 0 && new Draws(0, webhookId).chance(receiver.poison)) return { latencyMs, killsCarrier: true }
  if (draws.chance(receiver.kills)) return { latencyMs, killsCarrier: true }
  if (draws.chance(receiver.hangs)) return { latencyMs, hangsCarrier: true }
  if (draws.chance(receiver.unsent)) return { latencyMs, error: 'connect_refused', sent: false }
  if (draws.chance(receiver.never)) return { latencyMs, never: true }
  if (draws.chance(receiver.errors)) return { latencyMs, error: draws.oneOf(['reset_after_send', 'bad_response']) }
  if (draws.chance(receiver.refuses))
    return {
      latencyMs,
      status: 429,
      ...(receiver.retryAfterMs === null ? {} : { retryAfterMs: receiver.retryAfterMs }),
    }
  if (draws.chance(receiver.fails)) return { latencyMs, status: draws.oneOf([500, 503, 404, 302, 410]) }
  return { latencyMs, status: draws.oneOf([200, 200, 201, 204]) }
}
