/** A layer of the decoder: its parameters, and what a stream of tokens goes through. */
import {
  type Tensor,
  add,
  attention,
  contiguous,
  copyInto,
  layerNorm,
  linear,
  matmul,
  mean,
  softmax,
} from '../engine/index.js';
import type { DecoderConfiguration } from './configuration.js';
import type { Parameters } from './parameters.js';

/** Keys and values of an attention, heads split: `[batch, heads, tokens, head width]` each. */
export interface KeyValue {
  readonly key: Tensor;
  readonly value: Tensor;
}

/** What hides content from queries and from content, and how training regularises. */
export interface DecodingContext {
  /** What queries see, added to their scores: broadcast to `[batch, heads, positions, content]`. */
  readonly mask?: Tensor | undefined;
  /** What content sees, in decoders deeper than one layer. The original's refinement uses the queries' mask there. */
  readonly contentMask?: Tensor | undefined;
  /** `[batch, content]` u32, 1 = hidden. */
  readonly padding?: Tensor | undefined;
  /** Drops elements at random in training. */
  readonly dropout?: ((x: Tensor) => Tensor) | undefined;
}

export class DecoderLayer {
  /** @param prefix of the parameter names, up to the layer's number */
  constructor(
    private readonly parameters: Parameters,
    private readonly prefix: string,
    private readonly configuration: DecoderConfiguration,
  ) {}

  /** Normalised content, which its keys, values and own queries are projected from. */
  normalizeContent(content: Tensor): Tensor {
    return this.norm(content, 'norm_c');
  }

  /** Queries of the content attention, `[..., positions, width]`, into a tensor if given. */
  contentQuery(query: Tensor, into?: Tensor): Tensor {
    return this.project(this.norm(query, 'norm_q'), 'self_attn', 0, 1, into);
  }

  /** The content's own queries, from normalised content. */
  ownQuery(normalized: Tensor): Tensor {
    return this.project(normalized, 'self_attn', 0, 1);
  }

  /** Packed keys and values `[batch, tokens, 2 * width]` of normalised content, into a slice of a cache if given. */
  contentKeyValue(normalized: Tensor, into?: Tensor): Tensor {
    return this.project(normalized, 'self_attn', 1, 3, into);
  }

  /** Packed keys and values `[batch, tokens, 2 * width]` of the memory `[batch, tokens, width]`. */
  memoryKeyValue(memory: Tensor): Tensor {
    return this.project(memory, 'cross_attn', 1, 3);
  }

  /** Splits `[batch, tokens, 2 * width]` into keys and values by head. */
  splitKeyValue(packed: Tensor): KeyValue {
    const { width, heads } = this.configuration;
    return {
      key: packed.slice(2, 0, width).splitHeads(heads),
      value: packed.slice(2, width, 2 * width).splitHeads(heads),
    };
  }

  /**
   * One stream through the layer: content attention, memory attention, feed-forward, each with its residual.
   * @param tokens `[batch, positions, width]`
   * @param projectedQuery of the tokens, for the content attention
   * @param memory one or several for each row of the batch, each for an equal share of its positions, or one for several rows
   * @param attentionInto `[batch, positions, memory tokens]`: where the tokens looked, filled if given
   */
  stream(
    tokens: Tensor,
    projectedQuery: Tensor,
    content: KeyValue,
    memory: KeyValue,
    context: DecodingContext,
    attentionInto?: Tensor,
  ): Tensor {
    const { heads } = this.configuration;
    const { dropout } = context;
    return tokens.device.scope(() => {
      const own = attend(projectedQuery.splitHeads(heads), content, context);
      const afterContent = this.output(own, 'self_attn.out_proj', tokens, dropout);
      const shape = afterContent.shape;
      const perMemory = [memory.key.shape[0]!, -1, shape[2]!];
      const asked = this.project(this.norm(afterContent, 'norm1'), 'cross_attn', 0, 1);
      const query = asked.reshape(perMemory).splitHeads(heads);
      if (attentionInto) copyInto(attentionWeights(query, memory.key), attentionInto);
      const looked = attend(query, memory, { dropout }).reshape(shape);
      const afterMemory = this.output(looked, 'cross_attn.out_proj', afterContent, dropout);
      const expanded = linear(this.norm(afterMemory, 'norm2'), this.weight('linear1.weight'), {
        bias: this.weight('linear1.bias'),
        activation: 'gelu',
      });
      return this.output(dropout?.(expanded) ?? expanded, 'linear2', afterMemory, dropout);
    });
  }

  private output(x: Tensor, name: string, residual: Tensor, dropout: DecodingContext['dropout']): Tensor {
    const [weight, bias] = [this.weight(`${name}.weight`), this.weight(`${name}.bias`)];
    return dropout
      ? add(residual, dropout(linear(x, weight, { bias })))
      : linear(x, weight, { bias, residual });
  }

  private norm(x: Tensor, name: 'norm_q' | 'norm_c' | 'norm1' | 'norm2'): Tensor {
    return layerNorm(x, this.weight(`${name}.weight`), this.weight(`${name}.bias`));
  }

  /** Thirds `from` to `to` of an attention's packed input projection: query, key, value. */
  private project(
    x: Tensor,
    name: 'self_attn' | 'cross_attn',
    from: number,
    to: number,
    into?: Tensor,
  ): Tensor {
    const { width } = this.configuration;
    const weight = this.weight(`${name}.in_proj_weight`).slice(0, from * width, to * width);
    const bias = this.weight(`${name}.in_proj_bias`).slice(0, from * width, to * width);
    return linear(x, weight, { bias, ...(into ? { into } : {}) });
  }

  private weight(name: string): Tensor {
    return this.parameters.get(`${this.prefix}.${name}`);
  }
}

/** Attention, fused unless the weights themselves are dropped at random, as PyTorch's attention does in training. */
function attend(
  query: Tensor,
  { key, value }: KeyValue,
  { mask, padding, dropout }: DecodingContext,
): Tensor {
  if (!dropout) return attention(query, key, value, { mask, keyPadding: padding });
  return query.device.scope(() => {
    const [batch, heads, queries, width] = query.shape as [number, number, number, number];
    const scores = matmul(query, key.transpose(), { scale: 1 / Math.sqrt(width) });
    const weights = dropout(softmax(mask ? add(scores, mask) : scores));
    const joined = contiguous(matmul(weights, value).transpose(1, 2));
    return joined.reshape([batch, queries, heads * width]);
  });
}

/** Attention probabilities averaged over the heads: `[batch, queries, keys]`. The fused kernel keeps none. */
function attentionWeights(query: Tensor, key: Tensor): Tensor {
  const scores = matmul(contiguous(query), key.transpose(), { scale: 1 / Math.sqrt(query.shape[3]!) });
  return mean(softmax(scores), [1]);
}
