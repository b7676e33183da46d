import { describe, expect, test } from '@jest/globals';
import { CharsetAdapter, CharsetTokenizer } from '../model/index.js';
import { readingFromLogits } from '../model/reading_text.js';
import { Accuracy, combinedResult, normalizedEditDistance } from '../train/accuracy.js';
import { accuracyTable } from '../train/accuracy_table.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';

interface Step {
  labels: string[];
  batch_result: {
    num_samples: number;
    correct: number;
    ned: number;
    confidence: number;
    label_length: number;
  };
}
const reference = readJsonFixture<{ validation: Step; test_step: Step }>('forward/fast_A.json');
const tensors = readTensorFixture('forward/fast_A.safetensors');
const tokenizer = new CharsetTokenizer('94');
const adapter = new CharsetAdapter('36');

describe('steps of the original', () => {
  test.each([
    ['validation', 'val_logits'],
    ['test_step', 'final_logits_r1'],
  ] as const)('%s', (name, logitsName) => {
    const { labels, batch_result: expected } = reference[name];
    const logits = tensors.floats(logitsName);
    const rowLength = logits.length / labels.length;
    const accuracy = new Accuracy(name, adapter);
    for (const [row, label] of labels.entries()) {
      const { text, confidence } = readingFromLogits(
        logits.subarray(row * rowLength, (row + 1) * rowLength),
        tokenizer,
      );
      accuracy.add(text, confidence, label);
    }
    const { samples, ...means } = accuracy.result();
    expect(samples).toBe(expected.num_samples);
    expect(means.accuracy).toBe((100 * expected.correct) / samples);
    expect(means.ned).toBeCloseTo(100 * (1 - expected.ned / samples), 12);
    expect(means.confidence / ((100 * expected.confidence) / samples)).toBeCloseTo(1, 5);
    expect(means.labelLength).toBe(expected.label_length / samples);
  });
});

describe('accuracy', () => {
  const results = [
    ['IIIT5k', [['Chicken', 0.9, 'chicken']]],
    [
      'SVT',
      [
        ['PUB!', 0.5, 'pub'],
        ['', 0.25, 'inn'],
        ['ba', 0.75, 'bar'],
      ],
    ],
  ] as const;
  const [first, second] = results.map(([name, readings]) => {
    const accuracy = new Accuracy(name, adapter);
    for (const [text, confidence, label] of readings) accuracy.add(text, confidence, label);
    return accuracy.result();
  });

  test('compares in the test charset', () => {
    const accuracy = new Accuracy('set', adapter);
    expect(accuracy.add('E-Mail', 1, 'email')).toBe(true);
    expect(accuracy.add('E-Mail', 1, 'e-mail')).toBe(false);
    expect(new Accuracy('set', new CharsetAdapter('94')).add('E-Mail', 1, 'e-mail')).toBe(false);
  });

  test('of a set', () => {
    const { ned, accuracy, ...rest } = second!;
    expect(rest).toEqual({ name: 'SVT', samples: 3, confidence: 50, labelLength: (3 + 0 + 2) / 3 });
    expect(accuracy).toBeCloseTo(100 / 3, 10);
    expect(ned).toBeCloseTo((100 * (1 + 0 + 2 / 3)) / 3, 10);
  });

  test('combined, every sample counts the same', () => {
    const combined = combinedResult([first!, second!]);
    expect(combined.samples).toBe(4);
    expect(combined.accuracy).toBeCloseTo(50, 10);
    expect(combined.confidence).toBeCloseTo((100 * (0.9 + 0.5 + 0.25 + 0.75)) / 4, 10);
    expect(combined.labelLength).toBeCloseTo((7 + 3 + 0 + 2) / 4, 10);
  });

  test("the original's table", () => {
    expect(accuracyTable([first!, second!])).toBe(
      [
        '| Dataset  | # samples | Accuracy | 1 - NED | Confidence | Label Length |',
        '|:--------:|----------:|---------:|--------:|-----------:|-------------:|',
        '| IIIT5k   |         1 |   100.00 |  100.00 |      90.00 |         7.00 |',
        '| SVT      |         3 |    33.33 |   55.56 |      50.00 |         1.67 |',
        '|----------|-----------|----------|---------|------------|--------------|',
        '| Combined |         4 |    50.00 |   66.67 |      60.00 |         3.00 |',
      ].join('\n'),
    );
  });

  test('a bar in a name is no border of a column', () => {
    const [, , row] = accuracyTable([{ ...first!, name: 'a|b' }]).split('\n');
    expect(row).toBe('| a\\|b     |         1 |   100.00 |  100.00 |      90.00 |         7.00 |');
  });

  test('of nothing is 0, not NaN', () => {
    const empty = new Accuracy('empty', adapter).result();
    expect(empty).toEqual({ name: 'empty', samples: 0, accuracy: 0, ned: 0, confidence: 0, labelLength: 0 });
    expect(combinedResult([empty])).toEqual({ ...empty, name: 'Combined' });
  });

  test.each([
    ['', '', 0],
    ['', 'ab', 1],
    ['abc', 'abc', 0],
    ['kitten', 'sitting', 3 / 7],
    ['ab', 'ba', 1],
    // One character each, though two UTF-16 units.
    ['😀a', '😁a', 1 / 2],
  ])('distance of %j and %j', (left, right, expected) => {
    expect(normalizedEditDistance(left, right)).toBeCloseTo(expected, 12);
  });
});
