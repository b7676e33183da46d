import {
  type Dtype,
  bytesPerElement,
  launchScatter,
  launchSortIndices,
  scatterPicksLimit,
} from '../../kernels/index.js';
import { type Tensor, allocate } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { fill } from './fill.js';
import { dispatch } from './operation.js';
import { axisWindows } from './windows.js';

interface ScatterTarget {
  readonly dtype: Dtype;
  /** Entries of the axis that the picks point into. */
  readonly axis: number;
  /** Where picks past the axis go: to its last entry, or nowhere. */
  readonly outside: 'last' | 'nowhere';
  readonly scale?: number;
}

/**
 * Gradients of picked rows, added up where the rows came from, in the order of the picks.
 * @param gradient `[outer, picks, inner]`
 * @param index `[outer, picks]` u32
 * @returns `[outer, axis, inner]`, zero where nothing was picked
 */
export function scatter(gradient: Tensor, index: Tensor, target: ScatterTarget): Tensor {
  const { device } = gradient;
  const { dtype, axis, outside, scale = 1 } = target;
  const [outer, picks, inner] = gradient.shape as [number, number, number];
  return device.scope(() => {
    const result = fill(allocate(device, dtype, [outer, axis, inner], 'scatter'), 0);
    const rows = contiguous(gradient);
    const bindingRows = Math.floor((device.maxBindingBytes - 512) / (inner * bytesPerElement[rows.dtype]));
    const most = Math.max(1, Math.min(scatterPicksLimit, bindingRows));
    for (let start = 0; start < picks; start += most) {
      const end = Math.min(picks, start + most);
      const part = { gradient: rows.slice(1, start, end), index: index.slice(1, start, end) };
      const order = allocate(device, 'u32', [outer, end - start], 'scatter');
      dispatch('scatter', device, [part.index, order], ([from, to]) =>
        launchSortIndices({ index: from!, order: to!, axis, outside }, device.traits),
      );
      for (const window of axisWindows(result, 1)) {
        dispatch('scatter', device, [part.gradient, part.index, order, window.part], (operands) =>
          launchScatter(
            {
              gradient: operands[0]!,
              index: operands[1]!,
              order: operands[2]!,
              axis,
              outside,
              scale,
              result: operands[3]!,
              windowStart: window.start,
            },
            device.traits,
          ),
        );
      }
    }
    return result;
  });
}
