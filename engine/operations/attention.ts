import {
  type AttentionProblem,
  attendsBackwardByMatrixUnits,
  attendsByMatrixUnits,
  attentionCost,
  attentionFamily,
  chooseVariant,
} from '../../kernels/index.js';
import { EngineError, ShapeError } from '../errors.js';
import { isRecorded } from '../graph.js';
import { shapeText } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { attentionGradients } from './attention_gradient.js';
import { contiguous } from './elementwise.js';
import { type Operation, describe, dispatch, needFloats, needTensors, run } from './operation.js';

export interface AttentionOptions {
  /** Whether query i sees keys up to i alone; needs as many keys as queries. */
  readonly causal?: boolean;
  /** Added to the scores, broadcast to `[batch, heads, queries, keys]`; -inf hides a key. */
  readonly mask?: Tensor | undefined;
  /** `[batch, keys]` u32: keys marked other than 0 are hidden. */
  readonly keyPadding?: Tensor | undefined;
  /** Factor of the scores. Default: 1 / sqrt(head width). */
  readonly scale?: number;
}

type AttentionInputs = {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly mask: Tensor | undefined;
  readonly keyPadding: Tensor | undefined;
};

/** The result is `[batch, queries, heads, width]`, so that joining the heads costs nothing. */
export const attentionRow: Operation<AttentionInputs, { causal: boolean; scale: number }> = {
  name: 'attention',
  output({ query }) {
    const [batch, heads, queries, width] = query.shape as [number, number, number, number];
    return { dtype: query.dtype, shape: [batch, queries, heads, width] };
  },
  forward({ query, key, value, mask, keyPadding }, output, { causal, scale }) {
    const { device } = output;
    const dense = [query, key, value].map((tensor) =>
      tensor.strides[3] === 1 ? tensor : contiguous(tensor),
    );
    const rows = mask && mask.strides[3] !== 1 && mask.shape[3]! > 1 ? contiguous(mask) : mask;
    dispatch('attention', device, [...dense, rows, keyPadding, output.transpose(1, 2)], (operands) => {
      const problem: AttentionProblem = {
        query: operands[0]!,
        key: operands[1]!,
        value: operands[2]!,
        mask: mask && operands[3],
        padding: keyPadding && operands.at(-2),
        causal,
        scale,
        result: operands.at(-1)!,
      };
      return chooseVariant(attentionFamily, problem, device).launch(problem, device.traits);
    });
  },
  backward: {
    saves: () => ['query', 'key', 'value', 'mask', 'keyPadding', 'output'],
    gradients({ gradient, attributes, saved, needs }) {
      if (needs('mask')) throw new EngineError('attention: a mask gets no gradient; detach() it');
      const inputs = {
        query: saved('query'),
        key: saved('key'),
        value: saved('value'),
        mask: saved('mask'),
        padding: saved('keyPadding'),
        output: saved('output').transpose(1, 2),
        outputGradient: gradient.transpose(1, 2),
      };
      return attentionGradients(inputs, attributes, needs('key') || needs('value'));
    },
  },
  cost({ query, key, value, mask }, output, { causal, scale }) {
    const result = { dtype: output.dtype, shape: query.shape, strides: [], offset: 0 };
    return attentionCost({ query, key, value, mask, causal, scale, result });
  },
  splits: () => [
    { query: 0, key: 0, value: 0, mask: 0, keyPadding: 0, output: 0 },
    { query: 1, key: 1, value: 1, mask: 1, output: 2 },
  ],
};

/**
 * Fused scaled dot-product attention; scores are never stored. A query whose keys are all hidden gives NaN.
 * @param query `[batch, heads, queries, width]`
 * @param key `[batch, heads, keys, width]`
 * @param value `[batch, heads, keys, width]`
 * @returns `[batch, queries, heads * width]`: the heads joined
 * @throws ShapeError when operands do not fit together
 */
export function attention(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions = {}): Tensor {
  const { causal = false, mask, keyPadding } = options;
  needTensors('attention', { query, key, value, ...(mask && { mask }), ...(keyPadding && { keyPadding }) });
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const keys = key.shape[2]!;
  const expected = shapeText([batch, heads, keys, width]);
  const fits = query.rank === 4 && [key, value].every((tensor) => shapeText(tensor.shape) === expected);
  const padded =
    !keyPadding || (shapeText(keyPadding.shape) === shapeText([batch, keys]) && keyPadding.dtype === 'u32');
  const scores = [batch, heads, queries, keys];
  const masked =
    !mask ||
    (mask.rank <= 4 && mask.shape.every((size, d) => size === 1 || size === scores[d + 4 - mask.rank]));
  const operands = { query, key, value, mask, keyPadding };
  if (!fits || !padded || !masked || (causal && queries !== keys)) {
    const parts = Object.entries(operands).flatMap(([name, own]) =>
      own ? [`${name} ${describe(own)}`] : [],
    );
    throw new ShapeError(`attention${causal ? ' (causal)' : ''}: ${parts.join(', ')} do not fit together`);
  }
  needFloats('attention', [query, key, value, mask]);
  return query.device.scope(() => {
    const inputs = {
      query,
      key,
      value,
      mask: mask?.expand(scores),
      keyPadding: keyPadding && keyPadding.strides[1] !== 1 && keys > 1 ? contiguous(keyPadding) : keyPadding,
    };
    const scale = options.scale ?? 1 / Math.sqrt(width);
    return run(attentionRow, inputs, { causal, scale }).reshape([batch, queries, heads * width]);
  });
}

/**
 * Whether queries, keys and values are best projected to f16: where units for matrices compute such an attention, and its
 * gradients if any go through the work, and the projection's weight is no wider.
 * @param tokens `[batch, queries, width]`, what is projected
 * @param others what the tokens and their projection come from besides
 */
export function attendsInHalves(
  tokens: Tensor,
  weight: Tensor,
  headWidth: number,
  others: readonly Tensor[],
): boolean {
  const { traits } = tokens.device;
  return (
    attendsByMatrixUnits(tokens.shape[1]!, headWidth, traits) &&
    (weight.dtype === 'f16' || weight.dtype === 'q8') &&
    (attendsBackwardByMatrixUnits(headWidth, traits) || !isRecorded([tokens, weight, ...others]))
  );
}
