/** No rule without a case: RULES.md names every rule, and every case that it names exists. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const folder = import.meta.dirname
const rulesFile = join(folder, '..', '..', '..', 'src', 'runtime', 'RULES.md')
const SECTIONS: Readonly<Record<string, number>> = {
  P: 11,
  L: 11,
  M: 11,
  S: 6,
  R: 6,
  N: 5,
  T: 8,
  I: 15,
  G: 26,
  Y: 10,
  C: 7,
  U: 37,
  D: 10,
  E: 12,
  K: 5,
  W: 4,
  O: 11,
  J: 9,
}
const every = Object.entries(SECTIONS).flatMap(([section, count]) =>
  Array.from({ length: count }, (_, index) => `${section}${index + 1}`),
)
/** `| P1 | words | C001, P1 |` */
const rows = readFileSync(rulesFile, 'utf8')
  .split('\n')
  .flatMap((line) => {
    const [, rule, , cases] = line.split('|').map((cell) => cell.trim())
    return rule !== undefined && /^[A-Z]\d+$/.test(rule) && cases !== undefined
      ? [{ rule, cases: cases.split(', ') }]
      : []
  })
const titles = readdirSync(folder)
  .filter((file) => file.endsWith('.test.ts'))
  .flatMap((file) => [...readFileSync(join(folder, file), 'utf8').matchAll(/\bit\(\s*[`'"]([^`'"]*)/g)])
  .map(([, title]) => title ?? '')
const shown = new Set(titles.flatMap((title) => title.match(/\b[A-Z]\d{1,3}\b/g) ?? []))

describe('RULES.md', () => {
  it('lists every rule once', () => {
    expect(rows.map(({ rule }) => rule).sort()).toEqual([...every].sort())
  })
  for (const { rule, cases } of rows) {
    it(`${rule} is shown by a case, or deferred`, () => {
      const missing = cases.filter((name) => name !== 'deferred' && !shown.has(name))
      expect(cases.length).toBeGreaterThan(0)
      expect(missing).toEqual([])
    })
  }
  it('every listed case of the suite is there', () => {
    const numbers = [...shown].filter((name) => /^C\d{3}$/.test(name))
    expect(numbers.length).toBeGreaterThanOrEqual(120)
  })
})
