/** PARSeq against the original: encoder, both ways of decoding, refinements, stopping. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { DecodingOptions } from '../model/recognizer.js';
import type { Parseq } from '../model/parseq.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { loadFixtureParseq } from './support/fixture_models.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { type ExpectedReadings, expectReadings, imageRows, recognize } from './support/recognize.js';

const device = useDevice();
const report = useErrorReport('PARSeq');
const tensors = readTensorFixture('parseq/parseq_refs.safetensors');
const expected = readJsonFixture<Record<string, ExpectedReadings & { steps: number }>>('parseq/parseq.json');
const images = tensors.get('images');
let model: Parseq;
beforeAll(async () => {
  model = await loadFixtureParseq(device());
});

async function check(
  name: string,
  options: Partial<DecodingOptions>,
  batch: typeof images = images,
): Promise<void> {
  const { logits, stages } = await recognize(device(), model, batch, options);
  expect(logits.shape).toEqual(tensors.get(name).shape);
  report.compare(name, logits.data, tensors.floats(name));
  expectReadings(logits, expected[name]!, model.tokenizer);
  if (batch === images) report.compare('memory', stages.get('memory')!.data, tensors.floats('memory'));
}

describe.each([
  { autoregressive: true, way: 'ar' },
  { autoregressive: false, way: 'nar' },
])('autoregressive: $autoregressive', ({ autoregressive, way }) => {
  test.each([0, 1, 2])('%i refinements', async (refineIterations) => {
    const name = `logits_${way}_r${refineIterations}`;
    await check(name, { autoregressive, refineIterations });
    if (refineIterations === 0) expect(tensors.get(name).shape[1]).toBe(expected[name]!.steps);
  });
});

test('max_length 9', () =>
  check('logits_ar_r1_maxlen9', { refineIterations: 1, stopping: 'independent', maxLabelLength: 9 }));

test('one image alone', () =>
  check('logits_single0_ar_r1', { refineIterations: 1 }, imageRows(images, 0, 1)));

test('independent stopping reads each image as if alone', async () => {
  const options = { refineIterations: 1, stopping: 'independent' } as const;
  const together = await recognize(device(), model, images, options);
  const size = together.logits.data.length / 3;
  for (let row = 0; row < 3; row++) {
    const alone = await recognize(device(), model, imageRows(images, row, row + 1), options);
    const own = together.logits.data.slice(row * size, (row + 1) * size);
    report.compare('independent: alone against in a batch', alone.logits.data, own);
  }
});
