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

/** Where a row of a head starts in `[batch, tokens, heads * width]`. */
function rowAt(
  { heads, width }: AttentionShape,
  tokens: number,
  b: number,
  h: number,
  token: number,
): number {
  return ((b * tokens + token) * heads + h) * width;
}

function product(
  a: ArrayLike<number>,
  aAt: number,
  b: ArrayLike<number>,
  bAt: number,
  width: number,
): number {
  let sum = 0;
  for (let d = 0; d < width; d++) sum += a[aAt + d]! * b[bAt + d]!;
  return sum;
}

/** The softmax of a query's scores; NaN where it sees no key. */
function weightsOf(
  options: AttentionCase,
  query: ArrayLike<number>,
  key: ArrayLike<number>,
  [b, h, i]: readonly [number, number, number],
): number[] {
  const { queries, keys, width } = options;
  const scale = options.scale ?? 1 / Math.sqrt(width);
  const scores = Array.from({ length: keys }, (_, j) => {
    if ((options.causal && j > i) || options.padded?.(b, j)) return -Infinity;
    const [from, to] = [rowAt(options, queries, b, h, i), rowAt(options, keys, b, h, j)];
    return product(query, from, key, to, width) * scale + (options.mask?.(b, h, i, j) ?? 0);
  });
  const highest = scores.reduce((high, score) => Math.max(high, score), -Infinity);
  const weights = scores.map((score) => Math.exp(score - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function* everyQuery({
  batch,
  heads,
  queries,
}: AttentionShape): Generator<readonly [number, number, number]> {
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) yield [b, h, i];
    }
  }
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
  const result = new Float64Array(batch * queries * heads * width);
  for (const [b, h, i] of everyQuery(options)) {
    const weights = weightsOf(options, query, key, [b, h, i]);
    const to = rowAt(options, queries, b, h, i);
    for (let d = 0; d < width; d++) {
      for (let j = 0; j < keys; j++)
        result[to + d]! += weights[j]! * value[rowAt(options, keys, b, h, j) + d]!;
    }
  }
  return result;
}

export interface AttentionGradients {
  readonly query: Float64Array;
  readonly key: Float64Array;
  readonly value: Float64Array;
}

/**
 * The gradients by the chain rule: of the weight p of a key, dp = output gradient · value, and of its score
 * p (dp - sum of p dp). A query that sees no key gets NaN and adds nothing to keys and values.
 * @param outputGradient `[batch, queries, heads * width]`, as all others
 */
export function attentionGradientReference(
  options: AttentionCase,
  query: ArrayLike<number>,
  key: ArrayLike<number>,
  value: ArrayLike<number>,
  outputGradient: ArrayLike<number>,
): AttentionGradients {
  const { queries, keys, width } = options;
  const scale = options.scale ?? 1 / Math.sqrt(width);
  const gradients = {
    query: new Float64Array(query.length),
    key: new Float64Array(key.length),
    value: new Float64Array(value.length),
  };
  for (const [b, h, i] of everyQuery(options)) {
    const from = rowAt(options, queries, b, h, i);
    const weights = weightsOf(options, query, key, [b, h, i]);
    if (weights.some(Number.isNaN)) {
      gradients.query.fill(NaN, from, from + width);
      continue;
    }
    const slopes = weights.map((_, j) =>
      product(outputGradient, from, value, rowAt(options, keys, b, h, j), width),
    );
    const mean = slopes.reduce((sum, slope, j) => sum + weights[j]! * slope, 0);
    for (const [j, weight] of weights.entries()) {
      const to = rowAt(options, keys, b, h, j);
      const bent = scale * weight * (slopes[j]! - mean);
      for (let d = 0; d < width; d++) {
        gradients.query[from + d]! += bent * key[to + d]!;
        gradients.key[to + d]! += bent * query[from + d]!;
        gradients.value[to + d]! += weight * outputGradient[from + d]!;
      }
    }
  }
  return gradients;
}
