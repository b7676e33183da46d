import { describe, expect, test } from '@jest/globals';
import { CharsetTokenizer } from '../model/index.js';
import { targetsOfPermutation, trainingTargets } from '../train/targets.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';

const tokenizer = new CharsetTokenizer('94');

const files = ['fast_grads', 'p16_grads', 'fast_variant_no_forward_perm', 'fast_variant_cloze'];
const batches = files.flatMap((file) => {
  const values = readJsonFixture<Record<string, unknown>>(`train/${file}.json`);
  return Object.keys(values)
    .filter((key) => key.endsWith('labels'))
    .map((key) => ({ file, prefix: key.slice(0, -'labels'.length), values }));
});

describe('targets of the original', () => {
  test('there are batches of all kinds', () => {
    expect(batches.length).toBe(8);
  });

  test.each(batches)('$file $prefix', ({ file, prefix, values }) => {
    const labels = values[`${prefix}labels`] as string[];
    const counts = values[`${prefix}n_targets`] as number[];
    const tensors = readTensorFixture(`train/${file}.safetensors`);
    const width = tensors.get(`${prefix}tgt`).shape[1]!;
    const rows = labels.map((_, row) =>
      tensors.integers(`${prefix}tgt`).slice(row * width, (row + 1) * width),
    );

    const targets = trainingTargets(labels, tokenizer, 25);
    expect([targets.labels, targets.positions]).toEqual([labels.length, width - 1]);
    expect(Array.from(targets.inputs)).toEqual(rows.flatMap((row) => row.slice(0, -1)));
    expect(Array.from(targets.withEnd.ids)).toEqual(rows.flatMap((row) => row.slice(1)));
    expect(counts.map((_, index) => targetsOfPermutation(targets, index).count)).toEqual(counts);
  });
});

describe('targets', () => {
  const { endId, padId, beginId } = tokenizer;
  const targets = trainingTargets(['ab', '', 'a'], tokenizer, 25);
  const [a, b] = Array.from(tokenizer.encode(['ab']).ids).slice(1, 3);

  test('of a batch with labels of several lengths', () => {
    expect(Array.from(targets.inputs)).toEqual([beginId, a, b, beginId, endId, padId, beginId, a, endId]);
    expect(Array.from(targets.withEnd.ids)).toEqual([a, b, endId, endId, padId, padId, a, endId, padId]);
    expect(targets.withEnd.count).toBe(6);
  });

  test('end tokens are no targets from the third permutation on', () => {
    expect(Array.from(targets.withoutEnd.ids)).toEqual([a, b, padId, padId, padId, padId, a, padId, padId]);
    expect(targets.withoutEnd.count).toBe(3);
    const chosen = [0, 1, 2, 5].map((index) => targetsOfPermutation(targets, index));
    expect(chosen).toEqual([targets.withEnd, targets.withEnd, targets.withoutEnd, targets.withoutEnd]);
  });

  test('end tokens and padding are hidden from every position', () => {
    const [seen, gone] = [0, -Infinity];
    expect(Array.from(targets.padding)).toEqual([seen, seen, seen, seen, gone, gone, seen, seen, gone]);
  });

  test.each([[[]], [['', '']]])('batch %j is refused', (labels) => {
    expect(() => trainingTargets(labels, tokenizer, 25)).toThrow(
      `batch of ${labels.length} labels: none has a character to learn from. Leave empty labels out of the data.`,
    );
  });

  test('a label that is longer than the model has positions for is refused', () => {
    const label = 'x'.repeat(26);
    expect(() => trainingTargets(['ok', label, 'ok'], tokenizer, 25)).toThrow(
      `label "${label}": 26 characters; the model has positions for 25. Leave longer labels out of the data.`,
    );
    expect(trainingTargets([label.slice(1)], tokenizer, 25).positions).toBe(26);
  });
});
