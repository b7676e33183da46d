import {
  type Reduction,
  elementCount,
  launchArgmax,
  launchLayerNorm,
  launchReduce,
  launchSoftmax,
  reductionRowLimit,
} from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import { resolveAxis, shapeText } from '../shape.js';
import { anyAxis } from '../splitting.js';
import { type Tensor, allocate } from '../tensor.js';
import { sumRows } from './column_sum.js';
import { contiguous, scale } from './elementwise.js';
import { type Operation, bytesOf, describe, dispatch, needFloats, needTensors, run } from './operation.js';
import { layerNormGradients, softmaxGradientRow, withContiguousRows } from './row_gradients.js';
import { scatter } from './scatter.js';

function needRows(name: string, x: Tensor): void {
  if (x.rank === 0 || x.shape.at(-1) === 0) throw new ShapeError(`${name}: ${describe(x)} has no rows`);
}

const softmaxName = ({ logarithm }: { logarithm: boolean }): string => (logarithm ? 'logSoftmax' : 'softmax');

const softmaxRow: Operation<{ x: Tensor }, { logarithm: boolean }> = {
  name: 'softmax',
  nameFor: softmaxName,
  output({ x }, attributes) {
    needFloats(softmaxName(attributes), [x]);
    needRows(softmaxName(attributes), x);
    return { dtype: x.dtype, shape: x.shape };
  },
  forward({ x }, output, { logarithm }) {
    const { device } = output;
    const operands = [withContiguousRows(x), output];
    dispatch(softmaxName({ logarithm }), device, operands, ([from, to]) =>
      launchSoftmax(logarithm, from!, to!, device.traits),
    );
  },
  backward: {
    saves: () => ['output'],
    gradients: ({ gradient, attributes, saved }) => ({
      x: run(softmaxGradientRow, { softmax: withContiguousRows(saved('output')), gradient }, attributes),
    }),
  },
  cost: ({ x }, output) => ({ flops: 5 * x.size, bytes: bytesOf([x, output]) }),
  splits: ({ x }) => anyAxis(x.rank - 1, ['x', 'output']),
};

const layerNormRow: Operation<{ x: Tensor; weight: Tensor; bias: Tensor }, { epsilon: number }> = {
  name: 'layerNorm',
  output({ x, weight, bias }) {
    needFloats('layerNorm', [x]);
    needRows('layerNorm', x);
    const width = [x.shape.at(-1)!];
    if (![weight, bias].every((own) => own.contiguous && shapeText(own.shape) === shapeText(width))) {
      throw new ShapeError(
        `layerNorm: ${describe(x)} needs weight and bias ${shapeText(width)}; they are ${describe(weight)}, ${describe(bias)}`,
      );
    }
    return { dtype: x.dtype, shape: x.shape };
  },
  forward({ x, weight, bias }, output, { epsilon }) {
    const { device } = output;
    dispatch('layerNorm', device, [withContiguousRows(x), weight, bias, output], ([from, w, b, to]) =>
      launchLayerNorm(from!, w!, b!, epsilon, to!, device.traits),
    );
  },
  backward: {
    saves: () => ['x', 'weight'],
    gradients: ({ gradient, attributes: { epsilon }, saved }) =>
      layerNormGradients(saved('x'), saved('weight'), gradient, epsilon),
  },
  cost: ({ x, weight, bias }, output) => ({ flops: 8 * x.size, bytes: bytesOf([x, weight, bias, output]) }),
  splits: ({ x }) => anyAxis(x.rank - 1, ['x', 'output']),
};

type ReduceAttributes = { name: Reduction | 'mean'; divisor: number };

const reduceRow: Operation<{ x: Tensor }, ReduceAttributes> = {
  name: 'reduce',
  nameFor: ({ name }) => name,
  output({ x }, { name }) {
    needFloats(name, [x]);
    if (x.rank === 0 || (name === 'max' && x.shape.at(-1) === 0)) needRows(name, x);
    return { dtype: x.dtype, shape: x.shape.slice(0, -1) };
  },
  forward({ x }, output, { name, divisor }) {
    const { device } = output;
    const kind = name === 'max' ? 'max' : 'sum';
    const rows = withContiguousRows(x);
    if (rows.shape.at(-1)! > reductionRowLimit(device.traits)) {
      reduceStages(kind, rows, output, divisor);
      return;
    }
    dispatch(name, device, [rows, output], ([from, to]) =>
      launchReduce(kind, divisor, from!, to!, device.traits),
    );
  },
  backward: {
    saves: ({ name }) => (name === 'max' ? ['x'] : []),
    gradients({ gradient, attributes: { name, divisor }, saved, target }) {
      const { dtype, shape } = target('x');
      if (name === 'max') {
        // As PyTorch, the first of several largest entries takes it all.
        const picks = argmax(saved('x')).reshape([-1, 1]);
        const spread = contiguous(gradient).reshape([-1, 1, 1]);
        const axis = shape.at(-1)!;
        return { x: scatter(spread, picks, { dtype, axis, outside: 'nowhere' }).reshape(shape) };
      }
      const share = divisor === 1 ? gradient : scale(gradient, 1 / divisor);
      return { x: share.reshape([...gradient.shape, 1]).expand(shape) };
    },
  },
  cost: ({ x }, output) => ({ flops: x.size, bytes: bytesOf([x, output]) }),
  splits: ({ x }) => anyAxis(x.rank - 1, ['x', 'output']),
};

/** Reduces long rows in stages: pieces of them, in f32, then what the pieces gave. */
function reduceStages(name: Reduction, rows: Tensor, result: Tensor, divisor: number): void {
  const { device } = result;
  const length = rows.shape.at(-1)!;
  const piece = reductionRowLimit(device.traits);
  const pieces = Math.floor(length / piece);
  const partial = allocate(device, 'f32', [...result.shape, Math.ceil(length / piece)], name);
  const whole = rows.slice(-1, 0, pieces * piece).reshape([...result.shape, pieces, piece]);
  run(reduceRow, { x: whole }, { name, divisor: 1 }, partial.slice(-1, 0, pieces));
  if (pieces * piece < length) {
    const rest = rows.slice(-1, pieces * piece);
    run(reduceRow, { x: rest }, { name, divisor: 1 }, partial.select(-1, pieces));
  }
  run(reduceRow, { x: partial }, { name, divisor }, result);
}

const argmaxRow: Operation<{ x: Tensor }, Record<never, never>> = {
  name: 'argmax',
  output({ x }) {
    needFloats('argmax', [x]);
    needRows('argmax', x);
    return { dtype: 'u32', shape: x.shape.slice(0, -1) };
  },
  forward({ x }, output) {
    const { device } = output;
    const operands = [withContiguousRows(x), output];
    dispatch('argmax', device, operands, ([from, to]) => launchArgmax(from!, to!, device.traits));
  },
  cost: ({ x }, output) => ({ flops: x.size, bytes: bytesOf([x, output]) }),
  splits: ({ x }) => anyAxis(x.rank - 1, ['x', 'output']),
};

export const rowOperations = [softmaxRow, layerNormRow, reduceRow, argmaxRow] as const;

/** Softmax over the last dimension. A row of -inf alone gives NaN. */
export const softmax = (x: Tensor): Tensor => run(softmaxRow, { x }, { logarithm: false });

/** Logarithm of the softmax over the last dimension. */
export const logSoftmax = (x: Tensor): Tensor => run(softmaxRow, { x }, { logarithm: true });

/** Layer normalisation over the last dimension; `weight` and `bias` are `[width]`. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon = 1e-5): Tensor {
  needTensors('layerNorm', { x, weight, bias });
  return run(layerNormRow, { x, weight, bias }, { epsilon });
}

/**
 * Index (u32) of the first largest entry along the last dimension of floats, into `into` where given. Which entry of
 * a row with NaN is taken follows the hardware's comparison.
 */
export const argmax = (x: Tensor, into?: Tensor): Tensor => run(argmaxRow, { x }, {}, into);

function reduceAxes(
  name: ReduceAttributes['name'],
  x: Tensor,
  axes: readonly number[],
  keepDimensions: boolean,
): Tensor {
  needTensors(name, { x });
  needFloats(name, [x]);
  return x.device.scope(() => {
    const reduced = [...new Set(axes.map((axis) => resolveAxis(axis, x.rank, name)))].sort((a, b) => a - b);
    if (reduced.length === 0) throw new ShapeError(`${name}: no axis given for ${describe(x)}`);
    const shape = x.shape.filter((_, d) => !reduced.includes(d));
    const result = reduceTo(shape, x, reduced, name);
    return keepDimensions
      ? result.reshape(x.shape.map((size, d) => (reduced.includes(d) ? 1 : size)))
      : result;
  });
}

/** Of several sums down columns: with fewer, most lanes of a workgroup would have none. */
const fewestColumns = 32;

/** Reduces some axes of `x`, in ascending order, to the shape that is left. */
function reduceTo(
  shape: readonly number[],
  x: Tensor,
  reduced: readonly number[],
  name: ReduceAttributes['name'],
): Tensor {
  const length = elementCount(reduced.map((axis) => x.shape[axis]!));
  const divisor = name === 'mean' ? length : 1;
  const [first, last] = [reduced[0]!, reduced.at(-1)!];
  const [sums, columns] = [x.shape.slice(0, first), x.shape.slice(last + 1)].map(elementCount) as [
    number,
    number,
  ];
  const neighbours = last - first === reduced.length - 1;
  const kept = x.shape.map((_, d) => d).filter((d) => !reduced.includes(d));
  const permuted = x.permute([...kept, ...reduced]);
  const enough = columns >= (sums === 1 ? 2 : fewestColumns);
  if (name !== 'max' && neighbours && enough && !permuted.contiguous) {
    // Down the columns that lie behind, with no copy that would put what is added up last.
    const rows = contiguous(x).reshape([sums, length, columns]);
    return sumRows(rows.transpose(0, 1), { divisor }).reshape(shape);
  }
  return run(reduceRow, { x: contiguous(permuted).reshape([...shape, length]) }, { name, divisor });
}

/** Sum over axes, which disappear unless `keepDimensions`. */
export const sum = (x: Tensor, axes: readonly number[], keepDimensions = false): Tensor =>
  reduceAxes('sum', x, axes, keepDimensions);

/** Mean over axes, which disappear unless `keepDimensions`. */
export const mean = (x: Tensor, axes: readonly number[], keepDimensions = false): Tensor =>
  reduceAxes('mean', x, axes, keepDimensions);

/** Maximum over axes, which disappear unless `keepDimensions`. Whether a NaN comes through follows the hardware. */
export const max = (x: Tensor, axes: readonly number[], keepDimensions = false): Tensor =>
  reduceAxes('max', x, axes, keepDimensions);
