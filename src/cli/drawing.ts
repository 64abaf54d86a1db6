/** Figures as pictures of text: bars, courses, large numbers, spans of time. */
import colors from 'picocolors'

export const BAR_WIDTH = 16

/** How much of the limit is used, with both figures; without a limit there is nothing to compare with. */
export const bar = (current: number, limit: number | null, width = BAR_WIDTH): string => {
  const share = limit === null ? 0 : limit === 0 ? 1 : current / limit
  const filled = Math.min(width, Math.round(share * width))
  const paint = share > 1 ? colors.red : share >= 1 ? colors.yellow : colors.green
  return paint('█'.repeat(filled)) + colors.dim('░'.repeat(width - filled))
}

const STEPS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
/** The last `width` figures, the largest of them at full height. */
export const course = (figures: readonly number[], width: number): string => {
  const shown = figures.slice(-width)
  const most = Math.max(1, ...shown)
  return shown.map((figure) => STEPS[Math.ceil((figure / most) * (STEPS.length - 1))] ?? '').join('')
}

export const grouped = (figure: number): string => Math.round(figure).toLocaleString('en-US')

/** `90 s`, `12 min`, `3.5 h`. */
export const span = (ms: number): string => {
  const seconds = ms / 1_000
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 360) / 10} h`
}

/** To a column's width; what is longer is cut. Takes text without colours. */
export const cell = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width)
