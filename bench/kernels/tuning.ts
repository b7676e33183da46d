/** Which variants were the fastest, for the engine to take from now on. */
import type { Device, Tuning } from '../../engine/index.js';
import { rightTimes } from './report.js';
import { type KernelRow, ownName } from './run.js';

/** Share of the expected variant's time that another one must save: less is noise. */
const leastGain = 0.05;

/** A kind of work for which another variant than the expected one is the fastest. */
export interface TunedChoice {
  readonly key: string;
  readonly expected: string;
  readonly variant: string;
  /** Time of the expected variant over that of the fastest, the geometric mean of all rows of the kind. */
  readonly gain: number;
}

/** What is worth another choice than the expected one, of all rows that were measured. */
export function tunedChoices(rows: readonly KernelRow[]): TunedChoice[] {
  const kinds = new Map<string, KernelRow[]>();
  for (const row of rows) {
    if (row.choice) kinds.set(row.choice.key, [...(kinds.get(row.choice.key) ?? []), row]);
  }
  return [...kinds].flatMap(([key, alike]) => {
    const expected = [...new Set(alike.map(({ choice }) => choice!.expected))].join(' or ');
    const gains = rankedGains(alike);
    const [best] = [...gains].sort(([, a], [, b]) => b - a);
    if (!best || best[1] < 1 / (1 - leastGain)) return [];
    return [{ key, expected, variant: best[0], gain: best[1] }];
  });
}

/** Of each variant that did all rows rightly and none slower, how often it does them while the expected one does them once. */
function rankedGains(rows: readonly KernelRow[]): Map<string, number> {
  const sums = new Map<string, { logarithms: number; rows: number; least: number }>();
  for (const row of rows) {
    const own = rightTimes(row, [ownName]);
    const expected = own.find(({ variant }) => variant === row.choice!.expected);
    if (!expected) continue;
    // The least of the samples: what disturbs a machine only adds to times.
    for (const { variant, fastestMs } of own) {
      const sum = sums.get(variant) ?? { logarithms: 0, rows: 0, least: Infinity };
      const gain = expected.fastestMs / fastestMs;
      sum.logarithms += Math.log(gain);
      sum.rows++;
      sum.least = Math.min(sum.least, gain);
      sums.set(variant, sum);
    }
  }
  // What pays for some rows must not slow others down by more than noise.
  const complete = [...sums].filter(([, sum]) => sum.rows === rows.length && sum.least > 1 - leastGain);
  return new Map(complete.map(([variant, { logarithms }]) => [variant, Math.exp(logarithms / rows.length)]));
}

/**
 * A tuning with new choices in it.
 * @param before what was known of the device: choices of kinds that were not measured now are kept
 * @param rows all rows that were measured now
 */
export function tuningOf(
  { adapter, info }: Pick<Device, 'adapter' | 'info'>,
  before: Tuning | undefined,
  rows: readonly KernelRow[],
): Tuning {
  const right = rows.filter((row) => rightTimes(row, [ownName]).length > 0);
  const measured = new Set(right.map(({ choice }) => choice?.key));
  const kept = Object.entries(before?.choices ?? {}).filter(([key]) => !measured.has(key));
  const found = tunedChoices(rows).map(({ key, variant }) => [key, variant] as const);
  return {
    kind: 'tuning',
    adapter: adapter.name,
    driver: info.description,
    choices: Object.fromEntries([...kept, ...found].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
