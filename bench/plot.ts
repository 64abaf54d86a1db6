/** A result as SVG: bars or steps, readable on light and dark pages. No dependency, no script. */
import { shown } from './report.ts'
import type { Plot } from './scenario.ts'

const WIDTH = 640
const LEFT = 150
const COLOURS = ['#2f7ed8', '#8a8a8a', '#2ca02c', '#d62728', '#9467bd']

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const colour = (index: number): string => COLOURS[index % COLOURS.length] ?? '#2f7ed8'

const bars = ({ series, unit }: Plot): { body: string; height: number } => {
  const most = Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y)), 1e-9)
  const rows = series.map(({ name, points }, index) => {
    const value = points[0]?.[1] ?? 0
    const y = 50 + index * 34
    const length = (value / most) * (WIDTH - LEFT - 130)
    return [
      `<text x="${LEFT - 10}" y="${y + 16}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="24" rx="3" fill="${colour(index)}"/>`,
      `<text x="${(LEFT + length + 8).toFixed(1)}" y="${y + 16}">${shown(value)} ${escaped(unit)}</text>`,
    ].join('')
  })
  return { body: rows.join('\n'), height: 60 + series.length * 34 }
}

/** Logarithmic where the values span more than three decades. */
const scaleOf = (values: readonly number[], from: number, to: number): ((value: number) => number) => {
  const positive = values.filter((value) => value > 0)
  const low = Math.min(...positive, 1)
  const high = Math.max(...values, 1e-9)
  const logarithmic = high / low > 1_000
  const place = logarithmic
    ? (value: number) => Math.log(Math.max(value, low) / low) / Math.log(high / low)
    : (value: number) => value / high
  return (value) => from + place(value) * (to - from)
}

const HEIGHT = 320
const steps = ({ series, unit, xUnit = '' }: Plot): { body: string; height: number } => {
  const all = series.flatMap(({ points }) => points)
  const xs = all.map(([x]) => x)
  const ys = all.map(([, y]) => y)
  const x = scaleOf(xs, 60, WIDTH - 30)
  const y = scaleOf(ys, HEIGHT - 50, 50)
  const axis = [Math.max(...xs), Math.max(...xs) / 2, 0].map(
    (value) =>
      `<text x="${x(value).toFixed(1)}" y="${HEIGHT - 28}" text-anchor="middle">${shown(value)} ${escaped(xUnit)}</text>`,
  )
  const upright = [Math.max(...ys), Math.max(...ys) / 2].map(
    (value) =>
      `<text x="52" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${shown(value)} ${escaped(unit)}</text>`,
  )
  const lines = series.map(({ name, points }, index) => {
    const path = points.map(([px, py], at) => `${at === 0 ? 'M' : 'L'}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join('')
    return [
      `<path d="${path}" fill="none" stroke="${colour(index)}" stroke-width="2"/>`,
      `<text x="${60 + index * 150}" y="${HEIGHT - 8}" fill="${colour(index)}">${escaped(name)}</text>`,
    ].join('')
  })
  return { body: [...axis, ...upright, ...lines].join('\n'), height: HEIGHT }
}

export const plotSvg = (plot: Plot): string => {
  const { body, height } = plot.kind === 'bars' ? bars(plot) : steps(plot)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">
<style>text{fill:#333}@media (prefers-color-scheme:dark){text{fill:#ddd}}</style>
<text x="20" y="28" font-size="15" font-weight="600">${escaped(plot.title)}</text>
${body}
</svg>
`
}
