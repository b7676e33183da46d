import { embedding } from '../operations/picking.js';
import type { Tensor } from '../tensor.js';
import { Module, type ModuleContext, needSizes, parameterOf } from './module.js';

/** A table of rows to be picked by id. Starts normally distributed, as PyTorch's. */
export class Embedding extends Module {
  /** `[rows, width]`. */
  readonly weight: Tensor;

  constructor(context: ModuleContext, rows: number, width: number) {
    super();
    needSizes('Embedding', { rows, width });
    this.weight = parameterOf(context, [rows, width], () => context.random.normal());
  }

  /**
   * @param ids `[batch, length]` u32; an id past the table gives a row of NaN
   * @returns `[batch, length, width]`
   */
  forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}
