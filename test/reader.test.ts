/** What `Clip4Str` takes and refuses, and what it gives back beside the text. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { Clip4Str, type ReadOptions } from '../model/reader.js';
import type { LoadOptions } from '../model/load_model.js';
import type { NormalizedImage } from '../model/image_input.js';
import { useDevice } from './support/device.js';
import { parseqOptions } from './support/fixture_models.js';
import { fixturePath } from './support/fixtures.js';
import { messageOf } from './support/weights_files.js';

const device = useDevice();
const checkpoint = fixturePath('parseq/parseq_tiny.pt');
const image: NormalizedImage = {
  normalized: Float32Array.from({ length: 3 * 32 * 128 }, (_, at) => Math.sin(0.01 * at)),
};

test('a checkpoint given as bytes reads as one given by path', async () => {
  const texts = [];
  for (const source of [checkpoint, readFileSync(checkpoint)]) {
    const reader = await Clip4Str.load(device(), source, parseqOptions);
    texts.push((await reader.read([image]))[0]!.text);
    reader.dispose();
  }
  expect(texts[1]).toBe(texts[0]);
});

describe('refused in one line', () => {
  test.each<[string, LoadOptions, string]>([
    ['a precision', { precision: 'f8' as 'f16' }, 'precision "f8": expected f32 or f16.'],
    ['a normalisation', { normalization: 'mean' as 'half' }, 'normalization "mean": expected half or clip.'],
    [
      'refinements without end',
      { refineIterations: 33 },
      'refineIterations 33: expected a whole number from 0 to 32.',
    ],
  ])('%s when loading', async (_what, options, message) => {
    expect(await messageOf(() => Clip4Str.load(device(), checkpoint, { ...parseqOptions, ...options }))).toBe(
      message,
    );
  });

  test('what is neither path nor bytes', async () => {
    const source = Float32Array.of(1) as unknown as Uint8Array;
    expect(await messageOf(() => Clip4Str.load(device(), source))).toBe(
      'checkpoint: is Float32Array; give a path, a Uint8Array or a ByteSource',
    );
  });

  test.each<[string, ReadOptions, string]>([
    ['a normalisation', { normalization: 'mean' as 'half' }, 'normalization "mean": expected half or clip.'],
    [
      'refinements without end',
      { refineIterations: 1e12 },
      'refineIterations 1000000000000: expected a whole number from 0 to 32.',
    ],
  ])('%s when reading', async (_what, options, message) => {
    const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
    expect(await messageOf(() => reader.read([image], options))).toBe(message);
    reader.dispose();
  });
});

test('weights that are no numbers: the message names checkpoint and image', async () => {
  const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
  const head = reader.model.parameters.get('head.bias');
  device().write(head, new Float32Array(head.size).fill(NaN));
  expect(await messageOf(() => reader.read([image, image]))).toBe(
    'parseq_tiny.pt, image 1: the logit of position 0, class 0 is not a number. ' +
      'The weights may be damaged, or too large for f16: try --precision f32.',
  );
  reader.dispose();
});

test('attention has the rows of the positions that were computed, each adding up to 1', async () => {
  const reader = await Clip4Str.load(device(), checkpoint, parseqOptions);
  // The end token everywhere, so that the original stops after one step.
  const head = reader.model.parameters.get('head.bias');
  device().write(
    head,
    Float32Array.from({ length: head.size }, (_, id) => (id === 0 ? 1000 : 0)),
  );
  const options = { originalStopping: true, refineIterations: 0, attention: true, logits: true };
  const [reading] = await reader.read([image], options);
  reader.dispose();
  const { values, positions, columns } = reading!.attention!;
  expect(reading!.text).toBe('');
  expect([positions, reading!.logits!.positions]).toEqual([1, 1]);
  const row = values.slice(0, columns);
  expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 4);
});
