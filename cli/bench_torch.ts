/** `bench --torch`: PyTorch beside this engine. */
import type { ReadingComparison } from '../bench/model/torch_reading.js';
import type { TrainingComparison } from '../bench/model/torch_training.js';
import { TorchTwin } from '../bench/model/torch_twin.js';
import { PeerUnable } from '../bench/peers/index.js';
import { type TorchGreeting, defaultPython } from '../bench/peers/torch_process.js';
import type { ModelConfiguration } from '../model/index.js';
import { UsageError, printable } from './errors.js';
import { formatTable } from './output.js';

/** The Python of `--torch`, which may be given without one. */
export function pythonOf(torch: string | true): string {
  return torch === true ? defaultPython : torch;
}

/** Opens what needs PyTorch. @throws UsageError where there is none */
export async function openWithTorch<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    throw error instanceof PeerUnable ? new UsageError(`--torch: ${error.message}.`) : error;
  }
}

/** Runs work with PyTorch's twin of models where it is asked for, and ends its process afterwards. */
export async function withTwin<T>(
  torch: string | true | undefined,
  signal: AbortSignal,
  work: (twin: TorchTwin | undefined) => Promise<T>,
): Promise<T> {
  if (torch === undefined) return work(undefined);
  const twin = await openWithTorch(() => TorchTwin.open(pythonOf(torch), { signal }));
  try {
    return await work(twin);
  } finally {
    await twin.close();
  }
}

/** @throws UsageError for a model that has no twin */
export function requireTwin(name: string, configuration: ModelConfiguration): void {
  if (configuration.family === 'clip4str' && configuration.decodeAutoregressive) return;
  const what =
    configuration.family === 'clip4str'
      ? "reads all characters at once (decode_ar), which the original's code fails at"
      : 'is no CLIP4STR model';
  throw new UsageError(`--torch: ${printable(name)} ${what}; the twin in PyTorch reads as CLIP4STR does.`);
}

/** What a comparison with PyTorch gave, or why it gave none. */
export type Compared<T> = T | { readonly batchSize: number; readonly unable: string };

/** PyTorch's failure at one batch size, as too little memory, leaves the others and what we measured alone. */
export async function compared<T>(batchSize: number, compare: () => Promise<T>): Promise<Compared<T>> {
  try {
    return await compare();
  } catch (error) {
    if (!(error instanceof PeerUnable)) throw error;
    return { batchSize, unable: error.message };
  }
}

/** Who was compared with, and what. */
export interface TorchReport<T> extends TorchGreeting {
  readonly comparisons: readonly Compared<T>[];
}

/** A report's part of what was compared, where anything was. */
export function torchReport<T>(
  twin: TorchTwin | undefined,
  done: readonly { readonly comparison: Compared<T> | undefined }[],
): { torch?: TorchReport<T> } {
  if (!twin) return {};
  const comparisons = done.flatMap(({ comparison }) => (comparison ? [comparison] : []));
  return { torch: { ...twin.about, comparisons } };
}

export function readingComparisonText(report: TorchReport<ReadingComparison>): string {
  const head = [
    'at once',
    'ms an image',
    'PyTorch',
    'ratio',
    'to the ends',
    'PyTorch',
    'ratio',
    'same texts',
  ];
  const done = doneOf(report);
  const rows = done.map(({ batchSize, whole, ending, sameTexts }) => [
    String(batchSize),
    ...[whole, ending].flatMap(({ ownMs, torchMs, ratio }) => [
      (ownMs / batchSize).toFixed(2),
      (torchMs / batchSize).toFixed(2),
      times(ratio),
    ]),
    `${sameTexts} of ${batchSize}`,
  ]);
  return [
    `${titleOf(report)}: rendered words, from normalised pixels to texts, in turns. First every position is computed, ` +
      'then those up to the ends of all texts, as either reads by itself; ratios are its times over ours.',
    ...tableOf(head, rows),
    ...unableLines(report),
    ...done.flatMap(({ batchSize, differingTexts }) =>
      differingTexts.slice(0, shownTexts).map(({ image, own, torch }) => {
        const texts = [own, torch].map((text) => JSON.stringify(text));
        return printable(`image ${image} of ${batchSize}: ${texts[0]} here, ${texts[1]} by PyTorch`);
      }),
    ),
    '',
  ].join('\n');
}

export function trainingComparisonText(report: TorchReport<TrainingComparison>): string {
  const done = doneOf(report);
  const head = ['at once', 's a step', 'PyTorch', 'ratio', 'first loss', 'PyTorch', 'last loss', 'PyTorch'];
  const rows = done.map((row) => [
    String(row.batchSize),
    (row.ownMs / 1000).toPrecision(3),
    (row.torchMs / 1000).toPrecision(3),
    times(row.ratio),
    ...[row.firstLoss.own, row.firstLoss.torch, row.lastLoss.own, row.lastLoss.torch].map((loss) =>
      loss.toFixed(4),
    ),
  ]);
  const [any] = done;
  const how = any && `${any.permutations} permutations, ${any.halfPrecision ? 'mixed precision' : 'f32'}`;
  return [
    `${titleOf(report)}: AdamW, ${how ? `${how}, ` : ''}one batch of rendered words again and again, without loading of data, ` +
      'in turns; the ratio is its time over ours.',
    ...tableOf(head, rows),
    ...unableLines(report),
    ...(report.device === 'cpu' && any?.halfPrecision ? [halfOnCpu] : []),
    '',
  ].join('\n');
}

/** So that its time is not taken for what PyTorch can do there. */
const halfOnCpu = 'PyTorch computes f16 on a CPU slowly; --precision f32 compares what it is made for there.';

/** Texts that differ are shown up to this number. */
const shownTexts = 5;

function titleOf({ name, version }: TorchReport<unknown>): string {
  return `\n${printable(name)} ${printable(version)}, the original's way of computing`;
}

function doneOf<T extends object>({ comparisons }: TorchReport<T>): T[] {
  return comparisons.filter((row): row is T => !('unable' in row));
}

function unableLines({ comparisons }: TorchReport<object>): string[] {
  return comparisons.flatMap((row) =>
    'unable' in row ? [printable(`${row.batchSize} at once: PyTorch could not: ${row.unable}`)] : [],
  );
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  return [
    formatTable(
      [head, ...rows],
      head.map((_, column) => column),
    ).trimEnd(),
  ];
}

function times(ratio: number): string {
  return `${ratio.toPrecision(3)}x`;
}
