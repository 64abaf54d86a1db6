/**
 * The service manager of the black box: starts the daemon, and starts it again whenever it has ended, whoever ended it. Every end is
 * written down with what was done to that life, for `./ends.ts` to judge.
 */
import { type Daemon, type Ended, readyDaemon, type Spawned, spawnDaemon } from '#test/support/daemon.ts'
import type { FaultType } from './plan.ts'

/** A slow disk makes starts slow. */
const READY_WITHIN_MS = 60_000
const AGAIN_AFTER_MS = 200
const SAID_CHARACTERS = 1_500

/** One process, from its start to its end. */
export interface Life {
  /** The signals that it was sent to end it. */
  readonly asked: NodeJS.Signals[]
  /** What happened to it or its disk. */
  readonly met: Set<FaultType>
  readonly ended: Ended
  /** Epoch milliseconds; the next one starts after it. */
  readonly endedAt: number
  readonly wasReady: boolean
  /** Its last words. */
  readonly said: string
  /** Lines of its log within one second of the clock, in the worst one. */
  readonly linesMax: number
}
const SECOND = /"time":"([^".]+)/g
export const densestSecond = (log: string): number => {
  const lines = new Map<string, number>()
  for (const [, second = ''] of log.matchAll(SECOND)) lines.set(second, (lines.get(second) ?? 0) + 1)
  return Math.max(0, ...lines.values())
}

export class Watch {
  readonly #data: string
  readonly lives: Life[] = []
  /** Started, ready or not. */
  #process: Spawned
  #ready = Promise.withResolvers<Daemon>()
  #asked: NodeJS.Signals[] = []
  #met = new Set<FaultType>()
  #isOver = false
  /** Resolves when the last process has ended and none follows. */
  readonly over: Promise<void>
  /** What the disk suffers now: every life that begins meets it too. */
  readonly suffered = new Set<FaultType>()

  constructor(data: string) {
    this.#data = data
    this.#process = this.#spawn()
    this.over = this.#run()
  }

  /** The daemon that answers, as soon as there is one. */
  daemon(): Promise<Daemon> {
    return this.#ready.promise
  }
  /** Of the process that runs, or starts. */
  get pid(): number {
    return this.#process.child.pid ?? 0
  }
  /** The next process has another pid. */
  async follows(pid: number): Promise<void> {
    while (this.pid === pid && !this.#isOver) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  met(fault: FaultType): void {
    this.#met.add(fault)
  }
  /** A signal that ends it; it is started again. */
  end(signal: 'SIGKILL' | 'SIGTERM'): void {
    this.#asked.push(signal)
    this.#process.child.kill(signal)
  }
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.child.kill(signal)
  }
  /** Asks it to stop in order; no other follows. */
  async close(): Promise<Life | undefined> {
    this.#isOver = true
    this.end('SIGTERM')
    await this.over
    return this.lives.at(-1)
  }

  #spawn(): Spawned {
    this.#asked = []
    this.#met = new Set(this.suffered)
    return spawnDaemon(this.#data, { args: ['--log-level', 'warn'] })
  }
  async #run(): Promise<void> {
    for (;;) {
      const process = this.#process
      const started = readyDaemon(process, this.#data, { readyWithinMs: READY_WITHIN_MS }).then(
        (daemon) => {
          this.#ready.resolve(daemon)
          return true
        },
        () => false,
      )
      const ended = await process.ended
      const endedAt = Date.now()
      const wasReady = await started
      this.lives.push({
        asked: this.#asked,
        met: this.#met,
        ended,
        endedAt,
        wasReady,
        said: process.output().slice(-SAID_CHARACTERS),
        linesMax: densestSecond(process.output()),
      })
      if (this.#isOver) return
      // Whoever still waits for one that never was ready waits on.
      if (wasReady) this.#ready = Promise.withResolvers()
      await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS))
      if (this.#isOver) return
      this.#process = this.#spawn()
    }
  }
}
