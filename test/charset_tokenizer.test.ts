import { describe, expect, test } from '@jest/globals';
import { CharsetAdapter, resolveCharset } from '../model/charset.js';
import { CharsetTokenizer } from '../model/charset_tokenizer.js';
import { readJsonFixture } from './support/fixtures.js';

interface Reference {
  charset: string;
  itos: string[];
  eos_id: number;
  bos_id: number;
  pad_id: number;
  len: number;
  labels: string[];
  encoded_batch: number[][];
  encoded_each: number[][];
  unsupported: [string, string][];
  ids_roundtrip: string[];
  charset36: { itos: string[]; eos_id: number; bos_id: number; pad_id: number; encoded_batch: number[][] };
  adapters: Record<
    string,
    { charset: string; lowercase_only: boolean; uppercase_only: boolean; inputs: string[]; outputs: string[] }
  >;
  decode: { raw_tokens_row0: string[]; argmax: number[][] };
}
const reference = readJsonFixture<Reference>('tokenizer/charset_tokenizer.json');

function rowsOf(tokenizer: CharsetTokenizer, labels: readonly string[]): number[][] {
  const { ids, length } = tokenizer.encode(labels);
  return labels.map((_, row) => Array.from(ids.subarray(row * length, (row + 1) * length)));
}

describe('charset tokenizer against the original', () => {
  const tokenizer = new CharsetTokenizer('94');

  test('charset and special ids', () => {
    expect(resolveCharset('94')).toBe(reference.charset);
    const { endId, beginId, padId, size, classes } = tokenizer;
    expect([endId, beginId, padId, size]).toEqual([
      reference.eos_id,
      reference.bos_id,
      reference.pad_id,
      reference.len,
    ]);
    expect(classes).toBe(reference.len - 2);
    expect(tokenizer.tokens(reference.itos.map((_, id) => id))).toEqual(reference.itos);
  });

  test('a batch is padded to its longest label', () => {
    expect(rowsOf(tokenizer, reference.labels)).toEqual(reference.encoded_batch);
  });

  test('each label alone', () => {
    expect(reference.labels.map((label) => rowsOf(tokenizer, [label])[0])).toEqual(reference.encoded_each);
  });

  test('ids back to text, special tokens written out', () => {
    expect(reference.encoded_batch.map((row) => tokenizer.tokens(row).join(''))).toEqual(
      reference.ids_roundtrip,
    );
  });

  test('tokens of a row that goes on after its end', () => {
    expect(tokenizer.tokens(reference.decode.argmax[0]!)).toEqual(reference.decode.raw_tokens_row0);
  });

  test.each(reference.unsupported)('%j is refused, naming the character', (label, error) => {
    const character = /'(.*)'/.exec(error)![1]!;
    expect(() => tokenizer.encode([label])).toThrow(`${JSON.stringify(character)} is not in the charset`);
  });

  test('36 characters', () => {
    const tokenizer36 = new CharsetTokenizer('36');
    const { charset36 } = reference;
    expect([tokenizer36.endId, tokenizer36.beginId, tokenizer36.padId]).toEqual([
      charset36.eos_id,
      charset36.bos_id,
      charset36.pad_id,
    ]);
    expect(tokenizer36.tokens(charset36.itos.map((_, id) => id))).toEqual(charset36.itos);
    expect(rowsOf(tokenizer36, ['abc', '0z9', 'a'])).toEqual(charset36.encoded_batch);
  });
});

describe('charset adapter against the original', () => {
  test.each(Object.entries(reference.adapters))('%s', (_, { charset, inputs, outputs, ...cases }) => {
    const adapter = new CharsetAdapter(charset);
    expect(adapter.lowerCaseOnly).toBe(cases.lowercase_only);
    expect(adapter.upperCaseOnly).toBe(cases.uppercase_only);
    expect(inputs.map((input) => adapter.adapt(input))).toEqual(outputs);
  });
});

describe('charsets', () => {
  test('names', () => {
    expect(resolveCharset('36')).toHaveLength(36);
    expect(resolveCharset('62')).toBe(reference.adapters['62_mixed']!.charset);
  });

  test('any string, also beyond the basic plane', () => {
    const tokenizer = new CharsetTokenizer('añ😀');
    expect(tokenizer.size).toBe(6);
    expect(rowsOf(tokenizer, ['😀a'])).toEqual([[4, 3, 1, 0]]);
    expect(tokenizer.decode([3, 2, 0, 1])).toBe('😀ñ');
  });

  test('an empty one and a repeated character are refused', () => {
    expect(() => resolveCharset('')).toThrow('charset: no characters.');
    expect(() => resolveCharset('aba')).toThrow('charset: "a" occurs twice.');
  });

  test('no labels', () => {
    expect(new CharsetTokenizer('36').encode([])).toEqual({ ids: new Int32Array(0), length: 0 });
  });

  test('an id outside the charset is refused', () => {
    expect(() => new CharsetTokenizer('36').decode([39])).toThrow('character id 39: expected 0 to 38.');
  });
});
