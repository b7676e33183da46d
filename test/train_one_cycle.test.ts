import { describe, expect, test } from '@jest/globals';
import { type OneCycle, learningRateScale, oneCycleLearningRate } from '../train/one_cycle.js';
import { readJsonFixture } from './support/fixtures.js';

interface Group {
  max_lr: number;
  initial_lr: number;
  min_lr: number;
}
interface Run {
  groups: Group[];
  hparams: {
    lr: number;
    batch_size: number;
    coef_lr: number;
    warmup_pct: number;
    accumulate_grad_batches: number;
    num_devices: number;
  };
  total_steps: number;
}
const reference = readJsonFixture<{
  clip20: Run;
  tight_nofreeze: Run;
  lr_table_20: number[][];
  lr_table_200: number[][];
}>('train/fast_optim.json');

function expectEqual(actual: number, expected: number): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-12 * Math.abs(expected));
}

const cycle = (maxLearningRate: number, totalSteps: number, changes: Partial<OneCycle> = {}): OneCycle => ({
  maxLearningRate,
  totalSteps,
  warmupFraction: 0.075,
  anneal: 'cos',
  ...changes,
});

describe('learning rates of the original', () => {
  const peaks = reference.clip20.groups.map((group) => group.max_lr);

  test.each([
    ['20 steps', reference.lr_table_20, 20, 1],
    ['200 steps, every 20th', reference.lr_table_200, 200, 20],
  ] as const)('%s', (_, table, totalSteps, stride) => {
    expect(table.length).toBe(totalSteps / stride);
    for (const [row, rates] of table.entries()) {
      for (const [group, rate] of rates.entries()) {
        expectEqual(oneCycleLearningRate(row * stride, cycle(peaks[group]!, totalSteps)), rate);
      }
    }
  });

  test.each([['clip20'], ['tight_nofreeze']] as const)('peak, start and end of %s', (name) => {
    const { groups, hparams, total_steps: totalSteps } = reference[name];
    const scale = learningRateScale('clip4str', {
      batchSize: hparams.batch_size,
      accumulation: hparams.accumulate_grad_batches,
      devices: hparams.num_devices,
    });
    for (const [index, group] of groups.entries()) {
      const peak = hparams.lr * scale * (index < 2 ? 1 : hparams.coef_lr);
      expectEqual(peak, group.max_lr);
      expect(oneCycleLearningRate(0, cycle(peak, totalSteps))).toBeCloseTo(group.initial_lr, 12);
      expectEqual(oneCycleLearningRate(totalSteps - 1, cycle(peak, totalSteps)), group.min_lr);
    }
  });

  test.each(Object.entries(readJsonFixture<Record<string, AdapterRun>>('adapters/adapters.json')))(
    'peak of adapter %s, for several GPUs',
    (_, { optimizer_config: config, optimizer_groups: groups }) => {
      const scale = learningRateScale('parseq', {
        batchSize: config.batch_size,
        accumulation: config.accumulate_grad_batches,
        devices: config.num_devices,
      });
      expectEqual(config.lr * scale, groups[0]!.max_lr);
    },
  );
});

interface AdapterRun {
  optimizer_config: Run['hparams'];
  optimizer_groups: { max_lr: number }[];
}

describe('one cycle', () => {
  test('linear annealing rises and falls in equal steps', () => {
    const rates = Array.from({ length: 20 }, (_, step) =>
      oneCycleLearningRate(step, cycle(1, 20, { anneal: 'linear', warmupFraction: 0.25 })),
    );
    expectEqual(rates[0]!, 1 / 25);
    expectEqual(rates[4]!, 1);
    expect(rates[19]).toBeCloseTo(1 / 25e4, 14);
    const changes = rates.slice(1).map((rate, step) => rate - rates[step]!);
    for (const change of changes.slice(0, 4)) expect(change / changes[0]!).toBeCloseTo(1, 10);
    for (const change of changes.slice(4)) expect(change / changes[4]!).toBeCloseTo(1, 10);
  });

  test.each([
    ['no warm-up', 0, 8],
    ['warm-up that ends on step 0, where PyTorch divides zero by zero', 0.1, 10],
    ['a single step', 0.075, 1],
    ['nothing but warm-up', 1, 8],
  ])('%s gives rates within bounds', (_, warmupFraction, totalSteps) => {
    for (let step = 0; step < totalSteps; step++) {
      const rate = oneCycleLearningRate(step, cycle(1, totalSteps, { warmupFraction }));
      expect(rate).toBeGreaterThanOrEqual(1 / 25e4 - 1e-18);
      expect(rate).toBeLessThanOrEqual(1);
    }
  });

  test.each([[-1], [20], [0.5], [NaN]])('there is no step %p of 20', (step) => {
    expect(() => oneCycleLearningRate(step, cycle(1, 20))).toThrow(
      `step ${step}: the learning rate is set for steps 0 to 19.`,
    );
  });
});

test('a rate that is not scaled stays as it is', () => {
  expect(learningRateScale('none', { batchSize: 96, accumulation: 2, devices: 4 })).toBe(1);
});
