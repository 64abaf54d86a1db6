/** Rows as a table: whole for files and pipes; in a terminal as wide as that is. */
import Table from 'cli-table3'
import colors from 'picocolors'
import { cell } from './drawing.ts'
import { printable } from './session.ts'

export type Cell = string | number | null | undefined
/** What may happen to a column where the terminal is too narrow, in this order; a name alone: nothing. */
export interface Column {
  readonly name: string
  /** Says the same in fewer letters. */
  readonly short?: (text: string) => string
  /** Is left out: the lowest first, and before all others those in which no row says anything. */
  readonly drop?: number
  /** Is cut down to this many letters. */
  readonly least?: number
}
interface Fitted {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly string[])[]
  readonly gap: number
}

const NOTHING = '-'
const WIDE_GAP = 3
const NARROW_GAP = 2

/** `2026-11-23T13:09:35.863Z` as `11-23 13:09:35`. */
export const shortInstant = (text: string): string =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text) ? `${text.slice(5, 10)} ${text.slice(11, 19)}` : text
/** Without its scheme. */
export const shortUrl = (text: string): string => text.replace(/^https?:\/\//, '')

/** `width`: of the terminal; null: there is none, and nothing is left out. */
export const table = (
  head: readonly (string | Column)[],
  rows: readonly (readonly Cell[])[],
  width: number | null,
): string => {
  if (rows.length === 0) return 'none\n'
  const columns = head.map((one) => (typeof one === 'string' ? { name: one } : one))
  const texts = rows.map((row) =>
    row.map((one) => (one === null || one === undefined ? NOTHING : printable(String(one)))),
  )
  const fitted = fitTo({ columns, rows: texts, gap: WIDE_GAP }, width ?? Number.POSITIVE_INFINITY)
  const drawn = new Table({
    head: fitted.columns.map(({ name }) => colors.bold(name)),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
    chars: { ...PLAIN, middle: ' '.repeat(fitted.gap) },
  })
  for (const row of fitted.rows) drawn.push([...row])
  return `${drawn.toString().replace(/ +$/gm, '')}\n`
}

const widthsOf = ({ columns, rows }: Fitted): number[] =>
  columns.map(({ name }, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)))
const sum = (widths: readonly number[], gap: number): number =>
  widths.reduce((all, width) => all + width, 0) + gap * Math.max(0, widths.length - 1)
const needs = (table: Fitted): number => sum(widthsOf(table), table.gap)
/** With every column that may be cut as short as it may be. */
const needsAtLeast = (table: Fitted): number =>
  sum(
    widthsOf(table).map((width, at) => Math.min(width, table.columns[at]?.least ?? width)),
    table.gap,
  )

const fitTo = (whole: Fitted, width: number): Fitted => {
  if (needs(whole) <= width) return whole
  let table = shortened(whole)
  while (needs(table) > width) {
    const silent = firstToDrop(table, (at) => table.rows.every((row) => row[at] === NOTHING))
    const at = silent ?? (needsAtLeast(table) > width ? firstToDrop(table, () => true) : null)
    if (at === null) break
    table = without(table, at)
  }
  return cutTo(table, width)
}
const shortened = ({ columns, rows }: Fitted): Fitted => ({
  columns,
  rows: rows.map((row) => row.map((text, at) => columns[at]?.short?.(text) ?? text)),
  gap: NARROW_GAP,
})
const firstToDrop = ({ columns }: Fitted, which: (at: number) => boolean): number | null => {
  let found: number | null = null
  for (const [at, { drop }] of columns.entries())
    if (drop !== undefined && which(at) && (found === null || drop < (columns[found]?.drop ?? 0))) found = at
  return found
}
const without = ({ columns, rows, gap }: Fitted, at: number): Fitted => ({
  columns: columns.toSpliced(at, 1),
  rows: rows.map((row) => row.toSpliced(at, 1)),
  gap,
})
/** The widest of those that may be cut gives a letter, again and again. */
const cutTo = (table: Fitted, width: number): Fitted => {
  const widths = widthsOf(table)
  const spare = (at: number): number => {
    const least = table.columns[at]?.least
    return least !== undefined && (widths[at] ?? 0) > least ? (widths[at] ?? 0) : 0
  }
  while (sum(widths, table.gap) > width) {
    const widest = widths.keys().reduce((most, at) => (spare(at) > spare(most) ? at : most), 0)
    if (spare(widest) === 0) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  const narrowed = (text: string, at: number): string => cell(text, widths[at] ?? text.length).trimEnd()
  return {
    columns: table.columns.map((column, at) => ({ ...column, name: narrowed(column.name, at) })),
    rows: table.rows.map((row) => row.map(narrowed)),
    gap: table.gap,
  }
}

/** Columns by space alone: easy to read, easy to cut. */
const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
}
