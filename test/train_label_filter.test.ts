import { describe, expect, test } from '@jest/globals';
import { type LabelRules, labelFilter } from '../train/label_filter.js';
import { readJsonFixture } from './support/fixtures.js';

const usual: LabelRules = {
  charset: '94',
  maxLabelLength: 25,
  removeWhitespace: true,
  normalizeUnicode: true,
};

/** The original's data sets of the fixture, by the names of its lists. */
const variants: Record<string, LabelRules> = {
  '94': usual,
  '62': { ...usual, charset: '62' },
  '36': { ...usual, charset: '36' },
  '94_keep_ws_no_unicode_norm': { ...usual, removeWhitespace: false, normalizeUnicode: false },
  '94_max10': { ...usual, maxLabelLength: 10 },
};

type Kept = [index: number, label: string][];
type Reference = Record<string, { raw: { index: number; label: string }[] } & Record<string, Kept>>;
const reference = readJsonFixture<Reference>('lmdb/lmdb.json');
const cases = Object.entries(reference).flatMap(([folder, set]) =>
  typeof set === 'object' && 'raw' in set
    ? Object.entries(variants).map(([variant, rules]) => ({ folder, variant, rules, set }))
    : [],
);

describe('labels that the original keeps', () => {
  test('the fixture has four data sets', () => {
    expect(cases.length).toBe(4 * 5);
  });

  test.each(cases)('$folder, $variant', ({ set, variant, rules }) => {
    const filter = labelFilter(rules);
    const kept = set.raw.flatMap(({ index, label }): Kept => {
      const result = filter(label);
      return 'label' in result ? [[index, result.label]] : [];
    });
    expect(kept).toEqual(set[variant]);
  });
});

describe('label filter', () => {
  test.each([
    ['', 'nothing but white space'],
    [' \t\u3000', 'nothing but white space'],
    ['日本', 'no character of the charset'],
    ['x'.repeat(26), 'more than 25 characters'],
    // Counted before the charset drops any.
    ['-'.repeat(26), 'more than 25 characters'],
    ['-'.repeat(25), 'no character of the charset'],
  ])('%j is dropped: %s', (label, dropped) => {
    expect(labelFilter({ ...usual, charset: '36' })(label)).toEqual({ dropped });
  });

  test('white space is what Python takes for it', () => {
    const characters = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i));
    // As `str.isspace` tells in Python 3, for the whole basic plane.
    const expected = [
      ...characters(0x09, 0x0d),
      ...characters(0x1c, 0x20),
      '\x85',
      '\xa0',
      '\u1680',
      ...characters(0x2000, 0x200a),
      ...characters(0x2028, 0x2029),
      '\u202f',
      '\u205f',
      '\u3000',
    ];
    const all = characters(0, 0xffff);
    const keeping = { ...usual, charset: all.join(''), maxLabelLength: 1, normalizeUnicode: false };
    const filter = labelFilter(keeping);
    const blank = { dropped: 'nothing but white space' };
    const found = all.filter((character) => JSON.stringify(filter(character)) === JSON.stringify(blank));
    expect(found).toEqual(expected);
  });

  test('characters beyond 16 bits count as one, and go where only ASCII stays', () => {
    const keeping = { ...usual, charset: '😀a', maxLabelLength: 2, normalizeUnicode: false };
    expect(labelFilter(keeping)('😀😀')).toEqual({ label: '😀😀' });
    expect(labelFilter({ ...keeping, normalizeUnicode: true })('😀a😀')).toEqual({ label: 'a' });
  });
});
