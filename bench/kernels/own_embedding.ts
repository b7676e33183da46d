/** Rows by ids, and their gradients, by our own kernels. Each has one variant. */
import type { Tensor } from '../../engine/index.js';
import {
  launchEmbedding,
  launchFill,
  launchGather,
  launchScatter,
  launchSortIndices,
} from '../../kernels/index.js';
import { type Bench, type OwnWork, launch, single } from './own_work.js';
import type { EmbeddingWork } from './work.js';

export function ownEmbedding(bench: Bench, { kernel, rows, tableRows }: EmbeddingWork): OwnWork {
  const { device, tensors } = bench;
  const { traits } = device;
  if (kernel === 'embedding') {
    const views = { ...tensors, ids: tensors['index']!.reshape([1, rows]) };
    return single(bench, kernel, () =>
      launch(device, views, ['table', 'ids', 'result'], ({ table, ids, result }) =>
        launchEmbedding(
          {
            table: table,
            windowStart: 0,
            tableRows,
            ids: ids,
            scale: 1,
            result: { ...result, shape: [1, ...result.shape], strides: [0, ...result.strides] },
          },
          traits,
        ),
      ),
    );
  }
  const outer = (tensor: Tensor): Tensor => tensor.reshape([1, ...tensor.shape]);
  if (kernel === 'gather') {
    const views = {
      x: outer(tensors['table']!),
      index: outer(tensors['index']!),
      result: outer(tensors['result']!),
    };
    return single(bench, kernel, () =>
      launch(device, views, ['x', 'index', 'result'], (operands) =>
        launchGather({ ...operands, windowStart: 0, axis: tableRows }, traits),
      ),
    );
  }
  const views = {
    gradient: outer(tensors['gradient']!),
    index: outer(tensors['index']!),
    order: device.empty('u32', [1, rows]),
    result: outer(tensors['result']!),
  };
  const picks = { axis: tableRows, outside: 'nowhere' } as const;
  return single(bench, kernel, () => {
    launch(device, views, ['result'], ({ result }) => launchFill(0, result, traits));
    launch(device, views, ['index', 'order'], (operands) =>
      launchSortIndices({ ...picks, ...operands }, traits),
    );
    launch(device, views, ['gradient', 'index', 'order', 'result'], (operands) =>
      launchScatter({ ...picks, ...operands, scale: 1, windowStart: 0 }, traits),
    );
  });
}
