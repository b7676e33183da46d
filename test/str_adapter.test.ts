/** The CLIP adapters against the original: features, readings, losses and gradients. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { backward } from '../engine/index.js';
import {
  type AdapterType,
  type StrAdapterConfiguration,
  type StrAdapterModel,
  adapterTypes,
  expectedParameters,
} from '../model/index.js';
import { inferConfiguration } from '../model/infer_configuration.js';
import { initialWeights } from '../train/initial_weights.js';
import { parameterGroups } from '../train/parameter_groups.js';
import { permutedLoss } from '../train/permuted_loss.js';
import { clipWeights } from '../train/starting_weights.js';
import { trainingTargets } from '../train/targets.js';
import { TrainingStep } from '../train/training_step.js';
import type { ParameterSource } from '../weights/index.js';
import { useDevice } from './support/device.js';
import { useErrorReport, useSummary } from './support/error_report.js';
import {
  adapterOptions,
  fastClipParameters,
  fixtureAdapterShapes,
  loadFixtureAdapter,
} from './support/fixture_models.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { norm, normTolerance, relative, rowsOf } from './support/gradients.js';
import { readingFromLogits } from '../model/reading_text.js';
import { onHost, recognize, upload } from './support/recognize.js';

const device = useDevice({ device: 'software' });
const report = useErrorReport('CLIP adapters');
const lines = useSummary('training adapters against the original');

interface Reference {
  readonly strings_r0: readonly string[];
  readonly strings_r1: readonly string[];
  readonly labels: readonly string[];
  readonly loss: number;
  readonly grad_norms: Readonly<Record<string, number>>;
  readonly unfrozen_clip_parameters_with_grad: readonly string[];
}

const references = readJsonFixture<Record<AdapterType, Reference>>('adapters/adapters.json');

describe.each(adapterTypes)('%s', (type) => {
  const reference = references[type];
  const tensors = readTensorFixture(`adapters/${type}.refs.safetensors`);
  const permutations = rowsOf(tensors.integers('perms'), tensors.get('perms').shape);
  let model: StrAdapterModel;
  beforeAll(async () => {
    model = await loadFixtureAdapter(device(), type);
  });
  afterAll(() => {
    model.parameters.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test('features and readings', async () => {
    const images = tensors.get('images');
    // As readers have it.
    const reading = await loadFixtureAdapter(device(), type, true);
    const projected = await device().scope(() =>
      onHost(reading.encodeClip(upload(device(), images)).projected),
    );
    report.compare('features of CLIP', projected.data, tensors.floats('clip_memory'));
    for (const refineIterations of [0, 1]) {
      const { logits, stages } = await recognize(device(), reading, images, { refineIterations });
      const name = `logits_r${refineIterations}`;
      expect(logits.shape).toEqual(tensors.get(name).shape);
      report.compare(`${type} memory`, stages.get('memory')!.data, tensors.floats('memory'));
      report.compare(`${type} ${name}`, logits.data, tensors.floats(name));
      const size = logits.data.length / 3;
      const texts = [0, 1, 2].map(
        (row) => readingFromLogits(logits.data.slice(row * size, (row + 1) * size), model.tokenizer).text,
      );
      expect(texts).toEqual(refineIterations === 0 ? reference.strings_r0 : reference.strings_r1);
    }
    reading.parameters.dispose();
  });

  test('loss and gradients, also of a CLIP that is not frozen', async () => {
    const { parameters, tokenizer, configuration } = model;
    const targets = trainingTargets(reference.labels, tokenizer, configuration.decoder.maxLabelLength);
    const loss = await device().scope(async () => {
      for (const [, tensor] of parameters.entries()) tensor.requireGradient();
      const images = upload(device(), tensors.get('images'));
      const result = await permutedLoss(model, images, targets, permutations);
      backward(result.loss);
      return (await result.loss.read())[0]!;
    });
    expect(relative(loss, reference.loss)).toBeLessThan(1e-5);
    const collected = [...parameters.entries()].filter(([, tensor]) => tensor.gradient);
    expect(collected.map(([name]) => name).sort()).toEqual(
      [...Object.keys(reference.grad_norms), ...reference.unfrozen_clip_parameters_with_grad].sort(),
    );
    const gradients = await device().readAll(collected.map(([, tensor]) => tensor.gradient!));
    let worst = 0;
    collected.forEach(([name], i) => {
      if (!(name in reference.grad_norms)) return;
      const error = relative(norm(gradients[i]!), reference.grad_norms[name]!);
      if (error >= normTolerance) throw new Error(`${name}: the gradient's norm is off by ${error}`);
      worst = Math.max(worst, error);
    });
    lines.push(
      `${type}: loss ${relative(loss, reference.loss).toExponential(1)}, gradient norms ${worst.toExponential(1)}`,
    );
    for (const [, tensor] of parameters.entries()) tensor.requireGradient(false);
  });

  test('an optimizer step leaves CLIP as it was', async () => {
    const { parameters } = model;
    const shapes = new Map([...parameters.entries()].map(([name, { shape }]) => [name, shape]));
    const groups = parameterGroups(
      shapes,
      { model: 'str_adapter', adapter: type },
      { learningRate: 1e-4, weightDecay: 0.2, decoderRateFactor: 19, decoderDecayFactor: 1 },
    );
    const names = [...shapes.keys()];
    const all = names.map((name) => parameters.get(name));
    const before = await device().readAll(all);
    const training = new TrainingStep(model, groups, { betas: [0.9, 0.98], epsilon: 1e-6 });
    const pixels = Float32Array.from(tensors.floats('images'));
    const { loss, gradientNorm } = await training.run([{ pixels, labels: reference.labels, permutations }], {
      learningRates: groups.map(({ maxLearningRate }) => maxLearningRate),
    });
    training.dispose();
    expect(relative(loss, reference.loss)).toBeLessThan(1e-5);
    expect(relative(gradientNorm, norm(Object.values(reference.grad_norms)))).toBeLessThan(1e-4);
    const after = await device().readAll(all);
    const changed = names.filter((_, i) => after[i]!.some((value, at) => value !== before[i]![at]));
    expect(changed.sort()).toEqual(Object.keys(reference.grad_norms).sort());
  });
});

describe('what an adapter starts from', () => {
  const clip = fastClipParameters();
  const configurationOf = (type: AdapterType): StrAdapterConfiguration => {
    const configuration = inferConfiguration(fixtureAdapterShapes(type), adapterOptions(type));
    if (configuration.family !== 'str_adapter') throw new Error(`${type}: is no model with an adapter.`);
    return configuration;
  };
  const start = (type: AdapterType, seed = 1): ParameterSource => {
    const configuration = configurationOf(type);
    return clipWeights(clip, initialWeights(configuration, seed), configuration);
  };

  test.each(adapterTypes)('%s has all of its parameters', async (type) => {
    const weights = start(type);
    const expected = expectedParameters(configurationOf(type));
    expect(new Map([...weights.parameters].map(([name, { shape }]) => [name, shape]))).toEqual(expected);
    for (const [name, shape] of expected) {
      const { length } = await weights.readF32(name);
      expect({ name, length }).toEqual({ name, length: shape.reduce((count, size) => count * size, 1) });
    }
    const name = 'visual.transformer.resblocks.1.ln_2.bias';
    expect(await weights.readF32(`clip_model.${name}`)).toEqual(await clip.readF32(name));
  });

  test('a pruned ladder keeps the rows and columns that the original keeps', async () => {
    const expected = readTensorFixture('adapters/ladder_pruning.initial_adapter.safetensors');
    const weights = start('ladder_pruning');
    for (const name of expected.names) {
      const values = await weights.readF32(`adapter.${name}`);
      expect({ name, values }).toEqual({ name, values: expected.floats(name) });
    }
  });

  test('a ladder copies blocks of CLIP, its last norm and its projection', async () => {
    const weights = start('ladder');
    const expectCopy = async (name: string, origin: string): Promise<void> =>
      expect(await weights.readF32(`adapter.${name}`)).toEqual(await clip.readF32(`visual.${origin}`));
    await expectCopy('resblocks.1.mlp.c_proj.weight', 'transformer.resblocks.1.mlp.c_proj.weight');
    await expectCopy('resblocks.0.attn.in_proj_bias', 'transformer.resblocks.0.attn.in_proj_bias');
    await expectCopy('ln_post.weight', 'ln_post.weight');
    await expectCopy('proj', 'proj');
    expect(await weights.readF32('adapter.alpha')).toEqual(new Float32Array(2));
  });

  test('what is no copy starts at random', async () => {
    const deviation = async (type: AdapterType, name: string): Promise<number> => {
      const values = await start(type).readF32(`adapter.${name}`);
      return norm(values) / Math.sqrt(values.length);
    };
    expect(await deviation('linear', 'fc.0.weight')).toBeCloseTo(0.02, 3);
    expect(await deviation('linear_ladder', 'resblocks.1.fc.2.weight')).toBeCloseTo(0.02, 2);
    expect(await deviation('attention', 'attn.mlp.c_fc.weight')).toBeCloseTo(0.02, 3);
    // Even up to sqrt(6 / (3 * 96 + 96)).
    const even = await deviation('attention', 'attn.attn.in_proj_weight');
    expect(even).toBeCloseTo(Math.sqrt(6 / 384 / 3), 3);
    expect(await deviation('attention', 'attn.ln_2.weight')).toBe(1);
    expect(await deviation('attention', 'attn.attn.out_proj.bias')).toBe(0);
  });
});
