/** Losses and gradients of training against the original's. */
import { afterEach, describe, expect, test } from '@jest/globals';
import { type Tensor, backward } from '../engine/index.js';
import { Clip4StrModel, Parameters, type Parseq, loadModel } from '../model/index.js';
import type { Vl4StrConfiguration } from '../train/configuration_schema.js';
import { type FreezingRules, isFrozen } from '../train/freezing.js';
import { clip4strConfiguration, initialWeights } from '../train/index.js';
import { type PermutedLossOptions, permutedLoss } from '../train/permuted_loss.js';
import { trainingTargets } from '../train/targets.js';
import { openParameters } from '../weights/index.js';
import { useDevice } from './support/device.js';
import { useSummary } from './support/error_report.js';
import { type FixtureModel, parseqOptions, useFixtureModels } from './support/fixture_models.js';
import { type TensorFixture, fixturePath, readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { storedCount, storedValues } from './support/stored_values.js';
import { smallConfiguration } from './support/small_run.js';
import { furthest, norm, normTolerance, relative, rowsOf } from './support/gradients.js';

const device = useDevice({ device: 'software' });
const models = useFixtureModels(device, false);
const lines = useSummary('training against the original');

/** What the original computed for one batch. */
interface Step {
  readonly labels: readonly string[];
  readonly captions: readonly (readonly string[])[];
  readonly loss: number;
  readonly ce_visual: readonly number[];
  readonly ce_cross: readonly number[];
  readonly grad_norms?: Readonly<Record<string, number>>;
}

interface Case {
  readonly name: string;
  readonly model: FixtureModel;
  readonly step: Step;
  readonly tensors: TensorFixture;
  /** What the tensors' names start with. */
  readonly prefix: string;
  readonly freezing: FreezingRules;
  readonly options: PermutedLossOptions;
}

const usual: FreezingRules = { textLayers: 1, imageLayers: -1 };

function batchesOfOneFile(): Case[] {
  const all = readJsonFixture<Readonly<Record<string, unknown>>>('train/fast_grads.json');
  const tensors = readTensorFixture('train/fast_grads.safetensors');
  return ['mix', 'one', 'two', 'three', 'four'].map((batch) => {
    const own = Object.entries(all).flatMap(([key, value]) =>
      key.startsWith(`${batch}.`) ? [[key.slice(batch.length + 1), value]] : [],
    );
    const step = Object.fromEntries(own) as unknown as Step;
    return { name: batch, model: 'fast', step, tensors, prefix: `${batch}.`, freezing: usual, options: {} };
  });
}

function variant(name: string, own: Partial<Pick<Case, 'model' | 'freezing' | 'options'>>): Case {
  const step = readJsonFixture<Step>(`train/${name}.json`);
  const tensors = readTensorFixture(`train/${name}.safetensors`);
  return { name, model: 'fast', step, tensors, prefix: '', freezing: usual, options: {}, ...own };
}

const ofOneFile = batchesOfOneFile();

const cases: Case[] = [
  ...ofOneFile,
  // With dropout, permutations share nothing.
  { ...ofOneFile[0]!, name: 'mix, nothing of it dropped', options: { dropout: (x) => x } },
  variant('p16_grads', { model: 'p16', freezing: { textLayers: 6, imageLayers: -1 } }),
  variant('fast_variant_cloze', { options: { crossClozeMask: true } }),
  variant('fast_variant_cross_w', { options: { crossLossWeight: 0.3 } }),
  variant('fast_variant_pred_context', { options: { crossGtContext: false } }),
  variant('fast_variant_image_not_detached', { options: { imageDetach: false } }),
  variant('fast_variant_no_forward_perm', {}),
  variant('fast_variant_freeze_all_text', { freezing: { textLayers: 12, imageLayers: -1 } }),
  variant('fast_variant_freeze_none', { freezing: { textLayers: -1, imageLayers: -1 } }),
  variant('fast_variant_image_freeze0', { freezing: { textLayers: 1, imageLayers: 0 } }),
  variant('fast_variant_image_freeze1', { freezing: { textLayers: 1, imageLayers: 1 } }),
];

/** Rows of a tensor of permutations. */
function permutationsOf({ tensors, prefix }: Case): number[][] {
  const name = `${prefix}perms`;
  return rowsOf(tensors.integers(name), tensors.get(name).shape);
}

/** Images of a batch; those of p16 are some of its forward pass. */
function imagesOf({ tensors, prefix }: Case): { values: Float32Array; shape: readonly number[] } {
  if (tensors.names.includes(`${prefix}images`)) {
    return { values: tensors.floats(`${prefix}images`), shape: tensors.get(`${prefix}images`).shape };
  }
  const all = readTensorFixture('forward/p16_A.safetensors');
  const [, ...size] = all.get('images').shape;
  const length = size.reduce((count, side) => count * side, 1);
  const picked = tensors.integers('image_index');
  const values = new Float32Array(picked.length * length);
  picked.forEach((index, i) => {
    values.set(all.floats('images').subarray(index * length, (index + 1) * length), i * length);
  });
  return { values, shape: [picked.length, ...size] };
}

describe('a training step', () => {
  let model: Clip4StrModel | undefined;
  afterEach(() => {
    for (const [, tensor] of model?.parameters.entries() ?? []) tensor.requireGradient(false);
  });

  test.each(cases)('$name', async (given) => {
    const { step, tensors, prefix, freezing, options } = given;
    model = await models(given.model);
    const { parameters, tokenizer, configuration } = model;
    const trained = [...parameters.entries()].filter(([name]) => !isFrozen(name, freezing));
    const before = device().memory.liveBytes;
    const targets = trainingTargets(step.labels, tokenizer, configuration.visualDecoder.maxLabelLength);
    const { losses, captions } = await device().scope(async () => {
      for (const [, tensor] of trained) tensor.requireGradient();
      const { values, shape } = imagesOf(given);
      const images = device().tensor(Float32Array.from(values), shape);
      const result = await permutedLoss(model!, images, targets, permutationsOf(given), options);
      backward(result.loss);
      const read = await device().readAll([result.loss, result.visual, result.cross!]);
      return { losses: read, captions: result.captions };
    });
    expect(captions).toEqual(step.captions);
    const [[loss], visual, cross] = losses as [Float32Array, Float32Array, Float32Array];
    expect(relative(loss!, step.loss)).toBeLessThan(1e-5);
    step.ce_visual.forEach((value, i) => expect(relative(visual[i]!, value)).toBeLessThan(1e-5));
    step.ce_cross.forEach((value, i) => expect(relative(cross[i]!, value)).toBeLessThan(1e-5));

    // Of two batches the losses alone are stored.
    if (!step.grad_norms) return;
    const collected = trained.filter(([, tensor]) => tensor.gradient);
    expect(collected.map(([name]) => name).sort()).toEqual(Object.keys(step.grad_norms).sort());
    const gradients = await device().readAll(collected.map(([, tensor]) => tensor.gradient!));
    const worst = { norm: 0, value: 0 };
    let compared = 0;
    collected.forEach(([name], i) => {
      const error = relative(norm(gradients[i]!), step.grad_norms![name]!);
      if (!(error < normTolerance)) throw new Error(`${name}: the gradient's norm is off by ${error}`);
      worst.norm = Math.max(worst.norm, error);
      const stored = storedValues(tensors, prefix, 'grad', name);
      if (!stored) return;
      const found = Float32Array.from(stored.places, (place) => gradients[i]![place]!);
      const difference = furthest(found, stored.expected);
      if (!(difference < 1e-3)) throw new Error(`${name}: the gradient is off by ${difference}`);
      worst.value = Math.max(worst.value, difference);
      compared++;
    });
    expect(compared).toBe(storedCount(tensors, prefix, 'grad'));
    expect(compared).toBeGreaterThan(0);
    const digits = (error: number): string => error.toExponential(1);
    lines.push(
      `${given.name}: loss ${digits(relative(loss!, step.loss))}, gradient norms ${digits(worst.norm)}, values ${digits(worst.value)}`,
    );
    for (const [, tensor] of trained) tensor.requireGradient(false);
    expect(device().memory.liveBytes).toBe(before);
  });
});

test.each<[string, PermutedLossOptions]>([
  ['', {}],
  [', nothing of it dropped', { dropout: (x) => x }],
  [' with what the visual branch read as context', { crossGtContext: false }],
  [' under the cloze mask', { crossClozeMask: true }],
])('permutations give a decoder of two layers the same together as alone%s', async (_, options) => {
  const model = await models('fast_variant_depth2');
  const targets = trainingTargets(['its', 'a'], model.tokenizer, 25);
  const { imageSize } = model.configuration.image;
  const pixels = Float32Array.from({ length: 2 * 3 * imageSize[0] * imageSize[1] }, (_, i) => Math.sin(i));
  const lossesOf = (orders: readonly (readonly number[])[]): Promise<number[][]> =>
    device().scope(async () => {
      const images = device().tensor(pixels, [2, 3, ...imageSize]);
      const { visual, cross } = await permutedLoss(model, images, targets, orders, options);
      return [[...(await visual.read())], [...(await cross!.read())]];
    });
  const orders = [
    [0, 1, 2, 3, 4],
    [0, 3, 1, 2, 4],
  ];
  const [visual, cross] = await lossesOf(orders);
  for (const [i, order] of orders.entries()) {
    const [[ownVisual], [ownCross]] = (await lossesOf([order])) as [number[], number[]];
    expect(relative(visual![i]!, ownVisual!)).toBeLessThan(1e-5);
    expect(relative(cross![i]!, ownCross!)).toBeLessThan(1e-5);
  }
  expect(relative(visual![0]!, visual![1]!)).toBeGreaterThan(1e-4);
});

test('dropout differs between the permutations of an image, and between images', async () => {
  const model = await models('fast');
  const targets = trainingTargets(['it', 'a'], model.tokenizer, 25);
  const { imageSize } = model.configuration.image;
  const orders = [
    [0, 1, 2, 3],
    [0, 2, 1, 3],
    [0, 3, 2, 1],
  ];
  const rows: number[] = [];
  const dropout = (x: Tensor): Tensor => {
    rows.push(x.size / x.shape.at(-1)!);
    return x;
  };
  await device().scope(async () => {
    const pixels = new Float32Array(2 * 3 * imageSize[0] * imageSize[1]);
    const images = device().tensor(pixels, [2, 3, ...imageSize]);
    await permutedLoss(model, images, targets, orders, { dropout });
  });
  const all = 2 * orders.length * targets.positions;
  const { heads } = model.configuration.visualDecoder;
  // Of each branch: content, queries, weights and results of both attentions, within and after the feed-forward.
  const branch = [all, all, heads * all, all, heads * all, all, all, all];
  expect(rows).toEqual([...branch, ...branch]);
});

test('a projection of the cross branch alone is trained, and the encoder before it is not by that branch', async () => {
  const settings = ['model.use_share_dim=false', 'model.enc_width=128', 'model.visual_first_pct=0'];
  const run = smallConfiguration(settings) as Vl4StrConfiguration;
  const reader = clip4strConfiguration(run);
  const parameters = await Parameters.load(device(), initialWeights(reader, run.seed), 'f32');
  const model = new Clip4StrModel(device(), parameters, reader);
  const [proj, conv] = ['proj', 'conv1.weight'].map((name) =>
    parameters.get(`clip_model.visual.${name}`).requireGradient(),
  );
  const targets = trainingTargets(['it'], model.tokenizer, reader.crossDecoder.maxLabelLength);
  const pixels = Float32Array.from({ length: 3 * 16 * 32 }, (_, i) => Math.sin(i));
  const gradientsOf = (options: PermutedLossOptions): Promise<(number | undefined)[]> =>
    device().scope(async () => {
      const images = device().tensor(pixels, [1, 3, 16, 32]);
      const { loss } = await permutedLoss(model, images, targets, [[0, 1, 2, 3]], options);
      backward(loss);
      const norms: (number | undefined)[] = [];
      for (const parameter of [proj!, conv!]) {
        norms.push(parameter.gradient && norm(await parameter.gradient.read()));
        parameter.clearGradient();
      }
      return norms;
    });
  const [visualProj, visualConv] = await gradientsOf({ visualOnly: true });
  const [bothProj, bothConv] = await gradientsOf({});
  expect(visualProj ?? 0).toBe(0);
  expect(bothProj).toBeGreaterThan(1e-3);
  expect(relative(bothConv!, visualConv!)).toBeLessThan(1e-5);
  const [, throughConv] = await gradientsOf({ imageDetach: false });
  expect(relative(throughConv!, visualConv!)).toBeGreaterThan(1e-3);
  parameters.dispose();
}, 60_000);

describe('a training step of PARSeq', () => {
  const reference =
    readJsonFixture<Readonly<Record<'train_mix' | 'train_one', ParseqStep>>>('parseq/parseq.json');
  const stored = readTensorFixture('parseq/parseq_refs.safetensors');

  test.each(['train_mix', 'train_one'] as const)('%s', async (name) => {
    const { labels, loss: expectedLoss, grad_norms: norms } = reference[name];
    const source = await openParameters(fixturePath('parseq/parseq_tiny.pt'));
    const model = (await loadModel(device(), source, parseqOptions)) as Parseq;
    await source.close();
    const parameters = [...model.parameters.entries()];
    const permutations = rowsOf(stored.integers(`${name}_perms`), stored.get(`${name}_perms`).shape);
    const targets = trainingTargets(labels, model.tokenizer, model.configuration.decoder.maxLabelLength);
    const loss = await device().scope(async () => {
      for (const [, tensor] of parameters) tensor.requireGradient();
      const { shape } = stored.get(`${name}_images`);
      const images = device().tensor(Float32Array.from(stored.floats(`${name}_images`)), shape);
      const result = await permutedLoss(model, images, targets, permutations);
      backward(result.loss);
      return (await result.loss.read())[0]!;
    });
    expect(relative(loss, expectedLoss)).toBeLessThan(1e-5);
    expect(parameters.map(([key]) => key).sort()).toEqual(Object.keys(norms).sort());
    const worst = { norm: 0, value: 0 };
    for (const [key, tensor] of parameters) {
      const gradient = await tensor.gradient!.read();
      const error = relative(norm(gradient), norms[key]!);
      if (!(error < normTolerance)) throw new Error(`${key}: the gradient's norm is off by ${error}`);
      worst.norm = Math.max(worst.norm, error);
      if (!stored.names.includes(`${name}_grad.${key}`)) continue;
      const difference = furthest(gradient, stored.floats(`${name}_grad.${key}`));
      if (!(difference < 1e-3)) throw new Error(`${key}: the gradient is off by ${difference}`);
      worst.value = Math.max(worst.value, difference);
    }
    lines.push(
      `PARSeq ${name}: gradient norms ${worst.norm.toExponential(1)}, values ${worst.value.toExponential(1)}`,
    );
    model.parameters.dispose();
  });
});

interface ParseqStep {
  readonly labels: readonly string[];
  readonly loss: number;
  readonly grad_norms: Readonly<Record<string, number>>;
}
