/** Order statistics. All of them ignore the order of what they are given and give NaN for nothing. */
export const percentile = (values: ArrayLike<number>, share: number): number => {
  const sorted = Float64Array.from(values).sort()
  if (sorted.length === 0) return Number.NaN
  // Nearest rank: an instant that did happen, never a mean of two.
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN
}
export const median = (values: ArrayLike<number>): number => percentile(values, 0.5)
export const mean = (values: ArrayLike<number>): number =>
  Float64Array.from(values).reduce((sum, value) => sum + value, 0) / values.length
export const deviation = (values: ArrayLike<number>): number => {
  const middle = mean(values)
  return Math.sqrt(mean(Float64Array.from(values, (value) => (value - middle) ** 2)))
}
/** How far the halves of the pairs lie apart, so that a ratio can be judged. */
export const spread = (values: ArrayLike<number>): string =>
  `${percentile(values, 0).toPrecision(3)} .. ${percentile(values, 1).toPrecision(3)}`
