/** CLIP4STR against the original: features, every decode step, refinements, both stopping rules. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { CharsetAdapter } from '../model/charset.js';
import type { Clip4StrModel } from '../model/clip4str.js';
import { tokenizeCaptions } from '../model/clip_tokenizer.js';
import { encodeClipImage, projectImage } from '../model/image_encoder.js';
import { readingFromLogits } from '../model/reading_text.js';
import { Clip4Str } from '../model/reader.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { fixtureOptions, useFixtureModels } from './support/fixture_models.js';
import { fixturePath, readJsonFixture, readTensorFixture } from './support/fixtures.js';
import {
  type ExpectedBatch,
  type ExpectedRun,
  type HostTensor,
  captionsOf,
  expectReadings,
  idsOf,
  imageRows,
  onHost,
  recognize,
  upload,
} from './support/recognize.js';

const device = useDevice();
const report = useErrorReport('CLIP4STR');
const adapter36 = new CharsetAdapter('36');
const modelOf = useFixtureModels(device);

describe.each([
  { batch: 'fast_A', name: 'fast' },
  { batch: 'fast_B', name: 'fast' },
  { batch: 'p16_A', name: 'p16' },
] as const)('$batch', ({ batch, name }) => {
  const tensors = readTensorFixture(`forward/${batch}.safetensors`);
  const expected = readJsonFixture<ExpectedBatch>(`forward/${batch}.json`);
  const images = tensors.get('images');
  let model: Clip4StrModel;
  const compare = (tensor: string, actual: HostTensor | undefined): void => {
    expect(actual?.shape).toEqual(tensors.get(tensor).shape);
    report.compare(`${batch} ${tensor}`, actual!.data, tensors.floats(tensor));
  };
  beforeAll(async () => {
    model = await modelOf(name);
  });

  test('image features', () =>
    device().scope(async () => {
      const { parameters, configuration } = model;
      const prefix = 'clip_model.visual.';
      const features = encodeClipImage(upload(device(), images), parameters, prefix, configuration.image);
      compare('image_features_noproj_0', await onHost(features.slice(0, 0, 1)));
      const classToken = projectImage(features.slice(1, 0, 1), parameters, prefix);
      compare('image_cls_feature', await onHost(classToken.reshape([images.shape[0]!, -1])));
    }));

  test('every decode step and three refinements', async () => {
    const { logits, visualLogits, stages } = await recognize(device(), model, images, {
      refineIterations: 3,
    });
    const visual = stages.get('visual_logits')!;
    compare('memory', stages.get('memory'));
    compare('vis_ar_logits', visual);
    compare('crs_ar_logits', stages.get('cross_logits'));
    expect(visual.shape[1]).toBe(expected['ar_steps']);
    expect(idsOf(visual)).toEqual(tensors.integers('vis_ar_ids'));
    expect(idsOf(stages.get('cross_logits')!)).toEqual(tensors.integers('crs_ar_ids'));
    expectReadings(visual, expected['visual_ar']!, model.tokenizer);
    expectReadings(stages.get('cross_logits')!, expected['cross_ar']!, model.tokenizer);
    const seen = [visual];
    for (const pass of [1, 2, 3]) {
      seen.push(stages.get(`visual_refined_logits_${pass}`)!);
      compare(`vis_ref${pass}_logits`, seen[pass]);
      compare(`crs_ref${pass}_logits`, stages.get(`cross_refined_logits_${pass}`));
    }
    expectReadings(seen[1]!, expected['visual_ref1']!, model.tokenizer);
    expect(visualLogits).toEqual(seen[3]);
    expect(logits).toEqual(stages.get('cross_refined_logits_3'));
    for (const [pass, read] of seen.entries()) {
      const captions = captionsOf(read, model.tokenizer, adapter36);
      expect(captions).toEqual(expected[`captions_${pass}`]);
      expect([...tokenizeCaptions(captions, 16)]).toEqual(tensors.integers(`text_tokens_${pass}`));
    }
  });

  test.each([0, 1])('text features of the captions of pass %i', (pass) =>
    device().scope(async () => {
      const captions = expected[`captions_${pass}`] as unknown as string[];
      compare(`text_features_${pass}`, await onHost(model.encodeCaptions(captions)));
    }),
  );

  test.each([0, 1, 2, 3])('final result with %i refinements', async (refineIterations) => {
    const { logits } = await recognize(device(), model, images, { refineIterations });
    compare(`final_logits_r${refineIterations}`, logits);
    expectReadings(logits, expected[`r${refineIterations}`]!, model.tokenizer);
  });
});

describe('fast_A with other arguments', () => {
  const tensors = readTensorFixture('forward/fast_A.safetensors');
  const expected = readJsonFixture<Record<string, ExpectedRun>>('forward/fast_A.json');
  const images = tensors.get('images');
  const compare = (tensor: string, actual: HostTensor): void => {
    expect(actual.shape).toEqual(tensors.get(tensor).shape);
    report.compare(`fast_A ${tensor}`, actual.data, tensors.floats(tensor));
  };

  test.each([0, 1, 2, 3])('image %i alone', async (row) => {
    const model = await modelOf('fast');
    const { logits, stages } = await recognize(device(), model, imageRows(images, row, row + 1), {
      refineIterations: 1,
    });
    const alone = expected[`single${row}`]!;
    compare(`single${row}_logits_r1`, logits);
    expectReadings(logits, alone, model.tokenizer);
    expect(stages.get('visual_logits')!.shape[1]).toBe(alone.ar_steps);
    const passes = ['visual_logits', 'visual_refined_logits_1'].map((stage) => stages.get(stage)!);
    expect(passes.map((read) => captionsOf(read, model.tokenizer, adapter36))).toEqual(alone.captions);
  });

  test.each([7, 40])(
    'max_length %i: every step computed, so the same as independent stopping',
    async (limit) => {
      const model = await modelOf('fast');
      const { logits, stages } = await recognize(device(), model, images, {
        refineIterations: 1,
        stopping: 'independent',
        maxLabelLength: limit,
      });
      const run = expected[`maxlen${limit}`]!;
      compare(`maxlen${limit}_logits_r1`, logits);
      expectReadings(logits, run, model.tokenizer);
      const passes = ['visual_logits', 'visual_refined_logits_1'].map((stage) => stages.get(stage)!);
      expect(passes.map((read) => captionsOf(read, model.tokenizer, adapter36))).toEqual(run.captions);
    },
  );

  test('independent stopping equals max_length 25 and reads each image as if alone', async () => {
    const model = await modelOf('fast');
    const options = { refineIterations: 1, stopping: 'independent' } as const;
    const together = await recognize(device(), model, images, options);
    compare('maxlen40_logits_r1', together.logits);
    const size = together.logits.data.length / 4;
    for (let row = 0; row < 4; row++) {
      const { logits } = await recognize(device(), model, imageRows(images, row, row + 1), options);
      const own = together.logits.data.slice(row * size, (row + 1) * size);
      report.compare('independent: alone against in a batch', logits.data, own);
    }
  });

  test('captions in the charset of 94', async () => {
    const model = await modelOf('fast');
    const captionAdapter = new CharsetAdapter('94');
    const { logits, stages } = await recognize(device(), model, images, {
      refineIterations: 1,
      captionAdapter,
    });
    const run = expected['charset94']!;
    compare('charset94_logits_r1', logits);
    expectReadings(logits, run, model.tokenizer, '94');
    for (const [pass, stage] of ['visual_logits', 'visual_refined_logits_1'].entries()) {
      const captions = captionsOf(stages.get(stage)!, model.tokenizer, captionAdapter);
      expect(captions).toEqual(run.captions[pass]);
      const ids = tensors.integers(`charset94_text_tokens_${pass}`);
      expect([...tokenizeCaptions(captions, 16)]).toEqual(ids);
    }
  });

  test('the validation step: as long as the longest label, its loss', async () => {
    const model = await modelOf('fast');
    const { labels, loss, loss_numel, batch_result } = readJsonFixture<{
      validation: {
        labels: string[];
        loss: number;
        loss_numel: number;
        batch_result: { correct: number; confidence: number };
      };
    }>('forward/fast_A.json').validation;
    const { logits } = await recognize(device(), model, images, {
      refineIterations: 1,
      stopping: 'independent',
      maxLabelLength: Math.max(...labels.map((label) => label.length)),
    });
    compare('val_logits', logits);
    const { tokenizer } = model;
    const [, positions, classes] = logits.shape as [number, number, number];
    const logProbabilities = labels.flatMap((label, row) => {
      const target = [...tokenizer.encode([label]).ids.slice(1, 2 + label.length)];
      return target.map((id, at) => {
        const from = (row * positions + at) * classes;
        const own = logits.data.subarray(from, from + classes);
        return own[id]! - Math.log(own.reduce((sum, value) => sum + Math.exp(value), 0));
      });
    });
    expect(logProbabilities).toHaveLength(loss_numel);
    expect(-logProbabilities.reduce((a, b) => a + b) / loss_numel).toBeCloseTo(loss, 4);
    const readings = labels.map((_, row) => {
      const size = positions * classes;
      return readingFromLogits(logits.data.slice(row * size, (row + 1) * size), tokenizer);
    });
    const confidence = readings.reduce((sum, reading) => sum + reading.confidence, 0);
    expect(confidence).toBeCloseTo(batch_result.confidence, 5);
    const right = readings.filter(({ text }, row) => adapter36.adapt(text) === adapter36.adapt(labels[row]!));
    expect(right).toHaveLength(batch_result.correct);
  });

  test('read: batch mates change neither text nor confidence', async () => {
    const reader = await Clip4Str.load(
      device(),
      fixturePath('models/fast.safetensors'),
      fixtureOptions('fast'),
    );
    try {
      const inputs = [0, 1, 2, 3].map((row) => ({
        normalized: imageRows(images, row, row + 1).data as Float32Array,
      }));
      const [whole, ...others] = await Promise.all(
        [4, 1, 2].map((batchSize) => reader.read(inputs, { batchSize })),
      );
      expect(whole!.map(({ text }) => text)).toEqual(expected['maxlen40']!.strings);
      for (const readings of others) {
        expect(readings.map(({ text, visualText }) => ({ text, visualText }))).toEqual(
          whole!.map(({ text, visualText }) => ({ text, visualText })),
        );
        readings.forEach(({ confidence }, row) => {
          expect(Math.abs(confidence - whole![row]!.confidence)).toBeLessThan(1e-6);
        });
      }
    } finally {
      reader.dispose();
    }
  });
});
