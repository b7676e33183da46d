import {
  type Dtype,
  bytesPerElement,
  launchScatter,
  launchSortIndices,
  scatterPicksLimit,
} from '../../kernels/index.js';
import { inParts } from '../splitting.js';
import { type Tensor, allocate } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { fill } from './fill.js';
import { dispatch } from './operation.js';
import { axisWindows, fittingEntries } from './windows.js';

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
  const [outer, , inner] = gradient.shape as [number, number, number];
  return device.scope(() => {
    const shape = [outer, target.axis, inner];
    const result = fill(allocate(device, target.dtype, shape, 'scatter'), 0);
    if (gradient.size === 0 || result.size === 0) return result;
    inParts(
      { gradient: contiguous(gradient), index, result },
      () => [{ gradient: 0, index: 0, result: 0 }],
      (parts) => scatterInto(parts, target),
    );
    return result;
  });
}

interface ScatterParts extends Readonly<Record<string, Tensor>> {
  readonly gradient: Tensor;
  readonly index: Tensor;
  readonly result: Tensor;
}

/** Adds by windows of the picks and of the axis; where those do not fit bindings whole, there is one outer entry. */
function scatterInto(parts: ScatterParts, { axis, outside, scale = 1 }: ScatterTarget): void {
  const { device } = parts.gradient;
  const [outer, picks, inner] = parts.gradient.shape as [number, number, number];
  const rowBytes = inner * bytesPerElement[parts.gradient.dtype];
  const fitting = device.fitsBinding(parts.gradient) ? picks : fittingEntries(device, rowBytes);
  const most = Math.min(scatterPicksLimit, fitting);
  for (let start = 0; start < picks; start += most) {
    const end = Math.min(picks, start + most);
    const [gradient, index] = [parts.gradient, parts.index].map((own) => own.slice(1, start, end));
    const order = allocate(device, 'u32', [outer, end - start], 'scatter');
    dispatch('scatter', device, [index, order], ([from, to]) =>
      launchSortIndices({ index: from!, order: to!, axis, outside }, device.traits),
    );
    for (const { start: windowStart, part } of axisWindows(parts.result, 1)) {
      const operands = [gradient, index, order, part];
      dispatch('scatter', device, operands, ([from, by, sorted, to]) =>
        launchScatter(
          { gradient: from!, index: by!, order: sorted!, axis, outside, scale, result: to!, windowStart },
          device.traits,
        ),
      );
    }
  }
}
