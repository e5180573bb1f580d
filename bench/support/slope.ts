export interface Slope {
  /** Per unit of x. */
  readonly perUnit: number;
  /** Half of the interval that holds the true slope in 95 of 100 cases; without end where there is too little to say. */
  readonly within: number;
}

/** Student's t for 95 %, two-sided, by degrees of freedom from 1; beyond these it is close to 2. */
const student = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13];

/** A straight line through the points, by least squares. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length;
  if (n < 3) return { perUnit: Number.NaN, within: Number.POSITIVE_INFINITY };
  const mean = (of: (point: readonly [number, number]) => number): number => points.reduce((sum, point) => sum + of(point), 0) / n;
  const [x, y] = [mean(([each]) => each), mean(([, each]) => each)];
  const spread = points.reduce((sum, [each]) => sum + (each - x) ** 2, 0);
  const perUnit = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / spread;
  const left = points.reduce((sum, [a, b]) => sum + (b - y - perUnit * (a - x)) ** 2, 0);
  return { perUnit, within: (student[n - 3] ?? 2) * Math.sqrt(left / (n - 2) / spread) };
}
