import { type Brand, type Domain, type Due, type LaneKind, PRIORITIES, type Priority } from '#webhook/webhook.ts'
import { compareDue, headOf, takeHead } from './lane.ts'
import { type BrandKeys, brandKeys } from './limits.ts'
import { emptyWindow, type Window } from './window.ts'

/** The first tries and the retries of one priority: a window of each (D-21), which is empty until it is asked for. Plain data. */
export interface PriorityClass {
  readonly priority: Priority
  first: Readonly<Window>
  retry: Readonly<Window>
  /** Of the last two starts while the domain fails: was the last one a retry? */
  lastWasRetry: boolean
}

/** One brand's waiting work in one guard, and its place in the order of brands. Plain data. */
export interface BrandQueue {
  readonly brand: Brand
  readonly keys: BrandKeys
  /** Highest priority first. */
  readonly classes: readonly PriorityClass[]
  /** Those of the classes that were asked for: most guards need one. */
  windows: readonly Window[]
  /** Starts of this brand since each class was last served while it had work. */
  readonly passedOver: number[]
  /** Waiting in the windows. */
  size: number
  inFlight: number
  /** Permits asked of the brand-limiter and not answered yet: they count as in flight until then. */
  reserved: number
  /** A question to the brand-limiter is under way: no second one before its answer. */
  asking: boolean
  /** The brand-limiter has none: nothing is asked until it says so. */
  parked: boolean
  /** In the ring of the brands that have work; -1: not in it. */
  place: number
  /** As the ring has weighed it. */
  weight: number
  /** Starts that it is owed by the round (deficit round robin). */
  deficit: number
  /** Slots, in parts, that it is owed where concurrency binds; between -1 and 1. */
  credit: number
  /** Slots held, times milliseconds, since shares were last compared; up to `heldMono`. */
  heldSlotMs: number
  heldMono: number
}

/** In the place of all windows that nobody has asked for; it stays empty. */
const NO_WINDOW: Readonly<Window> = Object.freeze(emptyWindow('', 'normal', 'first'))

export const emptyBrandQueue = (domain: Domain, brand: Brand): BrandQueue => {
  const classes = PRIORITIES.map((priority) => ({
    priority,
    first: NO_WINDOW,
    retry: NO_WINDOW,
    lastWasRetry: false,
  }))
  return {
    brand,
    keys: brandKeys(domain, brand),
    classes,
    windows: [],
    passedOver: PRIORITIES.map(() => 0),
    size: 0,
    inFlight: 0,
    reserved: 0,
    asking: false,
    parked: false,
    place: -1,
    weight: 0,
    deficit: 0,
    credit: 0,
    heldSlotMs: 0,
    heldMono: 0,
  }
}

/** Made where it is not there yet. */
export const windowOf = (queue: BrandQueue, priority: Priority, kind: LaneKind): Window => {
  const found = queue.classes[PRIORITIES.indexOf(priority)]
  if (found === undefined) throw new Error(`no such priority: ${priority}`)
  const there = found[kind]
  if (there !== NO_WINDOW) return there
  const window = emptyWindow(queue.brand, priority, kind)
  found[kind] = window
  queue.windows = [...queue.windows, window]
  return window
}

/** Brings `heldSlotMs` up to now; before every change of `inFlight`. */
export const accrue = (queue: BrandQueue, nowMono: number): void => {
  queue.heldSlotMs += queue.inFlight * (nowMono - queue.heldMono)
  queue.heldMono = nowMono
}

/** Nothing of it is waiting, running, asked for or left in the store: it may be forgotten. */
export const isForgettable = (queue: BrandQueue): boolean =>
  queue.size === 0 &&
  queue.inFlight === 0 &&
  !queue.asking &&
  !queue.parked &&
  queue.windows.every((window) => !window.more && !window.refilling)

/** Which retries may be taken: all, at most every second start, or none (D-21). */
export type RetryShare = 'free' | 'half' | 'none'

/** With two classes below the highest a class is then passed over at most nine times: one start in ten. */
const PASSED_OVER_MAX = 8

/** The window of the class that is served next, or undefined if it has nothing that may start. */
const nextWindow = (one: PriorityClass, share: RetryShare): Window | undefined => {
  const first = headOf(one.first.lane)
  const retry = share === 'none' ? undefined : headOf(one.retry.lane)
  if (first === undefined) return retry === undefined ? undefined : one.retry
  if (retry === undefined) return one.first
  if (share === 'half') return one.lastWasRetry ? one.first : one.retry
  return compareDue(first, retry) < 0 ? one.first : one.retry
}

/** Index of the class that is served next: one that was passed over too often, else the highest with work; -1 if none. */
const nextClass = (queue: BrandQueue, share: RetryShare): number => {
  let chosen = -1
  let passedMost = PASSED_OVER_MAX - 1
  for (let at = 0; at < queue.classes.length; at += 1) {
    const one = queue.classes[at]
    if (one === undefined || nextWindow(one, share) === undefined) continue
    const passed = queue.passedOver[at] ?? 0
    if (chosen !== -1 && passed <= passedMost) continue
    chosen = at
    passedMost = Math.max(passed, passedMost)
  }
  return chosen
}

/** The webhook that this brand would start next. */
export const peekNext = (queue: BrandQueue, share: RetryShare): Due | undefined => {
  if (queue.size === 0) return undefined
  const one = queue.classes[nextClass(queue, share)]
  const window = one === undefined ? undefined : nextWindow(one, share)
  return window === undefined ? undefined : headOf(window.lane)
}

/** Takes it. */
export const takeNext = (queue: BrandQueue, share: RetryShare): Due | undefined => {
  const at = nextClass(queue, share)
  const one = queue.classes[at]
  const window = one === undefined ? undefined : nextWindow(one, share)
  if (one === undefined || window === undefined) return undefined
  const due = takeHead(window.lane)
  one.lastWasRetry = window === one.retry
  queue.size -= 1
  countPassedOver(queue, at, share)
  return due
}

const countPassedOver = (queue: BrandQueue, served: number, share: RetryShare): void => {
  for (let at = 0; at < queue.classes.length; at += 1) {
    const one = queue.classes[at]
    const waits = at !== served && one !== undefined && nextWindow(one, share) !== undefined
    queue.passedOver[at] = waits ? (queue.passedOver[at] ?? 0) + 1 : 0
  }
}
