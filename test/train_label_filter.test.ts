import { describe, expect, test } from '@jest/globals';
import { LabelFilter, type LabelRules } from '../train/label_filter.js';
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
    const filter = new LabelFilter(rules);
    const kept = set.raw.flatMap(({ index, label }): Kept => {
      const result = filter.apply(label);
      return result.dropped === undefined ? [[index, result.label]] : [];
    });
    expect(kept).toEqual(set[variant]);
    const { kept: count, ...dropped } = filter.counts;
    expect(count).toBe(kept.length);
    expect(Object.values(dropped).reduce((a, b) => a + b)).toBe(set.raw.length - kept.length);
  });
});

describe('label filter', () => {
  test.each([
    ['', 'blank'],
    [' \t\u3000', 'blank'],
    ['日本', 'outside the charset'],
    ['x'.repeat(26), 'too long'],
    // Counted before the charset drops any.
    ['-'.repeat(26), 'too long'],
    ['-'.repeat(25), 'outside the charset'],
  ])('%j is dropped: %s', (label, reason) => {
    const filter = new LabelFilter({ ...usual, charset: '36' });
    expect(filter.apply(label)).toEqual({ dropped: reason });
    expect(filter.counts).toEqual({
      kept: 0,
      blank: 0,
      'too long': 0,
      'outside the charset': 0,
      [reason]: 1,
    });
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
    const filter = new LabelFilter(keeping);
    expect(all.filter((character) => filter.apply(character).dropped === 'blank')).toEqual(expected);
  });

  test('characters beyond 16 bits count as one, and go where only ASCII stays', () => {
    const keeping = { ...usual, charset: '😀a', maxLabelLength: 2, normalizeUnicode: false };
    expect(new LabelFilter(keeping).apply('😀😀')).toEqual({ label: '😀😀' });
    expect(new LabelFilter({ ...keeping, normalizeUnicode: true }).apply('😀a😀')).toEqual({ label: 'a' });
  });
});
