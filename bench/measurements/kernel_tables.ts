/** Tables of kernels beside those of others, with the variants that the engine takes without `--tune`. */
import { isStoredAs, shapeOf } from '../kernels/plan.js';
import type { UsedWork } from '../kernels/shapes.js';
import { type KernelReport, bestPeer, isRight, ratioOf, webgpuPeers } from '../kernels/report.js';
import { type KernelRow, type KernelTimes, ownName } from '../kernels/run.js';
import { shareOfPeak } from '../kernels/table.js';
import { type Work, roleOf } from '../kernels/work.js';
import { digits, markdownTable } from './markdown.js';

/** The variant that is taken where nothing was tuned. */
function ownTimes({ times, choice }: KernelRow): KernelTimes | undefined {
  const own = times.filter(({ runner }) => runner === ownName);
  return own.find(({ variant }) => variant === choice?.expected) ?? own[0];
}

/** The ratios of the fastest of some peers whose results are right, of the rows that one does. */
function ratiosTo(rows: readonly KernelRow[], names: readonly string[]): number[] {
  return rows.flatMap((row) => {
    const [own, peer] = [ownTimes(row), bestPeer(row, names)];
    return own && peer ? [ratioOf(peer, own)] : [];
  });
}

/** What others took over what ours took, by the host's clock; what they did otherwise, or that their results are wrong. */
function peerCells({ peers }: KernelReport, row: KernelRow): string[] {
  const own = ownTimes(row);
  return peers.map(({ name }) => {
    const times = row.times.find(({ runner }) => runner === name);
    if (!own || !times) return row.unable.find(({ runner }) => runner === name)?.reason ?? '';
    const notes = [
      ...(isRight(times, row.dtype) ? [] : [errorText(times.error)]),
      ...times.variant.split('; ').slice(1),
    ];
    return `${digits(ratioOf(times, own))}x${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`;
  });
}

function errorText(error: number): string {
  return error < 1 ? `off by ${Number((100 * error).toPrecision(1))} %` : 'wrong';
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
  column_sum: 'sums down columns',
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

function groupOf({ work, purpose }: UsedWork): string {
  if (work.kernel !== 'matmul') return groupNames[work.kernel] ?? work.kernel.replaceAll('_', ' ');
  if (roleOf(work) === 'of an optimizer') return 'matrix products of Muon';
  return /gradient/.test(purpose) ? 'matrix products, gradients' : 'matrix products';
}

/** A kind of work: the milliseconds that all of it takes, and the ratios of its rows. */
interface Group {
  readonly name: string;
  readonly ms: number;
  readonly rows: number;
  /** Of the fastest peer on WebGPU whose results are right, in ascending order. */
  readonly ratios: readonly number[];
}

/** The kinds of work of a reading or a step in f32, those first that take most time. @throws Error for what was not measured */
function groupsOf(report: KernelReport, uses: readonly UsedWork[]): Group[] {
  const names = webgpuPeers(report);
  const keyOf = (work: Work): string =>
    JSON.stringify(
      Object.entries(work)
        .filter(([, value]) => value !== undefined)
        .sort(),
    );
  const measured = new Map(report.rows.map((row) => [keyOf(row.work), row]));
  const groups = new Map<string, { ms: number; rows: Set<KernelRow> }>();
  for (const use of uses.filter((own) => isStoredAs(own, 'f32'))) {
    const row = measured.get(keyOf(use.work));
    const own = row && ownTimes(row);
    if (!row || !own)
      throw new Error(`${use.purpose}, ${shapeOf(use.work)}: was not measured; measure it again.`);
    const name = groupOf(use);
    const group = groups.get(name) ?? { ms: 0, rows: new Set() };
    groups.set(name, group);
    group.ms += use.occurrences * own.medianMs;
    group.rows.add(row);
  }
  return [...groups]
    .map(([name, { ms, rows }]) => ({
      name,
      ms,
      rows: rows.size,
      ratios: ratiosTo([...rows], names).sort((a, b) => a - b),
    }))
    .sort((a, b) => b.ms - a.ms);
}

/** The kinds of work of a reading or a step: their share of its time, and the ratios to the fastest peers. */
export function groupTable(report: KernelReport, uses: readonly UsedWork[]): string {
  const groups = groupsOf(report, uses);
  const all = groups.reduce((sum, { ms }) => sum + ms, 0);
  const rows = groups.map(({ name, ms, rows: count, ratios }) => [
    name,
    String(count),
    `${((100 * ms) / all).toFixed(1)} %`,
    ...(ratios.length === 0
      ? ['', '', '']
      : [ratios[0]!, ratios[(ratios.length - 1) >> 1]!, ratios.at(-1)!].map((ratio) => `${digits(ratio)}x`)),
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

/** Below this ratio the fastest peer is close. */
const close = 1.5;

/** The kinds of work in which some row is close to a peer, and their share of the time. */
export function closeText(report: KernelReport, uses: readonly UsedWork[], what: string): string {
  const groups = groupsOf(report, uses);
  const near = groups.filter(({ ratios }) => ratios.some((ratio) => ratio < close));
  if (near.length === 0) return `Nothing in ${what} is less than ${close} times as fast as the fastest peer.`;
  const [part, all] = [near, groups].map((own) => own.reduce((sum, { ms }) => sum + ms, 0)) as [
    number,
    number,
  ];
  const names = near.map(({ name, ratios }) => {
    const count = ratios.filter((ratio) => ratio < close).length;
    return `${name} (${count} of ${ratios.length} rows)`;
  });
  return (
    `Less than ${close} times as fast as the fastest peer in ${what}: ${names.join(', ')}; these kinds take ` +
    `${((100 * part) / all).toFixed(1)} % of its time.`
  );
}

/** What {@link groupTable} shows. */
export const groupsText =
  'How many times as long the fastest peer on WebGPU takes whose results are right: the least, the middle (of two the lower) and the largest of the rows of a ' +
  'kind; kinds in the order of the time that they take.';

/** Who took part, what the device reached at most, and what the columns are. */
export function peersText({ peers, missing, peaks, clock }: KernelReport): string {
  const names = peers.map(({ name, version, computesOn }) => `${name} ${version} (${computesOn})`);
  const absent = missing.map(({ name, reason }) => ` Without ${name}: ${reason}.`).join('');
  return (
    `Beside ${names.join(', ')}.${absent} Measured in the same run: ${(peaks.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s of f32 multiply-adds and ` +
    `${(peaks.bytesPerSecond / 1e9).toFixed(1)} GB/s of a large copy, of which "of peak" is a share. Milliseconds are by the clock of the ${clock}, ` +
    'ratios by the host\'s, from before the work is recorded until it is done; ours are of the variant that is taken without `--tune`. "times" is how often ' +
    'a reading or a step does the work there, "error" the largest difference from double precision over the largest result.'
  );
}

/** By how much the fastest peers on WebGPU are behind in rows of a kind: the least and the most. */
export function rangeText(report: KernelReport, kernel: string): string {
  const rows = report.rows.filter(({ work }) => work.kernel === kernel);
  const ratios = ratiosTo(rows, webgpuPeers(report));
  return `${digits(Math.min(...ratios))} to ${digits(Math.max(...ratios))}`;
}

/** How many times as fast a peer is at most. */
export function fastestText({ rows }: KernelReport, name: string): string {
  return (1 / Math.min(...ratiosTo(rows, [name]))).toFixed(0);
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
