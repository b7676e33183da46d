/** The two streams of a command: results on the standard output, everything else on the standard error. */
import { once } from 'node:events';

export { formatBytes } from '../weights/format_bytes.js';

/** Writes results, and waits while the reader is slower than we are. */
export async function print(text: string): Promise<void> {
  if (text === '' || process.stdout.destroyed || process.stdout.writableEnded) return;
  if (!process.stdout.write(text)) {
    await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => undefined);
  }
}

/** Waits until all that was printed is written, or known to be lost: then the stream has told of its error. */
export async function settleOutput(): Promise<void> {
  await new Promise<void>((resolve) => process.stdout.write('', () => setImmediate(resolve)));
}

/** Says something that is no result: a warning, a file that could not be read. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Columns set flush; those named in `right` end flush right. */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows
    .map((row) => {
      const cells = row.map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      );
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}
