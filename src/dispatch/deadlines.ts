/**
 * The deadlines of a dispatch thread under one timer of its world. Those of equal length fall due in the order in which they
 * were set, so each length has a list; setting and lifting one is a few pointers (a timer each cost 1.4 microseconds of 50).
 */
import type { TimerHandle, World } from '#world/world.ts'

/** Something with at most one deadline at a time. Its fields belong to `Deadlines`. */
export abstract class Expiring {
  expiresMono = 0
  list: Expiries | null = null
  before: Expiring | null = null
  after: Expiring | null = null
  /** Called once, with the deadline lifted. */
  abstract expired(): void
}
interface Expiries {
  first: Expiring | null
  last: Expiring | null
}

export class Deadlines {
  readonly #world: World
  readonly #lists = new Map<number, Expiries>()
  #timer: TimerHandle | null = null
  #wakeMono = Number.POSITIVE_INFINITY

  constructor(world: World) {
    this.#world = world
  }

  /** From now on; replaces the one it had. */
  set(expiring: Expiring, delayMs: number, nowMono: number): void {
    this.lift(expiring)
    let list = this.#lists.get(delayMs)
    if (list === undefined) {
      list = { first: null, last: null }
      this.#lists.set(delayMs, list)
    }
    expiring.expiresMono = nowMono + delayMs
    expiring.list = list
    expiring.before = list.last
    if (list.last === null) list.first = expiring
    else list.last.after = expiring
    list.last = expiring
    if (expiring.expiresMono < this.#wakeMono) this.#wakeAt(expiring.expiresMono, nowMono)
  }

  lift(expiring: Expiring): void {
    const { list, before, after } = expiring
    if (list === null) return
    if (before === null) list.first = after
    else before.after = after
    if (after === null) list.last = before
    else after.before = before
    expiring.list = null
    expiring.before = null
    expiring.after = null
  }

  #wakeAt(atMono: number, nowMono: number): void {
    if (this.#timer !== null) this.#world.clearTimer(this.#timer)
    this.#wakeMono = atMono
    this.#timer = this.#world.setTimer(Math.max(0, atMono - nowMono), () => this.#wake())
  }

  #wake(): void {
    this.#timer = null
    this.#wakeMono = Number.POSITIVE_INFINITY
    const now = this.#world.monoNow()
    const due: Expiring[] = []
    for (const [delayMs, list] of this.#lists) {
      for (let one = list.first; one !== null && one.expiresMono <= now; one = list.first) {
        this.lift(one)
        due.push(one)
      }
      if (list.first === null) this.#lists.delete(delayMs)
    }
    for (const one of due) one.expired()
    let nextMono = Number.POSITIVE_INFINITY
    for (const { first } of this.#lists.values()) nextMono = Math.min(nextMono, first?.expiresMono ?? nextMono)
    if (nextMono < this.#wakeMono) this.#wakeAt(nextMono, now)
  }
}
