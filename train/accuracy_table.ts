import { type SetResult, combinedResult } from './accuracy.js';

/** The original's test table, which is also one of Markdown: a row a set, then all of them combined. */
export function accuracyTable(results: readonly SetResult[]): string {
  const sets = results.map((set) => ({ ...set, name: set.name.replaceAll('|', '\\|') }));
  const combined = combinedResult(results);
  const width = Math.max('Combined'.length, ...sets.map(({ name }) => name.length));
  const row = ({ name, samples, accuracy, ned, confidence, labelLength }: SetResult) =>
    [
      `| ${name.padEnd(width)}`,
      `${samples}`.padStart(9),
      accuracy.toFixed(2).padStart(8),
      ned.toFixed(2).padStart(7),
      confidence.toFixed(2).padStart(10),
      `${labelLength.toFixed(2).padStart(12)} |`,
    ].join(' | ');
  return [
    `| ${'Dataset'.padEnd(width)} | # samples | Accuracy | 1 - NED | Confidence | Label Length |`,
    `|:${'-'.repeat(width)}:|----------:|---------:|--------:|-----------:|-------------:|`,
    ...sets.map(row),
    `|-${'-'.repeat(width)}-|-----------|----------|---------|------------|--------------|`,
    row(combined),
  ].join('\n');
}
