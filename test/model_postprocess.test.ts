/** CLIP post-refinement with the similarities that our CLIP computes. */
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CharsetAdapter } from '../model/charset.js';
import type { Clip } from '../model/clip.js';
import { combinedScores, refineWithClip } from '../model/clip_refine.js';
import { ClipRefiner } from '../model/clip_refiner.js';
import { normalizeImage } from '../model/image.js';
import { Clip4Str } from '../model/reader.js';
import { greedyIds, softmaxRows } from '../model/reading_text.js';
import { CharsetTokenizer } from '../model/charset_tokenizer.js';
import { writeSafetensors } from '../weights/index.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { fastClipParameters, fixtureOptions, loadClip, parseqOptions } from './support/fixture_models.js';
import { fixturePath, readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { imageRows, upload } from './support/recognize.js';

interface RefineCase {
  readonly case: number;
  readonly image_index: number;
  readonly params: {
    readonly K: number;
    readonly K2: number;
    readonly num_samples: number;
    readonly alpha: number;
    readonly prompt?: string;
    readonly charset?: string;
  };
  readonly text: readonly string[] | null;
  readonly final_string: string;
}

const device = useDevice();
const report = useErrorReport('CLIP post-refinement');
const tensors = readTensorFixture('postprocess/postprocess.safetensors');
const { cases } = readJsonFixture<{ cases: RefineCase[] }>('postprocess/postprocess.json');
const tokenizer = new CharsetTokenizer('94');
let clip: Clip;
beforeAll(async () => {
  clip = await loadClip(device(), fastClipParameters());
});

function similarity(image: number, captions: readonly string[]): Promise<Float32Array> {
  return device().scope(async () => {
    const pixels = upload(device(), imageRows(tensors.get('images'), image, image + 1));
    return (await clip.similarity(pixels, captions).read()) as Float32Array;
  });
}

describe('recorded candidates', () => {
  const asked = cases.filter(({ text }) => text !== null);
  test.each(asked)('case $case: similarities, scores and winner', async (expected) => {
    const prefix = `case${expected.case}`;
    const logits = await similarity(expected.image_index, expected.text!);
    report.compare(`${prefix}.logits_per_image`, logits, tensors.floats(`${prefix}.logits_per_image`));
    const chosen = softmaxRows(logits, logits.length);
    report.compare(`${prefix}.clip_probs`, chosen, tensors.floats(`${prefix}.clip_probs`));
    const products = tensors.floats(`${prefix}.candidate_prob_products`);
    const combined = combinedScores(products, logits, expected.params.alpha);
    const recorded = tensors.floats(`${prefix}.combined`);
    report.compare(`${prefix}.combined`, combined, recorded);
    expect(greedyIds(combined, combined.length)).toEqual(greedyIds(recorded, recorded.length));
  });
});

test.each(cases)('case $case: from probabilities and draws to the text', async (expected) => {
  const { params } = expected;
  const draws = tensors.get(`case${expected.case}.draws`);
  const positions = draws.shape[1]!;
  const recorded = tensors.integers(`case${expected.case}.draws`);
  const rows = tensors.floats(`case${expected.case}.probs`);
  // A certain end token behind the rows leads back to exactly these rows.
  const probabilities = new Float32Array(rows.length + tokenizer.classes);
  probabilities.set(rows);
  probabilities[rows.length] = 1;
  const { text } = await refineWithClip(
    { probabilities, tokenizer, adapter: new CharsetAdapter(params.charset ?? '36') },
    (captions) => similarity(expected.image_index, captions),
    {
      candidates: params.K,
      charactersPerPosition: params.K2,
      samples: params.num_samples,
      clipWeight: params.alpha,
      prompt: params.prompt ?? '',
    },
    (_, sample, position) => recorded[sample * positions + position]!,
  );
  expect(text).toBe(expected.final_string);
});

describe('a refiner from a file', () => {
  const file = join(tmpdir(), `clip4str-refiner-${process.pid}.safetensors`);
  afterAll(() => rm(file, { force: true }));

  beforeAll(async () => {
    const source = fastClipParameters();
    const parameters = [...source.parameters].map(([name, { shape }]) => ({
      name,
      shape,
      dtype: 'f32' as const,
      read: () => source.readF32(name),
    }));
    await writeSafetensors(file, parameters);
  });

  test('chooses among likely texts of a reading, the same at every call', async () => {
    const clipRefiner = await ClipRefiner.load(device(), file);
    const reader = await Clip4Str.load(
      device(),
      fixturePath('models/fast.safetensors'),
      fixtureOptions('fast'),
    );
    try {
      const image = {
        normalized: imageRows(tensors.get('images'), 1, 2).data as Float32Array,
      };
      const [plain] = await reader.read([image]);
      const [refined] = await reader.read([image], { clipRefiner });
      expect(refined!.text).not.toBe('');
      expect(refined!.text).toBe(new CharsetAdapter('36').adapt(refined!.text));
      expect(refined!.endProbability).toBeNull();
      expect(plain!.endProbability).not.toBeNull();
      const product = refined!.characters.reduce((total, { probability }) => total * probability, 1);
      expect(refined!.confidence).toBeCloseTo(product, 8);
      const [again] = await reader.read([image], { clipRefiner });
      expect(again!.text).toBe(refined!.text);
      expect(again!.confidence).toBeCloseTo(refined!.confidence, 10);
    } finally {
      clipRefiner.dispose();
      reader.dispose();
    }
  });

  test.each<[Parameters<typeof ClipRefiner.load>[2], string]>([
    [{ candidates: 0 }, 'candidates 0: expected a whole number from 1 to 1000.'],
    [{ samples: 1e9 }, 'samples 1000000000: expected a whole number from 1 to 100000.'],
    [{ charactersPerPosition: -1 }, 'charactersPerPosition -1: expected a whole number from 0 on.'],
    [{ clipWeight: NaN }, 'clipWeight NaN: expected a number from 0 on.'],
    [{ prompt: 5 as never }, 'prompt 5: expected text.'],
    [null as never, 'options are null; give an object, as { candidates: 5 }.'],
  ])('refuses options that are none: %j', async (options, message) => {
    await expect(ClipRefiner.load(device(), file, options)).rejects.toThrow(message);
  });

  test('refuses a device that is none', async () => {
    await expect(ClipRefiner.load(Promise.resolve(device()) as never, file)).rejects.toThrow(
      'device is Promise; give what `await openDevice()` returns.',
    );
  });

  test('sees a normalised image as it sees its pixels', async () => {
    const clipRefiner = await ClipRefiner.load(device(), file);
    const [height, width] = clipRefiner.imageSize;
    const data = Uint8Array.from({ length: 3 * height * width }, (_, at) => (at * at) & 255);
    const image = { width, height, data };
    const logits = Float32Array.from({ length: 4 * tokenizer.classes }, (_, at) => Math.sin(at * at));
    const adapter = new CharsetAdapter('36');
    const asked: string[] = [];
    const refine = async (given: Parameters<ClipRefiner['refine']>[0], kind?: 'half' | 'clip') => {
      const { text, confidence } = await clipRefiner.refine(given, logits, tokenizer, adapter, kind);
      asked.push(text);
      return confidence;
    };
    await refine(image);
    await refine({ normalized: normalizeImage(image, 'half') }, 'half');
    await refine({ normalized: normalizeImage(image, 'clip') });
    clipRefiner.dispose();
    expect(new Set(asked).size).toBe(1);
  });

  test('of another size than the model: normalised images give no reading, and their mates do', async () => {
    const clipRefiner = await ClipRefiner.load(device(), file);
    const reader = await Clip4Str.load(device(), fixturePath('parseq/parseq_tiny.pt'), parseqOptions);
    try {
      const normalized = { normalized: new Float32Array(3 * 32 * 128).fill(0.1) };
      const pixels = { width: 4, height: 2, data: new Uint8Array(24).fill(90) };
      const outcomes = await reader.readEach([pixels, normalized, pixels], { clipRefiner });
      expect(outcomes).toMatchObject([
        { endProbability: null },
        {
          index: 1,
          reason:
            `is normalised: the refiner's CLIP takes ${clipRefiner.imageSize.join('x')}, and normalised images ` +
            "have the model's 32x128; give image files or decoded pixels, or leave the refiner out.",
        },
        { endProbability: null },
      ]);
      await expect(reader.readEach([normalized, normalized], { clipRefiner })).rejects.toThrow(
        /^clipRefiner: its CLIP takes \d+x\d+, and normalised images have the model's 32x128; give /,
      );
    } finally {
      clipRefiner.dispose();
      reader.dispose();
    }
  });
});
