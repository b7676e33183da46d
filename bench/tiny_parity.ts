/**
 * Reads every image that the original read with a small trained checkpoint and compares text and confidence:
 *
 *     node dist/bench/tiny_parity.js <data folder> [<result.json>] [<device>]
 *
 * The data folder holds that checkpoint with what was read with it, in `tiny`, and the images; none of it ships.
 * Ends with 1 where a difference has no explanation, or logits are further than {@link logitsTolerance} off.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import sharp from 'sharp';
import { type Device, openDevice } from '../engine/index.js';
import { CharsetAdapter } from '../model/charset.js';
import { Clip4Str } from '../model/reader.js';
import { keepLabel, openDataSets } from '../train/data/index.js';
import { type TensorError, referenceCheckpoint, tinyLogitsErrors } from './tiny_logits.js';
import {
  type Difference,
  type Outcome,
  type Prediction,
  type StoppingRule,
  accuracyOf,
  differencesOf,
} from './tiny_readings.js';

const logitsTolerance = 1e-4;
const independentBatchSize = 32;

interface SetReport extends Outcome {
  readonly set: string;
  readonly rule: StoppingRule;
  readonly images: number;
  readonly largestConfidenceError: number;
}

const lmdbFolders: Readonly<Record<string, string>> = {
  CUTE80: 'test/CUTE80',
  IC03_860: 'test/IC03_860',
  val_IIIT5k: 'val/IIIT5k',
  val_SVT: 'val/SVT',
  val_IC15: 'val/IC15',
};

const [dataFolder, resultFile, deviceName] = process.argv.slice(2);
if (dataFolder === undefined) {
  console.error('usage: node dist/bench/tiny_parity.js <data folder> [<result.json>] [<device>]');
  process.exit(1);
}
const device = await openDevice(deviceName === undefined ? {} : { device: deviceName });
try {
  process.exitCode = (await measure(device, dataFolder, resultFile)) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  device.close();
}

async function measure(device: Device, folder: string, resultFile: string | undefined): Promise<boolean> {
  const logits = await tinyLogitsErrors(device, join(folder, 'tiny'));
  console.log('largest absolute error of logits.safetensors, from the stored pixels');
  for (const { tensor, maxAbsoluteError } of logits) {
    console.log(`  ${tensor.padEnd(24)} ${maxAbsoluteError.toExponential(1)}`);
  }
  const predictions = JSON.parse(await readFile(join(folder, 'tiny', 'predictions.json'), 'utf8')) as {
    sets: Record<string, Prediction[]>;
  };
  const reader = await Clip4Str.load(device, join(folder, 'tiny', referenceCheckpoint));
  const reports: SetReport[] = [];
  const differences: Difference[] = [];
  console.log('\nset         stopping     images   36 %    94 %  differing  confidence error  seconds');
  for (const [set, expected] of Object.entries(predictions.sets)) {
    const images = await imagesOf(folder, set, expected);
    for (const rule of ['independent', 'original'] as const) {
      const { report, found, seconds } = await readSet(reader, set, rule, images, expected);
      reports.push(report);
      differences.push(...found);
      printRow(report, found.length, seconds);
    }
  }
  printDifferences(differences);
  if (resultFile !== undefined) await writeResult(resultFile, device, reports, differences, logits);
  return (
    differences.every(({ explanation }) => explanation !== null) &&
    logits.every(({ maxAbsoluteError }) => maxAbsoluteError <= logitsTolerance)
  );
}

async function imagesOf(
  folder: string,
  set: string,
  predictions: readonly Prediction[],
): Promise<Uint8Array[]> {
  const lmdb = lmdbFolders[set];
  if (lmdb === undefined) {
    return Promise.all(predictions.map(({ file }) => readFile(join(folder, set, file!))));
  }
  const records = await openDataSets([join(folder, 'str_dataset', lmdb)], { filter: keepLabel });
  try {
    const samples = await Promise.all(predictions.map(({ index }) => records.sample(index! - 1)));
    return samples.map(({ image }) => image);
  } finally {
    await records.close();
  }
}

/** @returns the report, and the seconds that reading took: shown, not kept, as they tell of the machine's load too */
async function readSet(
  reader: Clip4Str,
  set: string,
  rule: StoppingRule,
  images: readonly Uint8Array[],
  expected: readonly Prediction[],
): Promise<{ report: SetReport; found: Difference[]; seconds: number }> {
  const startedAt = performance.now();
  const readings = await reader.read(
    images,
    rule === 'original' ? { originalStopping: true, batchSize: 1 } : { batchSize: independentBatchSize },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const { found, largestConfidenceError } = differencesOf(set, rule, readings, expected);
  const outcome = accuracyOf(
    readings.map(({ text }) => text),
    expected.map(({ label }) => label),
    new CharsetAdapter('36'),
  );
  return {
    report: { set, rule, images: images.length, ...outcome, largestConfidenceError },
    found,
    seconds,
  };
}

function printRow(report: SetReport, differing: number, seconds: number): void {
  const { set, rule, images, accuracy36, accuracy94, largestConfidenceError } = report;
  const cells = [
    set.padEnd(11),
    rule.padEnd(12),
    String(images).padStart(6),
    accuracy36.toFixed(2).padStart(6),
    accuracy94.toFixed(2).padStart(7),
    String(differing).padStart(10),
    largestConfidenceError.toExponential(1).padStart(17),
    seconds.toFixed(1).padStart(8),
  ];
  console.log(cells.join(' '));
}

function printDifferences(differences: readonly Difference[]): void {
  console.log(`\n${differences.length} readings differ`);
  for (const { set, image, rule, expected, read, margin, explanation } of differences) {
    console.log(
      `  ${set} ${image} (${rule}): ${JSON.stringify(expected.text)} ${expected.confidence}, here ` +
        `${JSON.stringify(read.text)} ${read.confidence.toFixed(6)}; margin ${margin}; ${explanation ?? 'NOT EXPLAINED'}`,
    );
  }
}

async function writeResult(
  file: string,
  device: Device,
  reports: readonly SetReport[],
  differences: readonly Difference[],
  logits: readonly TensorError[],
): Promise<void> {
  const dawn = createRequire(import.meta.url)('webgpu/package.json') as { version: string };
  const result = {
    date: new Date().toISOString(),
    adapter: device.adapter.name,
    backend: device.adapter.backend,
    driver: device.info.description,
    node: process.version,
    webgpu: dawn.version,
    sharp: sharp.versions.sharp,
    checkpoint: `<data folder>/tiny/${referenceCheckpoint}`,
    batchSize: { independent: independentBatchSize, original: 1 },
    readings: reports.reduce((total, { images }) => total + images, 0),
    sets: reports,
    differences,
    logits,
  };
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
}
