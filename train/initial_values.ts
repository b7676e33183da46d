/** Random values that parameters start from. */
import type { RandomGenerator } from '../engine/index.js';

/** Of the matrices that the original draws anew. Its limit of two is a hundred deviations away, and cuts nothing. */
const deviation = 0.02;

/** Values around zero with the original's standard deviation of 0.02. */
export function normalValues(count: number, random: RandomGenerator): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, () => {
    // Box and Muller; 1 - next() is never 0.
    const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
    return deviation * radius * Math.cos(2 * Math.PI * random.next());
  });
}

/** Values of a matrix of that size, even up to a bound that keeps deviations alike forth and back (Glorot and Bengio, 2010). */
export function xavierValues(
  rows: number,
  columns: number,
  random: RandomGenerator,
): Float32Array<ArrayBuffer> {
  const bound = Math.sqrt(6 / (rows + columns));
  return Float32Array.from({ length: rows * columns }, () => bound * (2 * random.next() - 1));
}
