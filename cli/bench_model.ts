/** `bench --model`: how fast a model reads on this device. */
import sharp from 'sharp';
import { type EncoderComparison, compareEncoder } from '../bench/model/encoder_comparison.js';
import { type ReadingTimes, timeReading } from '../bench/model/reading.js';
import type { ReadingReport } from '../bench/model/report.js';
import { type ReadingComparison, compareReading } from '../bench/model/torch_reading.js';
import type { TorchTwin } from '../bench/model/torch_twin.js';
import type { Peer } from '../bench/peers/index.js';
import { machineOf } from '../bench/report/machine.js';
import { type Device, measurePeakFlops } from '../engine/index.js';
import {
  Clip4Str,
  type Clip4StrModel,
  type ModelConfiguration,
  type Precision,
  inferConfiguration,
  presetOf,
} from '../model/index.js';
import { initialWeights } from '../train/initial_weights.js';
import { type ParameterSource, openParameters } from '../weights/index.js';
import { type Measured, measureEach } from './bench_each.js';
import { type BenchOptions, wantsPeers } from './bench_options.js';
import { encoderText, installWanted, needInstalled, openWanted, withPeers } from './bench_peers.js';
import {
  type Compared,
  compared,
  readingComparisonText,
  requireTwin,
  torchReport,
  withTwin,
} from './bench_torch.js';
import { measureStartUp, startUpText } from './bench_start_up.js';
import { resolveCheckpoint } from './checkpoints.js';
import { EXIT_DONE, type ExitCode, UsageError, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { requireAdapter, unitUse, withDevice } from './options.js';
import { formatBytes, formatTable, print } from './output.js';
import { packageVersions } from './package.js';
import { showProgress } from './progress.js';
import { testImage } from './test_image.js';

const readingBatches = [1, 8, 32];
type PeerAbout = Pick<Peer, 'name' | 'version' | 'computesOn'>;

const onnxRuntimes = ['onnxruntime-web', 'onnxruntime-node'] as const;

/** Times reading at several batch sizes. */
export async function runModelBench(options: BenchOptions): Promise<ExitCode> {
  const { precision = 'f32', quiet, json } = options;
  if (precision === 'int8' && options.torch !== undefined) {
    throw new UsageError('--torch: the model in PyTorch has no int8; give --precision f32 or f16.');
  }
  if (precision !== 'f32' && wantsPeers(options)) {
    throw new UsageError(
      `--peers: the image encoder is compared in f32; leave out --precision ${precision}.`,
    );
  }
  const signal = watchForInterruption();
  const { untrained } = options;
  if (untrained !== undefined && (options.checkpoint ?? options.preset) !== undefined) {
    throw new UsageError('--untrained makes a model up; leave out --checkpoint and --preset.');
  }
  await requireAdapter(options.device, precision);
  const checkpoint =
    untrained === undefined
      ? await resolveCheckpoint(options.checkpoint, quiet)
      : initialWeights(presetOf(untrained), 0);
  await requireComparable(checkpoint, options);
  await installWanted(options, signal);
  if (options.peers) needInstalled(onnxRuntimes);
  const image = await testImageFile();
  return withTwin(options.torch, signal, async (twin) => {
    const startUp =
      typeof checkpoint === 'string'
        ? await measureStartUp(image, checkpoint, options, signal)
        : { unable: 'read takes files, and this model is made up.' };
    return withDevice(options.device, unitUse(precision, 'forward'), async (device): Promise<ExitCode> => {
      const peakFlopsPerSecond = await measurePeakFlops(device);
      const start = performance.now();
      const reader = await loadReader(device, checkpoint, options, signal);
      await device.finish();
      const loadMs = performance.now() - start;
      // Of models to compare the family was asked for.
      const model = reader.model as Clip4StrModel;
      const compare = twin && (await readingComparer(device, model, twin, precision));
      const encoder = wantsPeers(options) ? model : undefined;
      const batches = options.batches ?? readingBatches;
      const measured = await measureEach(
        batches,
        { counted: 'batch sizes', signal, quiet },
        async (batchSize) => ({
          times: await timeReading(device, reader, image, batchSize),
          comparison: await compare?.(batchSize),
        }),
      );
      // Opened late: threads of theirs that wait for work would slow readings down.
      const encoders =
        encoder && !measured.failure
          ? await compareEncoders(device, encoder, batches, options, signal)
          : undefined;
      const report: ReadingReport = {
        kind: 'model',
        date: new Date().toISOString(),
        machine: machineOf(device, packageVersions()),
        checkpoint: reader.checkpointName,
        precision,
        startUp,
        loadMs,
        peakFlopsPerSecond,
        readings: measured.done.map(({ times }) => times),
        ...(encoders && { peers: encoders.peers, encoders: encoders.done }),
      };
      const beside = torchReport(twin, measured.done);
      await print(
        json ? `${JSON.stringify({ ...report, ...beside }, null, 2)}\n` : readingText(device, report),
      );
      if (!json) await print(startUpText(startUp));
      if (!json && encoders) await print(encoderText(encoders.done));
      if (!json && beside.torch) await print(readingComparisonText(beside.torch));
      const failure = measured.failure ?? encoders?.failure;
      if (failure) throw failure;
      return EXIT_DONE;
    });
  });
}

/** Refuses early, before anything is measured, what the others that are asked for cannot do. @throws UsageError */
async function requireComparable(checkpoint: string | ParameterSource, options: BenchOptions): Promise<void> {
  const { torch, preset, untrained } = options;
  if (torch === undefined && !wantsPeers(options)) return;
  const source = typeof checkpoint === 'string' ? await openParameters(checkpoint) : checkpoint;
  try {
    const configuration = inferConfiguration(source, { preset: preset ?? untrained });
    if (torch !== undefined) requireTwin(source.name, configuration);
    if (wantsPeers(options)) requireClipEncoder(source.name, configuration);
  } finally {
    await source.close();
  }
}

/** @throws UsageError for a model whose image encoder is another than CLIP's */
function requireClipEncoder(name: string, configuration: ModelConfiguration): void {
  if (configuration.family === 'clip4str' && !configuration.clipClsEotFeature) return;
  throw new UsageError(
    `--peers: ${printable(name)} is no CLIP4STR model with all of CLIP's features; its image encoder is compared alone.`,
  );
}

/** What goes wrong is told after what was measured before. */
async function compareEncoders(
  device: Device,
  encoder: Clip4StrModel,
  batches: readonly number[],
  options: BenchOptions,
  signal: AbortSignal,
): Promise<Measured<EncoderComparison> & { peers: PeerAbout[] }> {
  let about: PeerAbout[] = [];
  try {
    const { peers } = await openWanted(device, options, signal, onnxRuntimes);
    about = peers.map(({ name, version, computesOn }) => ({ name, version, computesOn }));
    const each = { counted: 'encoders', signal, quiet: options.quiet };
    const measured = await withPeers(peers, () =>
      measureEach(batches, each, (batchSize) => compareEncoder(device, encoder, peers, batchSize, signal)),
    );
    return { peers: about, ...measured };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { peers: about, done: [], failure: error };
  }
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

/** Gives PyTorch a model. @returns what sets both against each other at a batch size */
async function readingComparer(
  device: Device,
  model: Clip4StrModel,
  twin: TorchTwin,
  precision: Precision,
): Promise<(batchSize: number) => Promise<Compared<ReadingComparison>>> {
  const { configuration, parameters } = model;
  await twin.build(configuration, parameters, { half: precision === 'f16', dropout: 0 });
  return (batchSize) => compared(batchSize, () => compareReading(device, model, twin, batchSize));
}

function testImageFile(): Promise<Uint8Array> {
  const { data, width, height } = testImage();
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
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
