/** Scaled dot-product attention in float64, written from the definition. */

export interface AttentionShape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
}

export interface AttentionCase extends AttentionShape {
  readonly causal?: boolean;
  /** Added to the score of a query and key. */
  readonly mask?: ((batch: number, head: number, query: number, key: number) => number) | undefined;
  readonly padded?: ((batch: number, key: number) => boolean) | undefined;
  readonly scale?: number;
}

/**
 * @param query `[batch, queries, heads * width]`, as `key` and `value`
 * @returns `[batch, queries, heads * width]`
 */
export function attentionReference(
  options: AttentionCase,
  query: ArrayLike<number>,
  key: ArrayLike<number>,
  value: ArrayLike<number>,
): Float64Array {
  const { batch, heads, queries, keys, width } = options;
  const scale = options.scale ?? 1 / Math.sqrt(width);
  const result = new Float64Array(batch * queries * heads * width);
  const at = (b: number, tokens: number, token: number, h: number): number =>
    ((b * tokens + token) * heads + h) * width;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const scores = Array.from({ length: keys }, (_, j) => {
          if ((options.causal && j > i) || options.padded?.(b, j)) return -Infinity;
          let dot = 0;
          for (let d = 0; d < width; d++)
            dot += query[at(b, queries, i, h) + d]! * key[at(b, keys, j, h) + d]!;
          return dot * scale + (options.mask?.(b, h, i, j) ?? 0);
        });
        const highest = scores.reduce((high, score) => Math.max(high, score), -Infinity);
        const weights = scores.map((score) => Math.exp(score - highest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < width; d++) {
          let sum = 0;
          for (let j = 0; j < keys; j++) sum += weights[j]! * value[at(b, keys, j, h) + d]!;
          result[at(b, queries, i, h) + d] = sum / total;
        }
      }
    }
  }
  return result;
}
