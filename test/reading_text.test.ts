import { describe, expect, test } from '@jest/globals';
import { CharsetAdapter } from '../model/charset.js';
import { CharsetTokenizer } from '../model/charset_tokenizer.js';
import {
  captionFromIds,
  greedyIds,
  readingFromLogits,
  readingFromProbabilities,
  softmaxRows,
  type TextReading,
} from '../model/reading_text.js';
import { tokenizeCaptions } from '../model/clip_tokenizer.js';
import { readJsonFixture, readTensorFixture, type TensorFixture } from './support/fixtures.js';

const tokenizer = new CharsetTokenizer('94');
const adapter36 = new CharsetAdapter('36');
const adapter94 = new CharsetAdapter('94');

/** The rows of a `[batch, positions, classes]` tensor, one array an image. */
function images(tensors: TensorFixture, name: string): Float32Array[] {
  const [batch, positions, classes] = tensors.get(name).shape as [number, number, number];
  const values = tensors.floats(name);
  const size = positions * classes;
  return Array.from({ length: batch }, (_, image) => values.subarray(image * size, (image + 1) * size));
}

/** Probabilities in the original's order: those of the characters, then the end token's if there is one. */
function probabilitiesOf({ characters, endProbability }: TextReading): number[] {
  const own = characters.map(({ probability }) => probability);
  return endProbability === null ? own : [...own, endProbability];
}

function expectClose(actual: readonly number[], expected: readonly number[], relative: number): void {
  expect(actual).toHaveLength(expected.length);
  for (const [index, value] of actual.entries()) {
    expect(Math.abs(value - expected[index]!)).toBeLessThanOrEqual(relative * Math.abs(expected[index]!));
  }
}

describe('decoding against the original tokenizer', () => {
  interface Decode {
    strings: string[];
    probs: number[][];
    fast_strings: string[];
    fast_probs: number[][];
    fast_strings_36: string[];
    confidence: number[];
    argmax: number[][];
  }
  const { decode } = readJsonFixture<{ decode: Decode }>('tokenizer/charset_tokenizer.json');
  const tensors = readTensorFixture('tokenizer/decode.safetensors');
  const logits = images(tensors, 'logits');
  const probabilities = images(tensors, 'probs');

  test('softmax', () => {
    expectClose(
      logits.flatMap((row) => Array.from(softmaxRows(row, tokenizer.classes))),
      probabilities.flatMap((row) => Array.from(row)),
      5e-6,
    );
  });

  test.each(decode.strings.map((string, index) => ({ index, string })))(
    '$index: $string',
    ({ index, string }) => {
      const reading = readingFromLogits(logits[index]!, tokenizer);
      expect(reading.text).toBe(string);
      expectClose(probabilitiesOf(reading), decode.probs[index]!, 1e-6);
      expectClose([reading.confidence], [decode.confidence[index]!], 1e-5);

      const stored = readingFromProbabilities(probabilities[index]!, tokenizer);
      expect(probabilitiesOf(stored)).toEqual(decode.probs[index]);

      const ids = greedyIds(logits[index]!, tokenizer.classes);
      expect(Array.from(ids)).toEqual(decode.argmax[index]);
      expect(tokenizer.decode(ids)).toBe(string);
      expect(captionFromIds(ids, tokenizer, adapter94)).toBe(decode.fast_strings[index]);
      expect(captionFromIds(ids, tokenizer, adapter36)).toBe(decode.fast_strings_36[index]);
      const fastLength = Math.min(Array.from(decode.fast_strings[index]!).length + 1, ids.length);
      expect(decode.fast_probs[index]).toHaveLength(fastLength);
    },
  );
});

interface Readings {
  strings: string[];
  strings_charset_test: string[];
  char_probs: number[][];
  confidence: number[];
  decode_fast_strings: string[];
  decode_fast_prob_counts: number[];
  captions?: string[][];
}
type ForwardFile = Record<string, Readings | string[] | undefined>;

/** The tensor that an entry of a forward file was read from. */
function logitsName(key: string, names: readonly string[]): string | undefined {
  const branch = key.replace('visual', 'vis').replace('cross', 'crs');
  return [`final_logits_${key}`, `${branch}_logits`, `${key}_logits_r1`].find((name) => names.includes(name));
}

describe.each([
  'fast_A',
  'fast_B',
  'p16_A',
  'fast_nar',
  'fast_variant_cls_eot',
  'fast_variant_depth2',
  'fast_variant_noshare',
])('readings from the stored logits of %s', (file) => {
  const reference = readJsonFixture<ForwardFile>(`forward/${file}.json`);
  const tensors = readTensorFixture(`forward/${file}.safetensors`);
  const cases = Object.entries(reference).flatMap(([key, value]) => {
    const tensor = logitsName(key, tensors.names);
    return tensor !== undefined && value !== undefined && !Array.isArray(value) && 'strings' in value
      ? [{ key, tensor, expected: value }]
      : [];
  });

  test('some are stored', () => {
    expect(cases.length).toBeGreaterThan(0);
  });

  test.each(cases)('$key ($tensor)', ({ key, tensor, expected }) => {
    const readings = images(tensors, tensor).map((logits) => readingFromLogits(logits, tokenizer));
    const adapter = key === 'charset94' ? adapter94 : adapter36;
    expect(readings.map(({ text }) => text)).toEqual(expected.strings);
    expect(readings.map(({ text }) => adapter.adapt(text))).toEqual(expected.strings_charset_test);
    for (const [index, reading] of readings.entries()) {
      expectClose(probabilitiesOf(reading), expected.char_probs[index]!, 2e-6);
      expectClose([reading.confidence], [expected.confidence[index]!], 2e-5);
    }
    const positions = tensors.get(tensor).shape[1]!;
    const written = images(tensors, tensor).map((logits) =>
      captionFromIds(greedyIds(logits, tokenizer.classes), tokenizer, adapter94),
    );
    expect(written).toEqual(expected.decode_fast_strings);
    expect(written.map((text) => Math.min(text.length + 1, positions))).toEqual(
      expected.decode_fast_prob_counts,
    );
  });

  const captionPasses = [0, 1, 2, 3].flatMap((pass) => {
    const names = [
      pass === 0 ? 'vis_ar_logits' : `vis_ref${pass}_logits`,
      ...(pass === 0 ? ['vis_logits'] : []),
    ];
    const source = names.find((name) => tensors.names.includes(name));
    const captions = reference[`captions_${pass}`];
    return Array.isArray(captions) && source !== undefined ? [{ pass, source, captions }] : [];
  });
  if (captionPasses.length === 0) return;

  test.each(captionPasses)('captions of pass $pass and their CLIP tokens', ({ pass, source, captions }) => {
    const written = images(tensors, source).map((logits) =>
      captionFromIds(greedyIds(logits, tokenizer.classes), tokenizer, adapter36),
    );
    expect(written).toEqual(captions);
    expect(Array.from(tokenizeCaptions(written, 16))).toEqual(tensors.integers(`text_tokens_${pass}`));
  });
});

test('captions in the test charset of 94 keep case and symbols', () => {
  const reference = readJsonFixture<{ charset94: { captions: string[][] } }>('forward/fast_A.json');
  const tensors = readTensorFixture('forward/fast_A.safetensors');
  const captions = ['vis_ar_logits', 'vis_ref1_logits'].map((name) =>
    images(tensors, name).map((logits) =>
      captionFromIds(greedyIds(logits, tokenizer.classes), tokenizer, adapter94),
    ),
  );
  expect(captions).toEqual(reference.charset94.captions);
  for (const [pass, texts] of captions.entries()) {
    expect(Array.from(tokenizeCaptions(texts, 16))).toEqual(
      tensors.integers(`charset94_text_tokens_${pass}`),
    );
  }
});

describe('readings of odd logits', () => {
  const two = new CharsetTokenizer('a');

  test('no positions give an empty text without an end', () => {
    expect(readingFromLogits(new Float32Array(0), two)).toEqual({
      text: '',
      characters: [],
      endProbability: null,
      confidence: 1,
    });
  });

  test('equal logits read the first class, the end', () => {
    expect(readingFromLogits(new Float32Array([1, 1]), two)).toMatchObject({ text: '', endProbability: 0.5 });
  });

  test('extreme logits give finite probabilities', () => {
    const { confidence, text } = readingFromLogits(new Float32Array([-3e38, 3e38, 3e38, -Infinity]), two);
    expect([text, confidence]).toEqual(['a', 1]);
  });

  test('a partial row and numbers that are none are refused', () => {
    expect(() => readingFromLogits(new Float32Array(3), two)).toThrow(
      '3 values are no whole number of rows of 2',
    );
    expect(() => readingFromLogits(new Float32Array([0, 1, 0, NaN]), two)).toThrow('position 1, class 1');
  });
});
