/** Gradients of the operations on rows; what they mean is said beside the kernels. */
import {
  columnSumGroups,
  elementCount,
  launchLayerNormGradient,
  launchLayerNormWeightGradient,
  launchSoftmaxGradient,
} from '../../kernels/index.js';
import { anyAxis } from '../splitting.js';
import { type Tensor, allocate } from '../tensor.js';
import { columnSum } from './column_sum.js';
import { contiguous } from './elementwise.js';
import { type Operation, bytesOf, dispatch, run } from './operation.js';
import { rowParts } from './windows.js';

/** Row kernels read the last dimension as it lies; a transposed operand is copied first. */
export function withContiguousRows(x: Tensor): Tensor {
  return x.strides.at(-1) === 1 || x.shape.at(-1) === 1 ? x : contiguous(x);
}

export const softmaxGradientRow: Operation<{ softmax: Tensor; gradient: Tensor }, { logarithm: boolean }> = {
  name: 'softmaxGradient',
  output: ({ softmax }) => ({ dtype: softmax.dtype, shape: softmax.shape }),
  forward({ softmax, gradient }, output, { logarithm }) {
    const { device } = output;
    const operands = [softmax, withContiguousRows(gradient), output];
    dispatch('softmaxGradient', device, operands, ([from, upstream, to]) =>
      launchSoftmaxGradient(logarithm, from!, upstream!, to!, device.traits),
    );
  },
  cost: ({ softmax, gradient }, output) => ({
    flops: 4 * softmax.size,
    bytes: bytesOf([softmax, gradient, output]),
  }),
  splits: ({ softmax }) => anyAxis(softmax.rank - 1, ['softmax', 'gradient', 'output']),
};

type LayerNormInputs = {
  readonly x: Tensor;
  readonly gradient: Tensor;
  readonly weight: Tensor;
  /** `[..., 2]` f32, filled by the way. */
  readonly statistics: Tensor;
};

export const layerNormGradientRow: Operation<LayerNormInputs, { epsilon: number }> = {
  name: 'layerNormGradient',
  output: ({ x }) => ({ dtype: x.dtype, shape: x.shape }),
  forward({ x, gradient, weight, statistics }, output, { epsilon }) {
    const { device } = output;
    const operands = [withContiguousRows(x), withContiguousRows(gradient), weight, output, statistics];
    dispatch('layerNormGradient', device, operands, ([from, upstream, w, to, rows]) =>
      launchLayerNormGradient(
        { x: from!, gradient: upstream!, weight: w!, epsilon, result: to!, statistics: rows! },
        device.traits,
      ),
    );
  },
  cost: ({ x, gradient, weight, statistics }, output) => ({
    flops: 16 * x.size,
    bytes: bytesOf([x, gradient, weight, statistics, output]),
  }),
  splits: ({ x }) => anyAxis(x.rank - 1, ['x', 'gradient', 'statistics', 'output']),
};

/** Gradients of layernorm's operand, weight and bias; the last two are f32. */
export function layerNormGradients(
  x: Tensor,
  weight: Tensor,
  gradient: Tensor,
  epsilon: number,
): { x: Tensor; weight: Tensor; bias: Tensor } {
  const { device } = x;
  const width = x.shape.at(-1)!;
  const rows = elementCount(x.shape.slice(0, -1));
  const [flat, upstream] = [x, gradient].map((own) => contiguous(own).reshape([rows, width])) as [
    Tensor,
    Tensor,
  ];
  const statistics = allocate(device, 'f32', [rows, 2], 'layerNormGradient');
  const ofX = run(layerNormGradientRow, { x: flat, gradient: upstream, weight, statistics }, { epsilon });
  const parts = rowParts(flat, [upstream, statistics]).map((operands) => ({
    operands,
    groups: columnSumGroups(operands[0]!.shape[0]!, 2 * width, device.traits),
  }));
  const total = parts.reduce((sum, { groups }) => sum + groups, 0);
  // Each in memory of its own: gradients of parameters are, and would be copied.
  const ofGroups = [0, 1].map(() => allocate(device, 'f32', [total, width], 'layerNormGradient'));
  let first = 0;
  for (const { operands, groups } of parts) {
    const into = ofGroups.map((sums) => sums.slice(0, first, first + groups));
    first += groups;
    dispatch('layerNormWeightGradient', device, [...operands, ...into], ([from, up, known, w, b]) =>
      launchLayerNormWeightGradient(
        { x: from!, gradient: up!, statistics: known! },
        { weight: w!, bias: b! },
        device.traits,
      ),
    );
    for (const own of into) own.dispose();
  }
  const [ofWeight, ofBias] = ofGroups.map((sums) => {
    if (total > 1) return columnSum(sums, allocate(device, 'f32', [width], 'layerNormGradient'));
    const only = sums.reshape([width]);
    sums.dispose();
    return only;
  });
  return { x: ofX.reshape(x.shape), weight: ofWeight!, bias: ofBias! };
}
