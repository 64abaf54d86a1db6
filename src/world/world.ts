/**
 * Everything non-deterministic behind one interface: clocks, timers, randomness, failpoints.
 * Product code never touches `Date`, `performance`, `setTimeout`, `Math.random` or `crypto.random*`; it is handed a World.
 * A simulated World makes a whole daemon reproducible from a seed.
 */
export interface World {
  /** Wall clock in integer epoch milliseconds. Decides *when something is due*. May step. */
  wallNow(): number
  /** Monotonic clock in fractional milliseconds from an arbitrary origin. Decides *how long*. Never steps back. */
  monoNow(): number
  /** Monotonic instant from which on the wall clock shows `wall`, if it does not step meanwhile. Fractional; may be past. */
  monoAt(wall: number): number
  /** Runs `callback` once after at least `delayMs` (>= 0, any size; implementations chain beyond 2^31 - 1 ms). */
  setTimer(delayMs: number, callback: () => void, precision?: Precision): TimerHandle
  clearTimer(timer: TimerHandle): void
  /** Runs `callback` before I/O and timers get their turn (a microtask). */
  soon(callback: () => void): void
  /** Runs `callback` after pending I/O has had its turn (a macrotask). */
  yieldToIo(callback: () => void): void
  /** Uniform in [0, 1). */
  random(): number
  /** Fills and returns a fresh array of `length` random bytes, fit for keys. */
  randomBytes(length: number): Uint8Array
  /** Begins to watch how hard the process has it; until `close`. */
  watchLoad(): LoadProbe
  /** Reached a named point at which a test may kill, hang, delay or throw. Does nothing in production. */
  failpoint(name: string): void
}

/** `precise` (what is not said): as soon as this world can. `coarse`: some milliseconds late is as good, and costs fewer wake-ups. */
export type Precision = 'precise' | 'coarse'

/** How hard the process has it. */
export interface LoadProbe {
  /** The longest delay of the main thread's event loop since the last call, in ms beyond what was asked for. 0: none was measured. */
  loopDelayMs(): number
  /** Share of V8's heap limit that is in use now, garbage included. */
  heapShare(): number
  close(): void
}

/** Only the World that made it can clear it. */
export interface TimerHandle {
  /** Monotonic instant at which it is due. */
  readonly dueMono: number
}
