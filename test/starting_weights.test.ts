/** What a training starts from. */
import { describe, expect, test } from '@jest/globals';
import { type Clip4StrConfiguration, expectedParameters } from '../model/index.js';
import { presetConfiguration } from '../train/configuration.js';
import { initialWeights } from '../train/initial_weights.js';
import { clipWeights, pretrainedWeights } from '../train/starting_weights.js';
import type { Vl4StrConfiguration } from '../train/configuration_schema.js';
import { clip4strConfiguration } from '../train/model_configuration.js';
import { fastClipParameters, fixtureParameters } from './support/fixture_models.js';

function tiny(settings: readonly string[] = []): Clip4StrConfiguration {
  return clip4strConfiguration(presetConfiguration('tiny', settings) as Vl4StrConfiguration);
}

const deviation = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
const largest = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('random weights', () => {
  const weights = initialWeights(tiny(), 7);

  test('are those that the model has', () => {
    const shapes = [...weights.parameters].map(([name, { shape }]) => [name, shape]);
    expect(new Map(shapes as [string, number[]][])).toEqual(expectedParameters(tiny()));
  });

  test.each([
    ['clip_model.token_embedding.weight', 0.02],
    ['clip_model.positional_embedding', 0.01],
    ['clip_model.text_projection', 64 ** -0.5],
    ['clip_model.visual.proj', 128 ** -0.5],
    ['clip_model.transformer.resblocks.1.attn.in_proj_weight', 64 ** -0.5],
    ['clip_model.transformer.resblocks.1.attn.out_proj.weight', (64 * 2 * 2) ** -0.5],
    ['clip_model.transformer.resblocks.0.mlp.c_fc.weight', 128 ** -0.5],
    ['clip_model.transformer.resblocks.0.mlp.c_proj.weight', (64 * 2 * 2) ** -0.5],
    ['visual_decoder.layers.0.linear1.weight', 0.02],
    ['cross_decoder.text_embed.embedding.weight', 0.02],
    ['cross_decoder.pos_queries', 0.02],
  ])('%s is normal with deviation %d', async (name, expected) => {
    const values = await weights.readF32(name);
    expect(deviation(values) / expected).toBeCloseTo(1, 1);
    expect(largest(values)).toBeGreaterThan(2.5 * expected);
  });

  test.each([
    ['clip_model.visual.conv1.weight', (3 * 64) ** -0.5],
    ['clip_model.visual.transformer.resblocks.0.mlp.c_fc.weight', 128 ** -0.5],
    ['clip_model.visual.transformer.resblocks.0.mlp.c_proj.weight', 512 ** -0.5],
    ['clip_model.visual.transformer.resblocks.0.attn.in_proj_weight', (6 / 512) ** 0.5],
    ['visual_decoder.layers.0.self_attn.in_proj_weight', (6 / 512) ** 0.5],
  ])('%s is uniform up to %d', async (name, bound) => {
    const values = await weights.readF32(name);
    expect(largest(values)).toBeLessThanOrEqual(bound);
    expect(largest(values)).toBeGreaterThan(0.98 * bound);
    expect(deviation(values) / (bound / Math.sqrt(3))).toBeCloseTo(1, 1);
  });

  test.each([
    ['clip_model.visual.ln_pre.weight', 1],
    ['visual_decoder.layers.0.norm_q.weight', 1],
    ['visual_decoder.norm.bias', 0],
    ['visual_decoder.head.bias', 0],
    ['clip_model.transformer.resblocks.0.attn.out_proj.bias', 0],
    ['clip_model.logit_scale', Math.log(1 / 0.07)],
  ])('%s is %d', async (name, expected) => {
    const values = await weights.readF32(name);
    expect(values.every((value) => value === Math.fround(expected))).toBe(true);
  });

  test('depend on the seed alone', async () => {
    const name = 'visual_decoder.head.weight';
    const values = await weights.readF32(name);
    expect(await weights.readF32(name)).toEqual(values);
    expect(await initialWeights(tiny(), 7).readF32(name)).toEqual(values);
    expect(await initialWeights(tiny(), 8).readF32(name)).not.toEqual(values);
    expect(await weights.readF32(name.replace('visual', 'cross'))).not.toEqual(values);
  });
});

/** The reference's model as a configuration, with a charset of choice. */
async function fastConfiguration(charset: string): Promise<Clip4StrConfiguration> {
  const { parameters } = await fixtureParameters('fast');
  const shape = (name: string): readonly number[] => parameters.get(name)!.shape;
  const [width, , patchHeight, patchWidth] = shape('clip_model.visual.conv1.weight') as [
    number,
    number,
    number,
    number,
  ];
  const layers = (start: string): number =>
    new Set(
      [...parameters.keys()]
        .filter((name) => name.startsWith(start))
        .map((name) => name.slice(start.length).split('.')[0]),
    ).size;
  const side = Math.sqrt(shape('clip_model.visual.positional_embedding')[0]! - 1);
  const [textWidth, embedWidth] = shape('clip_model.text_projection') as [number, number];
  const options: Record<string, unknown> = {
    'model.img_size': [side * patchHeight, side * patchWidth],
    'model.patch_size': [patchHeight, patchWidth],
    'model.embed_dim': embedWidth,
    'model.enc_width': width,
    'model.enc_depth': layers('clip_model.visual.transformer.resblocks.'),
    'model.text_width': textWidth,
    'model.text_depth': layers('clip_model.transformer.resblocks.'),
    'model.max_label_length': shape('visual_decoder.pos_queries')[1]! - 1,
    'model.dec_num_heads': 4,
  };
  return {
    ...tiny([
      ...Object.entries(options).map(([name, value]) => `${name}=${JSON.stringify(value)}`),
      `model.charset_train=${charset}`,
    ]),
  };
}

describe('weights of another model', () => {
  test('are taken as they are for the same charset', async () => {
    const source = await fixtureParameters('fast');
    const model = await fastConfiguration('94');
    const weights = pretrainedWeights(source, initialWeights(model, 1), model);
    for (const name of ['visual_decoder.head.weight', 'clip_model.visual.proj']) {
      expect(await weights.readF32(name)).toEqual(await source.readF32(name));
    }
    await weights.close();
  });

  test('keep the rows of shared characters for another charset', async () => {
    const source = await fixtureParameters('fast');
    const model = await fastConfiguration('aé0');
    const random = initialWeights(model, 1);
    const weights = pretrainedWeights(source, random, model);
    const name = 'cross_decoder.text_embed.embedding.weight';
    const width = source.parameters.get(name)!.shape[1]!;
    const [stored, fresh, mixed] = await Promise.all(
      [source, random, weights].map((own) => own.readF32(name)),
    );
    const row = (values: Float32Array | undefined, index: number): Float32Array =>
      values!.slice(index * width, (index + 1) * width);
    // Charset 94 is digits, lower case, upper case, punctuation; then begin and padding.
    const from = [0, 11, undefined, 1, 95, 96];
    expect(mixed).toHaveLength(from.length * width);
    from.forEach((index, i) => {
      expect(row(mixed, i)).toEqual(index === undefined ? row(fresh, i) : row(stored, index));
    });
    const bias = await weights.readF32('visual_decoder.head.bias');
    const storedBias = await source.readF32('visual_decoder.head.bias');
    expect([...bias]).toEqual([storedBias[0], storedBias[11], 0, storedBias[1]]);
    await weights.close();
  });

  test('must have the sizes of the model', async () => {
    const source = await fixtureParameters('fast');
    const model = { ...(await fastConfiguration('94')) };
    const larger = { ...model, crossDecoder: { ...model.crossDecoder, mlpWidth: 1000 } };
    expect(() => pretrainedWeights(source, initialWeights(larger, 1), larger)).toThrow(
      /of another shape \(.*cross_decoder\.layers\.0\.linear1\.weight is \[.*\], expected \[1000,.*Set the options of the model/,
    );
    await source.close();
  });

  test('of plain CLIP become the towers', async () => {
    const clip = fastClipParameters();
    const model = await fastConfiguration('94');
    const random = initialWeights(model, 1);
    const weights = clipWeights(clip, random, model);
    expect(await weights.readF32('clip_model.visual.proj')).toEqual(await clip.readF32('visual.proj'));
    const head = 'cross_decoder.head.weight';
    expect(await weights.readF32(head)).toEqual(await random.readF32(head));
    const wrong = await fixtureParameters('fast');
    expect(() => clipWeights(wrong, random, model)).toThrow(
      /is a clip4str model; model\.clip_pretrained takes plain CLIP/,
    );
    await wrong.close();
  });
});
