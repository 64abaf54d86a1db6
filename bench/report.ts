/** A result as tables for people. */
import type { Hotspot, Hotspots } from './profile.ts'
import type { Result } from './run.ts'
import type { Figure } from './scenario.ts'

export const shown = (value: number | null): string => {
  if (value === null || Number.isNaN(value)) return 'not measured'
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en-US')
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) >= 100 ? 0 : 2)
}
export const reached = ({ value, aim }: Figure): boolean | null => {
  if (aim === undefined || value === null) return null
  return value >= (aim.atLeast ?? Number.NEGATIVE_INFINITY) && value <= (aim.atMost ?? Number.POSITIVE_INFINITY)
}
const aimOf = (figure: Figure): string => {
  const { aim, unit } = figure
  if (aim === undefined) return ''
  const text = aim.atLeast === undefined ? `at most ${shown(aim.atMost ?? 0)}` : `at least ${shown(aim.atLeast)}`
  return `${text} ${unit}${reached(figure) === false ? '  NOT REACHED' : ''}`
}

/** Columns as wide as their widest cell; the first to the left, the second to the right. */
export const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
  return rows.map((row) => `  ${line(row)}`.trimEnd()).join('\n')
}

const shares = (rows: readonly Hotspot[]): string =>
  table(
    rows.map(({ what, share, ms }) => [`  ${what}`, `${(share * 100).toFixed(1)} %`, `${shown(Math.round(ms))} ms`]),
  )
const hotspotTable = ({ thread, busyMs, wallMs, top, files }: Hotspots): string =>
  [
    `  thread ${thread}: busy ${shown(Math.round(busyMs))} ms of ${shown(Math.round(wallMs))} ms`,
    shares(top),
    '    by file',
    shares(files),
  ].join('\n')

const stolenOf = ({ stolen }: Result): string =>
  stolen === null ? '' : `, ${(stolen * 100).toFixed(1)} % of the cores taken away by the hypervisor`

export const report = (result: Result): string => {
  const { machine } = result
  const setup = Object.entries(result.setup).map(([name, value]) => `${name} ${value}`)
  return [
    `${result.scenario}: ${result.measures}`,
    `  size ${result.size} (${setup.join(', ')}), seed ${result.seed}, ${result.seconds.toFixed(1)} s${stolenOf(result)}`,
    `  ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, commit ${machine.commit}${machine.changed ? ' (changed)' : ''}`,
    '',
    table(
      result.figures.map((figure) => [figure.name, shown(figure.value), `${figure.unit}`.padEnd(4), aimOf(figure)]),
    ),
    '',
    ...result.checks.map(
      ({ name, ok, detail }) => `  ${ok ? 'holds ' : 'BROKEN'}  ${name}${ok || detail === '' ? '' : `: ${detail}`}`,
    ),
    ...(result.hotspots.length === 0 ? [] : ['', ...result.hotspots.map(hotspotTable)]),
    '',
  ].join('\n')
}
