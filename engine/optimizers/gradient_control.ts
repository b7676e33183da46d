/** What the norm of all gradients decides for an optimizer's step, on the GPU: nothing waits for it. */
import { launchGradientNorm } from '../../kernels/index.js';
import { EngineError } from '../errors.js';
import { noGrad } from '../graph.js';
import { dispatch } from '../operations/operation.js';
import { squareSums } from '../operations/square_sum.js';
import { type Tensor, allocate } from '../tensor.js';

export interface GradientControl {
  /** Norm of all unscaled gradients together, `[1]` f32; not finite where one of them is not. */
  readonly norm: Tensor;
  /** `[1]` f32, by which every gradient is to be multiplied. */
  readonly factor: Tensor;
  /** `[1]` u32: 1 where a gradient is not finite and the step is to be left out, else 0. */
  readonly skip: Tensor;
}

export interface GradientControlOptions {
  /** Gradients of a larger norm are scaled down to it, as PyTorch's `clip_grad_norm_` does. Default: never. */
  readonly maxNorm?: number;
  /** What the loss was multiplied by before its gradients were taken. Default 1. */
  readonly lossScale?: number;
}

/**
 * Measures gradients and decides how a step treats them.
 * @param gradients dense, f32 or f16
 * @throws EngineError without any, RangeError for options that are not above 0
 */
export function controlGradients(
  gradients: readonly Tensor[],
  { maxNorm = Infinity, lossScale = 1 }: GradientControlOptions = {},
): GradientControl {
  const [first] = gradients;
  if (!first) throw new EngineError('controlGradients: there is no gradient; call backward first');
  if (!(maxNorm > 0) || !(lossScale > 0 && lossScale < Infinity)) {
    throw new RangeError(
      `controlGradients: maxNorm ${maxNorm} and lossScale ${lossScale}; both must be above 0, and lossScale finite`,
    );
  }
  const { device } = first;
  return noGrad(() =>
    device.scope(() => {
      const squares = squareSums(gradients);
      const control = allocate(device, 'f32', [2], 'gradientNorm');
      const skip = allocate(device, 'u32', [1], 'gradientNorm');
      dispatch('gradientNorm', device, [squares, control, skip], ([from, to, flag]) =>
        launchGradientNorm(
          { squares: from!, maxNorm, unscale: 1 / lossScale, control: to!, skip: flag! },
          device.traits,
        ),
      );
      return { norm: control.slice(0, 0, 1), factor: control.slice(0, 1, 2), skip };
    }),
  );
}
