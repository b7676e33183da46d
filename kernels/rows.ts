/** Kernels that work on rows, the last dimension of their operand: softmax, layernorm, reductions, argmax. */
import { dimensionParameters, foldDimensions } from './dimensions.js';
import {
  type AdapterTraits,
  type Defines,
  type Launch,
  type Operand,
  type Parameter,
  elementCount,
  f32,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';

export type Reduction = 'sum' | 'max';

/** Lanes that share a row: one subgroup where its size is known, else a workgroup with shared memory. */
export function rowLanes(traits: AdapterTraits): { lanes: number; subgroup: boolean } {
  return traits.subgroupSize > 0
    ? { lanes: traits.subgroupSize, subgroup: true }
    : { lanes: 64, subgroup: false };
}

/** The part that all row kernels share. `result` has one entry a row, or one a row and column. */
function launchRows(
  kernel: string,
  x: Operand,
  result: Operand,
  extra: {
    readonly operands?: readonly Operand[];
    readonly defines?: Defines;
    readonly params?: Readonly<Record<string, Parameter>>;
    /** Whether each lane takes a row of its own instead of sharing one. */
    readonly rowPerLane?: boolean;
  },
  traits: AdapterTraits,
): Launch {
  const columns = x.shape.at(-1)!;
  if (x.strides.at(-1) !== 1 && columns > 1) {
    throw new Error(`${kernel}: the last dimension must be contiguous, its stride is ${x.strides.at(-1)}`);
  }
  const outer = x.shape.slice(0, -1);
  const rows = elementCount(outer);
  const folded = foldDimensions(outer, [x.strides.slice(0, -1), result.strides.slice(0, outer.length)]);
  const { lanes, subgroup } = rowLanes(traits);
  const operands = extra.operands ?? [];
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: {
      X: x.dtype,
      RESULT: result.dtype,
      RANK: folded.sizes.length,
      WORKGROUP: lanes,
      SUBGROUP: subgroup,
      ...extra.defines,
    },
    features: [...storageFeatures([x, result, ...operands]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: ['read', ...operands.map(() => 'read' as const), 'write'],
    params: {
      rows: u32(rows),
      columns: u32(columns),
      xOffset: u32(x.offset),
      resultOffset: u32(result.offset),
      ...extra.params,
      ...dimensionParameters(folded, ['x', 'result']),
    },
    workgroups: spreadWorkgroups(extra.rowPerLane ? Math.ceil(rows / lanes) : rows, traits),
  };
}

/** Softmax over the last dimension, or its logarithm. Operands: x, result, of one shape. */
export function launchSoftmax(
  logarithm: boolean,
  x: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  return launchRows('softmax', x, result, { defines: { LOG: logarithm } }, traits);
}

/** Layer normalisation over the last dimension. Operands: x, weight, bias, result. */
export function launchLayerNorm(
  x: Operand,
  weight: Operand,
  bias: Operand,
  epsilon: number,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  const extra = {
    operands: [weight, bias],
    defines: { WEIGHT: weight.dtype, BIAS: bias.dtype },
    params: { epsilon: f32(epsilon), weightOffset: u32(weight.offset), biasOffset: u32(bias.offset) },
  };
  return launchRows('layernorm', x, result, extra, traits);
}

/** Sum over a divisor, or maximum, of the last dimension. Operands: x, result (one entry a row). */
export function launchReduce(
  kind: Reduction,
  divisor: number,
  x: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  const extra =
    kind === 'sum'
      ? { defines: { KIND: kind }, params: { divisor: f32(divisor) } }
      : { defines: { KIND: kind } };
  return launchRows('reduce', x, result, extra, traits);
}

/** Longest row that one launch of `reduce` adds up without losing digits: an f32 sum of n like terms is off by up to n / 2^24. */
export function reductionRowLimit(traits: AdapterTraits): number {
  return 128 * rowLanes(traits).lanes;
}

/** Index of the first largest entry of each row. Operands: x, result (u32, one entry a row, any strides). */
export function launchArgmax(x: Operand, result: Operand, traits: AdapterTraits): Launch {
  return launchRows('argmax', x, result, { rowPerLane: true }, traits);
}
