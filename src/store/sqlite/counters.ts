/** How many webhooks are in which state, per lane: changed in memory during a transaction, written once at its end (D-28). */
import type { Connection } from './connection.ts'
import { type StoredState, stateCode } from './state-code.ts'

/** Changes that are not written yet. */
export class CounterChanges {
  readonly #changes = new Map<number, number>()

  moved(lane: number, from: StoredState | null, to: StoredState | null): void {
    if (from !== null) this.#add(lane, from, -1)
    if (to !== null) this.#add(lane, to, 1)
  }
  added(lane: number, state: StoredState, n: number): void {
    this.#add(lane, state, n)
  }
  /** What is not written yet of a state. */
  of(lane: number, state: StoredState): number {
    return this.#changes.get(lane * STATES + stateCode(state)) ?? 0
  }
  clear(): void {
    this.#changes.clear()
  }
  /** Lanes of which something is not written yet. */
  lanes(): ReadonlySet<number> {
    return new Set(this.entries().map(([lane]) => lane))
  }
  /** In ascending (lane, state), so that neighbours are written together. */
  *entries(): Generator<readonly [lane: number, state: number, n: number]> {
    const sorted = [...this.#changes].sort((a, b) => a[0] - b[0])
    for (const [key, n] of sorted) if (n !== 0) yield [Math.floor(key / STATES), key % STATES, n]
  }
  mergeInto(other: CounterChanges): void {
    for (const [key, n] of this.#changes) other.#changes.set(key, (other.#changes.get(key) ?? 0) + n)
  }
  #add(lane: number, state: StoredState, n: number): void {
    const key = lane * STATES + stateCode(state)
    this.#changes.set(key, (this.#changes.get(key) ?? 0) + n)
  }
}
const STATES = 16

export const counterWriter = (db: Connection): ((changes: CounterChanges) => void) => {
  const upsert = db.prepare<[number, number, number]>(
    'INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n',
  )
  return (changes) => {
    for (const change of changes.entries()) upsert.run(...change)
  }
}
