/** Every module of both CLIP towers against the original's outputs, put together from the same building blocks. */
import { expect, test } from '@jest/globals';
import { type Tensor, add, concat, embedding, layerNorm, linear, matmul, patches } from '../engine/index.js';
import { clipBlockNames, transformerBlock } from '../model/transformer.js';
import { useDevice } from './support/device.js';
import { useErrorReport } from './support/error_report.js';
import { useFixtureModels } from './support/fixture_models.js';
import { readTensorFixture } from './support/fixtures.js';
import { onHost, upload } from './support/recognize.js';

const device = useDevice();
const report = useErrorReport('CLIP towers, layer by layer');
const modelOf = useFixtureModels(device);
const tensors = readTensorFixture('forward/fast_layers.safetensors');

async function compare(name: string, actual: Tensor): Promise<void> {
  const { shape, data } = await onHost(actual);
  expect(shape).toEqual(tensors.get(name).shape);
  report.compare(name, data, tensors.floats(name));
}

test('image tower', () =>
  device().scope(async () => {
    const { parameters, configuration } = await modelOf('fast');
    const { patchSize, heads, activation, layers, width, layerNormEpsilon: epsilon } = configuration.image;
    const get = (name: string): Tensor => parameters.get(`clip_model.visual.${name}`);
    const cut = patches(upload(device(), tensors.get('images')), patchSize);
    const embedded = linear(cut, get('conv1.weight').reshape([width, -1]));
    await compare('visual.conv1', embedded.transpose().reshape([1, width, 4, 4]));
    const tokens = concat([get('class_embedding').reshape([1, 1, width]), embedded], 1);
    let x = layerNorm(
      add(tokens, get('positional_embedding')),
      get('ln_pre.weight'),
      get('ln_pre.bias'),
      epsilon,
    );
    await compare('visual.ln_pre', x);
    for (let layer = 0; layer < layers; layer++) {
      const names = clipBlockNames(`clip_model.visual.transformer.resblocks.${layer}`);
      x = transformerBlock(x, parameters, names, { heads, activation, epsilon, causal: false });
      await compare(`visual.transformer.resblocks.${layer}`, x);
    }
    const normalized = layerNorm(x, get('ln_post.weight'), get('ln_post.bias'), epsilon);
    await compare('visual.ln_post', normalized);
    await compare('visual.out', matmul(normalized, get('proj')));
  }));

test('text tower', () =>
  device().scope(async () => {
    const { parameters, configuration } = await modelOf('fast');
    const { heads, layers } = configuration.text;
    const get = (name: string): Tensor => parameters.get(`clip_model.${name}`);
    const ids = Uint32Array.from(tensors.integers('tokens'));
    const tokens = device().tensor(ids, tensors.get('tokens').shape);
    const table = get('token_embedding.weight');
    await compare('text.token_embedding', embedding(table, tokens));
    const positions = get('positional_embedding').slice(0, 0, ids.length);
    let x = embedding(table, tokens, { positions });
    for (let layer = 0; layer < layers; layer++) {
      const names = clipBlockNames(`clip_model.transformer.resblocks.${layer}`);
      x = transformerBlock(x, parameters, names, {
        heads,
        activation: 'quick_gelu',
        epsilon: 1e-5,
        causal: true,
      });
      await compare(`text.transformer.resblocks.${layer}`, x);
    }
    const normalized = layerNorm(x, get('ln_final.weight'), get('ln_final.bias'));
    await compare('text.ln_final', normalized);
    await compare('text.out', matmul(normalized, get('text_projection')));
  }));
