/**
 * The decoder of PARSeq and of both branches of CLIP4STR: a transformer of two streams (PARSeq, section 3.2). The
 * content stream holds the characters read so far; the query stream asks, from a position alone, for the next one. A
 * query attends to the content, then to the memory (the encoded image, and in the cross branch the caption).
 */
import {
  type Device,
  type Tensor,
  attention,
  concat,
  contiguous,
  copyInto,
  embedding,
  layerNorm,
  linear,
  matmul,
  mean,
  softmax,
} from '../engine/index.js';
import type { DecoderConfiguration } from './configuration.js';
import type { Parameters } from './parameters.js';

/** Names of a branch's parameters: CLIP4STR keeps all of a branch together, PARSeq spreads them. */
export interface DecoderNames {
  /** `<layers>.<index>.…` */
  readonly layers: string;
  readonly norm: string;
  readonly head: string;
  readonly textEmbedding: string;
  readonly positionQueries: string;
}

/** Names in CLIP4STR's `visual_decoder` or `cross_decoder`. */
export function branchNames(branch: 'visual_decoder' | 'cross_decoder'): DecoderNames {
  return {
    layers: `${branch}.layers`,
    norm: `${branch}.norm`,
    head: `${branch}.head`,
    textEmbedding: `${branch}.text_embed.embedding.weight`,
    positionQueries: `${branch}.pos_queries`,
  };
}

export const parseqDecoderNames: DecoderNames = {
  layers: 'decoder.layers',
  norm: 'decoder.norm',
  head: 'head',
  textEmbedding: 'text_embed.embedding.weight',
  positionQueries: 'pos_queries',
};

/** Keys and values of an attention, heads split: `[batch, heads, tokens, head width]` each. */
interface KeyValue {
  readonly key: Tensor;
  readonly value: Tensor;
}

interface LinearParameters {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** The memory, projected once for every layer. */
export type PreparedMemory = readonly KeyValue[];

/** What hides content from queries and from content. */
export interface ContentMasks {
  /** `[positions, positions]`, added to the scores. */
  readonly mask?: Tensor | undefined;
  /** `[batch, positions]` u32, 1 = hidden. */
  readonly padding?: Tensor | undefined;
}

export class Decoder {
  constructor(
    private readonly device: Device,
    private readonly parameters: Parameters,
    private readonly names: DecoderNames,
    private readonly configuration: DecoderConfiguration,
  ) {}

  /** Projects the memory `[batch, tokens, width]` to the keys and values of every layer's cross-attention. */
  prepareMemory(memory: Tensor): PreparedMemory {
    return Array.from({ length: this.configuration.layers }, (_, layer) =>
      this.keyValue(this.project(memory, layer, 'cross_attn', 1, 3)),
    );
  }

  /** The state of an autoregressive decoding over `steps` positions for `batch` images. */
  startSteps(batch: number, steps: number): DecodingState {
    const { device } = this;
    const { width, layers } = this.configuration;
    const caches = Array.from({ length: layers }, () => device.empty('f32', [batch, steps, 2 * width]));
    return { caches, queries: this.projectedQueries(steps) };
  }

  /**
   * Reads one position. Content before it must have been passed in earlier steps.
   * @param ids `[batch, 1]` u32: the content token at this position (the begin token first)
   * @param logitsInto `[batch, 1, classes]`, filled
   */
  step(
    ids: Tensor,
    step: number,
    state: DecodingState,
    memory: PreparedMemory,
    logitsInto: Tensor,
    attentionInto?: Tensor,
  ): void {
    this.device.scope(() => {
      const batch = ids.shape[0]!;
      let content = this.embedContent(ids, step);
      let query = this.positionQueries(step, step + 1).expand([batch, 1, this.configuration.width]);
      state.caches.forEach((cache, layer) => {
        const normalized = this.norm(content, layer, 'norm_c');
        this.project(normalized, layer, 'self_attn', 1, 3, cache.slice(1, step, step + 1));
        const seen = this.keyValue(cache.slice(1, 0, step + 1));
        const projected =
          layer === 0
            ? state.queries.slice(1, step, step + 1).expand(query.shape)
            : this.projectQuery(query, layer);
        const last = layer === this.configuration.layers - 1;
        query = this.stream(
          query,
          projected,
          layer,
          seen,
          memory[layer]!,
          {},
          last ? attentionInto : undefined,
        );
        if (!last) {
          const own = this.project(normalized, layer, 'self_attn', 0, 1);
          content = this.stream(content, own, layer, seen, memory[layer]!, {});
        }
      });
      this.classify(query, logitsInto);
    });
  }

  /**
   * Reads all positions at once, from a whole context.
   * @param ids `[batch, context]` u32, the begin token first
   * @param positions how many positions are asked for
   * @param attentionInto `[batch, positions, memory tokens]`: where the last layer looked, filled if given
   * @returns logits `[batch, positions, classes]`
   */
  readAll(
    ids: Tensor,
    positions: number,
    memory: PreparedMemory,
    masks: ContentMasks,
    attentionInto?: Tensor,
  ): Tensor {
    return this.device.scope(() => {
      const [batch, context] = ids.shape as [number, number];
      const { width, layers } = this.configuration;
      let content = this.embedContent(ids, 0);
      let query = this.positionQueries(0, positions).expand([batch, positions, width]);
      const first = this.projectedQueries(positions);
      for (let layer = 0; layer < layers; layer++) {
        const normalized = this.norm(content, layer, 'norm_c');
        const seen = this.keyValue(this.project(normalized, layer, 'self_attn', 1, 3));
        const projected =
          layer === 0 ? first.expand([batch, positions, width]) : this.projectQuery(query, layer);
        const last = layer === layers - 1;
        query = this.stream(
          query,
          projected,
          layer,
          seen,
          memory[layer]!,
          masks,
          last ? attentionInto : undefined,
        );
        if (!last) {
          const own = this.project(normalized, layer, 'self_attn', 0, 1);
          const contentMasks = { ...masks, mask: masks.mask?.slice(0, 0, context) };
          content = this.stream(content, own, layer, seen, memory[layer]!, contentMasks);
        }
      }
      return this.classify(query);
    });
  }

  /** Token embeddings scaled by sqrt(width), plus position queries for everything after the begin token. */
  private embedContent(ids: Tensor, start: number): Tensor {
    const length = ids.shape[1]!;
    const table = this.parameters.get(this.names.textEmbedding);
    const scale = Math.sqrt(this.configuration.width);
    return this.device.scope(() => {
      const begin = start === 0 ? [embedding(table, ids.slice(1, 0, 1), { scale })] : [];
      const first = begin.length;
      if (first === length) return begin[0]!;
      const positions = this.positionQueries(start + first - 1, start + length - 1).select(0, 0);
      const rest = embedding(table, ids.slice(1, first), { scale, positions });
      return first > 0 ? concat([...begin, rest], 1) : rest;
    });
  }

  /** `[1, positions, width]`. */
  private positionQueries(start: number, end: number): Tensor {
    return this.parameters.get(this.names.positionQueries).slice(1, start, end);
  }

  /** The first layer's self-attention queries, which depend on positions alone: `[1, positions, width]`. */
  private projectedQueries(positions: number): Tensor {
    return this.device.scope(() => this.projectQuery(this.positionQueries(0, positions), 0));
  }

  private projectQuery(query: Tensor, layer: number): Tensor {
    return this.project(this.norm(query, layer, 'norm_q'), layer, 'self_attn', 0, 1);
  }

  /** One stream through a layer: content attention, memory attention, feed-forward, each with its residual. */
  private stream(
    tokens: Tensor,
    projectedQuery: Tensor,
    layer: number,
    content: KeyValue,
    memory: KeyValue,
    { mask, padding }: ContentMasks,
    attentionInto?: Tensor,
  ): Tensor {
    const { heads } = this.configuration;
    return this.device.scope(() => {
      const own = attention(projectedQuery.splitHeads(heads), content.key, content.value, {
        mask,
        keyPadding: padding,
      });
      const afterContent = this.output(own, layer, 'self_attn.out_proj', tokens);
      const asked = this.project(
        this.norm(afterContent, layer, 'norm1'),
        layer,
        'cross_attn',
        0,
        1,
      ).splitHeads(heads);
      if (attentionInto) copyInto(attentionWeights(asked, memory.key), attentionInto);
      const looked = attention(asked, memory.key, memory.value);
      const afterMemory = this.output(looked, layer, 'cross_attn.out_proj', afterContent);
      const expanded = linear(this.norm(afterMemory, layer, 'norm2'), this.weight(layer, 'linear1.weight'), {
        bias: this.weight(layer, 'linear1.bias'),
        activation: 'gelu',
      });
      return this.output(expanded, layer, 'linear2', afterMemory);
    });
  }

  private classify(query: Tensor, into?: Tensor): Tensor {
    const [norm, head] = [this.names.norm, this.names.head].map((name) => ({
      weight: this.parameters.get(`${name}.weight`),
      bias: this.parameters.get(`${name}.bias`),
    })) as [LinearParameters, LinearParameters];
    const normalized = layerNorm(query, norm.weight, norm.bias);
    return linear(normalized, head.weight, { bias: head.bias, ...(into ? { into } : {}) });
  }

  private output(x: Tensor, layer: number, name: string, residual: Tensor): Tensor {
    return linear(x, this.weight(layer, `${name}.weight`), {
      bias: this.weight(layer, `${name}.bias`),
      residual,
    });
  }

  private norm(x: Tensor, layer: number, name: 'norm_q' | 'norm_c' | 'norm1' | 'norm2'): Tensor {
    return layerNorm(x, this.weight(layer, `${name}.weight`), this.weight(layer, `${name}.bias`));
  }

  /** Thirds `from` to `to` of an attention's packed input projection: query, key, value. */
  private project(
    x: Tensor,
    layer: number,
    name: 'self_attn' | 'cross_attn',
    from: number,
    to: number,
    into?: Tensor,
  ): Tensor {
    const { width } = this.configuration;
    const weight = this.weight(layer, `${name}.in_proj_weight`).slice(0, from * width, to * width);
    const bias = this.weight(layer, `${name}.in_proj_bias`).slice(0, from * width, to * width);
    return linear(x, weight, { bias, ...(into ? { into } : {}) });
  }

  /** Splits `[batch, tokens, 2 * width]` into keys and values by head. */
  private keyValue(packed: Tensor): KeyValue {
    const { width, heads } = this.configuration;
    return {
      key: packed.slice(2, 0, width).splitHeads(heads),
      value: packed.slice(2, width, 2 * width).splitHeads(heads),
    };
  }

  private weight(layer: number, name: string): Tensor {
    return this.parameters.get(`${this.names.layers}.${layer}.${name}`);
  }
}

/** What an autoregressive decoding keeps between its steps. */
export interface DecodingState {
  /** Keys and values of the content so far, for each layer: `[batch, steps, 2 * width]`. */
  readonly caches: readonly Tensor[];
  /** The first layer's queries of all positions: `[1, steps, width]`. */
  readonly queries: Tensor;
}

/** Attention probabilities averaged over the heads: `[batch, queries, keys]`. The fused kernel keeps none. */
function attentionWeights(query: Tensor, key: Tensor): Tensor {
  const scores = matmul(contiguous(query), key.transpose(), { scale: 1 / Math.sqrt(query.shape[3]!) });
  return mean(softmax(scores), [1]);
}
