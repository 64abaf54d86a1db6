/** Live, not started rows in due order: (nextAt, seq) ascending, found by bisection. */
import type { Edge } from '#webhook/webhook.ts'

export interface Placed {
  readonly seq: number
  readonly nextAt: number
}

export class DueOrder<Row extends Placed> {
  readonly #rows: Row[] = []

  add(row: Row): void {
    this.#rows.splice(this.#after(row.nextAt, row.seq), 0, row)
  }
  /** Removes the row that stands at the place of `row`; false if there is none. */
  remove(row: Placed): boolean {
    const at = this.#after(row.nextAt, row.seq) - 1
    if (this.#rows[at]?.seq !== row.seq) return false
    this.#rows.splice(at, 1)
    return true
  }
  /** Rows with (nextAt, seq) > after and nextAt <= until. */
  *between(after: Edge | null, until: number): Generator<Row> {
    for (let i = after === null ? 0 : this.#after(after.nextAt, after.seq); i < this.#rows.length; i++) {
      const row = this.#rows[i]
      if (row === undefined || row.nextAt > until) return
      yield row
    }
  }
  get size(): number {
    return this.#rows.length
  }

  /** Index of the first row beyond (nextAt, seq). */
  #after(nextAt: number, seq: number): number {
    let low = 0
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const row = this.#rows[middle]
      if (row !== undefined && (row.nextAt < nextAt || (row.nextAt === nextAt && row.seq <= seq))) low = middle + 1
      else high = middle
    }
    return low
  }
}
