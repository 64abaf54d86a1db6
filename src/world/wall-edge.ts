/**
 * When the wall clock turns to its next millisecond, on the monotonic clock. A reading of the wall clock is whole milliseconds:
 * the true offset between both lies in an interval of one; each further reading narrows it. A clock that steps or is slewed
 * leaves the interval, and it begins anew.
 */
export class WallEdge {
  #atLeast = Number.NEGATIVE_INFINITY
  #below = Number.POSITIVE_INFINITY

  /** `wall` was read between the monotonic instants `before` and `after`. */
  see(wall: number, before: number, after: number): void {
    const atLeast = Math.max(this.#atLeast, wall - after)
    const below = Math.min(this.#below, wall + 1 - before)
    const fits = atLeast < below
    this.#atLeast = fits ? atLeast : wall - after
    this.#below = fits ? below : wall + 1 - before
  }
  /** The earliest monotonic instant at which the wall clock surely shows `wall`. */
  monoAt(wall: number): number {
    return wall - this.#atLeast
  }
}
