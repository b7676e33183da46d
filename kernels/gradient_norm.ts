/**
 * The norm of all gradients together, and what follows from it for the optimizer, without leaving the GPU: each
 * tensor's sum of squares goes into a slot of one tensor, from which `launchGradientNorm` ends.
 */
import { isDense } from './dimensions.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  elementCount,
  f32,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { rowLanes } from './row_launch.js';
import { vectorType, vectorWidth } from './stream.js';

const largestFloat = 3.4028234663852886e38;

/** How many vectors of an operand each part of its sum has: few enough parts for one workgroup to add up, enough for a GPU. */
function partSpan(x: Operand, traits: AdapterTraits): number {
  const { lanes } = rowLanes(traits);
  const vectors = elementCount(x.shape) / vectorWidth([x]);
  return traits.software ? 2048 * lanes : Math.max(16 * lanes, Math.ceil(vectors / 4096));
}

function launchSum(kernel: string, x: Operand, span: number, result: Operand, traits: AdapterTraits): Launch {
  if (!isDense(x.shape, x.strides)) {
    throw new Error(`${kernel}: [${x.shape.join(',')}] with strides [${x.strides.join(',')}] must be dense`);
  }
  const width = vectorWidth([x]);
  const vectors = elementCount(x.shape) / width;
  // An operand without elements has a sum too.
  const parts = Math.max(1, Math.ceil(vectors / span));
  const { lanes, subgroup } = rowLanes(traits);
  return {
    kernel,
    file: 'sum_parts.wgsl',
    defines: {
      X: vectorType(x.dtype, width),
      FLOATS: vectorType('f32', width),
      WIDTH: width,
      SQUARE: kernel === 'square_sums',
      WORKGROUP: lanes,
      SUBGROUP: subgroup,
    },
    features: [...storageFeatures([x]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: ['read', 'write'],
    params: {
      vectors: u32(vectors),
      span: u32(span),
      parts: u32(parts),
      xOffset: u32(x.offset / width),
      resultOffset: u32(result.offset),
    },
    workgroups: spreadWorkgroups(parts, traits),
  };
}

/** Parts in which `launchSquareSums` leaves its sum; where it is one, no second launch is needed. */
export function squareSumParts(x: Operand, traits: AdapterTraits): number {
  return Math.max(1, Math.ceil(elementCount(x.shape) / vectorWidth([x]) / partSpan(x, traits)));
}

/**
 * Sums of squares of an f32 or f16 tensor, dense, in parts. Squares and sums are f32: a value beyond 1e19 counts as
 * not finite. Operands: x, result (f32, {@link squareSumParts} elements, dense).
 */
export function launchSquareSums(x: Operand, result: Operand, traits: AdapterTraits): Launch {
  return launchSum('square_sums', x, partSpan(x, traits), result, traits);
}

/** The sum of f32 parts, dense. Operands: parts, result (one f32). */
export function launchPartsSum(parts: Operand, result: Operand, traits: AdapterTraits): Launch {
  return launchSum('parts_sum', parts, Math.max(1, elementCount(parts.shape)), result, traits);
}

export interface GradientNormProblem {
  /** f32, dense: sums of squares of gradients. */
  readonly squares: Operand;
  /** Norm above which gradients are scaled down to it; Infinity for never. */
  readonly maxNorm: number;
  /** What gradients are multiplied by before all else: one over the loss scale. */
  readonly unscale: number;
  /** `[2]` f32: the norm of the unscaled gradients, and the factor that unscales and clips them. */
  readonly control: Operand;
  /** One u32: 1 where the sum of squares is not finite, else 0. */
  readonly skip: Operand;
}

/**
 * The total norm and `unscale * min(1, maxNorm / (norm + 1e-6))`, or a factor of 0 and `skip` where a gradient is not
 * finite. Operands: squares, control, skip.
 */
export function launchGradientNorm(problem: GradientNormProblem, traits: AdapterTraits): Launch {
  const { squares, maxNorm, unscale, control, skip } = problem;
  const { lanes, subgroup } = rowLanes(traits);
  return {
    kernel: 'gradient_norm',
    file: 'gradient_norm.wgsl',
    defines: { FLOATS: 'f32', WIDTH: 1, WORKGROUP: lanes, SUBGROUP: subgroup },
    features: subgroup ? ['subgroups'] : [],
    access: ['read', 'write', 'write'],
    params: {
      count: u32(elementCount(squares.shape)),
      maxNorm: f32(Math.min(maxNorm, largestFloat)),
      unscale: f32(unscale),
      squaresOffset: u32(squares.offset),
      controlOffset: u32(control.offset),
      skipOffset: u32(skip.offset),
    },
    workgroups: [1, 1, 1],
  };
}
