/** Options of CLIP4STR against the original: all positions at once, features of one token, unshared width, two layers. */
import { describe, expect, test } from '@jest/globals';
import { type Tensor, concat } from '../engine/index.js';
import { Branch } from '../model/branch.js';
import { CharsetAdapter } from '../model/charset.js';
import { tokenizeCaptions } from '../model/clip_tokenizer.js';
import { Decoder, branchNames } from '../model/decoder.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { useFixtureModels } from './support/fixture_models.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import {
  type ExpectedBatch,
  type ExpectedRun,
  type HostTensor,
  captionsOf,
  expectReadings,
  recognize,
  upload,
} from './support/recognize.js';

const device = useDevice();
const report = useErrorReport('CLIP4STR options');
const adapter36 = new CharsetAdapter('36');
const modelOf = useFixtureModels(device);

describe('fast_nar: all positions at once', () => {
  const tensors = readTensorFixture('forward/fast_nar.safetensors');
  const expected = readJsonFixture<ExpectedBatch>('forward/fast_nar.json');
  const images = tensors.get('images');

  test.each([0, 1, 2])('%i refinements', async (refineIterations) => {
    const model = await modelOf('fast');
    const { logits, stages } = await recognize(device(), model, images, {
      autoregressive: false,
      refineIterations,
    });
    report.compare('fast_nar memory', stages.get('memory')!.data, tensors.floats('memory'));
    report.compare('fast_nar vis_logits', stages.get('visual_logits')!.data, tensors.floats('vis_logits'));
    const final = `final_logits_r${refineIterations}`;
    report.compare(`fast_nar ${final}`, logits.data, tensors.floats(final));
    expectReadings(logits, expected[`r${refineIterations}`]!, model.tokenizer);
    const last = refineIterations === 0 ? 'visual_logits' : `visual_refined_logits_${refineIterations}`;
    const captions = captionsOf(stages.get(last)!, model.tokenizer, adapter36);
    expect(captions).toEqual(expected[`captions_${refineIterations}`]);
    const ids = tensors.integers(`text_tokens_${refineIterations}`);
    expect([...tokenizeCaptions(captions, 16)]).toEqual(ids);
  });

  test('the cross branch asked the same way', async () => {
    const model = await modelOf('fast');
    const { parameters, configuration, tokenizer } = model;
    const names = branchNames('cross_decoder');
    const decoder = new Decoder(device(), parameters, names, configuration.crossDecoder);
    const branch = new Branch(device(), decoder, tokenizer);
    const logits = await device().scope(() => {
      const captions = model.encodeCaptions(expected['captions_0'] as unknown as string[]);
      const features: Tensor = model.encodeImages(upload(device(), images)).cross;
      const memory = branch.prepareMemory(concat([features, captions], 1));
      return branch.readAtOnce(memory, images.shape[0]!, 26).logits.read();
    });
    report.compare('fast_nar cross_all_at_once_logits', logits, tensors.floats('cross_all_at_once_logits'));
  });
});

describe.each([
  { variant: 'cls_eot', limit: 'None', passes: [0, 1] },
  { variant: 'noshare', limit: 'None', passes: [0, 1] },
  { variant: 'depth2', limit: '25', passes: [0, 1, 2] },
] as const)('fast_variant_$variant', ({ variant, limit, passes }) => {
  const name = `fast_variant_${variant}` as const;
  const tensors = readTensorFixture(`forward/${name}.safetensors`);
  const expected = readJsonFixture<Record<string, ExpectedRun>>(`forward/${name}.json`);

  test.each(passes)('%i refinements', async (refineIterations) => {
    const model = await modelOf(name);
    const { logits, stages } = await recognize(device(), model, tensors.get('images'), {
      refineIterations,
      stopping: limit === 'None' ? 'batch' : 'independent',
    });
    const compare = (tensor: string, actual: HostTensor): void => {
      expect(actual.shape).toEqual(tensors.get(tensor).shape);
      report.compare(`${variant} ${tensor}`, actual.data, tensors.floats(tensor));
    };
    const run = `r${refineIterations}_maxlen${limit}`;
    compare('memory', stages.get('memory')!);
    compare(`vis_ar_logits_${run}`, stages.get('visual_logits')!);
    compare(`final_logits_${run}`, logits);
    expectReadings(logits, expected[run]!, model.tokenizer);
    const visual = [
      'visual_logits',
      ...Array.from({ length: refineIterations }, (_, pass) => `visual_refined_logits_${pass + 1}`),
    ].map((stage) => captionsOf(stages.get(stage)!, model.tokenizer, adapter36));
    expect(visual).toEqual(expected[run]!.captions);
  });
});
