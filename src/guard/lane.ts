import type { Due } from '#webhook/webhook.ts'

/** A FIFO ordered by (due instant, sequence). Plain data: `entries` from `head` on are live. */
export interface Lane {
  readonly entries: Due[]
  head: number
}
/** Taken entries stay in the array until they are this many and half of it. */
const COMPACT_AT = 64

export const emptyLane = (): Lane => ({ entries: [], head: 0 })
export const laneSize = (lane: Lane): number => lane.entries.length - lane.head
export const headOf = (lane: Lane): Due | undefined => lane.entries[lane.head]
export const tailOf = (lane: Lane): Due | undefined =>
  laneSize(lane) === 0 ? undefined : lane.entries[lane.entries.length - 1]

/** Due order. */
export const compareDue = (a: Due, b: Due): number => a.nextAt - b.nextAt || a.seq - b.seq

/** Index of the first live entry that is not before `due`: O(log n). */
const positionOf = (lane: Lane, due: Due): number => {
  let low = lane.head
  let high = lane.entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const entry = lane.entries[middle]
    if (entry !== undefined && compareDue(entry, due) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Inserts in order; false if an entry with the same key is there. Appending, the usual case, costs one comparison. */
export const insert = (lane: Lane, due: Due): boolean => {
  const tail = tailOf(lane)
  if (tail === undefined || compareDue(tail, due) < 0) {
    lane.entries.push(due)
    return true
  }
  const at = positionOf(lane, due)
  const there = lane.entries[at]
  if (there !== undefined && compareDue(there, due) === 0) return false
  if (at === lane.head && lane.head > 0) {
    lane.head -= 1
    lane.entries[lane.head] = due
  } else lane.entries.splice(at, 0, due)
  return true
}

export const takeHead = (lane: Lane): Due | undefined => {
  const due = lane.entries[lane.head]
  if (due === undefined) return undefined
  lane.head += 1
  if (lane.head === lane.entries.length || (lane.head >= COMPACT_AT && lane.head * 2 >= lane.entries.length)) {
    lane.entries.splice(0, lane.head)
    lane.head = 0
  }
  return due
}

export const takeTail = (lane: Lane): Due | undefined => (laneSize(lane) === 0 ? undefined : lane.entries.pop())

/** Removes the entry with this key. */
export const removeFrom = (lane: Lane, due: Due): boolean => {
  const at = positionOf(lane, due)
  const there = lane.entries[at]
  if (there === undefined || compareDue(there, due) !== 0) return false
  lane.entries.splice(at, 1)
  return true
}

/** How many entries are before `due`. */
export const countBefore = (lane: Lane, due: Due): number => positionOf(lane, due) - lane.head
