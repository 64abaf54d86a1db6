/**
 * Events as log lines. Written from a buffer by libuv's threads, so a blocked or closed pipe costs lines, never time
 * (PROC-08): above 1 MiB waiting, and above 100 lines a second, lines are counted and dropped. Where there is no room for them
 * they wait within that MiB, and are written once there is. One failure of a domain has a line a minute, whatever the log's level: a
 * receiver that is down must not take the lines of what happens once.
 */
import pino from 'pino'
import { LOG_BUFFER_BYTES_MAX, LOG_REPEAT_MS, LOG_REPEATS_KEPT } from '#config/limits.ts'
import type { World } from '#world/world.ts'
import type { Event, Events, EventType } from './events.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const LINES_PER_SECOND_MAX = 100
const CLOSE_MS_MAX = 500

/** What each event is worth. What happens once per webhook is `debug`. */
const LEVELS: Readonly<Record<EventType, 'debug' | 'info' | 'warn' | 'error'>> = {
  'webhook.scheduled': 'debug',
  'webhook.due': 'debug',
  'attempt.started': 'debug',
  'attempt.finished': 'debug',
  'webhook.finished': 'debug',
  'webhook.retried': 'debug',
  'webhook.rescheduled': 'debug',
  'webhook.replayed': 'debug',
  'attempt.in-doubt': 'info',
  'attempt.failed': 'info',
  'guard.started': 'debug',
  'guard.stopped': 'debug',
  'guard.parked': 'error',
  'backpressure.started': 'info',
  'backpressure.ended': 'info',
  'crowd.started': 'warn',
  'crowd.ended': 'info',
  'guard.closed': 'warn',
  'guard.reopened': 'info',
  'guard.adapted': 'debug',
  'breaker.opened': 'warn',
  'breaker.half-opened': 'info',
  'breaker.closed': 'info',
  'limit.changed': 'info',
  'group.changed': 'info',
  'carrier.started': 'info',
  'carrier.ended': 'warn',
  'store.opened': 'info',
  'store.backed-up': 'info',
  'store.log-grown': 'warn',
  'dead-letters.crowded': 'warn',
  'dead-letters.dropped': 'warn',
  'store.failed': 'error',
  'store.refused': 'error',
  'store.damaged': 'error',
  'process.started': 'debug',
  'process.crashed': 'error',
  'process.restarted': 'warn',
  'supervisor.gave-up': 'error',
  'process.ran-long': 'warn',
  'process.mailbox-filled': 'warn',
  'process.close-failed': 'error',
  'loop.delayed': 'warn',
  'overload.changed': 'warn',
  'requests.shed': 'debug',
  'clock.stepped': 'warn',
  'daemon.started': 'info',
  'daemon.stopping': 'info',
  'daemon.stopped': 'info',
}

export interface LogSink {
  /** Returns a function that stops listening. */
  listen(events: Events): () => void
  /** A fact that is no event: the daemon's own last words. */
  error(message: string, detail: unknown): void
  /** Lines that were not written. */
  dropped(): number
  /** Writes what is waiting, for at most half a second; takes nothing after it. */
  close(): Promise<void>
}

export interface LogSinkOptions {
  readonly level: LogLevel
  /** File descriptor; 1 is standard output. */
  readonly fd: number
  readonly world: World
}

export const startLogSink = (options: LogSinkOptions): LogSink => {
  const destination = pino.destination({ fd: options.fd, sync: false, maxLength: LOG_BUFFER_BYTES_MAX })
  const budget = new LineBudget(options.world)
  const repeats = new Repeats(options.world)
  let dropped = 0
  let broken = false
  destination.on('drop', () => {
    dropped += 1
  })
  destination.on('error', (error: NodeJS.ErrnoException) => {
    broken = error.code !== 'ENOSPC'
    // At the exit of the process it would write the same bytes again and again, for ever.
    destination.flushSync = () => undefined
  })
  const formatters = { level: (label: string) => ({ level: label }) }
  const { isoTime: timestamp } = pino.stdTimeFunctions
  const logger = pino({ level: options.level, base: null, timestamp, formatters }, destination)
  const listened = eventTypes().filter((type) => logger.isLevelEnabled(LEVELS[type]))
  const write = (event: Event): void => {
    const untold = event.type === 'attempt.failed' ? repeats.of(`${event.domain} ${event.error}`) : 0
    if (untold === null) return
    if (broken || !budget.take()) {
      dropped += 1
      return
    }
    const { type, at, ...facts } = event
    logger[LEVELS[type]](untold === 0 ? facts : { ...facts, untold }, type)
  }
  return {
    listen: (events) => events.on(listened, write),
    error: (message, detail) => (broken ? undefined : logger.error({ detail: describe(detail) }, message)),
    dropped: () => dropped,
    close: () => flush(destination, broken, options.world),
  }
}

const eventTypes = (): EventType[] => Object.keys(LEVELS).filter(isEventType)
const isEventType = (type: string): type is EventType => Object.hasOwn(LEVELS, type)

const describe = (detail: unknown): unknown => (detail instanceof Error ? (detail.stack ?? detail.message) : detail)

const flush = (destination: ReturnType<typeof pino.destination>, broken: boolean, world: World): Promise<void> =>
  new Promise((resolve) => {
    if (broken) return resolve()
    const patience = world.setTimer(CLOSE_MS_MAX, resolve)
    destination.once('close', () => {
      world.clearTimer(patience)
      resolve()
    })
    destination.end()
  })

/** Lines per second. */
class LineBudget {
  readonly #world: World
  #second = 0
  #lines = 0
  constructor(world: World) {
    this.#world = world
  }
  take(): boolean {
    const second = Math.floor(this.#world.monoNow() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
    }
    this.#lines += 1
    return this.#lines <= LINES_PER_SECOND_MAX
  }
}

/** What is said of one subject once in LOG_REPEAT_MS, and how often it was left unsaid since. */
class Repeats {
  readonly #world: World
  readonly #told = new Map<string, { readonly atMono: number; untold: number }>()
  constructor(world: World) {
    this.#world = world
  }
  /** Times that it was left unsaid since it was said last; null: leave it unsaid now. */
  of(subject: string): number | null {
    const nowMono = this.#world.monoNow()
    const last = this.#told.get(subject)
    if (last !== undefined && nowMono - last.atMono < LOG_REPEAT_MS) {
      last.untold += 1
      return null
    }
    this.#told.delete(subject)
    this.#told.set(subject, { atMono: nowMono, untold: 0 })
    this.#forgetOldest()
    return last?.untold ?? 0
  }
  #forgetOldest(): void {
    if (this.#told.size <= LOG_REPEATS_KEPT) return
    for (const subject of this.#told.keys()) return void this.#told.delete(subject)
  }
}
