/**
 * Steps of optimizers, in place on f32 weights, on as many as a launch may bind (momentum on one): most of a model's parameters are so small
 * that starting a launch would take longer than their step. Operands are dense, those of a set of one size, so that a tensor
 * larger than a binding is taken part by part.
 */
import { type AdapterTraits, type Launch, type Operand, f32 } from './kernel.js';
import { launchStreams } from './stream.js';

/** What every step takes from the kernel that measured the gradients (`launchGradientNorm`). */
export interface GradientControl {
  /** One f32: the gradient is multiplied by it. */
  readonly factor: Operand;
  /** One u32: anything but 0 leaves weights and moments as they are. */
  readonly skip: Operand;
}

export type AdamWOperands = {
  /** f32, changed. */
  readonly parameter: Operand;
  /** f32 or f16. */
  readonly gradient: Operand;
  /** f32, changed; zeros before the first step. */
  readonly firstMoment: Operand;
  readonly secondMoment: Operand;
};

export interface AdamWSettings {
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Counted from 1; steps that were skipped do not count. */
  readonly step: number;
}

export const adamWAccess = {
  parameter: 'readWrite',
  gradient: 'read',
  firstMoment: 'readWrite',
  secondMoment: 'readWrite',
} as const;

/** AdamW as PyTorch's, without amsgrad. Operands: those of each set in the order of {@link adamWAccess}, factor, skip. */
export function launchAdamW(
  sets: readonly AdamWOperands[],
  { factor, skip }: GradientControl,
  settings: AdamWSettings,
  traits: AdapterTraits,
): Launch {
  const { learningRate, betas, epsilon, weightDecay, step } = settings;
  return launchStreams(
    {
      kernel: 'adamw',
      file: 'adamw.wgsl',
      sets,
      access: adamWAccess,
      scalars: { factor, skip },
      // Differences from 1 are taken in double precision: in f32 they would lose their digits.
      params: {
        decay: f32(1 - learningRate * weightDecay),
        beta1: f32(betas[0]),
        oneMinusBeta1: f32(1 - betas[0]),
        beta2: f32(betas[1]),
        oneMinusBeta2: f32(1 - betas[1]),
        stepSize: f32(learningRate / (1 - betas[0] ** step)),
        secondCorrectionRoot: f32(Math.sqrt(1 - betas[1] ** step)),
        epsilon: f32(epsilon),
      },
    },
    traits,
  );
}

export type MomentumOperands = {
  /** f32, changed; zeros before the first step. */
  readonly buffer: Operand;
  /** f32 or f16. */
  readonly gradient: Operand;
  /** f32 or f16: the direction, zeros where the step is skipped. */
  readonly result: Operand;
};

export const momentumAccess = { buffer: 'readWrite', gradient: 'read', result: 'write' } as const;

/**
 * `buffer = momentum * buffer + gradient`, `result = gradient + momentum * buffer` (Nesterov): what Muon (Jordan et
 * al., 2024) makes orthogonal before it steps. Operands: buffer, gradient, result, factor, skip.
 */
export function launchMomentum(
  operands: MomentumOperands,
  { factor, skip }: GradientControl,
  momentum: number,
  traits: AdapterTraits,
): Launch {
  return launchStreams(
    {
      kernel: 'momentum',
      file: 'momentum.wgsl',
      sets: [operands],
      access: momentumAccess,
      scalars: { factor, skip },
      params: { momentum: f32(momentum) },
    },
    traits,
  );
}

export type UpdateOperands = {
  /** f32, changed. */
  readonly parameter: Operand;
  /** f32 or f16. */
  readonly update: Operand;
};

export interface UpdateSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Multiplies the update beside the learning rate, and not the decay. */
  readonly scale: number;
}

export const updateAccess = { parameter: 'readWrite', update: 'read' } as const;

/**
 * `parameter = parameter * (1 - learningRate * weightDecay) - learningRate * scale * update`. Operands: those of each set in
 * the order of {@link updateAccess}, skip.
 */
export function launchUpdate(
  sets: readonly UpdateOperands[],
  skip: Operand,
  { learningRate, weightDecay, scale }: UpdateSettings,
  traits: AdapterTraits,
): Launch {
  return launchStreams(
    {
      kernel: 'update',
      file: 'in_place.wgsl',
      sets: sets.map(({ parameter, update }) => ({ x: parameter, y: update })),
      access: { x: 'readWrite', y: 'read' },
      scalars: { skip },
      defines: { SKIP: true, EXPRESSION: 'x * params.decay - y * params.rate' },
      params: { decay: f32(1 - learningRate * weightDecay), rate: f32(learningRate * scale) },
    },
    traits,
  );
}

export type LerpOperands = {
  /** f32, changed. */
  readonly average: Operand;
  /** f32 or f16. */
  readonly value: Operand;
};

export const lerpAccess = { average: 'readWrite', value: 'read' } as const;

/** `average += (value - average) * weight`. Operands: those of each set in the order of {@link lerpAccess}. */
export function launchLerp(sets: readonly LerpOperands[], weight: number, traits: AdapterTraits): Launch {
  return launchStreams(
    {
      kernel: 'lerp',
      file: 'in_place.wgsl',
      sets: sets.map(({ average, value }) => ({ x: average, y: value })),
      access: { x: 'readWrite', y: 'read' },
      defines: { SKIP: false, EXPRESSION: 'x + (y - x) * params.weight' },
      params: { weight: f32(weight) },
    },
    traits,
  );
}
