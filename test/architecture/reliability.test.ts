/** No fault without a test, or a plain reason: RELIABILITY.md names every row, and exactly the titles that carry its id. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readSource } from './source.ts'

const tests = join(import.meta.dirname, '..')
/** The numbers of each family, as they were given out. */
const FAMILIES: Readonly<Record<string, readonly number[]>> = {
  PROC: [1, 2, 3, 4, 5, 6, 8],
  WORK: [1, 2, 3, 4, 5, 7, 8],
  STOR: [1, 2, 3, 5, 6, 8, 10, 11, 12],
  TIME: [1, 2, 4, 5, 6, 7, 9, 11, 12],
  RECV: [1, 2, 3, 5, 7, 8, 10, 11, 13, 15, 16, 17, 18],
  SSRF: [1, 2, 4, 5, 6, 8],
  LOAD: [1, 2, 3, 5, 7, 8, 9, 10],
  SUPV: [1, 2, 4, 5],
}
const ids = Object.entries(FAMILIES).flatMap(([family, numbers]) =>
  numbers.map((number) => `${family}-${String(number).padStart(2, '0')}`),
)
const ID = new RegExp(`\\b(?:${Object.keys(FAMILIES).join('|')})-\\d+\\b`, 'g')
const REASON_CHARACTERS_MIN = 20

interface Row {
  readonly id: string
  /** `file: title`, sorted. */
  readonly shown: readonly string[]
  readonly reason: string | null
}
const rowOf = (text: string): Row => {
  const lines = text.split('\n')
  const items = lines.filter((line) => line.startsWith('- ')).map((line) => line.slice(2))
  const reason = items.find((item) => item.startsWith('not shown: ')) ?? null
  return { id: text.slice(0, text.indexOf('**')), shown: items.filter((item) => item !== reason).sort(), reason }
}
const [, faults = ''] = readFileSync(join(tests, 'RELIABILITY.md'), 'utf8').split(/^# /m).slice(1)
const rows = faults.split(/^\*\*(?=[A-Z])/m).slice(1)
const listed = rows.map(rowOf)

const carried = new Map<string, string[]>(ids.map((id) => [id, []]))
const strangers: string[] = []
for (const path of globSync('**/*.test.ts', { cwd: tests }).sort()) {
  for (const title of readSource(path, readFileSync(join(tests, path), 'utf8')).titles) {
    for (const id of new Set(title.match(ID))) {
      const where = `\`${path.replaceAll('\\', '/')}\`: ${title}`
      const titles = carried.get(id)
      if (titles === undefined) strangers.push(where)
      else titles.push(where)
    }
  }
}

describe('RELIABILITY.md', () => {
  it('has a row for each fault, in order', () => {
    expect(listed.map(({ id }) => id)).toEqual(ids)
  })
  it('no title carries an id that is no row', () => {
    expect(strangers).toEqual([])
  })
  it.each(listed)('$id lists the titles that carry it, or says why none does', ({ id, shown, reason }) => {
    expect(shown, `the lines under ${id}, each "- \`file\`: title"`).toEqual(carried.get(id)?.sort())
    if (shown.length === 0) expect(reason?.length ?? 0).toBeGreaterThanOrEqual(REASON_CHARACTERS_MIN)
    else expect(reason).toBeNull()
  })
})
