/** How far results are from what they must be. */
import type { Sample } from './samples.js';

/** What a peer should have computed by the random numbers that it drew, which are not ours. */
export function asDrawn(sample: Sample, results: Readonly<Record<string, ArrayLike<number>>>): Sample {
  const { output, index, expected, otherwise } = sample;
  const result = results[output]?.[index] ?? NaN;
  return otherwise !== undefined && Math.abs(result - otherwise) < Math.abs(result - expected)
    ? { ...sample, expected: otherwise }
    : sample;
}

/** By each output, since their sizes differ; the worst of them. A result that is no number is as wrong as can be. */
export function largestError(
  samples: readonly Sample[],
  results: Readonly<Record<string, ArrayLike<number>>>,
): number {
  const byOutput = new Map<string, { difference: number; largest: number }>();
  for (const { output, index, expected, within } of samples) {
    const seen = byOutput.get(output) ?? { difference: 0, largest: 0 };
    const off = Math.abs((results[output]?.[index] ?? NaN) - expected);
    const difference = within === undefined ? off : off <= within ? 0 : NaN;
    byOutput.set(output, {
      difference: Number.isNaN(difference) ? Number.MAX_VALUE : Math.max(seen.difference, difference),
      largest: Math.max(seen.largest, Math.abs(expected)),
    });
  }
  const errors = [...byOutput.values()].map(({ difference, largest }) =>
    difference === 0 ? 0 : Math.min(Number.MAX_VALUE, difference / Math.max(largest, Number.MIN_VALUE)),
  );
  return Math.max(...errors);
}
