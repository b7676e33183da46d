import { afterAll, expect } from '@jest/globals';

/** Largest absolute errors of a file's comparisons, printed as one table after its tests. */
export class ErrorReport {
  private readonly errors = new Map<string, number>();

  constructor(
    private readonly title: string,
    private readonly tolerance: number,
  ) {}

  /** Notes the largest absolute difference and expects it to be within the tolerance. */
  compare(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
    const error = maxAbsoluteError(actual, expected);
    this.note(name, error);
    expect({ name, withinTolerance: error <= this.tolerance, error }).toMatchObject({
      withinTolerance: true,
    });
  }

  note(name: string, error: number): void {
    this.errors.set(name, Math.max(error, this.errors.get(name) ?? 0));
  }

  /** Jest's own console would put a stack trace under each line. */
  print(): void {
    const cells = [...this.errors].map(([name, error]) => `${name.padEnd(40)} ${error.toExponential(1)}`);
    const rows = Array.from({ length: Math.ceil(cells.length / 2) }, (_, row) =>
      `  ${(cells[2 * row] ?? '').padEnd(52)}${cells[2 * row + 1] ?? ''}`.trimEnd(),
    );
    const largest = Math.max(...this.errors.values());
    const heading = `${this.title}: largest absolute errors (tolerance ${this.tolerance}, worst ${largest.toExponential(1)})`;
    process.stderr.write(`${[heading, ...rows].join('\n')}\n`);
  }
}

export function useErrorReport(title: string, tolerance = 1e-4): ErrorReport {
  const report = new ErrorReport(title, tolerance);
  afterAll(() => report.print());
  return report;
}

/** Lines of text, printed after a file's tests. */
export function useSummary(title: string): string[] {
  const lines: string[] = [];
  afterAll(() => {
    process.stderr.write(`${[title, ...lines].join('\n  ')}\n`);
  });
  return lines;
}

/** Infinite where the counts differ or a value is not a number. */
export function maxAbsoluteError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let largest = 0;
  for (let index = 0; index < actual.length; index++) {
    const error = Math.abs(actual[index]! - expected[index]!);
    if (Number.isNaN(error)) return Infinity;
    largest = Math.max(largest, error);
  }
  return largest;
}
