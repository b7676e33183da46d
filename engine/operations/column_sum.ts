import { columnSumGroups, launchColumnSum } from '../../kernels/index.js';
import { type Tensor, allocate } from '../tensor.js';
import { contiguous, scale } from './elementwise.js';
import { type Operation, bytesOf, dispatch, run } from './operation.js';
import { fittingEntries, rowParts } from './windows.js';

/**
 * Sum over the first dimension: `[rows, columns]` as `[columns]`, or `[rows, sums, columns]` as `[sums, columns]`, over the divisor,
 * in the given tensor.
 */
export function columnSum(x: Tensor, result: Tensor, divisor = 1): Tensor {
  const { device } = x;
  const columns = x.shape.at(-1)!;
  return device.scope(() => {
    const rowsLie = x.strides.at(-1) === 1 && device.fitsBinding(x);
    const dense = rowsLie ? x : contiguous(x);
    const parts = rowParts(dense).map(([part]) => {
      // By the rows of one sum alone: how many there are must not change how each is rounded.
      const groups = columnSumGroups(part!.shape[0]!, columns, device.traits);
      return { part: part!, groups };
    });
    const total = parts.reduce((sum, { groups }) => sum + groups, 0);
    const partial = total === 1 ? undefined : allocate(device, 'f32', [total, ...result.shape], 'columnSum');
    let first = 0;
    for (const { part, groups } of parts) {
      const into = partial?.slice(0, first, (first += groups)) ?? result.reshape([1, ...result.shape]);
      dispatch('columnSum', device, [part, into], ([from, to]) =>
        launchColumnSum(partial ? 1 : divisor, from!, to!, device.traits),
      );
    }
    return partial ? columnSum(partial, result, divisor) : result;
  });
}

const columnSumRow: Operation<{ x: Tensor }, { divisor: number }> = {
  name: 'sum',
  output: ({ x }) => ({ dtype: x.dtype, shape: x.shape.slice(1) }),
  forward: ({ x }, output, { divisor }) => void columnSum(x, output, divisor),
  backward: {
    saves: () => [],
    gradients({ gradient, attributes: { divisor }, target }) {
      const share = divisor === 1 ? gradient : scale(gradient, 1 / divisor);
      return { x: share.expand(target('x').shape) };
    },
  },
  cost: ({ x }, output) => ({ flops: x.size, bytes: bytesOf([x, output]) }),
  splits({ x }, { shape }) {
    const axes = shape.map((_, axis) => ({ x: axis + 1, output: axis }));
    // Rows too many for a binding are added up in parts, of several rows each, so that there are fewer sums than rows.
    return fittingEntries(x.device, 4 * x.shape.at(-1)!) >= 4 ? axes.slice(0, -1) : axes;
  },
};

/** The sum over the first dimension, as {@link columnSum}, into `into` where given. */
export const sumRows = (x: Tensor, { divisor = 1, into }: { divisor?: number; into?: Tensor } = {}): Tensor =>
  run(columnSumRow, { x }, { divisor }, into);

export const columnOperations = [columnSumRow] as const;
