/** Gradients of the kernels that work on rows, the last dimension. */
import { columnWalk } from './column_sum.js';
import { type AdapterTraits, type Launch, type Operand, f32, storageFeatures, u32 } from './kernel.js';
import { launchRows } from './row_launch.js';
import { vectorType } from './stream.js';

/**
 * Gradient of softmax's operand, or of its logarithm's, from the function's output. Operands: output, gradient (of
 * the output), result, all of one shape; the rows of output and gradient contiguous.
 */
export function launchSoftmaxGradient(
  logarithm: boolean,
  output: Operand,
  gradient: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  return launchRows('softmax_gradient', output, result, { gradient, defines: { LOG: logarithm } }, traits);
}

export interface LayerNormGradientProblem {
  /** The forward's operand, its rows contiguous. */
  readonly x: Operand;
  /** Gradient of the forward's result, of the shape of `x`, its rows contiguous. */
  readonly gradient: Operand;
  /** `[width]`, contiguous. */
  readonly weight: Operand;
  readonly epsilon: number;
  /** Gradient of `x`. */
  readonly result: Operand;
  /** `[rows, 2]` f32, contiguous: filled for `launchLayerNormWeightGradient`. */
  readonly statistics: Operand;
}

/** Gradient of layernorm's operand, and its rows' statistics. Operands: x, gradient, weight, result, statistics. */
export function launchLayerNormGradient(problem: LayerNormGradientProblem, traits: AdapterTraits): Launch {
  const { x, gradient, weight, result, statistics } = problem;
  const extra = {
    gradient,
    byColumn: { weight },
    outputs: [statistics],
    params: {
      epsilon: f32(problem.epsilon),
      statisticsOffset: u32(statistics.offset / 2),
    },
  };
  return launchRows('layernorm_gradient', x, result, extra, traits);
}

/**
 * What groups of rows add to the gradients of layernorm's weight and bias. The gradients themselves are the sums over
 * the groups, by `launchColumnSum`, or these where there is one group.
 * Operands: x, gradient, statistics (of `launchLayerNormGradient`), weight and bias, each `[groups, width]` f32, contiguous.
 * `columnSumGroups` says how many groups there should be.
 */
export function launchLayerNormWeightGradient(
  { x, gradient, statistics }: Pick<LayerNormGradientProblem, 'x' | 'gradient' | 'statistics'>,
  { weight, bias }: { readonly weight: Operand; readonly bias: Operand },
  traits: AdapterTraits,
): Launch {
  const kernel = 'layernorm_weight_gradient';
  const results = { weight, bias };
  const { width, ...walk } = columnWalk(
    kernel,
    { x, gradient },
    results,
    { groups: weight.shape[0]! },
    traits,
  );
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      X: vectorType(x.dtype, width),
      GRADIENT: vectorType(gradient.dtype, width),
      ...walk.defines,
    },
    features: storageFeatures([x, gradient]),
    access: ['read', 'read', 'read', 'write', 'write'],
    params: { ...walk.params, statisticsOffset: u32(statistics.offset / 2) },
    workgroups: walk.workgroups,
  };
}
