import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
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
  it('cuts text, not colours', () => {
    expect(cut('\u001b[31mabcdef\u001b[39m', 3)).toBe('\u001b[31mabc\u001b[39m')
    expect(cut('abc', 3)).toBe('abc')
  })
})

it('what holds a webhook is told in words; what is not known yet, by its name', () => {
  expect(limitInWords('domain-paused')).toBe('the domain is paused')
  expect(limitInWords('something-new')).toBe('something-new')
})
