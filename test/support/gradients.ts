/** How far losses and gradients are from a reference's. */

export function relative(actual: number, expected: number): number {
  return Math.abs(actual - expected) / Math.abs(expected);
}

export function norm(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));
}

/** Largest difference over the largest value. */
export function furthest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const largest = Math.max(...Array.from(expected, Math.abs));
  return Math.max(...Array.from(expected, (value, i) => Math.abs(value - actual[i]!))) / largest;
}

/** How far the norm of a parameter's gradient may be, as a share of it. */
export const normTolerance = 1e-4;

/** Rows of a stored matrix of whole numbers. */
export function rowsOf(flat: readonly number[], shape: readonly number[]): number[][] {
  const [rows, length] = shape as [number, number];
  return Array.from({ length: rows }, (_, row) => flat.slice(row * length, (row + 1) * length));
}
