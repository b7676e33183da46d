import { columnSumGroups, elementCount, launchColumnSum } from '../../kernels/index.js';
import { type Tensor, allocate } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { type Operation, bytesOf, dispatch, run } from './operation.js';
import { fittingEntries, rowParts } from './windows.js';

/** Sum over all dimensions but the last: `[..., columns]` as `[columns]`, in the given tensor. */
export function columnSum(x: Tensor, result: Tensor): Tensor {
  const { device } = x;
  const columns = x.shape.at(-1)!;
  return device.scope(() => {
    const rowsLie = x.strides.at(-1) === 1 && device.fitsBinding(x);
    const dense = rowsLie ? x : contiguous(x);
    const parts = rowParts(dense).map(([part]) => {
      const groups = columnSumGroups(elementCount(part!.shape.slice(0, -1)), columns, device.traits);
      return { part: part!, groups };
    });
    const total = parts.reduce((sum, { groups }) => sum + groups, 0);
    const sums = total === 1 ? undefined : allocate(device, 'f32', [total, columns], 'columnSum');
    let first = 0;
    for (const { part, groups } of parts) {
      const into = sums?.slice(0, first, (first += groups)) ?? result;
      dispatch('columnSum', device, [part, into], ([from, to]) => launchColumnSum(from!, to!, device.traits));
    }
    return sums ? columnSum(sums, result) : result;
  });
}

const columnSumRow: Operation<{ x: Tensor }, Record<never, never>> = {
  name: 'sum',
  output: ({ x }) => ({ dtype: x.dtype, shape: x.shape.slice(-1) }),
  forward: ({ x }, output) => void columnSum(x, output),
  backward: {
    saves: () => [],
    gradients: ({ gradient, target }) => ({ x: gradient.expand(target('x').shape) }),
  },
  cost: ({ x }, output) => ({ flops: x.size, bytes: bytesOf([x, output]) }),
  // Rows too many for a binding are added up in parts, of several rows each, so that there are fewer sums than rows.
  splits: ({ x }) => (fittingEntries(x.device, 4 * x.shape[1]!) >= 4 ? [] : [{ x: 1, output: 0 }]),
};

/** The sum of all rows: `[rows, columns]` as `[columns]`, into `into` where given. */
export const sumRows = (x: Tensor, into?: Tensor): Tensor => run(columnSumRow, { x }, {}, into);

export const columnOperations = [columnSumRow] as const;
