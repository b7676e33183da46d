import { describe, expect, test } from '@jest/globals';
import { CharsetAdapter } from '../model/charset.js';
import { CharsetTokenizer } from '../model/charset_tokenizer.js';
import {
  combinedScores,
  defaultClipRefineOptions,
  refinableRows,
  refineWithClip,
} from '../model/clip_refine.js';
import { tokenizeCaptions } from '../model/clip_tokenizer.js';
import {
  proportionalDraw,
  sampleCandidates,
  seededUniform,
  type CandidateOptions,
  type DrawColumn,
} from '../model/refine_candidates.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';

interface RefineCase {
  case: number;
  params: { K: number; K2: number; num_samples: number; alpha: number; prompt?: string; charset?: string };
  text: string[] | null;
  final_string: string;
  final_ids: number[];
  final_probs: number[];
}
const reference = readJsonFixture<{ cases: RefineCase[]; decode_for_refine: { lengths: number[] } }>(
  'postprocess/postprocess.json',
);
const tensors = readTensorFixture('postprocess/postprocess.safetensors');
const tokenizer = new CharsetTokenizer('94');

function recordedDraw(index: number): DrawColumn {
  const draws = tensors.integers(`case${index}.draws`);
  const positions = tensors.get(`case${index}.draws`).shape[1]!;
  return (_, sample, position) => draws[sample * positions + position]!;
}

function candidateOptions({ params }: RefineCase): CandidateOptions {
  return { candidates: params.K, charactersPerPosition: params.K2, samples: params.num_samples };
}

/** The case's rows followed by a certain end token, which leads back to exactly these rows. */
function withEnd(rows: Float32Array): Float32Array {
  const probabilities = new Float32Array(rows.length + tokenizer.classes);
  probabilities.set(rows);
  probabilities[rows.length] = 1;
  return probabilities;
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number): void {
  expect(actual.length).toBe(expected.length);
  for (let index = 0; index < actual.length; index++) {
    expect(Math.abs(actual[index]! - expected[index]!)).toBeLessThanOrEqual(
      relative * Math.abs(expected[index]!),
    );
  }
}

describe('post-refinement against the original, from its recorded draws', () => {
  test.each(reference.cases)('case $case', async (expected) => {
    const prefix = `case${expected.case}`;
    const rows = tensors.floats(`${prefix}.probs`);
    const options = candidateOptions(expected);
    const draw = recordedDraw(expected.case);

    const candidates = sampleCandidates(rows, tokenizer.classes, options, draw);
    if (expected.text === null) {
      expect(candidates).toHaveLength(1);
    } else {
      expect(candidates.flatMap(({ ids }) => ids)).toEqual(tensors.integers(`${prefix}.candidate_ids`));
      const products = Float32Array.from(candidates, ({ product }) => product);
      expectClose(products, tensors.floats(`${prefix}.candidate_prob_products`), 1e-6);
      const similarities = tensors.floats(`${prefix}.logits_per_image`);
      const scores = combinedScores(products, similarities, expected.params.alpha);
      expectClose(scores, tensors.floats(`${prefix}.combined`), 1e-5);
    }

    const asked: string[][] = [];
    const reading = await refineWithClip(
      {
        probabilities: withEnd(rows),
        tokenizer,
        adapter: new CharsetAdapter(expected.params.charset ?? '36'),
      },
      async (captions) => {
        asked.push([...captions]);
        return tensors.floats(`${prefix}.logits_per_image`);
      },
      { ...options, clipWeight: expected.params.alpha, prompt: expected.params.prompt ?? '' },
      draw,
    );
    expect(asked).toEqual(expected.text === null ? [] : [expected.text]);
    if (expected.text !== null) {
      const tokens = tokenizeCaptions(expected.text, 77, 'reject');
      expect(Array.from(tokens)).toEqual(tensors.integers(`${prefix}.tokens`));
    }
    expect(reading.text).toBe(expected.final_string);
    expect(reading.characters.map(({ char }) => char)).toEqual(tokenizer.tokens(expected.final_ids));
    expect(reading.characters.map(({ probability }) => probability)).toEqual(expected.final_probs);
    expectClose([reading.confidence], [expected.final_probs.reduce((a, b) => a * b, 1)], 1e-6);
    expect(reading.endProbability).toBeNull();
  });
});

describe('rows that candidates are sampled from', () => {
  test.each(reference.decode_for_refine.lengths.map((length, row) => ({ length, row })))(
    'row $row',
    ({ length, row }) => {
      const size = 26 * tokenizer.classes;
      const input = tensors.floats('decode_for_refine.in').slice(row * size, (row + 1) * size);
      const before = input.slice();
      const rows = refinableRows(input, tokenizer);
      expect(rows).toHaveLength(length * tokenizer.classes);
      expect(rows).toEqual(tensors.floats(`decode_for_refine.out${row}`));
      const after = tensors
        .floats('decode_for_refine.in_after')
        .subarray(row * size, row * size + rows.length);
      expect(rows).toEqual(after.slice());
      expect(input).toEqual(before);
    },
  );

  test('stored rows of the decode tests', () => {
    const stored = readTensorFixture('tokenizer/decode.safetensors');
    const { decode } = readJsonFixture<{ decode: { refine_lengths: number[] } }>(
      'tokenizer/charset_tokenizer.json',
    );
    const size = 26 * tokenizer.classes;
    const rows = decode.refine_lengths.map((_, row) =>
      refinableRows(stored.floats('probs').subarray(row * size, (row + 1) * size), tokenizer),
    );
    expect(rows.map((row) => row.length / tokenizer.classes)).toEqual(decode.refine_lengths);
    for (const row of [0, 9]) expect(rows[row]).toEqual(stored.floats(`refine_${row}`));
  });
});

describe('sampling', () => {
  const rows = Float32Array.from([0, 0.7, 0.3, 0, 0.1, 0.6]);

  test('two texts of equal probability count as one', () => {
    const twins = Float32Array.from([0, 0.5, 0.5]);
    const options = { candidates: 5, charactersPerPosition: 0, samples: 2 };
    const candidates = sampleCandidates(twins, 3, options, (_, sample) => sample + 1);
    expect(candidates).toEqual([{ ids: [1], probabilities: [0.5], product: 0.5 }]);
  });

  test('the same seed draws the same texts, another one others', () => {
    const options = { candidates: 4, charactersPerPosition: 0, samples: 3 };
    const sampled = (seed: number) =>
      sampleCandidates(rows, 3, options, proportionalDraw(seededUniform(seed))).map(({ ids }) => ids);
    expect(sampled(1)).toEqual(sampled(1));
    expect(new Set([1, 2, 3, 4, 5, 6].map((seed) => JSON.stringify(sampled(seed)))).size).toBeGreaterThan(1);
  });

  test('draws follow the weights, which need not sum to 1', () => {
    const draw = proportionalDraw(seededUniform(7));
    const counts = [0, 0, 0];
    for (let sample = 0; sample < 30_000; sample++) counts[draw(Float32Array.from([0, 1, 3]), sample, 0)]!++;
    expect(counts[0]).toBe(0);
    // Four standard deviations of a binomial with p = 0.25.
    expect(Math.abs(counts[1]! - 7500)).toBeLessThan(300);
  });

  test('weights of zero are never drawn, and none at all give the first column', () => {
    expect(proportionalDraw(() => 0)(Float32Array.from([0, 0, 2]), 0, 0)).toBe(2);
    expect(proportionalDraw(() => 1 - 2 ** -32)(Float32Array.from([1, 2, 0]), 0, 0)).toBe(1);
    expect(proportionalDraw(() => 0.5)(new Float32Array(3), 0, 0)).toBe(0);
  });

  test('uniform numbers fill [0, 1) evenly', () => {
    const uniform = seededUniform(0);
    const buckets = new Array<number>(10).fill(0);
    for (let count = 0; count < 50_000; count++) buckets[Math.floor(uniform() * 10)]!++;
    for (const bucket of buckets) expect(Math.abs(bucket - 5000)).toBeLessThan(350);
  });
});

test('a wrong number of similarities is refused', async () => {
  const probabilities = tensors.floats('case1.probs');
  const refining = refineWithClip(
    { probabilities, tokenizer, adapter: new CharsetAdapter('36') },
    async () => new Float32Array(1),
    defaultClipRefineOptions,
    proportionalDraw(seededUniform(1)),
  );
  await expect(refining).rejects.toThrow(/CLIP gave 1 similarities for \d captions/);
});
