/**
 * Nothing that may start waits for long: promptness is watched where nothing has troubled the daemon for a while, or a lost
 * wake-up would hide behind the next audit.
 */
import { STORE_RETRY_MS_MAX } from '#config/limits.ts'
import type { MemoryDisk, MemoryRow } from '#store/memory/memory-disk.ts'
import type { VirtualWorld } from '#world/virtual-world.ts'
import type { Ledger } from './ledger.ts'

/** From the last trouble until everything due is on its way. */
const PROMPT_MS = 4_000
/** Fewer failures do not make a guard careful. */
const BAD_MAX = 2

export class StallWatch {
  #troubledMono = Number.NEGATIVE_INFINITY
  #fullMono = Number.NEGATIVE_INFINITY
  /** A store that fails again and again is tried again after a delay, which grows (SUPV-02): until then at most. -Infinity: it takes writes. */
  #triedByMono = Number.NEGATIVE_INFINITY
  readonly #world: VirtualWorld
  readonly #disk: MemoryDisk
  readonly #ledger: Ledger

  readonly #capacity: number

  /** `capacity`: requests of the whole node. */
  constructor(world: VirtualWorld, disk: MemoryDisk, ledger: Ledger, capacity: number) {
    this.#capacity = capacity
    this.#world = world
    this.#disk = disk
    this.#ledger = ledger
  }

  trouble(): void {
    this.#troubledMono = this.#world.monoNow()
    this.#ledger.troubles.push(this.#troubledMono)
  }
  /** It is told of every store that is given up and of every opening that fails: the next try is so far away at most. */
  storeFailed(): void {
    this.#triedByMono = this.#world.monoNow() + STORE_RETRY_MS_MAX
  }
  storeOpened(): void {
    if (this.#triedByMono !== Number.NEGATIVE_INFINITY) this.trouble()
    this.#triedByMono = Number.NEGATIVE_INFINITY
  }
  processStarts(): void {
    this.storeOpened()
    this.trouble()
  }
  /** From here on no try fails. A disk that was full or busy is told of once, and tried in silence: the last try may be of just now. */
  heals(): void {
    this.trouble()
    if (this.#triedByMono !== Number.NEGATIVE_INFINITY) this.storeFailed()
  }
  isTroubled(withinMs: number): boolean {
    return this.#world.monoNow() - Math.max(this.#troubledMono, this.#triedByMono) < withinMs
  }

  /** `quiet`: the process runs and its store answers at once. */
  look(quiet: boolean): void {
    const now = this.#world.monoNow()
    if (!quiet || this.isTroubled(PROMPT_MS) || !this.#ledger.groups.isSettled(now - PROMPT_MS, now)) return
    // Who waits for the node waits wherever nothing runs.
    if (this.#ledger.open.size >= this.#capacity / 2) this.#fullMono = this.#world.monoNow()
    if (this.#world.monoNow() - this.#fullMono < PROMPT_MS) return
    const busy = new Set<string>()
    for (const { domain } of this.#ledger.open.values()) busy.add(this.#keyOf(domain))
    const overdue = this.#world.wallNow() - PROMPT_MS
    for (const [domain, row] of this.#heads())
      if (row.nextAt < overdue && !busy.has(this.#keyOf(domain)) && this.#isFree(row))
        return this.#ledger.fail(
          'I9',
          `${row.id} waits at ${domain}, where nothing runs, since ${overdue - row.nextAt} ms`,
        )
  }

  #keyOf(domain: string): string {
    const now = this.#world.monoNow()
    return this.#ledger.groups.keyOf(domain, now, now) ?? domain
  }
  #heads(): Map<string, MemoryRow> {
    const heads = new Map<string, MemoryRow>()
    for (const row of this.#disk.due.between(null, this.#world.wallNow()))
      if (!heads.has(row.domain) && !this.#ledger.unsure.has(row.id)) heads.set(row.domain, row)
    return heads
  }
  /** No limit but concurrency, and no receiver has made the guard careful. */
  #isFree({ domain, brand }: MemoryRow): boolean {
    const { limits, groups } = this.#ledger
    const key = this.#keyOf(domain)
    for (const kind of ['rate', 'pause', 'concurrency'] as const)
      for (const of of [
        { domain: key, brand: null },
        { domain: key, brand },
        { domain: null, brand },
      ])
        if (limits.isTouched({ kind, ...of })) return false
    const bad = [...this.#ledger.arrivals.values()].filter(
      // What a host has heard goes with it: also into a group, and to those that it was in one with.
      (one) => isBad(one.answer) && (one.domain === domain || groups.changes.length > 0),
    )
    const unsent =
      groups.changes.length > 0 ? sum(this.#ledger.unsent.values()) : (this.#ledger.unsent.get(domain) ?? 0)
    return bad.length + unsent <= BAD_MAX && !bad.some(({ answer }) => answer.status === 429 || answer.status === 503)
  }
}
const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0)
const isBad = ({ status, error, never }: { status?: number; error?: string; never?: boolean }): boolean =>
  never === true || error !== undefined || (status ?? 200) >= 300
