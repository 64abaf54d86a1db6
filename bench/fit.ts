/** A straight line through points, by least squares, and how sure its slope is. */
export interface Line {
  /** Per unit of x. */
  readonly slope: number
  /** Two standard errors: a slope within it cannot be told from none. */
  readonly uncertainty: number
}

export const fitLine = (points: readonly (readonly [x: number, y: number])[]): Line => {
  const n = points.length
  const mean = (pick: 0 | 1): number => points.reduce((sum, point) => sum + point[pick], 0) / n
  const [x0, y0] = [mean(0), mean(1)]
  const xx = points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0)
  const slope = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0) / xx
  const left = points.reduce((sum, [x, y]) => sum + (y - y0 - slope * (x - x0)) ** 2, 0)
  return { slope, uncertainty: n < 3 ? Number.POSITIVE_INFINITY : 2 * Math.sqrt(left / (n - 2) / xx) }
}

/** The least of each stretch of `width`: of a heap, what stayed after a collection. */
export const lowWater = (
  points: readonly (readonly [x: number, y: number])[],
  width: number,
): (readonly [number, number])[] => {
  const least = new Map<number, readonly [number, number]>()
  for (const point of points) {
    const stretch = Math.floor(point[0] / width)
    const known = least.get(stretch)
    if (known === undefined || point[1] < known[1]) least.set(stretch, point)
  }
  return [...least.values()]
}
