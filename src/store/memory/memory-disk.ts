/**
 * What a memory store keeps, apart from the Store object, so that it can be closed, crashed and opened again. Rows are immutable
 * values that are put in the place of one another; every change since the last sync can be undone (power cut).
 */
import { type LonelyDeaths, type StoredKey, type StoredLimit, StoreError } from '#store/store.ts'
import type { DomainGroup, GroupKey } from '#webhook/domain-group.ts'
import {
  type AttemptRecord,
  type Brand,
  type FinalState,
  type Instant,
  type LaneKey,
  laneOf,
  type Priority,
  type RetryPolicy,
  type WebhookId,
} from '#webhook/webhook.ts'
import { DueOrder } from './due-order.ts'

export interface MemoryRow {
  readonly id: WebhookId
  readonly seq: number
  readonly brand: Brand
  readonly domain: string
  readonly priority: Priority
  readonly name: string | null
  readonly url: string
  readonly method: string
  readonly at: Instant
  readonly createdAt: Instant
  readonly timeoutMs: number
  readonly expiresAt: Instant | null
  readonly retry: RetryPolicy | null
  readonly tags: readonly string[]
  readonly idempotencyKey: string | null
  readonly contentHash: Uint8Array | null
  readonly request: Uint8Array
  readonly state: 'live' | FinalState
  readonly nextAt: Instant
  /** Attempts started, handed back ones not counted. */
  readonly attempts: number
  readonly started: { readonly token: string; readonly at: Instant; readonly alone: boolean } | null
  readonly lonelyDeaths: LonelyDeaths
  /** Token of the last start that was handed back. */
  readonly backToken: string | null
  readonly history: readonly { readonly token: string; readonly attempt: AttemptRecord }[]
  readonly finishedAt: Instant | null
  /** Null: never replayed. */
  readonly attemptsBefore: number | null
}

export const laneText = (lane: LaneKey): string => `${lane.domain} ${lane.brand} ${lane.priority} ${lane.kind}`

export class MemoryDisk {
  readonly byId = new Map<WebhookId, MemoryRow>()
  readonly bySeq = new Map<number, MemoryRow>()
  readonly byKey = new Map<string, MemoryRow>()
  readonly due = new DueOrder<MemoryRow>()
  readonly lanes = new Map<string, { readonly key: LaneKey; readonly due: DueOrder<MemoryRow> }>()
  readonly started = new Map<number, MemoryRow>()
  /** Live, not started rows that may expire. */
  readonly expiring = new Map<number, MemoryRow>()
  readonly limits = new Map<string, StoredLimit>()
  /** Dissolved ones too: their versions go on. */
  readonly groups = new Map<GroupKey, DomainGroup>()
  readonly brands = new Map<Brand, Instant>()
  readonly keys = new Map<string, StoredKey>()
  nextSeq = 1
  #undo: (() => void)[] = []
  /** Ends the store that has this disk open. */
  #holder: ((reason: string) => void) | null = null

  /** Throws StoreError `locked` if a store has it open. Returns the release. */
  hold(end: (reason: string) => void): () => void {
    if (this.#holder !== null) throw new StoreError('locked', 'memory disk is open already')
    this.#holder = end
    return () => {
      if (this.#holder === end) this.#holder = null
    }
  }
  /** The store's thread dies, the disk stays: what was committed is there at the next open. */
  crash(reason: string): void {
    const end = this.#holder
    this.#holder = null
    end?.(reason)
  }
  /** As `crash`, and everything since the last synced group is gone. */
  powerCut(): void {
    this.crash('power cut')
    this.rollback(0)
  }
  sync(): void {
    this.#undo = []
  }
  mark(): number {
    return this.#undo.length
  }
  rollback(to: number): void {
    while (this.#undo.length > to) this.#undo.pop()?.()
  }

  /** Puts `after` in the place of `before`; null is nothing. */
  place(before: MemoryRow | null, after: MemoryRow | null): void {
    this.#swap(before, after)
    this.#undo.push(() => this.#swap(after, before))
  }
  put<K, V>(map: Map<K, V>, key: K, value: V): void {
    const before = map.get(key)
    map.set(key, value)
    this.#undo.push(() => {
      if (before === undefined) map.delete(key)
      else map.set(key, before)
    })
  }
  remove<K, V>(map: Map<K, V>, key: K): void {
    const before = map.get(key)
    if (before === undefined) return
    map.delete(key)
    this.#undo.push(() => map.set(key, before))
  }
  takeSeq(): number {
    const seq = this.nextSeq
    this.nextSeq = seq + 1
    this.#undo.push(() => {
      this.nextSeq = seq
    })
    return seq
  }

  #swap(before: MemoryRow | null, after: MemoryRow | null): void {
    if (before !== null) this.#unindex(before)
    if (after !== null) this.#index(after)
    else if (before !== null) {
      this.byId.delete(before.id)
      this.bySeq.delete(before.seq)
      if (before.idempotencyKey !== null) this.byKey.delete(keyText(before.brand, before.idempotencyKey))
    }
  }
  #index(row: MemoryRow): void {
    this.byId.set(row.id, row)
    this.bySeq.set(row.seq, row)
    if (row.idempotencyKey !== null) this.byKey.set(keyText(row.brand, row.idempotencyKey), row)
    if (row.state !== 'live') return
    if (row.started !== null) this.started.set(row.seq, row)
    else {
      this.due.add(row)
      this.#lane(laneOf(row)).due.add(row)
      if (row.expiresAt !== null) this.expiring.set(row.seq, row)
    }
  }
  #unindex(row: MemoryRow): void {
    if (row.state !== 'live') return
    if (row.started !== null) this.started.delete(row.seq)
    else {
      this.due.remove(row)
      const lane = laneOf(row)
      const { due } = this.#lane(lane)
      due.remove(row)
      if (due.size === 0) this.lanes.delete(laneText(lane))
      this.expiring.delete(row.seq)
    }
  }
  #lane(key: LaneKey): { readonly due: DueOrder<MemoryRow> } {
    const text = laneText(key)
    const known = this.lanes.get(text)
    if (known !== undefined) return known
    const lane = { key, due: new DueOrder<MemoryRow>() }
    this.lanes.set(text, lane)
    return lane
  }
}

export const keyText = (brand: Brand, key: string): string => `${brand} ${key}`
