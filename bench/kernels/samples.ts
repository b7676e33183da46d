/** One element of an output, counted in its dense row-major order. */
export interface Sample {
  readonly output: string;
  readonly index: number;
  readonly expected: number;
  /** How far the result may be off at most, where it is no number to be near to. */
  readonly within?: number;
  /** What is as right where random numbers are not our own. */
  readonly otherwise?: number;
}

/** Up to `most` of the whole numbers below `count`, first and last among them. */
export function spread(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: most }, (_, i) => Math.floor((i * (count - 1)) / (most - 1)));
}
