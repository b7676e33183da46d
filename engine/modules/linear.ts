import { type MatmulOptions, linear } from '../operations/matmul.js';
import type { Tensor } from '../tensor.js';
import { Module, type ModuleContext, needSizes, parameterOf, uniform } from './module.js';

/** `x weightᵀ + bias`. Parameters start uniform within `1 / sqrt(inputs)`, as PyTorch's. */
export class Linear extends Module {
  /** `[outputs, inputs]`. */
  readonly weight: Tensor;
  /** `[outputs]`. */
  readonly bias: Tensor | undefined;

  /** @param options `bias: false` leaves the bias out */
  constructor(context: ModuleContext, inputs: number, outputs: number, options: { bias?: boolean } = {}) {
    super();
    needSizes('Linear', { inputs, outputs });
    const draw = uniform(context, 1 / Math.sqrt(inputs));
    this.weight = parameterOf(context, [outputs, inputs], draw);
    this.bias = (options.bias ?? true) ? parameterOf(context, [outputs], draw) : undefined;
  }

  /**
   * @param x `[..., rows, inputs]`
   * @param options an activation and a residual `[..., rows, outputs]` to add last
   * @returns `[..., rows, outputs]`
   */
  forward(x: Tensor, options: Pick<MatmulOptions, 'activation' | 'residual'> = {}): Tensor {
    return linear(x, this.weight, { ...options, bias: this.bias });
  }
}
