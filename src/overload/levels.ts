/**
 * What is shed when the daemon has more to do than it can (reliability.md O2): levels with hysteresis over plain figures. Every cause has
 * its own three bounds; the worst cause counts. Up at once, down one level at a time and only after a calm while, or the level would
 * swing with every commit.
 */
import {
  OVERLOAD_CALM_MS,
  OVERLOAD_COMMIT_MS,
  OVERLOAD_HEAP_SHARE,
  OVERLOAD_LOOP_MS,
  OVERLOAD_STORE_WAIT_MS,
} from '#config/limits.ts'

/** In the order in which they are shed; each level sheds what stands before it too. Results, cancels, health and limits: never. */
export const LEVELS = ['none', 'streams', 'lists', 'schedules'] as const
export type Level = (typeof LEVELS)[number]
export type Shed = Exclude<Level, 'none'>
export const CAUSES = ['store queue', 'commit latency', 'event loop', 'heap'] as const
export type Cause = (typeof CAUSES)[number]

export interface LoadFigures {
  /** How long a small append should wait for the store. */
  readonly storeWaitMs: number
  /** Share of what may wait for the store, 0 to 1. */
  readonly storeFill: number
  readonly commitMs: number
  /** The second longest of the looks of the last window. */
  readonly loopDelayMs: number
  /** Share of the heap's limit in use at its lowest within the window. */
  readonly heapShare: number
}

export interface Overload {
  readonly level: Level
  /** What presses most; null: nothing worth telling. */
  readonly cause: Cause | null
  /** Since when the figures would allow a lower level; null: they would not. */
  readonly calmSinceMono: number | null
}
export const CALM: Overload = { level: 'none', cause: null, calmSinceMono: null }

/** From these figures on. A queue is measured in shares of what a schedule may wait, or of what may wait in all. */
const FROM: Readonly<Record<Cause, Readonly<Record<Shed, number>>>> = {
  'store queue': { streams: 0.25, lists: 0.5, schedules: 1 },
  'commit latency': { streams: OVERLOAD_COMMIT_MS / 4, lists: OVERLOAD_COMMIT_MS / 2, schedules: OVERLOAD_COMMIT_MS },
  'event loop': { streams: OVERLOAD_LOOP_MS / 8, lists: OVERLOAD_LOOP_MS / 2, schedules: OVERLOAD_LOOP_MS },
  heap: { streams: OVERLOAD_HEAP_SHARE - 0.15, lists: OVERLOAD_HEAP_SHARE - 0.07, schedules: OVERLOAD_HEAP_SHARE },
}
/** A level is left below this part of the figure at which it is entered. */
const LEAVE_SHARE = 0.8

const rank = (level: Level): number => LEVELS.indexOf(level)
export const sheds = (level: Level, what: Shed): boolean => rank(level) >= rank(what)

const figureOf = (cause: Cause, figures: LoadFigures): number => {
  switch (cause) {
    case 'store queue':
      return Math.max(figures.storeWaitMs / OVERLOAD_STORE_WAIT_MS, figures.storeFill)
    case 'commit latency':
      return figures.commitMs
    case 'event loop':
      return figures.loopDelayMs
    case 'heap':
      return figures.heapShare
    default:
      return cause satisfies never
  }
}

/** The highest level whose figure is reached, or a part of it. */
const reached = (cause: Cause, value: number, part: number): Level =>
  LEVELS.findLast((level) => level !== 'none' && value >= FROM[cause][level] * part) ?? 'none'
const higher = (a: Level, b: Level): Level => (rank(b) > rank(a) ? b : a)

/** One look at the figures. */
export const step = (before: Overload, figures: LoadFigures, nowMono: number): Overload => {
  const seen = CAUSES.map((cause) => {
    const value = figureOf(cause, figures)
    const [wanted, held] = [reached(cause, value, 1), reached(cause, value, LEAVE_SHARE)]
    return { cause, share: value / FROM[cause].schedules, wanted, held }
  })
  const wanted = seen.map((one) => one.wanted).reduce(higher)
  const held = seen.map((one) => one.held).reduce(higher)
  const pressing = seen.filter((one) => one.held === held && held !== 'none').toSorted((a, b) => b.share - a.share)
  const cause = pressing[0]?.cause ?? null
  if (rank(wanted) > rank(before.level)) return { level: wanted, cause, calmSinceMono: null }
  if (rank(held) >= rank(before.level)) return { level: before.level, cause, calmSinceMono: null }
  const calmSinceMono = before.calmSinceMono ?? nowMono
  if (nowMono - calmSinceMono < OVERLOAD_CALM_MS) return { level: before.level, cause, calmSinceMono }
  return { level: LEVELS[rank(before.level) - 1] ?? 'none', cause, calmSinceMono: nowMono }
}

/** The cause in words, with its figure and its bound: for events and refusals. */
export const inWords = (cause: Cause, figures: LoadFigures): string => {
  switch (cause) {
    case 'store queue':
      return `webhooks wait ${Math.round(figures.storeWaitMs)} ms for the store, of ${OVERLOAD_STORE_WAIT_MS} ms at most; ${percent(figures.storeFill)} of what may wait in all`
    case 'commit latency':
      return `a commit of the store takes ${Math.round(figures.commitMs)} ms`
    case 'event loop':
      return `the event loop is ${Math.round(figures.loopDelayMs)} ms late`
    case 'heap':
      return `${percent(figures.heapShare)} of the heap is in use`
    default:
      return cause satisfies never
  }
}
const percent = (share: number): string => `${Math.round(share * 100)} %`
