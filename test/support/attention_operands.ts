/** Operands of attention on a device, and a variant's answer to them. */
import { expect } from '@jest/globals';
import type { AdapterTraits, Device, Tensor } from '../../engine/index.js';
import type { AttentionProblem, AttentionVariant } from '../../kernels/index.js';
import { type AttentionCase, attentionReference } from './attention_reference.js';
import { Random, poisoned, stored } from './numbers.js';

/** Operands with split heads as views of `[batch, tokens, heads * width]`, and what must come out. */
export interface AttentionOperands {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly mask: Tensor | undefined;
  readonly padding: Tensor | undefined;
  readonly expected: Float64Array;
}

type Name = 'query' | 'key' | 'value';

/** @param numbers the elements of an operand; random ones if not given */
export async function attentionOperands(
  device: Device,
  options: AttentionCase,
  dtype: 'f32' | 'f16' = 'f32',
  seed = 1,
  numbers?: (name: Name, count: number) => Float32Array<ArrayBuffer>,
): Promise<AttentionOperands> {
  const random = new Random(seed);
  const { batch, heads, queries, keys, width } = options;
  const make = (name: Name, tokens: number) => {
    const count = batch * tokens * heads * width;
    const values = numbers?.(name, count) ?? random.floats(count);
    return stored(device, values, [batch, tokens, heads * width], dtype);
  };
  const [query, key, value] = [
    await make('query', queries),
    await make('key', keys),
    await make('value', keys),
  ];
  const { mask, padded } = options;
  const maskValues = new Float32Array(mask ? batch * heads * queries * keys : 0);
  const paddingValues = new Uint32Array(padded ? batch * keys : 0);
  for (let b = 0; b < batch; b++) {
    for (let j = 0; j < keys; j++) {
      // Any value other than 0 marks padding.
      if (padded) paddingValues[b * keys + j] = padded(b, j) ? 1 + b + j : 0;
      if (!mask) continue;
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < queries; i++) {
          maskValues[((b * heads + h) * queries + i) * keys + j] = mask(b, h, i, j);
        }
      }
    }
  }
  return {
    query: query.tensor.splitHeads(heads),
    key: key.tensor.splitHeads(heads),
    value: value.tensor.splitHeads(heads),
    mask: mask && device.tensor(maskValues, [batch, heads, queries, keys]),
    padding: padded && device.tensor(paddingValues, [batch, keys]),
    expected: attentionReference(options, query.values, key.values, value.values),
  };
}

/**
 * Attention by one variant, on memory that held NaN.
 * @returns `[batch, queries, heads * width]`
 */
export function attendBy(
  device: Device,
  variant: AttentionVariant,
  traits: AdapterTraits,
  options: AttentionCase,
  { query, key, value, mask, padding }: AttentionOperands,
  dtype: 'f32' | 'f16' = 'f32',
): Tensor {
  const result = poisoned(device, [options.batch, options.queries, options.heads * options.width], dtype);
  const tensors = [query, key, value, ...(mask ? [mask] : []), ...(padding ? [padding] : [])];
  device.dispatch(
    (operands) => {
      const problem: AttentionProblem = {
        query: operands[0]!,
        key: operands[1]!,
        value: operands[2]!,
        mask: mask && operands[3],
        padding: padding && operands.at(-2),
        causal: options.causal ?? false,
        scale: options.scale ?? 1 / Math.sqrt(options.width),
        result: operands.at(-1)!,
      };
      expect(variant.canApply(problem, traits)).toBe(true);
      return variant.launch(problem, traits);
    },
    [...tensors, result.splitHeads(options.heads)],
    () => variant.name,
  );
  return result;
}
