/** What the comparison of readings with the original's calls a difference, an explanation and a right reading. */
import { describe, expect, test } from '@jest/globals';
import { type Prediction, accuracyOf, differencesOf } from '../bench/tiny_readings.js';
import { CharsetAdapter } from '../model/charset.js';
import type { Reading } from '../model/reading.js';

const prediction: Prediction = {
  index: 7,
  label: 'Word',
  text: 'Word',
  confidence: 0.5,
  visual_refined_text: 'Ward',
  min_margin: 0.2,
  text_max25: 'Words',
  confidence_max25: 0.4,
  visual_refined_text_max25: 'Wards',
  min_margin_max25: 0.0005,
};

function reading(text: string, visualText: string, confidence: number): Reading {
  return { text, visualText, confidence, characters: [], endProbability: null, milliseconds: 0 };
}

describe('differences', () => {
  const differing = (rule: 'original' | 'independent', read: Reading) =>
    differencesOf('set', rule, [read], [prediction]);

  test('each stopping rule has its own expectation', () => {
    expect(differing('original', reading('Word', 'Ward', 0.5)).found).toEqual([]);
    expect(differing('independent', reading('Words', 'Wards', 0.4)).found).toEqual([]);
    expect(differing('original', reading('Words', 'Wards', 0.4)).found).toHaveLength(1);
  });

  test('a confidence counts from a thousandth on', () => {
    const close = differing('original', reading('Word', 'Ward', 0.5009));
    expect(close.found).toEqual([]);
    expect(close.largestConfidenceError).toBeCloseTo(0.0009, 10);
    expect(differing('original', reading('Word', 'Ward', 0.5011)).found).toHaveLength(1);
  });

  test('the visual reading counts as well', () => {
    expect(differing('original', reading('Word', 'Word', 0.5)).found).toMatchObject([
      { set: 'set', image: '7', rule: 'original', margin: 0.2, read: { visualText: 'Word' } },
    ]);
  });

  test('only a small margin explains a difference', () => {
    const wrong = reading('Wurd', 'Ward', 0.5);
    expect(differing('original', wrong).found[0]!.explanation).toBeNull();
    expect(differing('independent', wrong).found[0]!.explanation).toMatch(/closer than 1e-3/);
  });
});

test('accuracy: exact with 94 characters; lower-cased with 36, words that keep none left out', () => {
  const texts = ['Cafe', 'cafe', '!', 'x', '12'];
  const labels = ['Cafe', 'Cafe', '!', null, '13'];
  expect(accuracyOf(texts, labels, new CharsetAdapter('36'))).toEqual({
    accuracy36: (100 * 2) / 3,
    accuracy94: (100 * 2) / 4,
  });
});
