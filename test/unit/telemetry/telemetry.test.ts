import { describe, expect, it } from 'vitest'
import { EventHub } from '#telemetry/event-hub.ts'
import type { Event } from '#telemetry/events.ts'
import { Feed } from '#telemetry/feed.ts'
import { Histogram } from '#telemetry/histogram.ts'
import { Metrics } from '#telemetry/metrics.ts'
import { Monitor } from '#telemetry/monitor.ts'

const T0 = 1_800_000_000_000
const hub = (): EventHub =>
  new EventHub((error) => {
    throw error
  })
const started = (at = T0, brand = 'acme'): Event => ({
  type: 'attempt.started',
  at,
  attemptId: 'a.1',
  domain: 'd',
  brand,
})
const finished = (at: number, status: number | null, timerMs: number): Event => ({
  type: 'attempt.finished',
  at,
  attemptId: 'a.1',
  domain: 'd',
  brand: 'acme',
  status,
  error: status === null ? 'timeout' : status >= 500 ? 'http_5xx' : null,
  timerMs,
  guardMs: 2,
  networkMs: 3,
})

describe('the event hub', () => {
  it('tells each subscriber the types that it asked for, in order, until it ends', () => {
    const events = hub()
    const heard: string[] = []
    const off = events.on(['webhook.due', 'attempt.started'], (event) => heard.push(event.type))
    events.emit(started())
    events.emit({ type: 'webhook.due', at: T0, domain: 'd', count: 1 })
    events.emit({ type: 'guard.started', at: T0, domain: 'd' })
    off()
    events.emit(started())
    expect(heard).toEqual(['attempt.started', 'webhook.due'])
  })

  it('takes the subscription from one that throws, and from nobody else', () => {
    const failures: unknown[] = []
    const events = new EventHub((error) => failures.push(error))
    let heard = 0
    events.on(['attempt.started'], () => {
      throw new Error('mine')
    })
    events.on(['attempt.started'], () => {
      heard += 1
    })
    events.emit(started())
    events.emit(started())
    expect([heard, failures.length]).toEqual([2, 1])
  })
})

describe('lateness', () => {
  it('is right within 5 %, its maximum exactly', () => {
    const histogram = new Histogram()
    for (let ms = 1; ms <= 10_000; ms++) histogram.add(ms)
    const { p50, p99, max } = histogram.percentiles()
    expect(Math.abs(p50 - 5_000) / 5_000).toBeLessThan(0.05)
    expect(Math.abs(p99 - 9_900) / 9_900).toBeLessThan(0.05)
    expect(max).toBe(10_000)
  })
  it('is 0 while nothing was measured, and takes the impossible', () => {
    expect(new Histogram().percentiles()).toEqual({ p50: 0, p99: 0, max: 0 })
    const histogram = new Histogram()
    for (const ms of [0, -1, 1e12]) histogram.add(ms)
    expect(histogram.percentiles().max).toBe(1e12)
  })
  it('forgets slowly: old hours weigh half', () => {
    const histogram = new Histogram()
    for (let i = 0; i < 200_000; i++) histogram.add(1_000)
    for (let i = 0; i < 190_000; i++) histogram.add(1)
    expect(histogram.percentiles().p50).toBeLessThan(2)
  })
})

describe('the monitor', () => {
  it('counts traffic by second, over five minutes, in order', () => {
    const events = hub()
    const monitor = new Monitor()
    monitor.listen(events)
    events.emit({ type: 'webhook.due', at: T0, domain: 'd', count: 7 })
    events.emit(started(T0 + 1_000))
    events.emit(finished(T0 + 2_000, 200, 1))
    events.emit(finished(T0 + 2_500, 500, 1))
    const traffic = monitor.traffic(T0 + 2_999)
    expect(traffic.due).toHaveLength(300)
    expect(traffic.from).toBe(T0 + 2_000 - 299_000)
    expect([traffic.due.at(-3), traffic.started.at(-2), traffic.delivered.at(-1), traffic.failed.at(-1)]).toEqual([
      7, 1, 1, 1,
    ])
    const later = monitor.traffic(T0 + 301_000)
    expect(later.due.some((count) => count > 0)).toBe(false)
    expect(later.delivered.at(0)).toBe(1)
  })

  it('gives lateness in three parts', () => {
    const events = hub()
    const monitor = new Monitor()
    monitor.listen(events)
    events.emit(finished(T0, 200, 10))
    expect(monitor.lateness()).toEqual({
      timerMs: { p50: 10, p99: 10, max: 10 },
      guardMs: { p50: 2, p99: 2, max: 2 },
      networkMs: { p50: 3, p99: 3, max: 3 },
    })
  })

  it('pairs the end of backpressure with its beginning, newest first, and keeps a hundred', () => {
    const events = hub()
    const monitor = new Monitor()
    monitor.listen(events)
    for (let i = 0; i < 150; i++)
      events.emit({ type: 'backpressure.started', at: T0 + i, domain: `d${i}`, limit: 'rate', depth: 3 })
    events.emit({
      type: 'backpressure.ended',
      at: T0 + 500,
      domain: 'd149',
      limit: 'rate',
      durationMs: 351,
      peak: 9,
      spans: 1,
    })
    const shown = monitor.backpressure()
    expect(shown).toHaveLength(100)
    expect(shown[0]).toMatchObject({ domain: 'd149', endedAt: T0 + 500, durationMs: 351, peak: 9, spans: 1 })
    expect(shown[1]).toMatchObject({ domain: 'd148', endedAt: null })
  })
})

describe('the feed', () => {
  const restarted = (name: string): Event => ({
    type: 'process.restarted',
    at: T0,
    name,
    pid: 1,
    supervisor: 'root',
    reason: 'kill',
  })

  it('numbers events upwards, also over a restart of the daemon', () => {
    const events = hub()
    const feed = new Feed(T0)
    feed.listen(events)
    const seen: number[] = []
    feed.watch('supervision', ({ seq }) => seen.push(seq))
    events.emit(restarted('a'))
    events.emit(restarted('b'))
    expect(seen[1]).toBe((seen[0] ?? 0) + 1)
    const next = new Feed(T0 + 1_000)
    next.listen(events)
    next.watch('supervision', ({ seq }) => seen.push(seq))
    events.emit(restarted('c'))
    expect(seen.at(-1)).toBeGreaterThan(seen[1] ?? 0)
  })

  it('tells what came after a number, and whether something is missing', () => {
    const events = hub()
    const feed = new Feed(T0)
    feed.listen(events)
    const seqs: number[] = []
    feed.watch('supervision', ({ seq }) => seqs.push(seq))
    for (let i = 0; i < 1_500; i++) events.emit(restarted(String(i)))
    const last = seqs.at(-1) ?? 0
    expect(feed.since('supervision', last - 3)).toMatchObject({
      gap: false,
      entries: [{ seq: last - 2 }, {}, { seq: last }],
    })
    expect(feed.since('supervision', last)).toEqual({ gap: false, entries: [] })
    expect(feed.since('webhooks', T0 * 1_000)).toEqual({ gap: false, entries: [] })
    const all = feed.since('supervision', seqs[0] ?? 0)
    expect([all.gap, all.entries.length]).toEqual([true, 1_000])
  })
})

describe('metrics', () => {
  it('are a page of counters without brands or domains', async () => {
    const events = hub()
    const monitor = new Monitor()
    const metrics = new Metrics(monitor)
    monitor.listen(events)
    metrics.listen(events)
    events.emit(started())
    events.emit(finished(T0, 200, 10))
    events.emit({ type: 'webhook.finished', at: T0, id: 'x', domain: 'd', brand: 'acme', state: 'delivered' })
    const page = await metrics.page()
    expect(page).toContain('hookpulse_attempts_started_total 1')
    expect(page).toContain('hookpulse_attempts_finished_total{result="http_2xx"} 1')
    expect(page).toContain('hookpulse_webhooks_finished_total{state="delivered"} 1')
    expect(page).toContain('hookpulse_lateness_seconds{part="timer",quantile="0.5"} 0.01')
    expect(page).not.toContain('acme')
  })
})
