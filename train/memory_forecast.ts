/** Foresees whether a training step fits into the device's memory, before the first one is taken. */
import { type Device, OutOfMemoryError, RandomGenerator } from '../engine/index.js';
import { drawPermutations } from './permutations.js';
import type { RunPlan } from './run_plan.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import type { TrainableModel } from './trainable_model.js';
import type { StepOptions, TrainingBatch, TrainingStep } from './training_step.js';

/** Device memory that a step takes at most, as a line over the images of a forward pass. */
export interface MemoryForecast {
  readonly firstImageBytes: number;
  readonly furtherImageBytes: number;
}

/**
 * Measures forward and backward passes of one and of two images with the longest labels and all permutations; parameters
 * stay as they are. Leaves the state of the optimizers allocated, as it will be.
 * @throws OutOfMemoryError if not even one image fits
 */
export async function forecastMemory(
  device: Device,
  model: TrainableModel,
  training: TrainingStep,
  plan: RunPlan,
  options: StepOptions,
): Promise<MemoryForecast> {
  for (const optimizer of Object.values(training.optimizers)) void optimizer?.state;
  const { configuration } = model;
  const { maxLabelLength } = 'decoder' in configuration ? configuration.decoder : configuration.crossDecoder;
  const [height, width] = configuration.image.imageSize;
  const label = Array.from(configuration.charset)[0]!.repeat(maxLabelLength);
  const permutations = drawPermutations(
    maxLabelLength,
    plan.permutations(plan.visualSteps),
    new RandomGenerator(0),
  );
  const batchOf = (images: number): TrainingBatch => ({
    pixels: new Float32Array(images * 3 * height * width),
    labels: Array.from({ length: images }, () => label),
    permutations,
  });
  // The first pass leaves gradients behind, as earlier passes of a step do.
  const peaks: number[] = [];
  try {
    for (const images of [1, 1, 2]) {
      device.resetStatistics();
      await training.addGradientsOf([batchOf(images)], options);
      await device.finish();
      peaks.push(device.memory.peakBytes);
    }
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    throw new OutOfMemoryError(
      `${device.adapter.name} has ${gigabytes(device.memoryBudgetBytes)} for tensors, too little to train this model with ` +
        'even two images at a time. Set trainer.gradient_checkpointing=true, or train a smaller model.',
    );
  } finally {
    training.clearGradients();
    device.trim();
    device.resetStatistics();
  }
  const [, one, two] = peaks as [number, number, number];
  return { firstImageBytes: one, furtherImageBytes: Math.max(0, two - one) };
}

/**
 * @throws OutOfMemoryError that proposes a batch size which fits, with the accumulation that keeps the images of a step
 */
export function checkMemory(
  forecast: MemoryForecast,
  { model, trainer }: Pick<TrainingConfiguration, 'model' | 'trainer'>,
  { adapter, memoryBudgetBytes }: Pick<Device, 'adapter' | 'memoryBudgetBytes'>,
): void {
  const needed = (images: number): number =>
    forecast.firstImageBytes + (images - 1) * forecast.furtherImageBytes;
  const { batch_size: batchSize } = model;
  if (needed(batchSize) <= memoryBudgetBytes) return;
  const all = batchSize * trainer.accumulate_grad_batches;
  let fitting = batchSize - 1;
  while (fitting > 1 && (all % fitting !== 0 || needed(fitting) > memoryBudgetBytes)) fitting--;
  const checkpointing = trainer.gradient_checkpointing
    ? ''
    : ', or trainer.gradient_checkpointing=true to need less';
  throw new OutOfMemoryError(
    `a step with model.batch_size=${batchSize} needs about ${gigabytes(needed(batchSize))}; ${adapter.name} has ` +
      `${gigabytes(memoryBudgetBytes)} for tensors. Set model.batch_size=${fitting} ` +
      `trainer.accumulate_grad_batches=${all / fitting} for the same ${all} images a step${checkpointing}.`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB`;
}
