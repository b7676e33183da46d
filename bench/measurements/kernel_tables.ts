/** Tables of kernels beside those of others, with the variants that the engine takes without `--tune`. */
import { shapeOf } from '../kernels/plan.js';
import { type KernelReport, bestPeer, isRight, ratioOf, webgpuPeers } from '../kernels/report.js';
import { type KernelRow, type KernelTimes, ownName } from '../kernels/run.js';
import { shareOfPeak } from '../kernels/table.js';
import { roleOf } from '../kernels/work.js';
import { median } from '../report/middle.js';
import { digits, markdownTable } from './markdown.js';

/** The variant that is taken where nothing was tuned. */
function ownTimes({ times, choice }: KernelRow): KernelTimes | undefined {
  const own = times.filter(({ runner }) => runner === ownName);
  return own.find(({ variant }) => variant === choice?.expected) ?? own[0];
}

/** What others took over what ours took; where their results are wrong, by how much. */
function peerCells({ peers }: KernelReport, row: KernelRow): string[] {
  const own = ownTimes(row);
  return peers.map(({ name }) => {
    const times = row.times.find(({ runner }) => runner === name);
    if (!own || !times) return '';
    const ratio = `${digits(ratioOf(times, own))}x`;
    return isRight(times, row.dtype) ? ratio : `${ratio} (off by ${(100 * times.error).toPrecision(1)} %)`;
  });
}

/** Every row, a line each. */
export function rowTable(report: KernelReport): string {
  const head = [
    'work',
    'kernel and sizes',
    'times',
    'ms',
    'GFLOP/s',
    'of peak',
    'error',
    ...report.peers.map(({ name }) => name),
  ];
  const rows = report.rows.flatMap((row) => {
    const own = ownTimes(row);
    if (!own) return [];
    const speed = row.flops > 0 ? (own.flopsPerSecond / 1e9).toFixed(1) : '';
    const share = `${(100 * shareOfPeak(own, row.flops)).toFixed(0)} %`;
    const error = own.error === 0 ? '0' : own.error.toExponential(0);
    const about = [row.purpose, `${row.work.kernel} ${shapeOf(row.work)}`, String(row.occurrences)];
    return [[...about, digits(own.medianMs), speed, share, error, ...peerCells(report, row)]];
  });
  return markdownTable(head, rows, [2, 3, 4, 5, 6, ...report.peers.map((_, i) => 7 + i)]);
}

/** The rows of some purposes, in few columns. */
export function shortTable(report: KernelReport, ofPurpose: RegExp): string {
  const head = ['work', 'ms', 'GFLOP/s', ...report.peers.map(({ name }) => name)];
  const rows = report.rows.flatMap((row) => {
    const own = ownTimes(row);
    if (!own || !ofPurpose.test(row.purpose)) return [];
    const speed = row.flops > 0 ? (own.flopsPerSecond / 1e9).toFixed(1) : '';
    return [[row.purpose.replace(ofPurpose, ''), digits(own.medianMs), speed, ...peerCells(report, row)]];
  });
  return markdownTable(head, rows);
}

const groupNames: Readonly<Partial<Record<string, string>>> = {
  attention: 'attention',
  attention_gradient: 'attention, gradients',
  layernorm: 'layernorm',
  layernorm_gradient: 'layernorm, gradients',
  gelu: 'activations',
  quick_gelu: 'activations',
  gelu_gradient: 'activations, gradients',
  quick_gelu_gradient: 'activations, gradients',
  cross_entropy: 'loss',
  cross_entropy_gradient: 'loss, gradient',
  column_sum: 'sums down columns (gradients of biases and of what is shared)',
  embedding: 'embeddings',
  embedding_gradient: 'embeddings, gradient',
  argmax: 'choice of characters',
  add: 'additions',
  square_sum: 'sums of squares',
  copy: 'copies',
  momentum: 'optimizers and averages',
  lerp: 'optimizers and averages',
  adamw: 'optimizers and averages',
};

function groupOf({ work, purpose }: KernelRow): string {
  if (work.kernel !== 'matmul') return groupNames[work.kernel] ?? work.kernel.replaceAll('_', ' ');
  if (roleOf(work) === 'of an optimizer') return 'matrix products of Muon';
  return /gradient/.test(purpose) ? 'matrix products, gradients' : 'matrix products';
}

/**
 * By groups of like work, those first that a step spends most time in: rows, share of the time of all rows, and the least,
 * middle and largest of how many times as long the fastest peer on WebGPU takes whose results are right.
 */
export function groupTable(report: KernelReport): string {
  const names = webgpuPeers(report);
  const groups = new Map<string, { ms: number; ratios: number[] }>();
  for (const row of report.rows) {
    const own = ownTimes(row);
    if (!own) continue;
    const group = groups.get(groupOf(row)) ?? { ms: 0, ratios: [] };
    groups.set(groupOf(row), group);
    group.ms += row.occurrences * own.medianMs;
    const peer = bestPeer(row, names);
    if (peer) group.ratios.push(ratioOf(peer, own));
  }
  const all = [...groups.values()].reduce((sum, { ms }) => sum + ms, 0);
  const compared = [...groups].filter(([, { ratios }]) => ratios.length > 0);
  const rows = compared
    .toSorted(([, a], [, b]) => b.ms - a.ms)
    .map(([name, { ms, ratios }]) => [
      name,
      String(ratios.length),
      `${((100 * ms) / all).toFixed(1)} %`,
      ...[Math.min(...ratios), median(ratios), Math.max(...ratios)].map((ratio) => `${digits(ratio)}x`),
    ]);
  return markdownTable(['work', 'rows', 'of the time', 'least', 'middle', 'most'], rows);
}

/** The rows of training, or those of reading and of loading for it. */
export function rowsOf(report: KernelReport, what: 'reading' | 'training'): KernelReport {
  return {
    ...report,
    rows: report.rows.filter(({ stage }) => (stage === 'training') === (what === 'training')),
  };
}

/** What {@link groupTable} shows. */
export const groupsText =
  'How many times as long the fastest peer on WebGPU takes whose results are right, by medians: the least, middle and largest of the rows of a kind; kinds in ' +
  'the order of the time that they take.';

/** Who took part, and what the device reached at most. */
export function peersText({ peers, peaks }: KernelReport): string {
  const names = peers.map(({ name, version, computesOn }) => `${name} ${version} (${computesOn})`);
  return (
    `Beside ${names.join(', ')}. Measured in the same run: ${(peaks.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s of f32 multiply-adds and ` +
    `${(peaks.bytesPerSecond / 1e9).toFixed(1)} GB/s of a large copy, of which "of peak" is a share.`
  );
}

/** Every variant of the only row. */
export function variantTable({ rows: [row] }: KernelReport): string {
  return markdownTable(
    ['variant', 'ms', 'GFLOP/s'],
    row!.times.map(({ variant, medianMs, flopsPerSecond }) => [
      variant,
      digits(medianMs),
      (flopsPerSecond / 1e9).toFixed(1),
    ]),
  );
}
