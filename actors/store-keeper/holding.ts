/**
 * What the store-keeper owns: one store at a time, opened with patience, closed at every death. Outlives the keeper's state,
 * since `ctx.own` closes it when no state is left.
 */
import { STORE_OPEN_PATIENCE_MS, STORE_RETRY_MS, STORE_RETRY_MS_MAX } from '#config/limits.ts'
import { type OpenStore, type Store, StoreError, type StoreErrorCode } from '#store/store.ts'
import type { Events } from '#telemetry/events.ts'
import type { World } from '#world/world.ts'

export interface StoreKeeperArgs {
  readonly open: OpenStore
  readonly events: Events
}

type Ended = (incarnation: number, reason: string, code: StoreErrorCode) => void

export class StoreHolding {
  store: Store | null = null
  /** Counts the opens, so that a late word of an older store is ignored. */
  incarnation = 0
  readonly #args: StoreKeeperArgs
  readonly #world: World
  readonly #ended: Ended
  #opening: Promise<unknown> = Promise.resolve()
  /** Its keeper is dead: nothing is opened any more. */
  #closed = false

  /** `ended`: a store's thread has died. */
  constructor(args: StoreKeeperArgs, world: World, ended: Ended) {
    this.#args = args
    this.#world = world
    this.#ended = ended
  }

  /** Tries with growing delay for STORE_OPEN_PATIENCE_MS; answers with the last error, or null. */
  async openPatiently(): Promise<Error | null> {
    let delayMs = STORE_RETRY_MS
    const until = this.#world.monoNow() + STORE_OPEN_PATIENCE_MS
    for (;;) {
      const error = await this.#open()
      if (error === null) return null
      this.#tell(error.message)
      if (isHopeless(error) || this.#world.monoNow() + delayMs > until) return error
      await new Promise<void>((resolve) => this.#world.setTimer(delayMs, resolve))
      if (this.#closed) return error
      delayMs = Math.min(delayMs * 2, STORE_RETRY_MS_MAX)
    }
  }
  /** Closes what is there and opens once. An old store that does not close in order is told of, and leaves the way. */
  reopen(): Promise<Error | null> {
    const old = this.store
    this.store = null
    const reopening = closed(old).then((error) => {
      if (error !== null) this.#tell(`the old store did not close: ${error.message}`)
      return this.#closed ? new StoreError('closed', 'its keeper has ended') : this.#open()
    })
    this.#opening = reopening
    return reopening
  }
  /** An open under way, or the last: at a death it is awaited and closed. Never rejects. */
  get opening(): Promise<unknown> {
    return this.#opening
  }
  async close(): Promise<void> {
    this.#closed = true
    await this.#opening
    await this.store?.close()
  }

  #open(): Promise<Error | null> {
    this.incarnation += 1
    const { incarnation } = this
    const grown = (bytes: number): void =>
      this.#args.events.emit({ type: 'store.log-grown', at: this.#world.wallNow(), bytes })
    const ended = (reason: string, code: StoreErrorCode): void => this.#ended(incarnation, reason, code)
    const opening = (async () => this.#args.open({ ended, grown }))().then((store) => {
      this.store = store
      this.#args.events.emit({ type: 'store.opened', at: this.#world.wallNow(), detail: `open ${incarnation}` })
      return null
    }, asError)
    this.#opening = opening
    return opening
  }
  #tell(detail: string): void {
    this.#args.events.emit({ type: 'store.failed', at: this.#world.wallNow(), detail })
  }
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
const closed = async (store: Store | null): Promise<Error | null> => {
  try {
    await store?.close()
    return null
  } catch (error) {
    return asError(error)
  }
}

/** Time does not cure a corrupt file or one of a later release. */
export const isHopeless = (error: Error): boolean =>
  error instanceof StoreError && (error.code === 'corrupt' || error.code === 'version')
