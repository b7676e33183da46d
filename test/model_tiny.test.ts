/**
 * The shipped checkpoint on our own samples. What the original read with another of the same size may not be in the
 * repository: its stored tensors are compared where the research data lies beside the checkout, and
 * `bench/tiny_parity.ts` reads all of those images.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { tinyLogitsErrors } from '../bench/tiny_logits.js';
import type { ReadOptions } from '../model/read_options.js';
import { Clip4Str } from '../model/reader.js';
import type { Reading } from '../model/reading.js';
import { useDevice } from './support/device.js';
import { maxAbsoluteError, useSummary } from './support/error_report.js';

const root = new URL('../../', import.meta.url);
const referenceFolder = fileURLToPath(new URL('../shared/data/tiny', root));
const device = useDevice();
const lines = useSummary('the shipped checkpoint');

describe('our own samples', () => {
  let samples: { file: string; label: string; bytes: Uint8Array }[];
  let reader: Clip4Str;
  let readings: Reading[];
  beforeAll(async () => {
    const table = await readFile(new URL('samples/labels.tsv', root), 'utf8');
    samples = await Promise.all(
      table
        .trimEnd()
        .split('\n')
        .map(async (line) => {
          const [file, label] = line.split('\t') as [string, string];
          return { file, label, bytes: await readFile(new URL(`samples/${file}`, root)) };
        }),
    );
    reader = await Clip4Str.load(device());
    readings = await reader.read(samples.map(({ bytes }) => bytes));
  });

  test('are read as written', () => {
    const expected = samples.map(({ file, label }) => [file, label]);
    expect(readings.map(({ text }, at) => [samples[at]!.file, text])).toEqual(expected);
    const right = readings.filter(({ text }, at) => text === samples[at]!.label).length;
    lines.push(`${right} of ${samples.length} own samples read as written`);
  });

  test('are read the same without the positions after their ends, in far fewer dispatches', async () => {
    const images = samples.map(({ bytes }) => bytes);
    const count = async (options: ReadOptions) => {
      device().resetStatistics();
      const read = await reader.read(images, options);
      const texts = read.map(({ text, visualText }) => [text, visualText]);
      const probabilities = read.flatMap(({ characters, endProbability }) => [
        ...characters.map(({ probability }) => probability),
        endProbability!,
      ]);
      return { texts, probabilities, ...device().counts };
    };
    for (const refineIterations of [0, 1]) {
      const early = await count({ refineIterations });
      const whole = await count({ refineIterations, logits: true });
      expect(early.texts).toEqual(whole.texts);
      expect(maxAbsoluteError(early.probabilities, whole.probabilities)).toBeLessThan(1e-5);
      expect(early.dispatches).toBeLessThan(0.5 * whole.dispatches);
      expect(whole.peeks).toBe(0);
    }
  });

  test('are read the same one by one', async () => {
    const alone = await reader.read(
      samples.map(({ bytes }) => bytes),
      { batchSize: 1 },
    );
    expect(alone.map(({ text }) => text)).toEqual(readings.map(({ text }) => text));
    const confidences = (of: readonly Reading[]): number[] => of.map(({ confidence }) => confidence);
    expect(maxAbsoluteError(confidences(alone), confidences(readings))).toBeLessThan(1e-6);
  });
});

const hasReference = existsSync(referenceFolder);
if (!hasReference) lines.push('no research data beside the checkout: nothing to compare with');

// Without them there is no such test, and none that passes.
(hasReference ? test : () => undefined)('the original’s stored tensors', async () => {
  const errors = await tinyLogitsErrors(device(), referenceFolder);
  expect(errors).toHaveLength(7);
  for (const { tensor, maxAbsoluteError: error } of errors) {
    lines.push(`${tensor.padEnd(24)} ${error.toExponential(1)}`);
    expect(error).toBeLessThanOrEqual(1e-4);
  }
});
