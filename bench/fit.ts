/** A straight line through points, by least squares, and how sure its slope is. */
export interface Line {
  /** Per unit of x. */
  readonly slope: number
  /**
   * Two standard errors: a slope within it cannot be told from none. What lies beside the line in waves (a heap between two collections) says less
   * than as many independent points: n counts as n (1 - r) / (1 + r), r being how alike neighbours are (Santer et al. 2000, section 3).
   */
  readonly uncertainty: number
}

export const fitLine = (points: readonly (readonly [x: number, y: number])[]): Line => {
  const n = points.length
  const mean = (pick: 0 | 1): number => points.reduce((sum, point) => sum + point[pick], 0) / n
  const [x0, y0] = [mean(0), mean(1)]
  const xx = points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0)
  const slope = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0) / xx
  const beside = points.map(([x, y]) => y - y0 - slope * (x - x0))
  const left = beside.reduce((sum, y) => sum + y ** 2, 0)
  const counted = n * independence(beside, left)
  return { slope, uncertainty: counted <= 2 ? Number.POSITIVE_INFINITY : 2 * Math.sqrt(left / (counted - 2) / xx) }
}

/** Share of the points that count: less than all where neighbours lie on the same side of the line, never more. */
const independence = (beside: readonly number[], left: number): number => {
  if (left === 0) return 1
  const alike = beside.reduce((sum, y, i) => sum + y * (beside[i - 1] ?? 0), 0) / left
  return alike <= 0 ? 1 : (1 - alike) / (1 + alike)
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
