/** Naming conventions, half-precision loading and the check against a model's expectation. */
import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkParameters, inferConfiguration } from '../model/index.js';
import {
  differencesText,
  parameterDifferences,
  isRoundedToHalf,
  openParameters,
  withClipRounding,
  writeSafetensors,
  type ParameterSource,
  type WritableTensor,
} from '../weights/index.js';
import {
  formatFixture,
  messageOf,
  parseqFixture,
  plainSafetensors,
  plainValues,
  withFolder,
  type PlainTensor,
} from './support/weights_files.js';

const openAi = plainSafetensors(formatFixture('clip_openai_jit.raw.safetensors'));
const SIZES = ['input_resolution', 'context_length', 'vocab_size'];

function writable(name: string, { shape }: PlainTensor, values: number[]): WritableTensor {
  return { name, dtype: 'f32', shape, read: () => Float32Array.from(values) };
}

async function expectClip(source: ParameterSource, truth: ReadonlyMap<string, PlainTensor>): Promise<void> {
  const names = [...truth.keys()].filter((name) => !SIZES.includes(name));
  expect([...source.parameters.keys()].sort()).toEqual(names.sort());
  for (const name of names) {
    const tensor = truth.get(name)!;
    const values = plainValues(tensor);
    expect(source.parameters.get(name)?.shape).toEqual(tensor.shape);
    expect(Array.from(await source.readF32(name))).toEqual(values);
    const chunked: number[] = [];
    for await (const chunk of source.readChunks(name, 5000)) {
      expect(chunk.elementOffset).toBe(chunked.length);
      chunked.push(...chunk.values);
    }
    expect(chunked).toEqual(values);
  }
}

/** What Hugging Face's conversion of OpenAI's weights stores, tensor by tensor. */
function huggingFace(): WritableTensor[] {
  const tensors: WritableTensor[] = [];
  const block = (name: string): string =>
    name
      .replace('visual.transformer.resblocks', 'vision_model.encoder.layers')
      .replace(/^transformer\.resblocks/, 'text_model.encoder.layers')
      .replace('.attn.', '.self_attn.')
      .replace('.ln_1', '.layer_norm1')
      .replace('.ln_2', '.layer_norm2')
      .replace('.mlp.c_fc', '.mlp.fc1')
      .replace('.mlp.c_proj', '.mlp.fc2');
  const plain: Record<string, string> = {
    logit_scale: 'logit_scale',
    positional_embedding: 'text_model.embeddings.position_embedding.weight',
    'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
    'ln_final.weight': 'text_model.final_layer_norm.weight',
    'ln_final.bias': 'text_model.final_layer_norm.bias',
    'visual.class_embedding': 'vision_model.embeddings.class_embedding',
    'visual.positional_embedding': 'vision_model.embeddings.position_embedding.weight',
    'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
    'visual.ln_pre.weight': 'vision_model.pre_layrnorm.weight',
    'visual.ln_pre.bias': 'vision_model.pre_layrnorm.bias',
    'visual.ln_post.weight': 'vision_model.post_layernorm.weight',
    'visual.ln_post.bias': 'vision_model.post_layernorm.bias',
  };
  for (const [name, tensor] of openAi) {
    if (SIZES.includes(name)) continue;
    const values = plainValues(tensor);
    const [rows = 0, columns = 0] = tensor.shape;
    if (name === 'visual.proj' || name === 'text_projection') {
      const transposed = Array.from(
        { length: values.length },
        (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!,
      );
      const stored = name === 'visual.proj' ? 'visual_projection.weight' : 'text_projection.weight';
      tensors.push(writable(stored, { ...tensor, shape: [columns, rows] }, transposed));
    } else if (name.includes('in_proj')) {
      const shape = [rows / 3, ...tensor.shape.slice(1)];
      const third = values.length / 3;
      ['q', 'k', 'v'].forEach((part, i) => {
        const stored = block(name).replace('in_proj_', `${part}_proj.`);
        tensors.push(writable(stored, { ...tensor, shape }, values.slice(i * third, (i + 1) * third)));
      });
    } else {
      tensors.push(writable(plain[name] ?? block(name), tensor, values));
    }
  }
  for (const tower of ['vision_model', 'text_model']) {
    const read = () => BigInt64Array.of(0n, 1n);
    tensors.push({ name: `${tower}.embeddings.position_ids`, dtype: 'i64', shape: [1, 2], read });
  }
  return tensors;
}

const differencesOf = (...compared: Parameters<typeof parameterDifferences>): string =>
  differencesText(parameterDifferences(...compared));

describe('conventions', () => {
  test("OpenAI's archive", async () => {
    const source = await openParameters(formatFixture('clip_openai_jit_cuda.pt'));
    expect(source).toMatchObject({ family: 'clip', convention: 'openai-clip', ignored: SIZES });
    await expectClip(source, openAi);
    await source.close();
  });

  test('OpenCLIP, bare and behind DistributedDataParallel with its mask', async () => {
    const bare = await openParameters(formatFixture('OpenCLIP-tiny.bin'));
    expect(bare).toMatchObject({ family: 'clip', convention: 'open-clip', ignored: [] });
    await withFolder(async (folder) => {
      const path = join(folder, 'wrapped.safetensors');
      const tensors: WritableTensor[] = [];
      for (const [name, { shape }] of bare.parameters) {
        tensors.push({ name: `module.${name}`, dtype: 'f32', shape, read: () => bare.readF32(name) });
      }
      tensors.push({ name: 'module.attn_mask', dtype: 'f32', shape: [1], read: () => new Float32Array(1) });
      await writeSafetensors(path, tensors);
      const wrapped = await openParameters(path);
      expect(wrapped).toMatchObject({ convention: 'open-clip', ignored: ['module.attn_mask'] });
      await expectClip(wrapped, plainSafetensorsWithout(path, 'module.'));
      expect([...wrapped.parameters.keys()].sort()).toEqual([...bare.parameters.keys()].sort());
      await wrapped.close();
    });
    await bare.close();
  });

  test('Hugging Face: three projections become one, projections are transposed', async () => {
    await withFolder(async (folder) => {
      const path = join(folder, 'model.safetensors');
      await writeSafetensors(path, huggingFace(), { format: 'pt' });
      const source = await openParameters(folder);
      expect(source).toMatchObject({ family: 'clip', convention: 'hugging-face-clip' });
      expect([...source.ignored].sort()).toEqual([
        'text_model.embeddings.position_ids',
        'vision_model.embeddings.position_ids',
      ]);
      await expectClip(source, openAi);
      await source.close();
    });
  });

  test('Hugging Face: parts of a projection that do not fit are told with all else that is wrong', async () => {
    await withFolder(async (folder) => {
      const path = join(folder, 'model.safetensors');
      const key = 'text_model.encoder.layers.0.self_attn.k_proj.weight';
      const tensors = huggingFace()
        .filter(({ name }) => name !== 'vision_model.post_layernorm.bias')
        .map((tensor): WritableTensor => {
          if (tensor.name !== key) return tensor;
          const shape = [tensor.shape[0]!, tensor.shape[1]! + 1];
          return { name: key, shape, dtype: 'f32', read: () => new Float32Array(shape[0]! * shape[1]!) };
        });
      await writeSafetensors(path, tensors);
      const source = await openParameters(path);
      const merged = 'transformer.resblocks.0.attn.in_proj_weight';
      const width = tensors.find(({ name }) => name === key)!.shape[0]!;
      const message = await messageOf(async () => checkParameters(source, inferConfiguration(source)));
      expect(message).toContain(
        'does not fit the model: 1 missing (visual.ln_post.bias); 1 of another shape',
      );
      expect(message).toContain(`${merged} cannot be made: its parts `);
      expect(message).toContain(`${key} [${width},${width + 1}]`);
      expect(await messageOf(() => source.readF32(merged))).toContain('do not fit one another');
      await source.close();
    });
  });

  test('Hugging Face: parts of a projection in several types are read', async () => {
    await withFolder(async (folder) => {
      const path = join(folder, 'model.safetensors');
      const key = 'text_model.encoder.layers.0.self_attn.k_proj.weight';
      const tensors = huggingFace().map((tensor): WritableTensor =>
        tensor.name === key && tensor.dtype === 'f32' ? { ...tensor, dtype: 'f16' } : tensor,
      );
      await writeSafetensors(path, tensors);
      const source = await openParameters(path);
      const merged = 'transformer.resblocks.0.attn.in_proj_weight';
      expect(source.parameters.get(merged)).toMatchObject({
        dtype: 'f32',
        shape: openAi.get(merged)!.shape,
      });
      const values = await source.readF32(merged);
      plainValues(openAi.get(merged)!).forEach((value, at) => expect(values[at]).toBeCloseTo(value, 2));
      await source.close();
    });
  });

  test('PARSeq, old and with the prefix of its newer code', async () => {
    const { state_dict_keys: keys } = JSON.parse(readFileSync(parseqFixture('parseq.json'), 'utf8')) as {
      state_dict_keys: Record<string, number[]>;
    };
    const old = await openParameters(parseqFixture('parseq_tiny.pt'));
    expect(old).toMatchObject({ family: 'parseq', convention: 'parseq', ignored: [] });
    expect(differencesOf(old, new Map(Object.entries(keys)))).toBe('');
    await withFolder(async (folder) => {
      const path = join(folder, 'newer.safetensors');
      const tensors = [...old.parameters].map(([name, { shape }]): WritableTensor => {
        return { name: `model.${name}`, dtype: 'f32', shape, read: () => old.readF32(name) };
      });
      await writeSafetensors(path, tensors);
      const newer = await openParameters(path);
      expect(newer.family).toBe('parseq');
      expect(differencesOf(newer, new Map(Object.entries(keys)))).toBe('');
      expect(await newer.readF32('pos_queries')).toEqual(await old.readF32('pos_queries'));
      await newer.close();
    });
    await old.close();
  });

  test('CLIP4STR keeps its names and configuration', async () => {
    const source = await openParameters(formatFixture('clip4str_tiny.ckpt'));
    expect(source).toMatchObject({ family: 'clip4str', convention: 'clip4str', ignored: [] });
    expect(source.configuration.max_label_length).toBe(25);
    expect(source.parameters.get('cross_decoder.pos_queries')?.shape).toEqual([1, 26, 32]);
    await source.close();
  });

  test('CLIP with an adapter is neither PARSeq nor CLIP4STR, also without an adapter of its own', async () => {
    const names = ['clip_model.visual.conv1.weight', 'decoder.norm.weight', 'text_embed.embedding.weight'];
    await withFolder(async (folder) => {
      const path = join(folder, 'adapter');
      for (const more of [[], ['adapter.fc.0.weight']]) {
        const tensors = [...names, ...more].map((name) => ({
          name: `model.${name}`,
          shape: [1],
          dtype: 'f32' as const,
          read: () => new Float32Array(1),
        }));
        await writeSafetensors(path, tensors);
        const source = await openParameters(path);
        expect(source).toMatchObject({ family: 'str_adapter', convention: 'str_adapter' });
        expect([...source.parameters.keys()].sort()).toEqual([...more, ...names].sort());
        await source.close();
      }
    });
  });

  test('tensors of no known family are refused', async () => {
    expect(await messageOf(() => openParameters(formatFixture('odd_tensors.pt')))).toBe(
      'odd_tensors.pt: holds no CLIP4STR, PARSeq or CLIP model: its 13 tensors begin with base, view, transposed',
    );
  });
});

function plainSafetensorsWithout(path: string, prefix: string): Map<string, PlainTensor> {
  const entries = [...plainSafetensors(path)].map(([name, tensor]): [string, PlainTensor] => [
    name.slice(prefix.length),
    tensor,
  ]);
  return new Map(entries.filter(([name]) => name !== 'attn_mask'));
}

describe('loading CLIP in half precision', () => {
  const truth = plainSafetensors(formatFixture('OpenCLIP-tiny.as_loaded.safetensors'));
  const changed = JSON.parse(readFileSync(formatFixture('formats.json'), 'utf8')) as {
    openclip_tensors_changed_by_loading: string[];
    openclip_tensors_unchanged: string[];
  };

  test('rounds the tensors that the original rounds, to the same values', async () => {
    const source = withClipRounding(await openParameters(formatFixture('OpenCLIP-tiny.bin')));
    await expectClip(source, truth);
    await source.close();
  });

  test('names of both towers, within CLIP4STR too, and none of the decoders', () => {
    for (const name of changed.openclip_tensors_changed_by_loading) {
      expect([name, isRoundedToHalf(name), isRoundedToHalf(`clip_model.${name}`)]).toEqual([
        name,
        true,
        true,
      ]);
    }
    for (const name of changed.openclip_tensors_unchanged) {
      expect([name, isRoundedToHalf(name), isRoundedToHalf(`clip_model.${name}`)]).toEqual([
        name,
        false,
        false,
      ]);
    }
    expect(isRoundedToHalf('cross_decoder.layers.0.self_attn.out_proj.weight')).toBe(false);
  });
});

describe('differences from what a model expects', () => {
  const source = (shapes: Record<string, number[]>): Parameters<typeof parameterDifferences>[0] => ({
    parameters: new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
  });

  test('are none where all fits', () => {
    const expected = new Map([
      ['a', []],
      ['b', [2, 3]],
    ]);
    expect(differencesOf(source({ a: [], b: [2, 3] }), expected)).toBe('');
  });

  test('list missing, unexpected and mis-shaped parameters together', () => {
    const expected = new Map([
      ['visual.conv1.weight', [768, 3, 16, 16]],
      ['head.weight', [95, 8]],
      ['same', [1]],
    ]);
    const found = source({ 'visual.conv1.weight': [768, 3, 32, 32], 'odd name': [1], same: [1] });
    expect(differencesOf(found, expected)).toBe(
      '1 missing (head.weight); 1 unexpected ("odd name"); ' +
        '1 of another shape (visual.conv1.weight is [768,3,32,32], expected [768,3,16,16])',
    );
  });

  test('are cut and counted where they are many', () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`tensor.${i}`, [1]]));
    expect(differencesOf(source(many), new Map())).toMatch(/^1000 unexpected \(.*tensor\.7 and 992 more\)$/);
  });
});
