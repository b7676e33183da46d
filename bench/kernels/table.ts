import type { KernelRow, KernelTimes } from './run.js';
import { ownName } from './run.js';
import { shapeOf } from './plan.js';
import { type KernelReport, bestOwn, bestPeer, ratioOf, webgpuPeers } from './report.js';

/** Headings of {@link rowCells}. */
export const tableHead = [
  'kernel',
  'sizes',
  'dtype',
  'by',
  'ms',
  'spread',
  'GFLOP/s',
  'GB/s',
  'of peak',
  'error',
  'ratio',
] as const;

/** Columns of numbers, which are set flush right. */
export const numberColumns = [4, 5, 6, 7, 8, 9, 10];

/** A row of the table for each who did the work. The ratio is that to our fastest, or of the older time to ours. */
export function rowCells(row: KernelRow): string[][] {
  const names = [row.work.kernel, shapeOf(row.work), row.dtype];
  const own = bestOwn(row);
  const done = row.times.map((times) => [...names, ...timesCells(times, row), ratioText(times, own, row)]);
  const unable = row.unable.map(({ runner, reason }) => [...names, `${runner}: ${reason}`]);
  return [...done, ...unable];
}

function timesCells(times: KernelTimes, { flops }: KernelRow): string[] {
  const { runner, variant, medianMs, spread, flopsPerSecond, bytesPerSecond, error } = times;
  return [
    runner === ownName ? variant : `${runner} ${variant}`,
    milliseconds(medianMs),
    `${(100 * spread).toFixed(0)} %`,
    flops > 0 ? (flopsPerSecond / 1e9).toFixed(1) : '',
    (bytesPerSecond / 1e9).toFixed(1),
    `${(100 * shareOfPeak(times, flops)).toFixed(0)} %`,
    error === 0 ? '0' : error.toExponential(0),
  ];
}

/** Of the peak that the work is nearer to: computing, or moving memory. */
export function shareOfPeak(times: KernelTimes, flops: number): number {
  return flops > 0 ? Math.max(times.shareOfPeakFlops, times.shareOfPeakBytes) : times.shareOfPeakBytes;
}

/** The ratio of a time to that of our fastest variant, or of the older time to it. */
export function ratioText(
  times: KernelTimes,
  own: KernelTimes | undefined,
  { olderMs: before }: KernelRow,
): string {
  if (own === undefined) return '';
  if (times === own) {
    return before === undefined ? '' : `was ${milliseconds(before)}, ${(before / own.medianMs).toFixed(2)}x`;
  }
  return `${ratioOf(times, own).toFixed(2)}x`;
}

export function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(2) : ms.toPrecision(2);
}

/** Headings of {@link peerSummary}. */
export function summaryHead({ peers }: KernelReport): string[] {
  return ['kernel', 'type', 'rows', 'least', 'middle', ...peers.map(({ name }) => name)];
}

/**
 * Times over those of our fastest variant, by kernel: the least and the middle ratio of the fastest peer on WebGPU, then
 * the middle ratio of each peer.
 */
export function peerSummary(report: KernelReport): string[][] {
  const kinds = new Map<string, KernelRow[]>();
  for (const row of report.rows) {
    const kind = `${row.work.kernel} ${row.dtype}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), row]);
  }
  const ratios = (rows: readonly KernelRow[], names: readonly string[]): number[] =>
    rows
      .flatMap((row) => {
        const [own, peer] = [bestOwn(row), bestPeer(row, names)];
        return own && peer ? [ratioOf(peer, own)] : [];
      })
      .sort((a, b) => a - b);
  const cell = (ratio: number | undefined): string => (ratio === undefined ? '' : `${ratio.toFixed(2)}x`);
  const middle = (values: readonly number[]): string => cell(values[values.length >> 1]);
  return [...kinds.values()].map((rows) => {
    const best = ratios(rows, webgpuPeers(report));
    const each = report.peers.map(({ name }) => middle(ratios(rows, [name])));
    return [rows[0]!.work.kernel, rows[0]!.dtype, String(best.length), cell(best[0]), middle(best), ...each];
  });
}
