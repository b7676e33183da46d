/** What is proposed where a step will not fit. */
import { expect, test } from '@jest/globals';
import { type Device, OutOfMemoryError, openDevice } from '../engine/index.js';
import { Parameters } from '../model/index.js';
import { presetConfiguration } from '../train/configuration.js';
import { initialWeights } from '../train/initial_weights.js';
import { checkMemory, forecastMemory, largestFitting, withinMemory } from '../train/memory_forecast.js';
import { readerConfiguration } from '../train/reader_configuration.js';
import { largestBatch } from '../train/rehearsal.js';
import { RunPlan } from '../train/run_plan.js';
import { readerOf } from '../train/trainable_model.js';
import { TrainingStep } from '../train/training_step.js';
import { LossScale } from '../train/loss_scale.js';
import { WeightAverage } from '../train/weight_average.js';
import { smallConfiguration } from './support/small_run.js';

/** @param fitting images that a pass can have */
function proposal(batchSize: number, accumulation: number, fitting: number, laterBytes = 0): string {
  const run = presetConfiguration('tiny', [
    `model.batch_size=${batchSize}`,
    `trainer.accumulate_grad_batches=${accumulation}`,
  ]);
  const forecast = { firstImageBytes: 1e9, fixedBytes: 1e9 - 1e6, bytesPerImage: 1e6, laterBytes };
  const device = { adapter: { name: 'GPU' }, memoryBudgetBytes: 1e9 + (fitting - 1) * 1e6 };
  try {
    checkMemory(forecast, run, device as Pick<Device, 'adapter' | 'memoryBudgetBytes'>);
  } catch (error) {
    return (error as Error).message;
  }
  return 'fits';
}

test('an accumulation that keeps the images of a step', () => {
  expect(proposal(128, 1, 128)).toBe('fits');
  expect(proposal(128, 1, 127)).toMatch(
    /Set model\.batch_size=64 trainer\.accumulate_grad_batches=2 for the same 128 images a step/,
  );
});

test('where none keeps them, the nearest that uses the device', () => {
  expect(proposal(127, 8, 126)).toMatch(
    /Set model\.batch_size=113 trainer\.accumulate_grad_batches=9 for 1017 images a step, as near to the 1016 of now/,
  );
  expect(proposal(7, 1, 6)).toMatch(
    /batch_size=6 trainer\.accumulate_grad_batches=1 for 6 images a step, as near to the 7 of now/,
  );
  expect(proposal(2, 1, 1)).toMatch(/batch_size=1 trainer\.accumulate_grad_batches=2 for the same 2 images/);
});

test('what is held later counts', () => {
  expect(proposal(128, 1, 228, 100e6)).toBe('fits');
  expect(proposal(128, 1, 227, 100e6)).toMatch(/batch_size=64 .* or .*swa=false to need less/);
  expect(proposal(4, 1, 4, 1e9)).toMatch(/needs about 2\.00 GB even with model\.batch_size=1; .*swa=false/);
});

test('what fits a device that does not tell its memory is found by halving', async () => {
  const tried: number[] = [];
  const upTo = (most: number) => async (images: number) => {
    tried.push(images);
    return images <= most;
  };
  expect(await largestFitting(96, upTo(96))).toBe(96);
  expect(await largestFitting(96, upTo(30))).toBe(24);
  expect(await largestFitting(5, upTo(2))).toBe(2);
  expect(await largestFitting(2, upTo(0))).toBe(0);
  expect(tried).toEqual([96, 96, 48, 24, 5, 3, 2, 2, 1]);
});

test('what was seen to fit and what is held later bound each other', () => {
  const run = presetConfiguration('tiny', ['model.batch_size=8', 'swa=true']);
  const check = (fittingImages: number, memoryBudgetBytes: number, laterBytes: number): string => {
    const forecast = { firstImageBytes: 1e9, fixedBytes: 0, bytesPerImage: 1e9, laterBytes, fittingImages };
    const device = { adapter: { name: 'GPU' }, memoryBudgetBytes } as Pick<
      Device,
      'adapter' | 'memoryBudgetBytes'
    >;
    try {
      checkMemory(forecast, run, device);
    } catch (error) {
      return (error as Error).message;
    }
    return 'fits';
  };
  expect(check(8, Infinity, 1e9)).toBe('fits');
  expect(check(4, Infinity, 1e9)).toMatch(/GPU ran out of memory with it\. Set model\.batch_size=4 /);
  expect(check(0, Infinity, 1e9)).toMatch(
    /needs about 2\.00 GB even with model\.batch_size=1; .* or swa=false to need less/,
  );
  expect(check(4, 3.5e9, 1e9)).toMatch(/has 3\.50 GB for tensors\. Set model\.batch_size=2 /);
  expect(check(4, 1.5e9, 1e9)).toMatch(/even with model\.batch_size=1/);
});

test('where a step does not fit though it was foreseen to, what is proposed leaves room for that', async () => {
  const cause = new OutOfMemoryError('matmul: needs 1.0 MB beside 9.0 MB in use');
  const failing = async (
    batchSize: number,
    { fixedBytes = 0, laterBytes = 0, memoryBudgetBytes = 100e6 } = {},
  ): Promise<OutOfMemoryError> => {
    const run = presetConfiguration('tiny', [`model.batch_size=${batchSize}`]);
    const forecast = { firstImageBytes: 1e6, fixedBytes, bytesPerImage: 1e6, laterBytes };
    const device = { adapter: { name: 'GPU' }, memoryBudgetBytes } as Device;
    return withinMemory(forecast, run, device, () => Promise.reject(cause)).catch((error: unknown) => {
      expect(error).toBeInstanceOf(OutOfMemoryError);
      expect((error as Error).cause).toBe(cause);
      return error as OutOfMemoryError;
    });
  };
  expect((await failing(100)).message).toMatch(
    /^a step with model\.batch_size=100 needs more than the 0\.10 GB that were foreseen; GPU has 0\.10 GB for tensors\. Set model\.batch_size=50 trainer\.accumulate_grad_batches=2 for the same 100 images a step, or trainer/,
  );
  // Four images would take hardly less.
  expect((await failing(8, { fixedBytes: 140e6 })).message).toContain('Set model.batch_size=2 ');
  expect((await failing(2, { memoryBudgetBytes: Infinity })).message).toMatch(
    /GPU ran out of memory with it\. Set model\.batch_size=1 /,
  );
  expect((await failing(1, { laterBytes: 5e6 })).message).toMatch(
    /Set trainer\.gradient_checkpointing=true or swa=false to need less, or train a smaller model\.$/,
  );
  const other = new Error('the disk is full');
  const run = presetConfiguration('tiny', []);
  const memory = { firstImageBytes: 1, fixedBytes: 0, bytesPerImage: 1, laterBytes: 0 };
  const device = { adapter: { name: 'GPU' }, memoryBudgetBytes: 1 } as Device;
  await expect(withinMemory(memory, run, device, () => Promise.reject(other))).rejects.toBe(other);
});

test('the average of the weights says what it will take', async () => {
  const device = await openDevice({ device: 'software', hideDriverWarnings: true });
  const weight = device.keep(device.empty('f32', [3, 5]));
  const average = new WeightAverage(new Map([['w', weight]]));
  expect(average.pendingBytes).toBe(60);
  void average.state;
  expect(average.pendingBytes).toBe(0);
  average.dispose();
  device.close();
});

test('a scale of the loss that cannot come down says so', () => {
  const scale = new LossScale({ scale: 2 ** -23, goodSteps: 0 });
  expect(scale.atLeast).toBe(false);
  scale.update(true);
  expect(scale.atLeast).toBe(true);
});

test('what a step takes is foreseen from fewer images, and compiled, before anything is computed', async () => {
  const device = await openDevice({ device: 'software', hideDriverWarnings: true });
  try {
    const configuration = smallConfiguration([
      'model.dropout=0',
      'model.img_size=[32, 64]',
      'model.visual_first_perm_num=24',
    ]);
    const reader = await readerConfiguration(configuration);
    const parameters = await Parameters.load(device, initialWeights(reader, 0), 'f32');
    const model = readerOf(device, parameters, reader);
    const plan = new RunPlan(configuration, 100);
    const shapes = new Map([...parameters.entries()].map(([name, { shape }]) => [name, shape]));
    const { betas, eps: epsilon } = configuration.model;
    const training = new TrainingStep(model, plan.groups(shapes), { betas, epsilon });
    const batchSize = 48;
    const foresee = (phases: readonly boolean[]): ReturnType<typeof forecastMemory> =>
      forecastMemory(device, model, training, plan, { batchSize, laterBytes: 0, phases });
    const forecast = await foresee([false]);
    const { firstImageBytes, fixedBytes, bytesPerImage, fittingImages } = forecast;
    expect(fittingImages).toBeUndefined();
    // The visual branch alone goes through more permutations here.
    const [alone, either] = [await foresee([true]), await foresee([true, false])];
    expect(alone.bytesPerImage).toBeGreaterThan(1.2 * bytesPerImage);
    expect(either.bytesPerImage).toBeGreaterThanOrEqual(alone.bytesPerImage);
    const batch = largestBatch(model, plan, batchSize, false);
    await training.compile([batch], {});
    const { programCount } = device;
    const stepsTaken = Object.values(training.optimizers).flatMap((optimizer) => [
      ...optimizer!.steps.values(),
    ]);
    expect(new Set(stepsTaken)).toEqual(new Set([0]));
    await training.run([batch], { learningRates: training.groups.map(() => 1e-3) });
    expect(device.programCount).toBe(programCount);
    for (let pass = 0; pass < 2; pass++) {
      device.resetStatistics();
      await device.scope(async () => void (await training.addGradientsOf([batch], {})));
      await device.finish();
    }
    const { peakBytes } = device.memory;
    // To the byte what it takes where nothing is computed.
    device.resetStatistics();
    device.rehearse(() => training.rehearseGradientsOf(batch, {}));
    expect(device.memory.peakBytes).toBe(peakBytes);
    const foreseen = Math.max(firstImageBytes, fixedBytes + batchSize * bytesPerImage);
    expect(peakBytes).toBeGreaterThan(1.5 * firstImageBytes);
    expect(foreseen / peakBytes).toBeGreaterThan(0.97);
    expect(foreseen / peakBytes).toBeLessThan(1.3);
  } finally {
    device.close();
  }
}, 120_000);

test('what the optimizers take is foreseen, where it is more than a pass takes', async () => {
  const device = await openDevice({ device: 'software', hideDriverWarnings: true });
  try {
    // Matrices that Muon multiplies together, beside the smallest of passes.
    const settings = ['model.batch_size=1', 'model.visual_first_perm_num=2'];
    const configuration = presetConfiguration('tiny', settings);
    const reader = await readerConfiguration(configuration);
    const parameters = await Parameters.load(device, initialWeights(reader, 0), 'f32');
    const model = readerOf(device, parameters, reader);
    const plan = new RunPlan(configuration, 100);
    const shapes = new Map([...parameters.entries()].map(([name, { shape }]) => [name, shape]));
    const { betas, eps: epsilon } = configuration.model;
    const training = new TrainingStep(model, plan.groups(shapes), { betas, epsilon });
    expect(training.optimizers.muon).toBeDefined();
    const options = { batchSize: 1, laterBytes: 0, phases: [true] };
    const { firstImageBytes, fixedBytes, bytesPerImage } = await forecastMemory(
      device,
      model,
      training,
      plan,
      options,
    );
    const learningRates = training.groups.map(() => 1e-3);
    const batch = largestBatch(model, plan, 1, true);
    device.resetStatistics();
    await training.run([batch], { learningRates, visualOnly: true });
    const { peakBytes } = device.memory;
    device.resetStatistics();
    await device.scope(async () => void (await training.addGradientsOf([batch], { visualOnly: true })));
    expect(peakBytes).toBeGreaterThan(1.2 * device.memory.peakBytes);
    // All but the numbers that are read at its end.
    expect(Math.max(firstImageBytes, fixedBytes + bytesPerImage)).toBeGreaterThan(peakBytes - 4096);
    training.clearGradients();
  } finally {
    device.close();
  }
}, 120_000);
