/**
 * Steps of optimizers, in place on f32 weights. Operands are dense and of one size, so that a tensor larger than a
 * binding is taken part by part.
 */
import { type AdapterTraits, type Launch, type Operand, f32 } from './kernel.js';
import { type Streamed, launchStream } from './stream.js';

const read = (operand: Operand): Streamed => ({ operand, access: 'read' });
const write = (operand: Operand): Streamed => ({ operand, access: 'write' });
const readWrite = (operand: Operand): Streamed => ({ operand, access: 'readWrite' });

/** What every step takes from the kernel that measured the gradients (`launchGradientNorm`). */
export interface GradientControl {
  /** One f32: the gradient is multiplied by it. */
  readonly factor: Operand;
  /** One u32: anything but 0 leaves weights and moments as they are. */
  readonly skip: Operand;
}

export interface AdamWOperands extends GradientControl {
  /** f32, changed. */
  readonly parameter: Operand;
  /** f32 or f16. */
  readonly gradient: Operand;
  /** f32, changed; zeros before the first step. */
  readonly firstMoment: Operand;
  readonly secondMoment: Operand;
}

export interface AdamWSettings {
  readonly learningRate: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Counted from 1; steps that were skipped do not count. */
  readonly step: number;
}

/** AdamW as PyTorch's, without amsgrad. Operands: parameter, gradient, first and second moment, factor, skip. */
export function launchAdamW(operands: AdamWOperands, settings: AdamWSettings, traits: AdapterTraits): Launch {
  const { learningRate, betas, epsilon, weightDecay, step } = settings;
  const { parameter, gradient, firstMoment, secondMoment, factor, skip } = operands;
  return launchStream(
    {
      kernel: 'adamw',
      file: 'adamw.wgsl',
      streams: {
        parameter: readWrite(parameter),
        gradient: read(gradient),
        first: readWrite(firstMoment),
        second: readWrite(secondMoment),
      },
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

export interface MomentumOperands extends GradientControl {
  /** f32, changed; zeros before the first step. */
  readonly buffer: Operand;
  /** f32 or f16. */
  readonly gradient: Operand;
  /** f32 or f16: the direction, zeros where the step is skipped. */
  readonly result: Operand;
}

/**
 * `buffer = momentum * buffer + gradient`, `result = gradient + momentum * buffer` (Nesterov): what Muon (Jordan et
 * al., 2024) makes orthogonal before it steps. Operands: buffer, gradient, result, factor, skip.
 */
export function launchMomentum(operands: MomentumOperands, momentum: number, traits: AdapterTraits): Launch {
  const { buffer, gradient, result, factor, skip } = operands;
  return launchStream(
    {
      kernel: 'momentum',
      file: 'momentum.wgsl',
      streams: { buffer: readWrite(buffer), gradient: read(gradient), result: write(result) },
      scalars: { factor, skip },
      params: { momentum: f32(momentum) },
    },
    traits,
  );
}

export interface UpdateOperands extends Pick<GradientControl, 'skip'> {
  /** f32, changed. */
  readonly parameter: Operand;
  /** f32 or f16. */
  readonly update: Operand;
}

export interface UpdateSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Multiplies the update beside the learning rate, and not the decay. */
  readonly scale: number;
}

/**
 * `parameter = parameter * (1 - learningRate * weightDecay) - learningRate * scale * update`. Operands: parameter,
 * update, skip.
 */
export function launchUpdate(
  operands: UpdateOperands,
  settings: UpdateSettings,
  traits: AdapterTraits,
): Launch {
  const { learningRate, weightDecay, scale } = settings;
  return launchStream(
    {
      kernel: 'update',
      file: 'in_place.wgsl',
      streams: { x: readWrite(operands.parameter), y: read(operands.update) },
      scalars: { skip: operands.skip },
      defines: { SKIP: true, EXPRESSION: 'x * params.decay - y * params.rate' },
      params: { decay: f32(1 - learningRate * weightDecay), rate: f32(learningRate * scale) },
    },
    traits,
  );
}

/** `average += (value - average) * weight`, with `average` f32. Operands: average, value. */
export function launchLerp(average: Operand, value: Operand, weight: number, traits: AdapterTraits): Launch {
  return launchStream(
    {
      kernel: 'lerp',
      file: 'in_place.wgsl',
      streams: { x: readWrite(average), y: read(value) },
      defines: { SKIP: false, EXPRESSION: 'x + (y - x) * params.weight' },
      params: { weight: f32(weight) },
    },
    traits,
  );
}
