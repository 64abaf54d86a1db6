import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { type Column, shortInstant, shortUrl, table } from '#cli/table.ts'

const HEAD: readonly (string | Column)[] = [
  'id',
  { name: 'at', short: shortInstant, drop: 3 },
  { name: 'tries', drop: 1 },
  { name: 'last', least: 9, drop: 2 },
  { name: 'url', short: shortUrl, least: 10 },
]
const ID = 'msg_01M848DCGFRT0X9BS3E0SW18AT'
const ROWS = [
  [ID, '2026-11-23T13:09:35.863Z', 2, 'connect_refused', 'https://api.yourservice.com:8443/hooks/orders'],
  [ID, '2026-11-22T13:09:35.863Z', 1, 200, 'https://a.example/'],
]
const linesAt = (width: number | null, rows: Parameters<typeof table>[1] = ROWS): readonly string[] =>
  stripVTControlCharacters(table(HEAD, rows, width))
    .trimEnd()
    .split('\n')

describe('a table', () => {
  it('shows every letter where there is no terminal, or one that is wide enough', () => {
    expect(linesAt(null)[1]).toBe(
      `${ID}   2026-11-23T13:09:35.863Z   2       connect_refused   https://api.yourservice.com:8443/hooks/orders`,
    )
    expect(linesAt(133)).toEqual(linesAt(null))
  })
  it('says the same in fewer letters before it leaves anything out', () => {
    expect(linesAt(120).slice(0, 2)).toEqual([
      `${'id'.padEnd(30)}  at              tries  last             url`,
      `${ID}  11-23 13:09:35  2      connect_refused  api.yourservice.com:8443/hooks/orders`,
    ])
  })
  it('leaves out first what matters least, then cuts what may be cut, and is never wider than its terminal', () => {
    expect(linesAt(80)[1]).toBe(`${ID}  11-23 13:09:35  2      connect_re…  api.yourser…`)
    expect(linesAt(72)[1]).toBe(`${ID}  11-23 13:09:35  connect_re…  api.yourse…`)
    expect(linesAt(60)[1]).toBe(`${ID}  11-23 13:09:35  api.yourser…`)
    for (let width = 42; width <= 200; width += 1)
      for (const line of linesAt(width)) expect(line.length, `${width}: ${line}`).toBeLessThanOrEqual(width)
  })
  it('never cuts an id', () => {
    for (const width of [1, 20, 42, 80]) for (const line of linesAt(width).slice(1)) expect(line).toContain(ID)
  })
  it('leaves out a column in which no row says anything before one that says something', () => {
    const silent = ROWS.map(([id, at, tries, , url]) => [id, at, tries, null, url])
    expect(linesAt(95, silent)[0]).toMatch(/^id +at +tries +url$/)
  })
  it('shows what another has said without its control characters', () => {
    expect(linesAt(80, [['\u001b[2J', null, null, null, 'x']])[1]).toContain('\\u001b[2J')
  })
})
