/**
 * Which dead letters a brand has too many of (reliability.md S12). Counted from the counters in rounds of PRUNE_LANES pairs a call;
 * what is too much is then looked for from the longest finished on, DEAD_LETTERS_SCAN_MAX rows a call. Both survive no restart:
 * the next round finds the same.
 */
import { DEAD_LETTERS_ALARM_SHARE, DEAD_LETTERS_SCAN_MAX, PRUNE_LANES } from '#config/limits.ts'
import type { Brand } from '#webhook/webhook.ts'
import type { Connection } from './connection.ts'
import type { CounterChanges } from './counters.ts'
import type { LaneBook } from './lane-book.ts'
import { stateCode } from './state-code.ts'

export const DEAD_STATES = ['dead', 'quarantined'] as const
export type DeadState = (typeof DEAD_STATES)[number]
export interface DeadLetter {
  readonly seq: number
  readonly brand: Brand
}
type Held = Map<Brand, Record<DeadState, number>>

export class DeadLetterBound {
  readonly #lanes: LaneBook
  readonly #count
  readonly #oldest
  /** Of the round under way. */
  #held: Held = new Map()
  #countedTo = 0
  /** The round takes several calls. */
  #isLong = false
  #crowded: readonly Brand[] | null = null
  readonly #excess: Record<DeadState, Map<Brand, number>> = { dead: new Map(), quarantined: new Map() }
  /** Where the look for the oldest of a state goes on. */
  readonly #sought: Record<DeadState, readonly [finishedAt: number, seq: number]> = { dead: START, quarantined: START }

  constructor(db: Connection, lanes: LaneBook) {
    this.#lanes = lanes
    const [dead, quarantined] = DEAD_STATES.map(stateCode)
    this.#count = db
      .prepare<[number], readonly [lane: number, brand: Brand, dead: number, quarantined: number]>(
        `SELECT k.lane, k.brand, ifnull(d.n, 0), ifnull(q.n, 0) FROM lanes k
           LEFT JOIN counters d ON d.lane = k.lane AND d.state = ${dead}
           LEFT JOIN counters q ON q.lane = k.lane AND q.state = ${quarantined}
         WHERE k.lane > ? ORDER BY k.lane LIMIT ${PRUNE_LANES}`,
      )
      .raw()
    this.#oldest = db
      .prepare<[number, number, number], readonly [finishedAt: number, seq: number, lane: number]>(
        `SELECT d.finished_at, d.seq, w.lane FROM done d CROSS JOIN webhooks w ON w.seq = d.seq
         WHERE d.state = ? AND (d.finished_at, d.seq) > (?, ?) ORDER BY d.finished_at, d.seq LIMIT ${DEAD_LETTERS_SCAN_MAX}`,
      )
      .raw()
  }

  /** As of the last complete round; null before the first. */
  get crowded(): readonly Brand[] | null {
    return this.#countedTo === 0 ? this.#crowded : null
  }
  get isBusy(): boolean {
    return this.#countedTo !== 0 || this.#isOver
  }

  /**
   * Counts on. While what a round of several calls has found is being removed, nothing; a round of one call is counted anew each time.
   * `changes`: what the tables of this transaction do not show yet.
   */
  count(max: number, changes: CounterChanges): void {
    if (this.#isOver && this.#isLong) return
    if (this.#countedTo === 0) this.#held = new Map()
    const isFirst = this.#countedTo === 0
    const page = this.#count.all(this.#countedTo)
    for (const [lane, brand, dead, quarantined] of page) {
      this.#add(brand, 'dead', dead + changes.of(lane, 'dead'))
      this.#add(brand, 'quarantined', quarantined + changes.of(lane, 'quarantined'))
    }
    this.#countedTo = page.length < PRUNE_LANES ? 0 : (page.at(-1)?.[0] ?? 0)
    this.#isLong = !isFirst || this.#countedTo !== 0
    if (this.#countedTo === 0) this.#judge(max)
  }

  /** At most `limit` of what is too much, the longest finished first. The caller removes them. */
  take(state: DeadState, limit: number): readonly DeadLetter[] {
    const excess = this.#excess[state]
    if (excess.size === 0 || limit === 0) return []
    const page = this.#oldest.all(stateCode(state), ...this.#sought[state])
    const taken: DeadLetter[] = []
    for (const [finishedAt, seq, lane] of page) {
      if (taken.length === limit || excess.size === 0) break
      const { brand } = this.#lanes.key(lane)
      if (tookOne(excess, brand)) taken.push({ seq, brand })
      this.#sought[state] = [finishedAt, seq]
    }
    const isThrough = page.length < DEAD_LETTERS_SCAN_MAX && page.at(-1)?.[1] === this.#sought[state][1]
    // Fewer than were counted: replayed or grown old meanwhile.
    if (isThrough || page.length === 0) excess.clear()
    if (excess.size === 0) this.#sought[state] = START
    return taken
  }

  get #isOver(): boolean {
    return DEAD_STATES.some((state) => this.#excess[state].size > 0)
  }
  #add(brand: Brand, state: DeadState, n: number): void {
    if (n === 0) return
    const held = this.#held.get(brand) ?? { dead: 0, quarantined: 0 }
    held[state] += n
    this.#held.set(brand, held)
  }
  #judge(max: number): void {
    this.#crowded = crowdedOf(this.#held, max)
    for (const state of DEAD_STATES) {
      this.#excess[state].clear()
      let all = 0
      for (const [brand, held] of this.#held) {
        all += held[state]
        if (held[state] > max) this.#excess[state].set(brand, held[state] - max)
      }
      // One page shows them all; of more, the look goes on where it was, so that it gets through.
      if (all <= DEAD_LETTERS_SCAN_MAX) this.#sought[state] = START
    }
  }
}

const START = [Number.MIN_SAFE_INTEGER, 0] as const
const tookOne = (excess: Map<Brand, number>, brand: Brand): boolean => {
  const left = excess.get(brand)
  if (left === undefined) return false
  if (left === 1) excess.delete(brand)
  else excess.set(brand, left - 1)
  return true
}
const crowdedOf = (held: Held, max: number): readonly Brand[] =>
  [...held]
    .filter(([, { dead, quarantined }]) => Math.max(dead, quarantined) >= max * DEAD_LETTERS_ALARM_SHARE)
    .map(([brand]) => brand)
    .sort()
