/**
 * The gradients of fused attention, in three steps: what is known of each query (the logarithm of its summed
 * exponentials and its mean slope), the query's gradient, and those of key and value. Scores are computed again in
 * each, never stored; every sum has a fixed order.
 */
import { areVectors, keysAhead, strideParameters } from './attention.js';
import {
  type AdapterTraits,
  type Cost,
  type Feature,
  type Launch,
  type Operand,
  f32,
  operandBytes,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import type { Variant } from './variant.js';

/** Attention's operands, its result and all gradients. The last stride of each is 1, the others are free. */
export interface AttentionBackwardProblem {
  /** `[batch, heads, queries, width]`. */
  readonly query: Operand;
  /** `[batch, heads, keys, width]`. */
  readonly key: Operand;
  readonly value: Operand;
  /** Added to the scores: `[batch, heads, queries, keys]`, broadcast by strides of 0. It gets no gradient. */
  readonly mask?: Operand | undefined;
  /** `[batch, keys]` u32: keys marked with anything but 0 are not seen. */
  readonly padding?: Operand | undefined;
  /** Whether query i sees the keys up to i alone. */
  readonly causal: boolean;
  readonly scale: number;
  /** What attention gave, `[batch, heads, queries, width]`. */
  readonly output: Operand;
  readonly outputGradient: Operand;
  /** Scratch: f32 `[batch, heads, queries, 2]`, the two and the queries dense. */
  readonly statistics: Operand;
  /** `[batch, heads, queries, width]`. A query that sees no key gets NaN, as it gets from attention. */
  readonly queryGradient: Operand;
  /**
   * `[2, batch, heads, keys, width]`: the key's gradient, then the value's. They are one operand since WebGPU does
   * not bind one buffer twice for writing. A query that sees no key adds nothing to them.
   */
  readonly keyValueGradient: Operand;
}

export type AttentionBackwardOperand = Exclude<keyof AttentionBackwardProblem, 'causal' | 'scale'>;

export type StepName = 'statistics' | 'query' | 'key_value';

/** One of the launches that make the gradients. */
export interface AttentionBackwardStep {
  readonly name: StepName;
  /** What the launch binds, in this order; optional operands that the problem lacks are left out. */
  readonly operands: readonly AttentionBackwardOperand[];
}

/** A way to compute the gradients. */
export interface AttentionBackwardVariant extends Variant<AttentionBackwardProblem> {
  launch(step: StepName, problem: AttentionBackwardProblem, traits: AdapterTraits): Launch;
}

/** The operands of each step: the four that `attention_backward_rows.wgsl` calls rows, and what follows them. */
const operandsOf: Readonly<Record<StepName, readonly AttentionBackwardOperand[]>> = {
  statistics: ['query', 'outputGradient', 'key', 'output', 'mask', 'padding', 'statistics'],
  query: ['query', 'outputGradient', 'key', 'value', 'mask', 'padding', 'statistics', 'queryGradient'],
  key_value: ['key', 'value', 'query', 'outputGradient', 'mask', 'padding', 'statistics', 'keyValueGradient'],
};

/** How a variant lays out a step. */
export interface BackwardLayout {
  readonly kernel: string;
  /** Rows that a workgroup owns. */
  readonly own: number;
  readonly defines: Launch['defines'];
  /** Beside those of the operands' types. */
  readonly features?: readonly Feature[];
}

/** The launch of a step: what every variant passes to its shader. */
export function backwardLaunch(
  step: StepName,
  layout: BackwardLayout,
  problem: AttentionBackwardProblem,
  traits: AdapterTraits,
): Launch {
  const { mask, padding, statistics } = problem;
  const [batch, heads, queries, width] = problem.query.shape as [number, number, number, number];
  const keys = problem.key.shape[2]!;
  const rows = operandsOf[step].slice(0, 4).map((name) => problem[name]!);
  const gradient = {
    statistics: undefined,
    query: problem.queryGradient,
    key_value: problem.keyValueGradient,
  }[step];
  const [ownRows, metRows] = step === 'key_value' ? [keys, queries] : [queries, keys];
  const rowTiles = Math.ceil(ownRows / layout.own);
  const tiles = batch * heads * rowTiles;
  const inputs = [...rows, ...(mask ? [mask] : []), ...(padding ? [padding] : [])];
  const [valueStride = 0, ...keyStrides] = step === 'key_value' ? gradient!.strides : [];
  return {
    kernel: step === 'statistics' ? layout.kernel : `${layout.kernel}_${step}`,
    file: `${layout.kernel}.wgsl`,
    defines: {
      OF: step,
      ...Object.fromEntries(rows.map(({ dtype }, n) => [`ROWS_${n + 1}`, dtype])),
      MASK: mask !== undefined,
      MASK_TYPE: mask?.dtype ?? 'f32',
      PADDING: padding !== undefined,
      GRADIENT: gradient?.dtype ?? 'f32',
      WIDTH: width,
      PARTS: Math.ceil(width / 4),
      VECTORS: areVectors(width, gradient ? [...rows, gradient] : rows),
      OWN: layout.own,
      ...layout.defines,
    },
    features: [...storageFeatures(gradient ? [...inputs, gradient] : inputs), ...(layout.features ?? [])],
    access: [
      ...inputs.map(() => 'read' as const),
      ...(gradient ? (['read', 'write'] as const) : (['write'] as const)),
    ],
    params: {
      tiles: u32(tiles),
      rowTiles: u32(rowTiles),
      heads: u32(heads),
      ownRows: u32(ownRows),
      metRows: u32(metRows),
      keysAhead: keysAhead(problem),
      parts: u32(Math.ceil(width / 4)),
      scale: f32(problem.scale),
      minusInfinity: f32(-Infinity),
      ...Object.fromEntries(
        rows.flatMap((operand, n) => Object.entries(strideParameters(`rows${n + 1}`, operand))),
      ),
      ...strideParameters('mask', mask),
      ...strideParameters('statistics', statistics),
      ...strideParameters(
        'gradient',
        gradient && step === 'key_value' ? { ...gradient, strides: keyStrides } : gradient,
      ),
      gradientValueStride: u32(valueStride),
      paddingOffset: u32(padding?.offset ?? 0),
      paddingBatchStride: u32(padding?.strides[0] ?? 0),
    },
    workgroups: spreadWorkgroups(tiles, traits),
  };
}

/** What to launch, in this order. The gradients need the statistics, and not each other. */
export const attentionBackwardSteps: readonly AttentionBackwardStep[] = (
  ['statistics', 'query', 'key_value'] as const
).map((name) => ({ name, operands: operandsOf[name] }));

/** All steps together, scores computed three times. */
export function attentionBackwardCost(problem: AttentionBackwardProblem): Cost {
  const [batch, heads, queries, width] = problem.query.shape as [number, number, number, number];
  const scores = batch * heads * queries * problem.key.shape[2]!;
  const { query, key, value, output, outputGradient, queryGradient, keyValueGradient } = problem;
  const operands = [query, key, value, output, outputGradient, queryGradient, keyValueGradient];
  return {
    flops: 16 * scores * width,
    bytes: operands.reduce((bytes, operand) => bytes + operandBytes(operand), 0),
  };
}
