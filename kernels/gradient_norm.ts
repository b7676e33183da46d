/**
 * The norm of all gradients together, and what follows from it for the optimizer, without leaving the GPU: sums of squares of
 * all go into one tensor, from which `launchGradientNorm` ends.
 */
import { isDense } from './dimensions.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  type Parameter,
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

/** Vectors of a part, the same for every operand of a launch. */
function spanOf(xs: readonly Operand[], traits: AdapterTraits): number {
  return Math.max(...xs.map((x) => partSpan(x, traits)));
}

/** Parts in which `launchSquareSums` leaves its sums. */
export function squareSumParts(xs: readonly Operand[], traits: AdapterTraits): number {
  const [span, width] = [spanOf(xs, traits), vectorWidth(xs)];
  return xs.reduce((parts, x) => parts + Math.ceil(elementCount(x.shape) / width / span), 0);
}

/**
 * Sums of squares of dense f32 or f16 tensors, as many as a launch may bind, in parts. Squares and sums are f32: a value
 * beyond 1e19 counts as not finite. Operands: the tensors, all of one type, result (f32, {@link squareSumParts} elements, dense).
 */
export function launchSquareSums(xs: readonly Operand[], result: Operand, traits: AdapterTraits): Launch {
  const { lanes, subgroup } = rowLanes(traits);
  const [span, width] = [spanOf(xs, traits), vectorWidth(xs)];
  const params: Record<string, Parameter> = { span: u32(span), resultOffset: u32(result.offset) };
  let parts = 0;
  for (const [s, { dtype, shape, strides, offset }] of xs.entries()) {
    if (!isDense(shape, strides) || dtype !== xs[0]!.dtype) {
      throw new Error(
        `square_sums: ${dtype}[${shape.join(',')}] with strides [${strides.join(',')}] must be dense ${xs[0]!.dtype}`,
      );
    }
    const vectors = elementCount(shape) / width;
    Object.assign(params, { [`first${s}`]: u32(parts), [`vectors${s}`]: u32(vectors) });
    params[`xOffset${s}`] = u32(offset / width);
    parts += Math.ceil(vectors / span);
  }
  return {
    kernel: 'square_sums',
    file: 'square_sums.wgsl',
    defines: {
      SETS: xs.length,
      X: vectorType(xs[0]!.dtype, width),
      FLOATS: vectorType('f32', width),
      WIDTH: width,
      WORKGROUP: lanes,
      SUBGROUP: subgroup,
    },
    features: [...storageFeatures(xs), ...(subgroup ? (['subgroups'] as const) : [])],
    access: [...xs.map(() => 'read' as const), 'write'],
    params: { ...params, parts: u32(parts) },
    workgroups: spreadWorkgroups(parts, traits),
  };
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
