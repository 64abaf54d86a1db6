/**
 * Keeps the write-ahead log short, so that neither a commit nor a start waits for it (D-16, STOR-11). Passive checkpoints run beside
 * the commits; where their end is near the writer finishes, and the log begins anew; after a quiet while its file is emptied.
 * A reader that holds a snapshot (a backup, another program) holds the log too: it grows, and from a size on that is told.
 * https://sqlite.org/wal.html, 2.3 and 6.
 */
import type { TimerHandle, World } from '#world/world.ts'

export interface WalBounds {
  /** From here on the writer is asked to finish; frames of 4 KiB. */
  readonly framesMax: number
  readonly alarmBytes: number
  /** Without so much writing that a checkpoint was wanted. */
  readonly idleMs: number
}
export interface WalHands {
  /** A passive checkpoint on the maintenance connection; `checkpointed` is its answer. */
  checkpoint(): void
  /** The writer finishes what is nearly done. */
  finish(): void
  /** The writer empties the file. */
  truncate(): void
  /** The log is longer than `alarmBytes`; told once until it is short again. */
  grown(bytes: number): void
}
const FRAME_BYTES = 4_096 + 24

export class WalCare {
  readonly #bounds: WalBounds
  readonly #hands: WalHands
  readonly #world: Pick<World, 'setTimer' | 'clearTimer'>
  #isUnderWay = false
  #isIdle = false
  #isAlarmed = false
  #lastDone = -1
  #idle: TimerHandle | null = null

  constructor(bounds: WalBounds, hands: WalHands, world: Pick<World, 'setTimer' | 'clearTimer'>) {
    this.#bounds = bounds
    this.#hands = hands
    this.#world = world
  }

  /** Enough was written since the last one. */
  wanted(): void {
    this.#waitForIdle()
    this.#ask()
  }
  /** Frames in the log, and how many of them are in the database. */
  checkpointed(frames: number, done: number): void {
    this.#isUnderWay = false
    this.#watch(frames * FRAME_BYTES)
    const hasAdvanced = done !== this.#lastDone
    this.#lastDone = done
    if (this.#isIdle) this.#emptied(frames, done)
    else if (frames < this.#bounds.framesMax) return
    else if (frames - done <= this.#bounds.framesMax / 8) this.#hands.finish()
    // Commits have gone on: chase the end. Where a reader stands in the way the next write asks again, not a loop.
    else if (hasAdvanced) this.#ask()
  }
  stop(): void {
    if (this.#idle !== null) this.#world.clearTimer(this.#idle)
    this.#idle = null
    this.#isUnderWay = true
  }

  #ask(): void {
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    this.#hands.checkpoint()
  }
  #waitForIdle(): void {
    this.#isIdle = false
    if (this.#idle !== null) this.#world.clearTimer(this.#idle)
    this.#idle = this.#world.setTimer(this.#bounds.idleMs, () => {
      this.#idle = null
      this.#isIdle = true
      this.#ask()
    })
  }
  #emptied(frames: number, done: number): void {
    this.#isIdle = false
    if (done >= frames) this.#hands.truncate()
    else this.#waitForIdle()
  }
  #watch(bytes: number): void {
    const isGrown = bytes >= this.#bounds.alarmBytes
    if (isGrown && !this.#isAlarmed) this.#hands.grown(bytes)
    if (isGrown || bytes < this.#bounds.alarmBytes / 2) this.#isAlarmed = isGrown
  }
}
