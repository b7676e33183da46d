import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { resolveCharset } from '../model/charset.js';
import { type ModelConfiguration, adapterTypes } from '../model/configuration.js';
import { expectedParameters } from '../model/expected_parameters.js';
import {
  inferConfiguration,
  type ConfigurationOverrides,
  type ConfigurationSource,
} from '../model/infer_configuration.js';
import { checkParameters } from '../model/parameter_check.js';
import { presetNames, presetOf, presets } from '../model/presets.js';
import { readJsonFixture } from './support/fixtures.js';
import { adapterOptions, fixtureAdapterShapes } from './support/fixture_models.js';
import { readSafetensorsMetadata, readSafetensorsShapes } from './support/safetensors.js';

type Shapes = Record<string, number[]>;
const stored = readJsonFixture<Record<string, Shapes>>('model_shapes.json');
const { hyper_parameters: formatsHyperParameters } = readJsonFixture<{
  hyper_parameters: Record<string, unknown>;
}>('formats/formats.json');
const parseq = readJsonFixture<{ config: Record<string, unknown>; state_dict_keys: Shapes }>(
  'parseq/parseq.json',
);

function sourceOf(
  shapes: Shapes | ReadonlyMap<string, readonly number[]>,
  family: ConfigurationSource['family'],
  configuration: Record<string, unknown> = {},
  name = 'model.ckpt',
): ConfigurationSource {
  const entries: (readonly [string, readonly number[]])[] = isMap(shapes)
    ? [...shapes]
    : Object.entries(shapes);
  return {
    name,
    family,
    configuration,
    parameters: new Map(entries.map(([key, shape]) => [key, { shape }])),
  };
}

function isMap(shapes: object): shapes is ReadonlyMap<string, readonly number[]> {
  return shapes instanceof Map;
}

function shapesOf({ parameters }: ConfigurationSource): Map<string, readonly number[]> {
  return new Map([...parameters].map(([name, { shape }]) => [name, shape]));
}

/** Every parameter of the file is expected, with its shape, and no other. */
function expectCovered(source: ConfigurationSource, configuration: ModelConfiguration): void {
  const expected = [...expectedParameters(configuration)].sort(([left], [right]) => (left < right ? -1 : 1));
  const actual = [...shapesOf(source)].sort(([left], [right]) => (left < right ? -1 : 1));
  expect(expected).toEqual(actual);
}

function variantOf(variant: string): Shapes {
  const clip = Object.entries(stored['fast']!).filter(([name]) => name.startsWith('clip_model.'));
  return { ...Object.fromEntries(clip), ...stored[variant] };
}

describe('reference models without hyper-parameters', () => {
  const given: ConfigurationOverrides = { decoderHeads: 4 };

  test('fast', () => {
    const source = sourceOf(stored['fast']!, 'clip4str');
    const configuration = inferConfiguration(source, given);
    const decoder = { width: 96, layers: 1, heads: 4, mlpWidth: 384, maxLabelLength: 25, classes: 95 };
    expect(configuration).toEqual({
      family: 'clip4str',
      image: {
        kind: 'clip',
        imageSize: [32, 32],
        patchSize: [8, 8],
        width: 64,
        layers: 2,
        heads: 1,
        mlpWidth: 256,
        activation: 'quick_gelu',
        layerNormEpsilon: 1e-5,
      },
      text: {
        vocabulary: 49408,
        contextLength: 16,
        positions: 77,
        width: 64,
        layers: 3,
        heads: 1,
        mlpWidth: 256,
      },
      embedWidth: 96,
      visualDecoder: decoder,
      crossDecoder: decoder,
      useShareDim: true,
      clipClsEotFeature: false,
      charset: resolveCharset('94'),
      testCharset: resolveCharset('36'),
      decodeAutoregressive: true,
      refineIterations: 1,
      normalization: 'half',
    });
    expectCovered(source, configuration);
  });

  test('p16, whose token embedding is that of fast', () => {
    const token = 'clip_model.token_embedding.weight';
    const source = sourceOf({ ...stored['p16'], [token]: stored['fast']![token]! }, 'clip4str');
    const configuration = inferConfiguration(source, { decoderHeads: 2 });
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({
      image: { imageSize: [224, 224], patchSize: [16, 16], heads: 2 },
      text: { layers: 8 },
      embedWidth: 64,
    });
  });

  test('two decoder layers', () => {
    const source = sourceOf(variantOf('fast_variant_depth2'), 'clip4str');
    const configuration = inferConfiguration(source, given);
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({ visualDecoder: { layers: 2 }, crossDecoder: { layers: 2 } });
  });

  test('a visual decoder on features before the projection is recognised by its width', () => {
    const source = sourceOf(variantOf('fast_variant_noshare'), 'clip4str');
    const configuration = inferConfiguration(source, given);
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({
      useShareDim: false,
      visualDecoder: { width: 64 },
      crossDecoder: { width: 96 },
    });
    expect(() => inferConfiguration(source, { ...given, useShareDim: true })).toThrow(
      'model.ckpt: the visual decoder is 64 wide; with use_share_dim true it takes features of 96.',
    );
  });

  test('class and end-of-text features alone, which shapes do not tell', () => {
    const source = sourceOf(variantOf('fast_variant_cls_eot'), 'clip4str');
    const configuration = inferConfiguration(source, { ...given, clipClsEotFeature: true });
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({ clipClsEotFeature: true });
  });

  test('plain CLIP', () => {
    const source = sourceOf(stored['clip_openai_jit']!, 'clip');
    const configuration = inferConfiguration(source);
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({
      family: 'clip',
      image: { imageSize: [24, 24], heads: 1 },
      text: { vocabulary: 600, contextLength: 77 },
      embedWidth: 32,
    });
  });
});

describe('models with hyper-parameters', () => {
  test('a Lightning checkpoint', () => {
    const source = sourceOf(stored['clip4str_tiny']!, 'clip4str', formatsHyperParameters);
    const configuration = inferConfiguration(source);
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({
      image: { imageSize: [24, 24], layers: 1 },
      text: { vocabulary: 600, contextLength: 16 },
      visualDecoder: { heads: 4 },
    });
  });

  test('the default model: a rectangle that its table of positions does not tell', () => {
    const path = fileURLToPath(new URL('../../weights/clip4str_tiny.safetensors', import.meta.url));
    const metadata = Object.entries(readSafetensorsMetadata(path)).filter(([key]) => key !== 'format');
    const source: ConfigurationSource = {
      name: 'clip4str_tiny.safetensors',
      family: 'clip4str',
      parameters: readSafetensorsShapes(path),
      configuration: Object.fromEntries(metadata.map(([key, value]) => [key, JSON.parse(value) as unknown])),
    };
    const configuration = inferConfiguration(source);
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({
      image: { imageSize: [32, 128], patchSize: [8, 8], width: 128, layers: 5, heads: 2 },
      text: { layers: 2, heads: 1 },
      embedWidth: 128,
      visualDecoder: { heads: 4, width: 128 },
      useShareDim: true,
      charset: resolveCharset('94'),
      testCharset: resolveCharset('36'),
    });
  });

  test('PARSeq', () => {
    const source = sourceOf(parseq.state_dict_keys, 'parseq', parseq.config);
    const configuration = inferConfiguration(source);
    expectCovered(source, configuration);
    expect(configuration).toEqual({
      family: 'parseq',
      image: {
        kind: 'vit',
        imageSize: [32, 128],
        patchSize: [4, 8],
        width: 64,
        layers: 2,
        heads: 2,
        mlpWidth: 256,
        activation: 'gelu',
        layerNormEpsilon: 1e-6,
      },
      decoder: { width: 64, layers: 1, heads: 4, mlpWidth: 256, maxLabelLength: 25, classes: 95 },
      charset: resolveCharset('94'),
      testCharset: resolveCharset('36'),
      decodeAutoregressive: true,
      refineIterations: 1,
      normalization: 'half',
    });
  });

  test('what a user settles goes before what is stored, and that before the usual', () => {
    const hyperParameters = {
      ...formatsHyperParameters,
      decode_ar: false,
      refine_iters: 0,
      normalization: 'clip',
      context_length: 20,
      charset_test: '94',
    };
    const source = sourceOf(stored['clip4str_tiny']!, 'clip4str', hyperParameters);
    expect(inferConfiguration(source)).toMatchObject({
      decodeAutoregressive: false,
      refineIterations: 0,
      normalization: 'clip',
      text: { contextLength: 20 },
      testCharset: resolveCharset('94'),
    });
    const overrides: ConfigurationOverrides = {
      decodeAutoregressive: true,
      refineIterations: 3,
      normalization: 'half',
      contextLength: 12,
      testCharset: '62',
      decoderHeads: 8,
    };
    expect(inferConfiguration(source, overrides)).toMatchObject({
      decodeAutoregressive: true,
      refineIterations: 3,
      normalization: 'half',
      text: { contextLength: 12 },
      testCharset: resolveCharset('62'),
      crossDecoder: { heads: 8 },
    });
  });
});

describe('CLIP with an adapter', () => {
  test.each(adapterTypes)('%s', (type) => {
    const source = fixtureAdapterShapes(type);
    const configuration = inferConfiguration(source, adapterOptions(type));
    expectCovered(source, configuration);
    expect(configuration).toMatchObject({
      family: 'str_adapter',
      image: { imageSize: [32, 32], width: 64, layers: 2 },
      embedWidth: 96,
      decoder: { width: 96, heads: 4, classes: 95 },
    });
    const blocks = [0, 1];
    const sizes = {
      identity: {},
      linear: { hiddenWidth: 48 },
      attention: { heads: 4, mlpWidth: 384 },
      ladder: { blocks, attentionWidth: 64, mlpWidth: 256 },
      linear_ladder: { blocks, hiddenWidth: 16 },
      ladder_pruning: { blocks, attentionWidth: 16, mlpWidth: 64 },
    };
    expect(configuration).toHaveProperty('adapter', { type, ...sizes[type] });
  });

  const infer = (
    type: (typeof adapterTypes)[number],
    configuration: Record<string, unknown>,
    overrides: ConfigurationOverrides = { decoderHeads: 4 },
    extra: Shapes = {},
  ) => {
    const { parameters } = fixtureAdapterShapes(type);
    const shapes = new Map([...parameters].map(([name, { shape }]) => [name, shape]));
    const all = new Map([...shapes, ...Object.entries(extra)]);
    return inferConfiguration(sourceOf(all, 'str_adapter', configuration), overrides);
  };

  test('the blocks beside a ladder, and heads, are recorded', () => {
    const recorded = { block_ids: [1, 0], dec_num_heads: 2, adapter_type: 'ladder' };
    expect(infer('ladder', recorded, {})).toMatchObject({
      adapter: { blocks: [1, 0] },
      decoder: { heads: 2 },
    });
    expect(infer('ladder', recorded, { ladderBlocks: [0, 1] })).toMatchObject({
      adapter: { blocks: [0, 1] },
    });
  });

  test('types that the original knows by another name', () => {
    expect(infer('identity', { adapter_type: 'none' })).toMatchObject({ adapter: { type: 'identity' } });
    expect(infer('ladder', { adapter_type: 'ladder_pruning', block_ids: [0, 1] })).toMatchObject({
      adapter: { type: 'ladder' },
    });
  });

  test.each<[string, () => unknown, string]>([
    [
      'blocks told nowhere',
      () => infer('ladder', {}),
      'its shapes do not tell block_ids, no hyper-parameter records it, and they match no preset. ' +
        'Set it once for all with: clip4str-engine convert <in> <out> --block-ids ...',
    ],
    [
      'blocks that CLIP has not',
      () => infer('linear_ladder', { block_ids: [1, 2] }),
      "block_ids is [1, 2]; expected 2 numbers below 2, one for each block of the ladder out of CLIP's.",
    ],
    ['too few blocks', () => infer('ladder', { block_ids: [0] }), 'block_ids is [0]; expected 2 numbers'],
    [
      'blocks that are no numbers',
      () => infer('ladder', { block_ids: ['0', '1'] }),
      'hyper-parameter block_ids is ["0","1"]; expected a list of whole numbers from 0.',
    ],
    [
      'another type than recorded',
      () => infer('linear', { adapter_type: 'attention' }),
      "hyper-parameter adapter_type is attention; the file's parameters are those of type linear.",
    ],
    [
      'a preset',
      () => infer('linear', {}, { decoderHeads: 4, preset: 'base' }),
      'preset base expects [768,3,16,16]. Leave --preset out.',
    ],
    [
      'a decoder of another width',
      () => infer('linear', {}, { decoderHeads: 4 }, { pos_queries: [1, 26, 64] }),
      "the decoder is 64 wide, CLIP's features 96; they must agree.",
    ],
    [
      'an adapter of which nothing is known',
      () => infer('identity', { block_ids: [0] }, undefined, { 'adapter.other.weight': [1] }),
      '1 unexpected (adapter.other.weight)',
    ],
  ])('%s', (_, attempt, message) => {
    expect(attempt).toThrow(message);
  });
});

test('more layers than any model has are refused before anything is made of them', () => {
  const start = 'clip_model.visual.transformer.resblocks.';
  const shapes = new Map(
    Array.from({ length: 100_000 }, (_, layer): [string, number[]] => [`${start}${layer}.x`, [0]]),
  );
  const clipOnly = new Map([...shapes].map(([name, shape]) => [name.replace('clip_model.', ''), shape]));
  expect(() => inferConfiguration(sourceOf(shapes, 'clip4str'))).toThrow(
    `model.ckpt: has 100000 layers ${start}0 and so on; expected 256 or fewer.`,
  );
  expect(() => inferConfiguration(sourceOf(clipOnly, 'clip'))).toThrow(/has 100000 layers/);
});

describe('presets', () => {
  // In millions, as published: OpenAI's and OpenCLIP's for the part that is CLIP, the paper's for PARSeq.
  const published = {
    base: 149.62,
    base32: 151.28,
    large: 427.62,
    huge: 986.11,
    parseq: 23.8,
    'parseq-tiny': 6.0,
    // As parseq but for 68 more positions and patches of 768 numbers in place of 96.
    'parseq-patch16-224': 24.1,
  };

  test.each(presetNames)('%s has the published size and is found from shapes alone', (name) => {
    const preset = presets[name];
    const expected = expectedParameters(preset);
    const counted = [...expected].filter(
      ([key]) => preset.family === 'parseq' || key.startsWith('clip_model.'),
    );
    const count = counted.reduce(
      (sum, [, shape]) => sum + shape.reduce((product, size) => product * size, 1),
      0,
    );
    expect(count / 1e6).toBeCloseTo(published[name], preset.family === 'parseq' ? 1 : 2);
    expect(inferConfiguration(sourceOf(expected, preset.family))).toEqual(preset);
    expect(inferConfiguration(sourceOf(expected, preset.family), { preset: name })).toEqual(preset);
  });

  test('one that does not fit is refused, naming the one that does', () => {
    const source = sourceOf(expectedParameters(presets.base32), 'clip4str', {}, 'clip4str_base.ckpt');
    expect(() => inferConfiguration(source, { preset: 'base' })).toThrow(
      'clip4str_base.ckpt: clip_model.visual.conv1.weight is [768,3,32,32]; preset base expects [768,3,16,16]. ' +
        'Try --preset base32.',
    );
    expect(() => inferConfiguration(source, { preset: 'parseq' })).toThrow(
      'clip4str_base.ckpt: encoder.pos_embed is missing; preset parseq expects [1,128,384]. Try --preset base32.',
    );
    const fast = sourceOf(stored['fast']!, 'clip4str');
    expect(() => inferConfiguration(fast, { preset: 'base' })).toThrow('Leave --preset out.');
  });

  test('another charset and label length still match', () => {
    const shapes = expectedParameters(presets.base);
    for (const branch of ['visual_decoder', 'cross_decoder']) {
      shapes.set(`${branch}.head.weight`, [37, 512]);
      shapes.set(`${branch}.head.bias`, [37]);
      shapes.set(`${branch}.text_embed.embedding.weight`, [39, 512]);
      shapes.set(`${branch}.pos_queries`, [1, 11, 512]);
    }
    expect(inferConfiguration(sourceOf(shapes, 'clip4str'))).toMatchObject({
      charset: resolveCharset('36'),
      crossDecoder: { heads: 8, maxLabelLength: 10, classes: 37 },
    });
  });

  test('an unknown name', () => {
    expect(() => presetOf('giant')).toThrow(
      'preset giant: expected one of base, base32, large, huge, parseq, parseq-tiny, parseq-patch16-224.',
    );
  });
});

describe('checkpoints that contradict themselves', () => {
  const fast = stored['fast']!;
  const given: ConfigurationOverrides = { decoderHeads: 4 };
  const failing = (
    changes: Record<string, number[] | undefined>,
    hyperParameters: Record<string, unknown> = {},
  ) => {
    const shapes = Object.entries({ ...fast, ...changes }).filter(
      (entry): entry is [string, number[]] => !!entry[1],
    );
    return () => inferConfiguration(sourceOf(Object.fromEntries(shapes), 'clip4str', hyperParameters), given);
  };

  test.each<[string, () => unknown, string]>([
    [
      'decoder heads told nowhere',
      () => inferConfiguration(sourceOf(fast, 'clip4str')),
      'model.ckpt: its shapes do not tell dec_num_heads',
    ],
    [
      'heads that do not divide the width',
      () => inferConfiguration(sourceOf(fast, 'clip4str'), { decoderHeads: 7 }),
      'model.ckpt: visual_decoder is 96 wide, which 7 attention heads do not divide.',
    ],
    [
      'a missing parameter',
      failing({ 'clip_model.visual.conv1.weight': undefined }),
      'model.ckpt: clip_model.visual.conv1.weight is missing.',
    ],
    [
      'missing and unexpected parameters, all in one message',
      failing({
        'clip_model.token_embedding.weight': undefined,
        'clip_model.ln_final.weight': undefined,
        'cross_decoder.norm.bias': undefined,
        'cross_decoder.extra': [1],
      }),
      'In all: 3 missing (clip_model.token_embedding.weight, clip_model.ln_final.weight, cross_decoder.norm.bias); ' +
        '1 unexpected (cross_decoder.extra).',
    ],
    [
      'a missing parameter that tells sizes, with one of another shape that does not follow from them',
      failing({ 'clip_model.visual.conv1.weight': undefined, 'cross_decoder.head.bias': [7] }),
      'In all: 1 missing (clip_model.visual.conv1.weight); ' +
        '1 of another shape (cross_decoder.head.bias is [7], expected [95]).',
    ],
    [
      'one of another shape than most say, where the parameter that tells it is missing',
      failing({
        'clip_model.visual.conv1.weight': undefined,
        'clip_model.visual.ln_pre.weight': [65],
        'visual_decoder.layers.0.linear1.weight': undefined,
        'visual_decoder.layers.0.linear2.weight': [96, 385],
      }),
      '2 of another shape (clip_model.visual.ln_pre.weight is [65], expected [64], ' +
        'visual_decoder.layers.0.linear2.weight is [96,385], expected [96,384]).',
    ],
    [
      'an empty dimension',
      failing({ 'clip_model.visual.conv1.weight': [64, 3, 0, 8] }),
      'clip_model.visual.conv1.weight is [64,3,0,8]; expected 4 dimensions, none of them empty.',
    ],
    [
      'four colour channels',
      failing({ 'clip_model.visual.conv1.weight': [64, 4, 8, 8] }),
      'takes 4 channels; expected 3',
    ],
    [
      'a width too small for a head',
      failing({ 'clip_model.visual.conv1.weight': [32, 3, 8, 8] }),
      'clip_model.visual is 32 wide, which 0 attention heads do not divide.',
    ],
    [
      'positions that form no square',
      failing({ 'clip_model.visual.positional_embedding': [16, 64] }),
      'clip_model.visual.positional_embedding is for 15 patches, which form no square',
    ],
    ['no patches at all', failing({ 'clip_model.visual.positional_embedding': [1, 64] }), 'is for 0 patches'],
    [
      'an image size of other patches',
      failing({}, { img_size: [224, 224] }),
      'images of 224x224 in patches of 8x8 do not fill clip_model.visual.positional_embedding, which is for 16 patches.',
    ],
    [
      'an image size that cuts patches',
      failing({}, { img_size: [12, 85] }),
      'images of 12x85 in patches of 8x8 do not fill',
    ],
    [
      'hyper-parameters of another type',
      failing({}, { img_size: 'large' }),
      'model.ckpt: hyper-parameter img_size is "large"; expected [height, width] in pixels.',
    ],
    ['decode_ar as a number', failing({}, { decode_ar: 1 }), 'decode_ar is 1; expected true or false.'],
    [
      'a normalisation nobody knows',
      failing({}, { normalization: 'z' }),
      'normalization is "z"; expected half or clip.',
    ],
    [
      'a negative count',
      failing({}, { refine_iters: -1 }),
      'model.ckpt: hyper-parameter refine_iters is -1; expected a whole number from 0 to 32.',
    ],
    [
      'refinement without end',
      failing({}, { refine_iters: 1e12 }),
      'model.ckpt: hyper-parameter refine_iters is 1000000000000; expected a whole number from 0 to 32.',
    ],
    [
      'texts of absurd length',
      failing({ 'visual_decoder.pos_queries': [1, 100_000, 96] }),
      'model.ckpt: visual_decoder.pos_queries is for texts of 99999 characters; at most 1024 are read.',
    ],
    [
      'decoders of different positions',
      failing({ 'visual_decoder.pos_queries': [1, 28, 96] }),
      'model.ckpt: visual_decoder.pos_queries is [1,28,96], cross_decoder.pos_queries [1,26,96]; expected as many ' +
        'positions in both.',
    ],
    [
      'positions of another length than the file records',
      failing({ 'cross_decoder.pos_queries': [1, 28, 96] }, { max_label_length: 25 }),
      'model.ckpt: cross_decoder.pos_queries is [1,28,96]; for texts of 25 characters, which the file records as ' +
        'max_label_length, expected [1,26,96].',
    ],
    [
      'images of absurd size',
      failing({ 'clip_model.visual.positional_embedding': [1_000_001, 64] }),
      'model.ckpt: its images are 8000x8000 pixels; at most 4096x4096 are read.',
    ],
    [
      'a charset with a character twice',
      failing({}, { charset_test: 'aab' }),
      'model.ckpt: hyper-parameter charset_test: charset: "a" occurs twice.',
    ],
    [
      'an empty charset',
      failing({}, { charset_train: '' }),
      'model.ckpt: hyper-parameter charset_train: charset: no characters.',
    ],
    [
      'a charset of another length',
      failing({}, { charset_train: 'abc' }),
      "the charset has 3 characters; the decoder's head predicts 94. Try charset 94.",
    ],
    [
      'a context beyond the positions',
      failing({}, { context_length: 78 }),
      'a context length of 78 exceeds the 77',
    ],
    [
      'decoders of different classes',
      failing({ 'visual_decoder.head.weight': [37, 96] }),
      'visual_decoder.head has 37 classes, cross_decoder.head 95; they must agree.',
    ],
    [
      'a cross-modal decoder of another width',
      failing({ 'cross_decoder.pos_queries': [1, 26, 64] }),
      "the cross-modal decoder is 64 wide, CLIP's features 96; they must agree. In all: 1 of another shape " +
        '(cross_decoder.pos_queries is [1,26,64], expected [1,26,96]).',
    ],
  ])('%s', (_, infer, message) => {
    expect(infer).toThrow(message);
  });

  const check = (source: ConfigurationSource): string => {
    try {
      checkParameters(source, inferConfiguration(source, given));
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };

  test('one tensor that tells a size is itself wrong: it is named, and no other', () => {
    for (const [name, shape] of [
      ['clip_model.visual.transformer.resblocks.0.mlp.c_fc.weight', [258, 64]],
      ['clip_model.transformer.resblocks.0.mlp.c_fc.weight', [255, 64]],
      ['visual_decoder.layers.0.linear1.weight', [387, 96]],
    ] as const) {
      expect(check(sourceOf({ ...fast, [name]: [...shape] }, 'clip4str'))).toBe(
        `model.ckpt: does not fit the model: 1 of another shape (${name} is [${shape.join()}], expected ` +
          `[${fast[name]!.join()}])`,
      );
    }
  });

  test('whichever tensor is wrong, it is named', () => {
    const unnamed = Object.entries(fast).flatMap(([name, shape]) =>
      shape.flatMap((size, axis) => {
        const source = sourceOf({ ...fast, [name]: shape.with(axis, 2 * size) }, 'clip4str', {
          max_label_length: 25,
          charset_train: '94',
          img_size: [32, 32],
        });
        // Of these any number of rows makes a model.
        if (axis === 0 && /token_embedding|clip_model\.positional_embedding/.test(name)) return [];
        return check(source).includes(name) ? [] : [`${name} ${axis}`];
      }),
    );
    expect(unnamed).toEqual([]);
  });

  test('a charset that is neither recorded nor named', () => {
    const shapes = { ...fast, 'visual_decoder.head.weight': [6, 96], 'cross_decoder.head.weight': [6, 96] };
    const source = sourceOf(shapes, 'clip4str');
    expect(() => inferConfiguration(source, given)).toThrow('its shapes do not tell charset_train');
    expect(inferConfiguration(source, { ...given, charset: 'αβγδε' })).toMatchObject({
      charset: 'αβγδε',
      testCharset: 'αβγδε',
    });
  });

  test('layer numbers of absurd size cost nothing', () => {
    const absurd = 'clip_model.transformer.resblocks.999999999.ln_1.weight';
    const source = sourceOf({ ...fast, [absurd]: [64] }, 'clip4str');
    expect(inferConfiguration(source, given)).toMatchObject({ text: { layers: 4 } });
  });

  test('keys of every object are no hyper-parameters', () => {
    const configuration = JSON.parse('{"__proto__": {"decode_ar": false}}') as Record<string, unknown>;
    const source = sourceOf(fast, 'clip4str', configuration);
    expect(inferConfiguration(source, given)).toMatchObject({
      decodeAutoregressive: true,
    });
  });
});
