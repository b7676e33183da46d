/** Three optimizer steps against the original's. */
import { describe, expect, test } from '@jest/globals';
import { learningRateScale, oneCycleLearningRate } from '../train/one_cycle.js';
import type { Clip4StrModel } from '../model/index.js';
import { LossScale } from '../train/loss_scale.js';
import { type ParameterGroup, parameterGroups } from '../train/parameter_groups.js';
import { type TrainingBatch, TrainingStep } from '../train/training_step.js';
import { useDevice } from './support/device.js';
import { useSummary } from './support/error_report.js';
import { loadFixtureModel } from './support/fixture_models.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { storedCount, storedValues } from './support/stored_values.js';
import { poisonPool } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const lines = useSummary('optimizer steps against the original');

interface Run {
  readonly steps: readonly {
    readonly labels: readonly string[];
    readonly loss: number;
    readonly grad_norm_before_clip: number;
    readonly ce_visual: readonly number[];
    readonly ce_cross: readonly number[];
  }[];
  readonly adamw: { readonly betas: [number, number]; readonly eps: number };
  readonly clip_norm: number;
  readonly total_steps: number;
  readonly param_norms_after: Readonly<Record<string, number>>;
  readonly hparams: Readonly<Record<string, number>>;
}

const runs = readJsonFixture<Record<'clip20' | 'tight_nofreeze', Run>>('train/fast_optim.json');
const tensors = readTensorFixture('train/fast_optim.safetensors');

const relative = (actual: number, expected: number): number =>
  Math.abs(actual - expected) / Math.abs(expected);

function permutationsOf(prefix: string): number[][] {
  const [rows, length] = tensors.get(`${prefix}.perms`).shape as [number, number];
  const flat = tensors.integers(`${prefix}.perms`);
  return Array.from({ length: rows }, (_, row) => flat.slice(row * length, (row + 1) * length));
}

/** The reference's model with the optimizers of one of its runs. */
async function started(name: keyof typeof runs): Promise<{
  model: Clip4StrModel;
  training: TrainingStep;
  groups: readonly ParameterGroup[];
}> {
  const model = await loadFixtureModel(device(), 'fast');
  const { parameters } = model;
  const run = runs[name];
  const { hparams } = run;
  const scaled =
    hparams.lr! *
    learningRateScale('clip4str', {
      batchSize: hparams.batch_size!,
      accumulation: hparams.accumulate_grad_batches!,
      devices: hparams.num_devices!,
    });
  const shapes = new Map([...parameters.entries()].map(([key, { shape }]) => [key, shape]));
  const groups = parameterGroups(
    shapes,
    { model: 'vl4str', freezing: { textLayers: hparams.text_freeze_nlayer!, imageLayers: -1 } },
    {
      learningRate: scaled,
      weightDecay: hparams.weight_decay!,
      decoderRateFactor: hparams.coef_lr!,
      decoderDecayFactor: hparams.coef_wd!,
    },
  );
  const training = new TrainingStep(model, groups, { betas: run.adamw.betas, epsilon: run.adamw.eps });
  return { model, training, groups };
}

describe.each(['clip20', 'tight_nofreeze'] as const)('%s', (name) => {
  const run = runs[name];

  test('losses, gradient norms and parameters after three steps', async () => {
    const { model, training, groups } = await started(name);
    const { parameters } = model;
    const { hparams } = run;
    const before = new Map<string, ArrayLike<number>>();
    for (const [key, tensor] of parameters.entries()) before.set(key, await tensor.read());
    for (const [i, step] of run.steps.entries()) {
      const permutations = permutationsOf(`${name}.step${i}`);
      const report = await training.run(
        [
          {
            pixels: Float32Array.from(tensors.floats(`${name}.step${i}.images`)),
            labels: step.labels,
            permutations,
          },
        ],
        {
          maxGradientNorm: run.clip_norm,
          learningRates: groups.map(({ maxLearningRate }) =>
            oneCycleLearningRate(i, {
              maxLearningRate,
              totalSteps: run.total_steps,
              warmupFraction: hparams.warmup_pct!,
              anneal: 'cos',
            }),
          ),
        },
      );
      expect(relative(report.loss, step.loss)).toBeLessThan(1e-5);
      expect(relative(report.gradientNorm, step.grad_norm_before_clip)).toBeLessThan(1e-4);
      expect(report.skipped).toBe(false);
      lines.push(
        `${name} step ${i}: loss ${relative(report.loss, step.loss).toExponential(1)}, ` +
          `gradient norm ${relative(report.gradientNorm, step.grad_norm_before_clip).toExponential(1)}`,
      );
    }
    let worst = 0;
    let compared = 0;
    for (const [key, tensor] of parameters.entries()) {
      const values = await tensor.read();
      const norm = Math.sqrt([...values].reduce((sum, value) => sum + value * value, 0));
      const error = relative(norm, run.param_norms_after[key]!);
      if (!(error < 1e-4)) throw new Error(`${key}: norm ${norm}, expected ${run.param_norms_after[key]}`);
      const stored = storedValues(tensors, `${name}.`, 'delta', key);
      if (!stored) continue;
      compared++;
      const width = tensor.shape[0]! / 3;
      stored.places.forEach((at, i) => {
        // The key third of an attention's input bias has no gradient but rounding.
        if (key.endsWith('in_proj_bias') && at >= width && at < 2 * width) return;
        const start = before.get(key)![at]!;
        const difference = Math.abs(values[at]! - start - stored.expected[i]!);
        worst = Math.max(worst, difference);
        if (!(difference <= 3e-6 + 1e-4 * Math.abs(start)))
          throw new Error(`${key}[${at}]: off by ${difference}`);
      });
    }
    expect(compared).toBe(storedCount(tensors, `${name}.`, 'delta'));
    expect(compared).toBeGreaterThan(0);
    lines.push(`${name}: largest difference of a changed parameter ${worst.toExponential(1)}`);
    training.dispose();
    parameters.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });
});

describe('half precision', () => {
  const batch = (): TrainingBatch => ({
    pixels: Float32Array.from(tensors.floats('clip20.step0.images')),
    labels: runs.clip20.steps[0]!.labels,
    permutations: permutationsOf('clip20.step0'),
  });

  test('computes with f16 copies and changes the f32 originals', async () => {
    const { model, training, groups } = await started('clip20');
    const options = { learningRates: groups.map(() => 1e-4), maxGradientNorm: 20 };
    const report = await training.run([batch()], { ...options, halfPrecision: true, lossScale: 1024 });
    const expected = runs.clip20.steps[0]!;
    expect(relative(report.loss, expected.loss)).toBeLessThan(5e-3);
    expect(relative(report.gradientNorm, expected.grad_norm_before_clip)).toBeLessThan(1e-2);
    expect(report.loss).not.toBe(expected.loss);
    for (const [, tensor] of model.parameters.entries()) expect(tensor.dtype).toBe('f32');
    training.dispose();
    model.parameters.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });

  test('is the same where it was compiled before', async () => {
    const name = 'visual_decoder.head.weight';
    const results = [];
    for (const compiled of [false, true]) {
      const { model, training, groups } = await started('clip20');
      const options = { learningRates: groups.map(() => 1e-4), maxGradientNorm: 20 };
      const head = model.parameters.get(name);
      // What the state of the optimizers may be made of.
      if (compiled) for (let i = 0; i < 4; i++) poisonPool(device(), head.shape);
      if (compiled) await training.compile([batch()], {});
      training.clearGradients();
      await training.run([batch()], options);
      results.push(await head.read());
      training.dispose();
      model.parameters.dispose();
    }
    expect(results[1]).toEqual(results[0]);
  });

  test('adds up the gradients of several batches in the f32 originals', async () => {
    const reports = [];
    const last = await started('clip20');
    const part = await last.training.run([batch()], {
      learningRates: last.groups.map(() => 0),
      accumulation: 3,
    });
    last.training.dispose();
    last.model.parameters.dispose();
    for (const half of [false, true]) {
      const { model, training, groups } = await started('clip20');
      const options = { learningRates: groups.map(() => 1e-4), maxGradientNorm: 20 };
      const halves = half ? { halfPrecision: true, lossScale: 1024 } : {};
      reports.push(await training.run([batch(), batch(), batch()], { ...options, ...halves }));
      training.dispose();
      model.parameters.dispose();
    }
    const [exact, rounded] = reports;
    const expected = runs.clip20.steps[0]!;
    // Three times the same batch has the mean of one; a step of one batch among three has a third of it.
    expect(relative(exact!.gradientNorm, expected.grad_norm_before_clip)).toBeLessThan(1e-4);
    expect(relative(rounded!.gradientNorm, expected.grad_norm_before_clip)).toBeLessThan(1e-2);
    expect(rounded!.visualLosses).toHaveLength(3);
    expect(relative(part.gradientNorm, expected.grad_norm_before_clip / 3)).toBeLessThan(1e-4);
    expect(relative(part.loss, expected.loss)).toBeLessThan(1e-5);
    expect(device().memory.liveBytes).toBe(0);
  });

  test('leaves a step out whose gradients overflow, and halves the scale', async () => {
    const { model, training, groups } = await started('clip20');
    const name = 'visual_decoder.head.weight';
    const before = await model.parameters.get(name).read();
    const scale = new LossScale({ scale: 2 ** 120, goodSteps: 7 });
    const options = { learningRates: groups.map(() => 1e-4), halfPrecision: true, lossScale: scale.value };
    const report = await training.run([batch()], options);
    expect(report.skipped).toBe(true);
    expect(report.loss).toBeGreaterThan(0);
    expect(await model.parameters.get(name).read()).toEqual(before);
    expect(Math.max(...training.optimizers.adamw!.steps.values())).toBe(0);
    scale.update(report.skipped);
    expect(scale.state).toEqual({ scale: 2 ** 119, goodSteps: 0 });
    training.dispose();
    model.parameters.dispose();
  });

  test('the scale doubles after 2000 good steps', () => {
    const scale = new LossScale();
    for (let step = 1; step < 2000; step++) scale.update(false);
    expect(scale.value).toBe(2 ** 16);
    scale.update(false);
    expect(scale.state).toEqual({ scale: 2 ** 17, goodSteps: 0 });
  });
});
