/** What `sys` can switch on at a process (OTP-Y7 to Y9): statistics, a log of events, a trace, installed functions. */
import type { Pid } from './pid.ts'

export type DebugEvent =
  | { readonly type: 'in'; readonly message: unknown }
  | { readonly type: 'out'; readonly reply: unknown; readonly to: Pid | null; readonly state: unknown }
  | { readonly type: 'noreply'; readonly state: unknown }
  | { readonly type: 'continue'; readonly message: unknown }
/** Gets its own state, the event, the process's state; returns its new state, or `done`. */
export type DebugFunction = (own: unknown, event: DebugEvent, state: unknown) => unknown

export interface Statistics {
  readonly startTime: number
  readonly currentTime: number
  readonly reductions: number
  readonly messagesIn: number
  readonly messagesOut: number
}

export class Debug {
  statistics: {
    readonly startTime: number
    readonly reductions: number
    messagesIn: number
    messagesOut: number
  } | null = null
  logMax = 0
  log: DebugEvent[] = []
  trace: ((event: DebugEvent) => void) | null = null
  readonly installed = new Map<string, { readonly run: DebugFunction; own: unknown }>()

  /** Nothing is switched on any more. */
  get idle(): boolean {
    return this.statistics === null && this.logMax === 0 && this.trace === null && this.installed.size === 0
  }

  note(event: DebugEvent, state: unknown): void {
    this.countIn(event)
    if (this.logMax > 0) {
      this.log.push(event)
      if (this.log.length > this.logMax) this.log.splice(0, this.log.length - this.logMax)
    }
    this.trace?.(event)
    for (const [id, installed] of this.installed) this.runInstalled(id, installed, event, state)
  }
  private countIn(event: DebugEvent): void {
    if (this.statistics === null) return
    if (event.type === 'in') this.statistics.messagesIn += 1
    if (event.type === 'out') this.statistics.messagesOut += 1
  }
  /** One that raises, or says done, is gone; the process never notices (OTP-Y9). */
  private runInstalled(
    id: string,
    installed: { readonly run: DebugFunction; own: unknown },
    event: DebugEvent,
    state: unknown,
  ): void {
    try {
      installed.own = installed.run(installed.own, event, state)
      if (installed.own === 'done') this.installed.delete(id)
    } catch {
      this.installed.delete(id)
    }
  }
}
