import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { demoLines } from '#cli/demo-command.ts'
import { cut, Screen } from '#cli/terminal.ts'
import { topLines } from '#cli/top-command.ts'
import { limitInWords } from '#cli/words.ts'

type Monitor = Parameters<typeof topLines>[0]
const figures = {
  domain: 'a-long-name.of-a-backend.example.com:8443',
  state: 'breaker-half-open',
  concurrency: { current: 1_000, limit: 1_000 },
  rate: { startsLastSecond: 999, limit: 1_000, burst: 1 },
  queueDepth: 100_000,
  drainMs: 100_000,
  backpressure: { active: true, limit: 'domain-concurrency' },
  overshoot: 0,
}
const p99 = { p50: 0, p99: 1, max: 1 }
const monitor = {
  at: '2026-01-01T00:00:00.000Z',
  domains: [figures],
  totals: { waiting: 100_000 },
  lateness: { timerMs: p99, guardMs: p99, networkMs: p99 },
} as object as Monitor

describe('a live view', () => {
  it('never draws a line that is wider than its terminal, nor more lines than it has', () => {
    for (const columns of [20, 80, 100, 200]) {
      const drawn: string[] = []
      const screen = new Screen({ rows: () => 5, columns: () => columns, write: (text) => void drawn.push(text) })
      screen.draw(topLines(monitor, columns))
      const lines = drawn.join('').split('\n').map(stripVTControlCharacters)
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns)
      expect(lines).toHaveLength(5)
    }
  })
  it('shows every figure of a guard within 80 columns', () => {
    const line = topLines(monitor, 80).at(-1) ?? ''
    expect(stripVTControlCharacters(cut(line, 80))).toMatch(
      /^a-long-name\.of-a-… breaker-… .{5} 1,000 of … .{5} 999 of 1,… 100,000 +100 s/,
    )
  })
  it('says what holds a guard where it fits, and nothing of it where it would be cut', () => {
    const last = (columns: number): string => stripVTControlCharacters(topLines(monitor, columns).at(-1) ?? '')
    expect(last(80)).toMatch(/ 100 s$/)
    expect(last(100)).toMatch(/ 100 s domain-concurrency$/)
  })
  it('shows every figure of a guard, and all totals, within 40 columns', () => {
    const totals = { scheduled: 1, waiting: 100_000, executing: 3, retrying: 4, delivered: 5, dead: 6 }
    const lines = topLines({ ...monitor, totals } as object as Monitor, 40).map(stripVTControlCharacters)
    const one = {
      ...figures,
      domain: 'api.example.com',
      concurrency: { current: 3, limit: 5 },
      drainMs: 53_000,
      queueDepth: 494,
    }
    const small = topLines(
      { ...monitor, domains: [{ ...one, rate: { startsLastSecond: 9, limit: 10, burst: 1 } }] } as object as Monitor,
      40,
    )
    expect(small.slice(-2).map(stripVTControlCharacters)).toEqual([
      'api.example.com breaker-half-open',
      '  open 3/5  starts 9/10  waits 494  53 s',
    ])
    for (const name of Object.keys(totals))
      expect(lines.some((line) => line.slice(0, 40).includes(`${name} `) && line.trimEnd().length <= 40)).toBe(true)
  })
  it('keeps the figures of the demo beside its bars, however narrow the terminal is', () => {
    const round = { guarded: true, webhooks: 2_000, capacity: 20, delivered: 2_000, dead: 0, requests: 2_000 }
    const seen = { ...round, open: 20, openMost: 20, falls: 0, tookMs: 1_000, course: new Array<number>(80).fill(20) }
    for (const columns of [40, 80, 200])
      for (const line of demoLines({ webhooks: 2_000, capacity: 20 }, [seen], columns).slice(2))
        expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(columns)
  })
  it('cuts text, not colours', () => {
    expect(cut('\u001b[31mabcdef\u001b[39m', 3)).toBe('\u001b[31mabc\u001b[39m')
    expect(cut('abc', 3)).toBe('abc')
  })
})

it('what holds a webhook is told in words; what is not known yet, by its name', () => {
  expect(limitInWords('domain-paused')).toBe('the domain is paused')
  expect(limitInWords('something-new')).toBe('something-new')
})
