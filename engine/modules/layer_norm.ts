import { layerNorm } from '../operations/rows.js';
import type { Tensor } from '../tensor.js';
import { Module, type ModuleContext, needSizes, parameterOf } from './module.js';

/** Layer normalisation over the last dimension. The weight starts as ones, the bias as zeros. */
export class LayerNorm extends Module {
  /** `[width]`. */
  readonly weight: Tensor;
  /** `[width]`. */
  readonly bias: Tensor;
  readonly #epsilon: number;

  constructor(context: Pick<ModuleContext, 'device'>, width: number, options: { epsilon?: number } = {}) {
    super();
    needSizes('LayerNorm', { width });
    this.#epsilon = options.epsilon ?? 1e-5;
    this.weight = parameterOf(context, [width], () => 1);
    this.bias = parameterOf(context, [width], () => 0);
  }

  /** `[..., width]` to the same shape. */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, this.#epsilon);
  }
}
