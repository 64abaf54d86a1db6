/**
 * What is done to the daemon, and when: drawn from one seed before anything starts, so that the same seed hurts at the same
 * instants. Two streams run beside each other, so that a process is killed while its disk is full, and starts on a slow one.
 */
import { Prng } from '#world/prng.ts'

/** Times in milliseconds. */
export type Fault =
  | { readonly type: 'kill' }
  | { readonly type: 'stop'; readonly ms: number }
  /** `pick`: which of the actors of that moment, as a share of their list. */
  | { readonly type: 'actor'; readonly pick: number }
  /** Asked to stop in order (SIGTERM). */
  | { readonly type: 'end' }
  /** `leftBytes`: what the filler leaves free, so that small groups pass and large ones do not. */
  | { readonly type: 'full'; readonly ms: number; readonly leftBytes: number }
  | { readonly type: 'slow'; readonly ms: number; readonly delayMs: number }
  /** The `nth` sync of each thread fails with EIO, once; `isLasting`: every third from there on. */
  | { readonly type: 'failing'; readonly ms: number; readonly nth: number; readonly isLasting: boolean }
export type FaultType = Fault['type']
export interface Planned {
  /** Since the beginning. */
  readonly atMs: number
  readonly fault: Fault
}
export interface Plan {
  readonly ofProcess: readonly Planned[]
  readonly ofDisk: readonly Planned[]
}

export const PROCESS_FAULTS: readonly FaultType[] = ['kill', 'stop', 'actor', 'end']
/** These need root, a file system of their own, and strace (`./needs.ts`). */
export const DISK_FAULTS: readonly FaultType[] = ['full', 'slow', 'failing']
export const FAULTS: readonly FaultType[] = [...PROCESS_FAULTS, ...DISK_FAULTS]

/** How often each is drawn, beside the others of its stream. */
const WEIGHTS: Readonly<Record<FaultType, number>> = {
  kill: 5,
  stop: 2,
  actor: 2,
  end: 1,
  full: 4,
  slow: 4,
  failing: 2,
}
const [PROCESS_GAP_MS, DISK_GAP_MS] = [
  [500, 5_000],
  [1_000, 7_000],
] as const
/** A daemon that stands still for longer than its clients wait is the same as a dead one. */
const STILL_MS_MAX = 1_500
const [DISK_MS_MIN, DISK_MS_MAX] = [500, 8_000]
const LEFT_BYTES_MAX = 16_384
const [DELAY_MS_MIN, DELAY_MS_MAX] = [20, 400]
const NTH_MAX = 8
const LASTING_ONE_IN = 4
/** Second streams of one seed. */
const DISK_STREAM = 0x5eed_d15c

const between = (random: Prng, min: number, max: number): number => min + random.below(max - min)

const drawType = (random: Prng, types: readonly FaultType[]): FaultType | null => {
  let rest = random.below(types.reduce((sum, type) => sum + WEIGHTS[type], 0))
  for (const type of types) {
    rest -= WEIGHTS[type]
    if (rest < 0) return type
  }
  return null
}
const drawFault = (random: Prng, type: FaultType): Fault => {
  const ms = between(random, DISK_MS_MIN, DISK_MS_MAX)
  switch (type) {
    case 'kill':
    case 'end':
      return { type }
    case 'stop':
      return { type, ms: random.below(STILL_MS_MAX) }
    case 'actor':
      return { type, pick: random.next() }
    case 'full':
      return { type, ms, leftBytes: random.below(LEFT_BYTES_MAX) }
    case 'slow':
      return { type, ms, delayMs: between(random, DELAY_MS_MIN, DELAY_MS_MAX) }
    case 'failing':
      return { type, ms, nth: 1 + random.below(NTH_MAX), isLasting: random.below(LASTING_ONE_IN) === 0 }
    default:
      return type satisfies never
  }
}
const stream = (random: Prng, ms: number, types: readonly FaultType[], gap: readonly [number, number]): Planned[] => {
  const planned: Planned[] = []
  for (let atMs = between(random, ...gap); atMs < ms; atMs += between(random, ...gap)) {
    const type = drawType(random, types)
    if (type === null) return planned
    const fault = drawFault(random, type)
    planned.push({ atMs, fault })
    if ('ms' in fault) atMs += fault.ms
  }
  return planned
}

/** `ms`: how long faults happen. `types`: those that may. */
export const planOf = (seed: number, ms: number, types: readonly FaultType[]): Plan => ({
  ofProcess: stream(
    new Prng(seed),
    ms,
    PROCESS_FAULTS.filter((type) => types.includes(type)),
    PROCESS_GAP_MS,
  ),
  ofDisk: stream(
    new Prng(seed ^ DISK_STREAM),
    ms,
    DISK_FAULTS.filter((type) => types.includes(type)),
    DISK_GAP_MS,
  ),
})
