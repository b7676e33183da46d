import { EngineError } from '../errors.js';
import { type AttentionOptions, attention } from '../operations/attention.js';
import { linear } from '../operations/matmul.js';
import type { Tensor } from '../tensor.js';
import { Linear } from './linear.js';
import { Module, type ModuleContext, needSizes, parameterOf, uniform } from './module.js';

export interface MultiHeadAttentionOptions extends Pick<AttentionOptions, 'causal' | 'mask' | 'keyPadding'> {
  /** `[batch, keys, width]`, where keys and values come from. Default: the queries' own operand. */
  readonly memory?: Tensor;
}

/**
 * Attention with projections of query, key, value and result, as PyTorch's `MultiheadAttention` with the batch first. Its
 * `in_proj_weight` and `in_proj_bias` are `projectionWeight` and `projectionBias`, its `out_proj` is `output`; they start as there.
 */
export class MultiHeadAttention extends Module {
  /** Query, key and value below each other, `[3 * width, width]`. */
  readonly projectionWeight: Tensor;
  /** `[3 * width]`. */
  readonly projectionBias: Tensor;
  readonly output: Linear;

  constructor(
    context: ModuleContext,
    width: number,
    readonly heads: number,
  ) {
    super();
    needSizes('MultiHeadAttention', { width, heads });
    if (width % heads !== 0) {
      throw new EngineError(`MultiHeadAttention: a width of ${width} does not divide into ${heads} heads`);
    }
    const bound = Math.sqrt(6 / (width + 3 * width));
    this.projectionWeight = parameterOf(context, [3 * width, width], uniform(context, bound));
    this.projectionBias = parameterOf(context, [3 * width], () => 0);
    this.output = new Linear(context, width, width);
    context.device.write(this.output.bias!, new Float32Array(width));
  }

  /**
   * @param x `[batch, queries, width]`
   * @param options `mask` is added to the scores and broadcasts to `[batch, heads, queries, keys]`, -inf hides a key;
   *   `keyPadding` `[batch, keys]` u32 hides keys marked other than 0; `causal` lets a query see keys up to its own place
   * @returns `[batch, queries, width]`
   */
  forward(x: Tensor, { memory, ...options }: MultiHeadAttentionOptions = {}): Tensor {
    return x.device.scope(() => {
      const width = this.output.weight.shape[0]!;
      const heads = (source: Tensor, first: number, count: number): Tensor[] => {
        const [start, end] = [first * width, (first + count) * width];
        const bias = this.projectionBias.slice(0, start, end);
        const joined = linear(source, this.projectionWeight.slice(0, start, end), { bias });
        return Array.from({ length: count }, (_, i) =>
          joined.slice(-1, i * width, (i + 1) * width).splitHeads(this.heads),
        );
      };
      const [query, key, value] = memory ? [...heads(x, 0, 1), ...heads(memory, 1, 2)] : heads(x, 0, 3);
      return this.output.forward(attention(query!, key!, value!, options));
    });
  }
}
