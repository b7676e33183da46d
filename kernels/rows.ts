/** Kernels that work on rows, the last dimension of their operand: softmax, layernorm, reductions, argmax. */
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  f32,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { launchRows, rowLanes, rowPlaces } from './row_launch.js';

export type Reduction = 'sum' | 'max';

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
  const extra = { byColumn: { weight, bias }, params: { epsilon: f32(epsilon) } };
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

/** Longest row that one launch of `reduce` takes. Longer ones are reduced in stages, by more workgroups than there are rows. */
export function reductionRowLimit(traits: AdapterTraits): number {
  return 128 * rowLanes(traits).lanes;
}

/** Index of the first largest entry of each row. Operands: x, result (u32, one entry a row, any strides). */
export function launchArgmax(x: Operand, result: Operand, traits: AdapterTraits): Launch {
  const kernel = 'argmax';
  const { rows, columns, defines, params } = rowPlaces(kernel, { x, result });
  const { lanes } = rowLanes(traits);
  return {
    kernel,
    file: `${kernel}.wgsl`,
    defines: { X: x.dtype, WORKGROUP: lanes, ...defines },
    features: storageFeatures([x]),
    access: ['read', 'write'],
    params: { rows: u32(rows), columns: u32(columns), ...params },
    workgroups: spreadWorkgroups(Math.ceil(rows / lanes), traits),
  };
}
