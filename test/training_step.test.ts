/** Three optimizer steps against the original's. */
import { describe, expect, test } from '@jest/globals';
import { learningRateScale, oneCycleLearningRate } from '../train/one_cycle.js';
import { parameterGroups } from '../train/parameter_groups.js';
import { TrainingStep } from '../train/training_step.js';
import { useDevice } from './support/device.js';
import { useSummary } from './support/error_report.js';
import { loadFixtureModel } from './support/fixture_models.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';

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

describe.each(['clip20', 'tight_nofreeze'] as const)('%s', (name) => {
  const run = runs[name];

  test('losses, gradient norms and parameters after three steps', async () => {
    const model = await loadFixtureModel(device(), 'fast');
    const { parameters } = model;
    const before = new Map<string, ArrayLike<number>>();
    for (const [key, tensor] of parameters.entries()) before.set(key, await tensor.read());
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
    for (const [i, step] of run.steps.entries()) {
      const stored = tensors.get(`${name}.step${i}.perms`).shape as [number, number];
      const flat = tensors.integers(`${name}.step${i}.perms`);
      const permutations = Array.from({ length: stored[0] }, (_, row) =>
        flat.slice(row * stored[1], (row + 1) * stored[1]),
      );
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
    for (const [key, tensor] of parameters.entries()) {
      const values = await tensor.read();
      const norm = Math.sqrt([...values].reduce((sum, value) => sum + value * value, 0));
      const error = relative(norm, run.param_norms_after[key]!);
      if (!(error < 1e-4)) throw new Error(`${key}: norm ${norm}, expected ${run.param_norms_after[key]}`);
      const delta = `${name}.delta.${key}`;
      if (!tensors.names.includes(delta)) continue;
      const expected = tensors.floats(delta);
      const width = tensor.shape[0]! / 3;
      values.forEach((value, at) => {
        // The key third of an attention's input bias has no gradient but rounding.
        if (key.endsWith('in_proj_bias') && at >= width && at < 2 * width) return;
        const start = before.get(key)![at]!;
        const difference = Math.abs(value - start - expected[at]!);
        worst = Math.max(worst, difference);
        if (difference > 3e-6 + 1e-4 * Math.abs(start))
          throw new Error(`${key}[${at}]: off by ${difference}`);
      });
    }
    lines.push(`${name}: largest difference of a changed parameter ${worst.toExponential(1)}`);
    training.dispose();
    parameters.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });
});
