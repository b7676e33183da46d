/** `bench --model` and `bench --training`: how fast whole models read and are trained on this device. */
import sharp from 'sharp';
import { machineOf } from '../bench/report/machine.js';
import { type ReadingTimes, timeReading } from '../bench/model/reading.js';
import { type ReadingComparison, compareReading } from '../bench/model/torch_reading.js';
import { comparedRecipe, compareTraining } from '../bench/model/torch_training.js';
import type { TorchTwin } from '../bench/model/torch_twin.js';
import { type TrainingTimes, timeTraining } from '../bench/model/training.js';
import { type Device, measurePeakFlops } from '../engine/index.js';
import { Clip4Str, type Precision, presetOf } from '../model/index.js';
import { initialWeights } from '../train/initial_weights.js';
import type { ParameterSource } from '../weights/index.js';
import { type BenchOptions, floatPrecision } from './bench_options.js';
import {
  type Compared,
  type TorchReport,
  compared,
  readingComparisonText,
  trainingComparisonText,
  twinnedModel,
  withTwin,
} from './bench_torch.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_DONE, type ExitCode, UsageError, printable } from './errors.js';
import { liftDeadlines, watchForInterruption } from './interruption.js';
import { requirePrecision, withDevice } from './options.js';
import { formatBytes, formatTable, print } from './output.js';
import { packageVersions } from './package.js';
import { showProgress } from './progress.js';
import { testImage } from './test_image.js';

const readingBatches = [1, 8, 32];

/** Times reading at several batch sizes. */
export async function runModelBench(options: BenchOptions): Promise<ExitCode> {
  const { precision = 'f32', quiet, json } = options;
  if (precision === 'int8' && options.torch !== undefined) {
    throw new UsageError('--torch: the model in PyTorch has no int8; give --precision f32 or f16.');
  }
  const signal = watchForInterruption();
  const { untrained } = options;
  if (untrained !== undefined && (options.checkpoint ?? options.preset) !== undefined) {
    throw new UsageError('--untrained makes a model up; leave out --checkpoint and --preset.');
  }
  const checkpoint =
    untrained === undefined
      ? await resolveCheckpoint(options.checkpoint, quiet)
      : initialWeights(presetOf(untrained), 0);
  return withTwin(options.torch, signal, (twin) =>
    withDevice(options.device, async (device): Promise<ExitCode> => {
      requirePrecision(device, precision);
      const peakFlopsPerSecond = await measurePeakFlops(device);
      const start = performance.now();
      const reader = await loadReader(device, checkpoint, options, signal);
      await device.finish();
      const loadMs = performance.now() - start;
      const compare = twin && (await readingComparer(device, reader, twin, precision));
      const image = await testImageFile();
      const measured = await each(options.batches ?? readingBatches, signal, quiet, async (batchSize) => ({
        times: await timeReading(device, reader, image, batchSize),
        comparison: await compare?.(batchSize),
      }));
      const report = {
        kind: 'model',
        date: new Date().toISOString(),
        machine: machineOf(device, packageVersions()),
        checkpoint: reader.checkpointName,
        precision,
        loadMs,
        peakFlopsPerSecond,
        readings: measured.done.map(({ times }) => times),
        ...torchReport(twin, measured.done),
      };
      await print(json ? `${JSON.stringify(report, null, 2)}\n` : readingText(device, report));
      if (!json && report.torch) await print(readingComparisonText(report.torch));
      if (measured.failure) throw measured.failure;
      return EXIT_DONE;
    }),
  );
}

/** Loads with a progress bar: making up a large model takes a minute. */
async function loadReader(
  device: Device,
  checkpoint: string | ParameterSource,
  { preset, untrained, precision, quiet }: BenchOptions,
  signal: AbortSignal,
): Promise<Clip4Str> {
  const progress = showProgress('Loading', 'bytes', !quiet);
  try {
    return await Clip4Str.load(device, checkpoint, {
      preset: preset ?? untrained,
      precision,
      onProgress(done, total) {
        signal.throwIfAborted();
        progress.update(done, total);
      },
    });
  } finally {
    progress.stop();
  }
}

/** Gives PyTorch the model of a reader. @returns what sets both against each other at a batch size */
async function readingComparer(
  device: Device,
  reader: Clip4Str,
  twin: TorchTwin,
  precision: Precision,
): Promise<(batchSize: number) => Promise<Compared<ReadingComparison>>> {
  const model = twinnedModel(reader);
  const { configuration, parameters } = model;
  await twin.build(configuration, parameters, { half: precision === 'f16', dropout: 0 });
  return (batchSize) => compared(batchSize, () => compareReading(device, model, twin, batchSize));
}

/** Times training steps of a preset at several batch sizes. */
export async function runTrainingBench(options: BenchOptions): Promise<ExitCode> {
  const preset = options.training!;
  if (options.torch !== undefined) requireTwinOf(preset);
  const signal = watchForInterruption();
  const precision = floatPrecision(options);
  return withTwin(options.torch, signal, (twin) =>
    withDevice(options.device, async (device): Promise<ExitCode> => {
      if (precision) requirePrecision(device, precision);
      const settings = precision ? [`trainer.precision=${precision === 'f16' ? 16 : 32}`] : [];
      const measured = await each(options.batches ?? [8], signal, options.quiet, async (batchSize) => ({
        times: await timeTraining(device, preset, batchSize, settings),
        comparison:
          twin &&
          (await compared(batchSize, () => compareTraining(device, twin, preset, batchSize, settings))),
      }));
      const report = {
        kind: 'training',
        date: new Date().toISOString(),
        machine: machineOf(device, packageVersions()),
        steps: measured.done.map(({ times }) => times),
        ...torchReport(twin, measured.done),
      };
      await print(options.json ? `${JSON.stringify(report, null, 2)}\n` : trainingText(device, report.steps));
      if (!options.json && report.torch) await print(trainingComparisonText(report.torch));
      if (measured.failure) throw measured.failure;
      return EXIT_DONE;
    }),
  );
}

/** @throws UsageError for a preset of a model that has no twin */
function requireTwinOf(preset: string): void {
  try {
    comparedRecipe(preset, 1, []);
  } catch (error) {
    throw new UsageError(`--torch: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function torchReport<T>(
  twin: TorchTwin | undefined,
  done: readonly { readonly comparison: Compared<T> | undefined }[],
): { torch?: TorchReport<T> } {
  if (!twin) return {};
  const comparisons = done.flatMap(({ comparison }) => (comparison ? [comparison] : []));
  return { torch: { ...twin.about, comparisons } };
}

/** Measures for each batch size; what is done before an interruption, or where memory ends, counts. */
async function each<T>(
  batches: readonly number[],
  signal: AbortSignal,
  quiet: true | undefined,
  measure: (batchSize: number) => Promise<T>,
): Promise<{ done: T[]; failure?: Error }> {
  const done: T[] = [];
  const progress = showProgress('batch sizes', 'rows', !quiet);
  try {
    for (const batchSize of batches) {
      signal.throwIfAborted();
      progress.update(done.length, batches.length);
      done.push(await measure(batchSize));
      liftDeadlines();
    }
    return { done };
  } catch (error) {
    if (!(error instanceof Error) || done.length === 0) throw error;
    return { done, failure: error };
  } finally {
    progress.stop();
  }
}

function testImageFile(): Promise<Uint8Array> {
  const { data, width, height } = testImage();
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

interface ReadingReport {
  readonly checkpoint: string;
  readonly precision: string;
  readonly loadMs: number;
  readonly peakFlopsPerSecond: number;
  readonly readings: readonly ReadingTimes[];
}

function readingText(device: Device, report: ReadingReport): string {
  const { checkpoint, precision, loadMs, peakFlopsPerSecond, readings } = report;
  const rows = readings.map((times) => [
    String(times.batchSize),
    (times.medianMs / times.batchSize).toFixed(1),
    `${(times.fastestMs / times.batchSize).toFixed(1)} to ${(times.slowestMs / times.batchSize).toFixed(1)}`,
    times.imagesPerSecond.toFixed(1),
    `${((100 * 1000 * times.flops) / times.medianMs / peakFlopsPerSecond).toFixed(0)} %`,
    `${((100 * times.hostMs) / times.medianMs).toFixed(0)} %`,
    formatBytes(times.peakBytes),
    String(times.dispatches),
    String(times.submits),
    String(times.readBacks),
    String(times.peeks),
  ]);
  const head = [
    'at once',
    'ms an image',
    'spread',
    'images/s',
    'of peak',
    'host busy',
    'memory',
    'dispatches',
    'submits',
    'read-backs',
    'peeks',
  ];
  const stageRows = Object.keys(readings[0]?.stages ?? {}).map((stage) => [
    stage,
    ...readings.map(({ stages, batchSize }) => (stages[stage]!.ms / batchSize).toFixed(2)),
  ]);
  const stageHead = ['ms an image, by stage', ...readings.map(({ batchSize }) => String(batchSize))];
  return [
    `${printable(checkpoint)}, ${precision}, on ${printable(device.adapter.name)}; loaded in ${loadMs.toFixed(0)} ms\n`,
    formatTable([head, ...rows], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    formatTable(
      [stageHead, ...stageRows],
      readings.map((_, column) => column + 1),
    ),
    ...readings.flatMap(characterText),
  ].join('\n');
}

/** What a character costs the host in the greedy loop. */
function characterText({ batchSize, stages }: ReadingTimes): string[] {
  return Object.entries(stages).flatMap(([stage, { hostMs, dispatches, steps }]) =>
    steps === undefined
      ? []
      : [
          `${stage}, ${batchSize} at once: a character takes ${(dispatches / steps).toFixed(0)} dispatches and ` +
            `${(hostMs / steps).toFixed(2)} ms of the host, ${((1000 * hostMs) / dispatches).toFixed(1)} µs a dispatch\n`,
        ],
  );
}

function trainingText(device: Device, steps: readonly TrainingTimes[]): string {
  const rows = steps.map((times) => [
    times.preset,
    String(times.batchSize),
    (times.stepMs / 1000).toFixed(2),
    `${(times.fastestMs / 1000).toFixed(2)} to ${(times.slowestMs / 1000).toFixed(2)}`,
    times.imagesPerSecond.toFixed(2),
    `${((100 * times.waitMs) / times.stepMs).toFixed(0)} %`,
    `${(100 * times.utilisation).toFixed(0)} %`,
    formatBytes(times.peakBytes),
    String(times.dispatches),
    String(times.submits),
  ]);
  const head = [
    'preset',
    'at once',
    's a step',
    'spread',
    'images/s',
    'wait',
    'of peak',
    'memory',
    'dispatches',
    'submits',
  ];
  return `${printable(device.adapter.name)}\n${formatTable([head, ...rows], [1, 2, 3, 4, 5, 6, 7, 8, 9])}`;
}
