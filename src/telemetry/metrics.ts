/**
 * Prometheus metrics. Events only count up plain numbers; the page is made when it is asked for. Without brands and domains
 * as labels: the page needs no key, and stays small.
 */
import { Counter, Gauge, Registry } from 'prom-client'
import { LEVELS, type Level } from '#overload/levels.ts'
import type { Events } from './events.ts'
import type { LogSink } from './log-sink.ts'
import type { Monitor } from './monitor.ts'
import type { ThreadHeap, ThreadHeaps } from './thread-heaps.ts'

const COUNTERS = {
  webhooks_scheduled: 'Webhooks accepted.',
  webhooks_due: 'Webhooks that came due, retries included.',
  webhooks_retried: 'Webhooks that wait for another attempt.',
  attempts_started: 'Attempts started.',
  attempts_in_doubt: 'Attempts whose fate is unknown.',
  process_crashes: 'Processes that ended abnormally.',
  process_restarts: 'Processes restarted by their supervisors.',
  process_ran_long: 'Callbacks that held the main thread for more than 10 ms.',
  overload_changes: 'Changes of what is shed.',
} as const
const MEMORY = [
  ['resident', 'Memory of the whole process.', () => process.memoryUsage.rss()],
  ['heap_used', 'Heap of the main thread, garbage included.', () => process.memoryUsage().heapUsed],
] as const
const THREADS: readonly (readonly [name: string, help: string, figure: keyof ThreadHeap])[] = [
  ['thread_heap_used', 'Heap of a thread, garbage included; dispatch: of all its threads.', 'used'],
  ['thread_heap_total', 'What V8 has taken of the system for the heap of a thread.', 'total'],
  ['thread_external', 'Buffers and the like of a thread, outside its heap.', 'external'],
]
type CounterName = keyof typeof COUNTERS

export class Metrics {
  readonly #registry = new Registry()
  readonly contentType = this.#registry.contentType
  readonly #counts: Record<CounterName, number> = {
    webhooks_scheduled: 0,
    webhooks_due: 0,
    webhooks_retried: 0,
    attempts_started: 0,
    attempts_in_doubt: 0,
    process_crashes: 0,
    process_restarts: 0,
    process_ran_long: 0,
    overload_changes: 0,
  }
  readonly #attemptsFinished = new Map<string, number>()
  readonly #webhooksFinished = new Map<string, number>()
  readonly #shed = new Map<string, number>()
  #level: Level = 'none'

  /** `heaps`: without them main's alone is on the page. `log`: whose lost lines are. */
  constructor(monitor: Monitor, heaps?: ThreadHeaps, log?: Pick<LogSink, 'dropped'>) {
    for (const name in COUNTERS) if (isCounterName(name)) this.#counter(name, COUNTERS[name], () => this.#counts[name])
    if (log !== undefined)
      this.#counter('log_lines_dropped', 'Lines of the log that nobody took, or that were too many.', log.dropped)
    this.#labelled('attempts_finished', 'Attempts finished, by how.', 'result', this.#attemptsFinished)
    this.#labelled('webhooks_finished', 'Webhooks that reached a final state.', 'state', this.#webhooksFinished)
    this.#labelled(
      'shed',
      'Requests refused and events left out under overload, by what they were.',
      'what',
      this.#shed,
    )
    this.#lateness(monitor)
    this.#memory()
    if (heaps !== undefined) this.#threads(heaps)
    const level = (): number => LEVELS.indexOf(this.#level)
    new Gauge({
      name: 'hookpulse_overload_level',
      help: 'What is shed: 0 nothing, 1 event streams, 2 lists too, 3 new schedules too.',
      registers: [this.#registry],
      collect() {
        this.set(level())
      },
    })
  }

  /** What a long run is judged by: the low-water mark of the heap, over minutes, is what nobody gives back. */
  #memory(): void {
    for (const [name, help, read] of MEMORY)
      new Gauge({
        name: `hookpulse_${name}_bytes`,
        help,
        registers: [this.#registry],
        collect() {
          this.set(read())
        },
      })
  }

  /** The threads are asked once a page: the gauges of one page read the same answer. */
  #threads(heaps: ThreadHeaps): void {
    let asked: ReturnType<ThreadHeaps['read']> | null = null
    const answer = (): ReturnType<ThreadHeaps['read']> => {
      asked ??= heaps.read().finally(() => {
        asked = null
      })
      return asked
    }
    for (const [name, help, figure] of THREADS)
      new Gauge({
        name: `hookpulse_${name}_bytes`,
        help,
        labelNames: ['thread'],
        registers: [this.#registry],
        async collect() {
          const threads = await answer()
          this.reset()
          for (const [thread, heap] of threads) this.set({ thread }, heap[figure])
        },
      })
  }

  /** Returns a function that stops listening. */
  listen(events: Events): () => void {
    const counts = this.#counts
    const offs = [
      events.on(['webhook.scheduled'], (event) => {
        counts.webhooks_scheduled += event.count
      }),
      events.on(['webhook.due'], (event) => {
        counts.webhooks_due += event.count
      }),
      events.on(['attempt.started'], () => {
        counts.attempts_started += 1
      }),
      events.on(['attempt.finished'], (event) =>
        countUp(this.#attemptsFinished, event.error ?? `http_${Math.floor((event.status ?? 0) / 100)}xx`),
      ),
      events.on(['webhook.finished'], (event) => countUp(this.#webhooksFinished, event.state)),
      events.on(['webhook.retried'], () => {
        counts.webhooks_retried += 1
      }),
      events.on(['attempt.in-doubt'], () => {
        counts.attempts_in_doubt += 1
      }),
      events.on(['process.crashed'], () => {
        counts.process_crashes += 1
      }),
      events.on(['process.restarted'], () => {
        counts.process_restarts += 1
      }),
      events.on(['process.ran-long'], () => {
        counts.process_ran_long += 1
      }),
      events.on(['overload.changed'], ({ level }) => {
        counts.overload_changes += 1
        this.#level = level
      }),
      events.on(['requests.shed'], ({ what, count }) => this.#shed.set(what, (this.#shed.get(what) ?? 0) + count)),
    ]
    return () => {
      for (const off of offs) off()
    }
  }

  /** The page in Prometheus' text format. */
  page(): Promise<string> {
    return this.#registry.metrics()
  }

  #counter(name: string, help: string, read: () => number): void {
    new Counter({
      name: `hookpulse_${name}_total`,
      help,
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(read())
      },
    })
  }

  #labelled(name: string, help: string, label: string, counts: ReadonlyMap<string, number>): void {
    new Counter({
      name: `hookpulse_${name}_total`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const [value, count] of counts) this.inc({ [label]: value }, count)
      },
    })
  }

  #lateness(monitor: Monitor): void {
    new Gauge({
      name: 'hookpulse_lateness_seconds',
      help: 'Lateness of recent attempts by part: timer (ours), guard (policy), network (theirs).',
      labelNames: ['part', 'quantile'],
      registers: [this.#registry],
      collect() {
        const { timerMs, guardMs, networkMs } = monitor.lateness()
        for (const [part, at] of Object.entries({ timer: timerMs, guard: guardMs, network: networkMs })) {
          this.set({ part, quantile: '0.5' }, at.p50 / 1_000)
          this.set({ part, quantile: '0.99' }, at.p99 / 1_000)
          this.set({ part, quantile: '1' }, at.max / 1_000)
        }
      },
    })
  }
}

const isCounterName = (name: string): name is CounterName => Object.hasOwn(COUNTERS, name)
const countUp = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
