/** Steps that stand for all of a run, and what they dispatch, compiled before the first is taken. */
import { RandomGenerator } from '../engine/index.js';
import { finalDecoder } from '../model/index.js';
import { drawPermutations } from './permutations.js';
import type { RunPlan } from './run_plan.js';
import type { TrainableModel } from './trainable_model.js';
import type { GradientOptions, TrainingBatch, TrainingStep } from './training_step.js';

/** Images with the longest labels, and all permutations. */
export function largestBatch(
  { configuration }: TrainableModel,
  plan: RunPlan,
  images: number,
  visualOnly: boolean,
): TrainingBatch {
  const { maxLabelLength } = finalDecoder(configuration);
  const [height, width] = configuration.image.imageSize;
  const label = Array.from(configuration.charset)[0]!.repeat(maxLabelLength);
  return {
    pixels: new Float32Array(images * 3 * height * width),
    labels: Array.from({ length: images }, () => label),
    permutations: drawPermutations(maxLabelLength, plan.permutations(visualOnly), new RandomGenerator(0)),
  };
}

/** Compiles what steps of every kind dispatch. Other shapes, as those of an epoch's last batch, may take other kernels. */
export async function compileSteps(
  model: TrainableModel,
  training: TrainingStep,
  plan: RunPlan,
  options: GradientOptions & {
    readonly batchSize: number;
    /** Batches of a step. */
    readonly accumulation: number;
    /** Whether the visual branch trains alone, for each way in which steps will train. */
    readonly phases: readonly boolean[];
  },
): Promise<void> {
  for (const visualOnly of options.phases) {
    const batch = largestBatch(model, plan, options.batchSize, visualOnly);
    // From the second batch of a step on gradients are added to others.
    const batches = options.accumulation > 1 ? [batch, batch] : [batch];
    await training.compile(batches, { ...options, visualOnly });
  }
}
