/**
 * The decoder of PARSeq and of both branches of CLIP4STR: a transformer of two streams (PARSeq, section 3.2). The
 * content stream holds the characters read so far; the query stream asks, from a position alone, for the next one. A
 * query attends to the content, then to the memory (the encoded image, and in the cross branch the caption).
 */
import {
  type Device,
  type Tensor,
  concat,
  contiguous,
  embedding,
  layerNorm,
  linear,
} from '../engine/index.js';
import type { DecoderConfiguration } from './configuration.js';
import { type DecodingContext, DecoderLayer, type KeyValue } from './decoder_layer.js';
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

/** The memory, projected once for every layer. */
export type PreparedMemory = readonly KeyValue[];

export class Decoder {
  private readonly layers: readonly DecoderLayer[];

  constructor(
    private readonly device: Device,
    private readonly parameters: Parameters,
    private readonly names: DecoderNames,
    private readonly configuration: DecoderConfiguration,
  ) {
    this.layers = Array.from(
      { length: configuration.layers },
      (_, layer) => new DecoderLayer(parameters, `${names.layers}.${layer}`, configuration),
    );
  }

  /** Projects the memory `[batch, tokens, width]` to the keys and values of every layer's memory attention. */
  prepareMemory(memory: Tensor): PreparedMemory {
    return this.layers.map((layer) => layer.splitKeyValue(layer.memoryKeyValue(memory)));
  }

  /**
   * Projects memories that share their first part, which is projected once.
   * @param shared `[batch, tokens, width]`
   * @param own `[batch * memories, tokens, width]`, those of one image after another
   */
  prepareMemories(shared: Tensor, own: Tensor): PreparedMemory {
    return this.device.scope(() => {
      const [batch, tokens] = shared.shape as [number, number];
      const memories = own.shape[0]! / batch;
      const width = 2 * this.configuration.width;
      return this.layers.map((layer) => {
        const first = layer.memoryKeyValue(shared).reshape([batch, 1, tokens, width]);
        const rest = layer.memoryKeyValue(own).reshape([batch, memories, -1, width]);
        const joined = concat([first.expand([batch, memories, tokens, width]), rest], 2);
        return layer.splitKeyValue(joined.reshape([batch * memories, -1, width]));
      });
    });
  }

  /** The state of an autoregressive decoding over `steps` positions for `batch` images, for {@link begin} to fill. */
  makeState(batch: number, steps: number): DecodingState {
    const { width } = this.configuration;
    const caches = this.layers.map(() => this.device.empty('f32', [batch, steps, 2 * width]));
    return { caches, queries: this.device.empty('f32', [1, steps, width]) };
  }

  /** Asks for every position, before the first step. */
  begin({ queries }: DecodingState): void {
    this.layers[0]!.contentQuery(this.positionQueries(0, queries.shape[1]!), queries);
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
      let content = this.embedContent(ids, step);
      let query = this.positionQueries(step, step + 1).expand([ids.shape[0]!, 1, this.configuration.width]);
      this.layers.forEach((layer, i) => {
        const normalized = layer.normalizeContent(content);
        const cache = state.caches[i]!;
        layer.contentKeyValue(normalized, cache.slice(1, step, step + 1));
        const seen = layer.splitKeyValue(cache.slice(1, 0, step + 1));
        const asked =
          i === 0 ? state.queries.slice(1, step, step + 1).expand(query.shape) : layer.contentQuery(query);
        const last = i === this.layers.length - 1;
        query = layer.stream(query, asked, seen, memory[i]!, {}, last ? attentionInto : undefined);
        if (!last) content = layer.stream(content, layer.ownQuery(normalized), seen, memory[i]!, {});
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
    context: DecodingContext,
    attentionInto?: Tensor,
  ): Tensor {
    return this.readQueries(ids, this.positionQueries(0, positions), memory, context, attentionInto);
  }

  /** Whether several readings can share one pass: what content sees changes nothing in a single layer. */
  get sharesContent(): boolean {
    return this.layers.length === 1;
  }

  /**
   * Reads all positions several times over, under a mask each, from one context. Only where content is shared.
   * @param mask `[..., readings * positions, context]`, added to scores
   * @returns logits `[batch, readings * positions, classes]`
   */
  readRepeatedly(
    ids: Tensor,
    positions: number,
    readings: number,
    memory: PreparedMemory,
    mask: Tensor,
  ): Tensor {
    return this.device.scope(() => {
      const shape = [readings, positions, this.configuration.width];
      const queries = contiguous(this.positionQueries(0, positions).expand(shape));
      return this.readQueries(ids, queries.reshape([1, readings * positions, -1]), memory, { mask });
    });
  }

  /** @param asking queries `[1, queries, width]`, the same for every image */
  private readQueries(
    ids: Tensor,
    asking: Tensor,
    memory: PreparedMemory,
    context: DecodingContext,
    attentionInto?: Tensor,
  ): Tensor {
    return this.device.scope(() => {
      const { dropout } = context;
      const drop = dropout ?? ((x: Tensor): Tensor => x);
      const contentContext = { mask: context.contentMask, padding: context.padding, dropout };
      const shape = asking.shape.with(0, ids.shape[0]!);
      let content = drop(this.embedContent(ids, 0));
      // Without dropout the queries of all images start alike, and are projected once.
      let query = drop(asking.expand(shape));
      this.layers.forEach((layer, i) => {
        const normalized = layer.normalizeContent(content);
        const seen = layer.splitKeyValue(layer.contentKeyValue(normalized));
        const asked =
          i === 0 && !dropout ? layer.contentQuery(asking).expand(shape) : layer.contentQuery(query);
        const last = i === this.layers.length - 1;
        query = layer.stream(query, asked, seen, memory[i]!, context, last ? attentionInto : undefined);
        if (!last) {
          content = layer.stream(content, layer.ownQuery(normalized), seen, memory[i]!, contentContext);
        }
      });
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

  private classify(query: Tensor, into?: Tensor): Tensor {
    const { norm, head } = this.names;
    const get = (name: string): Tensor => this.parameters.get(name);
    const normalized = layerNorm(query, get(`${norm}.weight`), get(`${norm}.bias`));
    return linear(normalized, get(`${head}.weight`), {
      bias: get(`${head}.bias`),
      ...(into ? { into } : {}),
    });
  }
}

/** What an autoregressive decoding keeps between its steps. */
export interface DecodingState {
  /** Keys and values of the content so far, for each layer: `[batch, steps, 2 * width]`. */
  readonly caches: readonly Tensor[];
  /** The first layer's queries of all positions, the same for every image: `[1, steps, width]`. */
  readonly queries: Tensor;
}
