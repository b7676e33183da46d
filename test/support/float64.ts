/** Float64 references and repeatable random numbers for tests. */
import { erfc } from '../../bench/kernels/error_function.js';

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function gelu(x: number): number {
  return 0.5 * x * erfc(-x / Math.SQRT2);
}

export function quickGelu(x: number): number {
  return x / (1 + Math.exp(-1.702 * x));
}

/** Rows of a dense matrix. */
export function rowsOf(data: ArrayLike<number>, width: number): number[][] {
  return Array.from({ length: data.length / width }, (_, r) =>
    Array.from({ length: width }, (_x, i) => data[r * width + i]!),
  );
}

/** Softmax of a row, or its logarithm; rows of -inf alone give NaN. */
export function softmaxRow(row: readonly number[], logarithm = false): number[] {
  const highest = Math.max(...row);
  const total = row.reduce((s, x) => s + Math.exp(x - highest), 0);
  return row.map((x) => (logarithm ? x - highest - Math.log(total) : Math.exp(x - highest) / total));
}
