/** The learning rate over a run: PyTorch's OneCycleLR as the original sets it up, without a cycle of the momentum. */

export interface OneCycle {
  readonly maxLearningRate: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** Share of the steps in which the rate rises. */
  readonly warmupFraction: number;
  readonly anneal: 'cos' | 'linear';
}

/** The rate starts at the greatest over this, and ends at its start over that. */
const startDivisor = 25;
const endDivisor = 1e4;

/**
 * The rate of a step, the first being 0: it rises to the greatest, then falls to nearly nothing at the last step.
 *
 * @throws RangeError if the run has no such step
 */
export function oneCycleLearningRate(step: number, cycle: OneCycle): number {
  const { maxLearningRate, totalSteps, warmupFraction, anneal } = cycle;
  if (!Number.isInteger(step) || step < 0 || step >= totalSteps) {
    throw new RangeError(`step ${step}: the learning rate is set for steps 0 to ${totalSteps - 1}.`);
  }
  const start = maxLearningRate / startDivisor;
  const end = start / endDivisor;
  const between = anneal === 'cos' ? cosineBetween : linearBetween;
  // PyTorch's steps from 0 to the greatest rate; not always whole, and negative for a very short run.
  const warmupSteps = warmupFraction * totalSteps - 1;
  if (step > warmupSteps) {
    return between(maxLearningRate, end, (step - warmupSteps) / (totalSteps - 1 - warmupSteps));
  }
  // PyTorch divides zero by zero where the greatest rate falls on step 0.
  return warmupSteps === 0 ? maxLearningRate : between(start, maxLearningRate, step / warmupSteps);
}

/** How a preset's learning rate is meant; the original's rules are `clip4str` and, for PARSeq and adapters, `parseq`. */
export type LearningRateScaling = 'clip4str' | 'parseq' | 'none';

/** What an optimizer step is made of. */
export interface StepSize {
  /** Images of one forward pass. */
  readonly batchSize: number;
  /** Passes whose gradients are added up. */
  readonly accumulation: number;
  readonly devices: number;
}

/** Factor between a preset's learning rate and the one trained with. */
export function learningRateScale(rule: LearningRateScaling, step: StepSize): number {
  const { batchSize, accumulation, devices } = step;
  switch (rule) {
    case 'clip4str':
      return (accumulation * (devices * batchSize)) / 512;
    case 'parseq':
      return (accumulation * Math.sqrt(devices) * batchSize) / 256;
    case 'none':
      return 1;
  }
}

function cosineBetween(from: number, to: number, share: number): number {
  return to + ((from - to) / 2) * (Math.cos(Math.PI * share) + 1);
}

function linearBetween(from: number, to: number, share: number): number {
  return (to - from) * share + from;
}
