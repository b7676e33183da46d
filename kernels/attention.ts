import {
  type Cost,
  type Launch,
  type Operand,
  type Parameter,
  f32,
  operandBytes,
  storageFeatures,
  u32,
} from './kernel.js';
import { roughSizes } from './variant.js';

/** `result = softmax(scale * query keyᵀ + mask) value` per batch entry and head. */
export interface AttentionProblem {
  /** `[batch, heads, queries, width]`, width contiguous. */
  readonly query: Operand;
  /** `[batch, heads, keys, width]`, width contiguous. */
  readonly key: Operand;
  readonly value: Operand;
  /** Added to the scores: `[batch, heads, queries, keys]`, broadcast by strides of 0, keys contiguous. */
  readonly mask?: Operand | undefined;
  /** `[batch, keys]` u32: keys marked with anything but 0 are not seen. */
  readonly padding?: Operand | undefined;
  /** Whether query i sees the keys up to i alone. */
  readonly causal: boolean;
  readonly scale: number;
  readonly result: Operand;
}

/** What every variant passes to its shader: strides and sizes. */
export function attentionLaunch(
  kernel: string,
  problem: AttentionProblem,
  defines: Launch['defines'],
  subgroup: boolean,
  workgroups: Launch['workgroups'],
): Launch {
  const { query, key, value, mask, padding, result } = problem;
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const inputs = [query, key, value, ...(mask ? [mask] : []), ...(padding ? [padding] : [])];
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      QUERY: query.dtype,
      KEY: key.dtype,
      VALUE: value.dtype,
      MASK: mask !== undefined,
      MASK_TYPE: mask?.dtype ?? 'f32',
      PADDING: padding !== undefined,
      RESULT: result.dtype,
      ...defines,
    },
    features: [...storageFeatures([...inputs, result]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: [...inputs.map(() => 'read' as const), 'write'],
    params: {
      rows: u32(batch * heads * queries),
      heads: u32(heads),
      queries: u32(queries),
      keys: u32(key.shape[2]!),
      keysAhead: keysAhead(problem),
      width: u32(width),
      scale: f32(problem.scale),
      ...strideParameters('query', query),
      ...strideParameters('key', key),
      ...strideParameters('value', value),
      ...strideParameters('mask', mask),
      ...strideParameters('result', result),
      paddingOffset: u32(padding?.offset ?? 0),
      paddingBatchStride: u32(padding?.strides[0] ?? 0),
    },
    workgroups,
  };
}

/**
 * How many keys after its own place a query sees: none or all. A parameter, since a program for each would have to be
 * compiled.
 */
export function keysAhead({ causal, key }: Pick<AttentionProblem, 'causal' | 'key'>): Parameter {
  return u32(causal ? 0 : key.shape[2]!);
}

/** Where an operand `[batch, heads, rows, columns]` lies; zeros for an absent one. */
export function strideParameters(name: string, operand: Operand | undefined): Launch['params'] {
  const [batch = 0, head = 0, row = 0] = operand?.strides ?? [];
  return {
    [`${name}Offset`]: u32(operand?.offset ?? 0),
    [`${name}BatchStride`]: u32(batch),
    [`${name}HeadStride`]: u32(head),
    [`${name}RowStride`]: u32(row),
  };
}

/** Whether rows of that width can be read as vectors of four components. */
export function areVectors(width: number, operands: readonly Operand[]): boolean {
  const aligned = ({ offset, strides }: Operand): boolean =>
    [offset, ...strides.slice(0, -1)].every((elements) => elements % 4 === 0);
  return width % 4 === 0 && operands.every(aligned);
}

/** What the fastest way to compute attention or its gradients depends on. */
export function attentionKind(query: Operand, key: Operand, causal: boolean): string {
  const [batch, heads, queries, width] = query.shape as [number, number, number, number];
  const sizes = roughSizes({ batch: batch * heads, queries, keys: key.shape[2]!, width });
  return [query.dtype, key.dtype, ...(causal ? ['causal'] : []), sizes].join(' ');
}

export function attentionCost(problem: AttentionProblem): Cost {
  const [batch, heads, queries, width] = problem.query.shape as [number, number, number, number];
  const scores = batch * heads * queries * problem.key.shape[2]!;
  const operands = [problem.query, problem.key, problem.value, problem.result];
  return {
    flops: 4 * scores * width,
    bytes: operands.reduce((bytes, operand) => bytes + operandBytes(operand), 0),
  };
}
