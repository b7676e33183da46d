/** `bench --reference`: tensors of the original, errors planted in them, and files that are odd. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type CompareOptions,
  ReferenceFile,
  type ReferenceMetadata,
  type ReferenceReport,
  compareReference,
} from '../bench/reference/index.js';
import type { Recognizer } from '../model/index.js';
import { type WritableTensor, writeSafetensors } from '../weights/index.js';
import { runCommand } from './support/command.js';
import { useDevice } from './support/device.js';
import { loadFixtureParseq, useFixtureModels } from './support/fixture_models.js';
import { type TensorFixture, fixturePath, readJsonFixture, readTensorFixture } from './support/fixtures.js';
import type { StoredTensor } from './support/safetensors.js';

interface Reference {
  readonly tensors: Map<string, StoredTensor>;
  metadata: Record<string, unknown>;
}

const device = useDevice();
const modelOf = useFixtureModels(device);
const classes = 95;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reference-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Tensors of a fixture under the format's names, copied so that a test may change them. */
function tensorsOf(fixture: TensorFixture, names: Readonly<Record<string, string>>): Reference['tensors'] {
  const entries = Object.entries(names).map(([name, stored]): [string, StoredTensor] => {
    const { dtype, shape, data } = fixture.get(stored);
    return [name, { dtype, shape, data: data.slice() }];
  });
  return new Map(entries);
}

/** All stages of four images that the original read together, with one refinement. */
function clip4strReference(): Reference {
  const read = readJsonFixture<Record<string, { strings: string[] }>>('forward/fast_A.json');
  const tensors = tensorsOf(readTensorFixture('forward/fast_A.safetensors'), {
    images: 'images',
    memory: 'memory',
    visual_logits: 'vis_ar_logits',
    caption_tokens_0: 'text_tokens_0',
    text_features_0: 'text_features_0',
    cross_logits: 'crs_ar_logits',
    visual_refined_logits_1: 'vis_ref1_logits',
    caption_tokens_1: 'text_tokens_1',
    text_features_1: 'text_features_1',
    cross_refined_logits_1: 'crs_ref1_logits',
    logits: 'final_logits_r1',
  });
  const metadata = {
    decode_ar: true,
    refine_iters: 1,
    stopping: 'batch',
    batch_size: 4,
    charset_test: '0123456789abcdefghijklmnopqrstuvwxyz',
    texts: read['r1']!.strings,
    visual_texts: read['visual_ref1']!.strings,
    files: ['a.png', 'b.png', 'c.png', 'd.png'],
    versions: { torch: '1.13.1' },
  } satisfies ReferenceMetadata;
  return { tensors, metadata };
}

async function write(name: string, { tensors, metadata }: Reference): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  const stored = [...tensors].map(
    ([tensor, { dtype, shape, data }]) =>
      ({ name: tensor, shape, dtype: dtype.toLowerCase(), read: () => data }) as WritableTensor,
  );
  const texts = Object.entries(metadata).map(([key, value]) => [key, JSON.stringify(value)]);
  await writeSafetensors(path, stored, Object.fromEntries(texts) as Record<string, string>);
  return path;
}

/** Writes a reference and compares a model with it. */
async function compare(
  reference: Reference,
  options: Partial<CompareOptions> = {},
  model?: Recognizer,
): Promise<ReferenceReport> {
  const file = await ReferenceFile.open(await write('compared', reference));
  try {
    const subject = model ?? (await modelOf('fast'));
    return await compareReference(device(), subject, file, { tolerance: 1e-4, ...options });
  } finally {
    await file.close();
  }
}

const stageOf = (report: ReferenceReport, name: string) => report.stages.find(({ stage }) => stage === name)!;

describe('agreement', () => {
  test('every stage of CLIP4STR, where a batch stops together', async () => {
    const report = await compare(clip4strReference());
    expect(report).toMatchObject({
      images: 4,
      textsCompared: 8,
      textDifferences: [],
      parted: [],
      missing: [],
      unknown: [],
      assumed: [],
      agrees: true,
    });
    expect(report.stages).toHaveLength(10);
    for (const { largestError, at, comparedValues } of report.stages) {
      expect(largestError).toBeLessThan(5e-5);
      expect(comparedValues).toBeGreaterThan(0);
      expect(at).toBeDefined();
    }
    expect(stageOf(report, 'caption_tokens_1').largestError).toBe(0);
    expect(stageOf(report, 'visual_logits').comparedValues).toBe(4 * 19 * classes);
  });

  test('batches of one; positions that are NaN were not computed', async () => {
    const fixture = readTensorFixture('forward/fast_A.safetensors');
    const alone = [0, 1, 2, 3].map((row) => [...fixture.floats(`single${row}_logits_r1`)]);
    const { tensors } = clip4strReference();
    const own = new Map([['images', tensors.get('images')!]]);
    own.set('logits', { dtype: 'F32', shape: [4, 26, classes], data: Float32Array.from(alone.flat()) });
    const nothing = new Float32Array(4 * 19 * classes).fill(NaN);
    own.set('visual_logits', { dtype: 'F32', shape: [4, 19, classes], data: nothing });
    const report = await compare({ tensors: own, metadata: { stopping: 'batch', batch_size: 1 } });
    expect(stageOf(report, 'logits').largestError).toBeLessThan(5e-5);
    // Ours computed what the reference says was not.
    expect(stageOf(report, 'visual_logits')).toMatchObject({
      largestError: Infinity,
      at: { image: 0, index: [0, 0], expected: null },
    });
    expect(report.missing).toContain('memory');
    expect(report.assumed).toEqual([
      expect.stringMatching(/^decode_ar is not told; taken: true/),
      expect.stringMatching(/^refine_iters is not told; taken: 1/),
    ]);
  });

  test.each([
    { way: 'ar', stopping: 'batch', batch_size: 3 },
    { way: 'nar', stopping: 'independent' },
  ])('PARSeq, $way', async ({ way, ...stopping }) => {
    const tensors = tensorsOf(readTensorFixture('parseq/parseq_refs.safetensors'), {
      images: 'images',
      memory: 'memory',
      first_logits: `logits_${way}_r0`,
      refined_logits_1: `logits_${way}_r1`,
      refined_logits_2: `logits_${way}_r2`,
      logits: `logits_${way}_r2`,
    });
    const metadata = { decode_ar: way === 'ar', refine_iters: 2, ...stopping };
    const model = await loadFixtureParseq(device());
    // Batches of two, where readings do not depend on them.
    const batchSize = way === 'ar' ? undefined : 2;
    const report = await compare({ tensors, metadata }, { batchSize }, model);
    expect(report).toMatchObject({ agrees: true, missing: [], textsCompared: 3 });
    expect(report.stages).toHaveLength(5);
  });
});

describe('errors', () => {
  test('each is found in its stage, where it was planted', async () => {
    const planted = [
      { stage: 'memory', at: [2, 5, 7], columns: 96, place: { image: 2, file: 'c.png', index: [5, 7] } },
      { stage: 'cross_logits', at: [3, 4, 10], columns: classes, place: { image: 3, character: '9' } },
      { stage: 'logits', at: [0, 25, 0], columns: classes, place: { image: 0, character: '[E]' } },
      { stage: 'caption_tokens_1', at: [0, 1, 3], columns: 16, place: { image: 1, index: [3] } },
    ] as const;
    const reference = clip4strReference();
    const before = planted.map(({ stage, at, columns }) => {
      const { data, shape } = reference.tensors.get(stage)!;
      const values = data as Float32Array | Int32Array;
      const rows = shape.length === 3 ? shape[1]! : 1;
      const index = (at[0] * rows + at[1]) * columns + at[2];
      const value = values[index]!;
      // Less than it was, so that no other class leads.
      values[index] = value - 3;
      return value;
    });
    const report = await compare(reference);
    expect(report).toMatchObject({ agrees: false, parted: [], textDifferences: [] });
    for (const [i, { stage, at, columns, place }] of planted.entries()) {
      const found = stageOf(report, stage);
      expect(found.largestError).toBeCloseTo(3, 3);
      expect(found.at).toMatchObject({
        ...(columns === classes ? { index: at.slice(1) } : {}),
        ...place,
        actual: expect.closeTo(before[i]!, 3),
        expected: expect.closeTo(before[i]! - 3, 3),
      });
    }
    const names: readonly string[] = planted.map(({ stage }) => stage);
    for (const { stage, largestError } of report.stages) {
      if (!names.includes(stage)) expect(largestError).toBeLessThan(5e-5);
    }
  });

  test('a tie within the tolerance parts two readings; what follows from it is left out', async () => {
    const reference = clip4strReference();
    const logits = reference.tensors.get('visual_logits')!.data as Float32Array;
    const row = logits.subarray(19 * classes, 20 * classes);
    const [first, second] = [...row.keys()].sort((a, b) => row[b]! - row[a]!) as [number, number];
    const gap = row[first]! - row[second]!;
    row[second] = row[first]! + 1e-3;
    reference.metadata['texts'] = [
      'EED?E?Ef~E]EZ',
      'another',
      ...(reference.metadata['texts'] as string[]).slice(2),
    ];
    const tolerance = gap + 0.01;
    const report = await compare(reference, { tolerance });
    expect(report.parted).toEqual([
      {
        image: 1,
        file: 'b.png',
        stage: 'visual_logits',
        position: 0,
        margin: expect.closeTo(1e-3, 4),
        withinTolerance: true,
      },
    ]);
    expect(stageOf(report, 'visual_logits')).toMatchObject({
      imagesLeftOut: 1,
      at: { image: 1, index: [0, second] },
    });
    expect(stageOf(report, 'cross_logits').imagesLeftOut).toBe(1);
    expect(report.textDifferences).toMatchObject([
      { image: 1, branch: 'result', expected: 'another', actual: 'fEr*E7', withinTolerance: true },
    ]);
    expect(report.agrees).toBe(true);
    const strict = await compare(reference, { tolerance: 1e-4 });
    expect(strict.parted).toMatchObject([{ image: 1, position: 0, withinTolerance: false }]);
    expect(strict.textDifferences).toMatchObject([{ image: 1, withinTolerance: false }]);
    expect(strict.agrees).toBe(false);
  });

  test('a text that differs is told with the margin of the position that makes it', async () => {
    const reference = clip4strReference();
    delete reference.metadata['texts'];
    const logits = reference.tensors.get('logits')!.data as Float32Array;
    const row = logits.subarray((2 * 26 + 1) * classes, (2 * 26 + 2) * classes);
    row[11] = Math.max(...row) + 2;
    const report = await compare(reference);
    expect(report.textDifferences).toEqual([
      {
        image: 2,
        file: 'c.png',
        branch: 'result',
        expected: 'fa#w:*',
        actual: 'fb#w:*',
        position: 1,
        margin: expect.closeTo(2, 4),
        withinTolerance: false,
      },
    ]);
  });
});

describe('odd files', () => {
  test('tensors that do not fit are named, the others compared', async () => {
    const reference = clip4strReference();
    const { tensors } = reference;
    tensors.set('memory', { dtype: 'F32', shape: [4, 16, 96], data: new Float32Array(4 * 16 * 96) });
    tensors.set('text_features_0', { dtype: 'U8', shape: [4, 16, 96], data: new Uint8Array(4 * 16 * 96) });
    tensors.set('cross_logits', { dtype: 'F32', shape: [3, 19, 95], data: new Float32Array(3 * 19 * 95) });
    tensors.set('visual_logits', { dtype: 'F32', shape: [4, 0, 95], data: new Float32Array() });
    tensors.set('first_logits', { dtype: 'F32', shape: [4], data: new Float32Array(4) });
    tensors.delete('caption_tokens_0');
    const report = await compare(reference);
    expect(report.agrees).toBe(false);
    expect(report.unknown).toEqual(['first_logits']);
    expect(report.missing).toEqual(['caption_tokens_0']);
    expect(stageOf(report, 'memory').misfit).toBe('is [4,16,96]; this model and 4 images give [4,17,96]');
    expect(stageOf(report, 'text_features_0').misfit).toBe('is u8; expected floating-point numbers');
    expect(stageOf(report, 'cross_logits').misfit).toMatch(/^is \[3,19,95\]; .* give \[4,positions,95\]$/);
    expect(stageOf(report, 'visual_logits')).toMatchObject({
      largestError: Infinity,
      at: { image: 0, index: [0, 0], expected: null },
    });
    expect(stageOf(report, 'logits').largestError).toBeLessThan(5e-5);
  });

  const images = (shape: number[], dtype = 'F32'): StoredTensor => {
    const count = shape.reduce((product, side) => product * side, 1);
    return { dtype, shape, data: dtype === 'F32' ? new Float32Array(count) : new Uint8Array(count) };
  };

  test.each<[string, (reference: Reference) => void, RegExp]>([
    ['no images', ({ tensors }) => tensors.delete('images'), /has no tensor images; .*export\.py/],
    ['empty ones', ({ tensors }) => tensors.set('images', images([0, 3, 32, 32])), /images is \[0,3,32,32\]/],
    ['gray ones', ({ tensors }) => tensors.set('images', images([4, 1, 32, 32])), /images is \[4,1,32,32\]/],
    ['bytes', ({ tensors }) => tensors.set('images', images([4, 3, 32, 32], 'U8')), /images is u8/],
    [
      'another size',
      ({ tensors }) => tensors.set('images', images([4, 3, 32, 40])),
      /images are 32x40; this model takes 32x32/,
    ],
    [
      'a pixel that is no number',
      ({ tensors }) => (tensors.get('images')!.data as Float32Array).set([NaN], 2 * 3072),
      /image 2 \(c\.png\) has a pixel NaN/,
    ],
    ['texts of others', ({ metadata }) => (metadata['texts'] = ['a']), /texts has 1 entries; expected 4/],
    [
      'odd metadata',
      ({ metadata }) => (metadata['decode_ar'] = 'yes'),
      /decode_ar is "yes"; expected true or/,
    ],
    [
      'too many passes',
      ({ metadata }) => (metadata['refine_iters'] = 1e9),
      /refine_iters is 1000000000; .* 32/,
    ],
    [
      'long texts',
      ({ metadata }) => (metadata['max_label_length'] = 26),
      /max_label_length is 26; .* at most 25/,
    ],
    ['unknown batches', ({ metadata }) => delete metadata['batch_size'], /has no batch_size/],
    [
      'nothing to compare',
      ({ tensors, metadata }) => {
        [...tensors.keys()].filter((name) => name !== 'images').forEach((name) => tensors.delete(name));
        delete metadata['texts'];
      },
      /has nothing to compare; expected tensors memory, visual_logits, /,
    ],
  ])('%s', async (_, change, message) => {
    const reference = clip4strReference();
    change(reference);
    await expect(compare(reference)).rejects.toThrow(message);
  });

  test('batches of another size than those that stopped together', () =>
    expect(compare(clip4strReference(), { batchSize: 2 })).rejects.toThrow(/in batches of 4; .* of 2\./));
});

describe('the command', () => {
  let model: string;
  let good: string;
  let planted: string;
  beforeAll(async () => {
    model = join(folder, 'model.safetensors');
    const made = await runCommand([
      'convert',
      fixturePath('models/fast.safetensors'),
      model,
      '--decoder-heads',
      '4',
    ]);
    expect(made.errors.filter((line) => line.startsWith('error'))).toEqual([]);
    good = await write('good', clip4strReference());
    const reference = clip4strReference();
    (reference.tensors.get('memory')!.data as Float32Array)[3] = 1000;
    planted = await write('planted', reference);
  });

  test('--check tells by its exit code, and the report where', async () => {
    const bench = (...args: string[]) => runCommand(['bench', '--checkpoint', model, '--reference', ...args]);
    const [agreeing, failing, told] = await Promise.all([
      bench(good, '--check'),
      bench(planted, '--check'),
      bench(planted, '--json', '--tolerance', '0.5'),
    ]);
    expect([agreeing.code, agreeing.errors]).toEqual([0, []]);
    expect(agreeing.stdout).toMatch(/^model\.safetensors on .*, f32\ngood\.safetensors: 4 images, /);
    expect(agreeing.stdout).toMatch(/computed by torch 1\.13\.1\n/);
    expect(agreeing.stdout).toMatch(/\n8 of 8 texts are the same\nagrees within 1e-4\n$/);
    expect(failing.code).toBe(1);
    expect(failing.stdout).toMatch(
      /\n {2}memory +1\.0e\+3 {2}image 0 \(a\.png\), token 0, channel 3: \S+ here, 1000 there\n/,
    );
    expect(failing.stdout).toMatch(/\nDOES NOT AGREE within 1e-4\n$/);
    expect(told.code).toBe(0);
    expect(JSON.parse(told.stdout)).toMatchObject({
      checkpoint: 'model.safetensors',
      precision: 'f32',
      tolerance: 0.5,
      agrees: false,
    });
  });

  test('one mode is given, and files that exist', async () => {
    const [none, missing, odd, help] = await Promise.all([
      runCommand(['bench']),
      runCommand(['bench', '--reference', join(folder, 'none.safetensors')]),
      runCommand(['bench', '--reference', good, '--tolerance', 'small']),
      runCommand(['bench', '--help']),
    ]);
    expect([none.code, none.errors]).toEqual([
      1,
      [expect.stringMatching(/^error: bench: no mode is given; give one of .*--reference/)],
    ]);
    expect([missing.code, missing.errors]).toEqual([
      1,
      [expect.stringMatching(/^error: none\.safetensors: /)],
    ]);
    expect([odd.code, odd.errors]).toEqual([
      1,
      [expect.stringMatching(/Expected a number from 0 on, as 1e-4/)],
    ]);
    expect(help.stdout).toMatch(/Examples:\n {2}clip4str-engine bench/);
    expect(help.stdout).toMatch(/python \S+export\.py/);
  });
});
