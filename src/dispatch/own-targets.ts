/**
 * Addresses of our own that no webhook may call, whatever the operator allows: the control listener, the stores, other nodes.
 * Known only once they are bound, and changing with the machine's interfaces; the dispatch threads follow.
 */
import type { DeniedTarget } from '#webhook/address.ts'

export class OwnTargets {
  #current: readonly DeniedTarget[] = []
  readonly #followers = new Set<() => void>()

  get current(): readonly DeniedTarget[] {
    return this.#current
  }
  set(targets: readonly DeniedTarget[]): void {
    this.#current = targets
    for (const follow of this.#followers) follow()
  }
  /** Calls back after every change; returns a function that ends it. */
  follow(changed: () => void): () => void {
    this.#followers.add(changed)
    return () => this.#followers.delete(changed)
  }
}
