import {
  type AttentionBackwardOperand,
  type AttentionBackwardProblem,
  attentionBackwardFamily,
  type Dtype,
  attentionBackwardSteps,
  chooseVariant,
} from '../../kernels/index.js';
import { inParts } from '../splitting.js';
import { type Tensor, allocate } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { dispatch } from './operation.js';

interface AttentionBackwardInputs {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly mask: Tensor | undefined;
  readonly padding: Tensor | undefined;
  /** `[batch, heads, queries, width]`, as its gradient. */
  readonly output: Tensor;
  readonly outputGradient: Tensor;
}

/** Named as the kernels name them. */
type Operands = Readonly<Record<AttentionBackwardOperand, Tensor | undefined>>;

/**
 * Gradients of fused attention's operands, computed from recomputed scores.
 * @param keyValue whether key and value want theirs
 */
export function attentionGradients(
  inputs: AttentionBackwardInputs,
  { causal, scale }: { causal: boolean; scale: number },
  keyValue: boolean,
): { query: Tensor; key: Tensor | undefined; value: Tensor | undefined } {
  const { query, key } = inputs;
  const { device } = query;
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const keys = key.shape[2]!;
  // Heads lie inside tokens, as the projections before have them. Key and value are bound as one.
  const packed = (tokens: number, count: number, dtype: Dtype): Tensor =>
    allocate(device, dtype, [batch, tokens, count, heads, width], 'attentionGradient').permute([
      2, 0, 3, 1, 4,
    ]);
  // Of as many queries as keys, which mostly have one projection, all lie as that does, and are its gradient.
  const together =
    keyValue && queries === keys && query.dtype === key.dtype ? packed(keys, 3, key.dtype) : undefined;
  const queryGradient = (together ?? packed(queries, 1, query.dtype)).select(0, 0);
  const keyValueGradient = together?.slice(0, 1, 3) ?? packed(keys, 2, key.dtype);
  const dense = (tensor: Tensor): Tensor => (tensor.strides.at(-1) === 1 ? tensor : contiguous(tensor));
  const operands: Operands = {
    query: dense(query),
    key: dense(key),
    value: dense(inputs.value),
    mask: inputs.mask && dense(inputs.mask),
    padding: inputs.padding && dense(inputs.padding),
    output: dense(inputs.output),
    outputGradient: dense(inputs.outputGradient),
    statistics: allocate(device, 'f32', [batch, heads, queries, 2], 'attentionGradient'),
    queryGradient,
    keyValueGradient,
  };
  const along = (axis: 0 | 1): Record<string, number> => {
    const names = Object.keys(operands).filter((name) => axis === 0 || name !== 'padding');
    return Object.fromEntries(names.map((name) => [name, name === 'keyValueGradient' ? axis + 1 : axis]));
  };
  const steps = keyValue ? attentionBackwardSteps : attentionBackwardSteps.slice(0, -1);
  inParts(
    operands,
    () => [along(0), along(1)],
    (parts) => {
      for (const step of steps) {
        const names = step.operands.filter((name) => parts[name] !== undefined);
        const bound = names.map((name) => parts[name]!);
        dispatch('attentionGradient', device, bound, (given) => {
          const own = Object.fromEntries(names.map((name, i) => [name, given[i]!]));
          const problem = { ...parts, ...own, causal, scale } as unknown as AttentionBackwardProblem;
          const variant = chooseVariant(attentionBackwardFamily, problem, device);
          return variant.launch(step.name, problem, device.traits);
        });
      }
    },
  );
  const of = (index: 0 | 1): Tensor | undefined => (keyValue ? keyValueGradient.select(0, index) : undefined);
  return { query: queryGradient, key: of(0), value: of(1) };
}
