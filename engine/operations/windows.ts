import { bytesPerElement } from '../../kernels/index.js';
import type { Tensor } from '../tensor.js';

/** A tensor in windows along an axis that lies outermost, each of which fits a binding. */
export function axisWindows(tensor: Tensor, axis: number): { start: number; part: Tensor }[] {
  const { device } = tensor;
  if (device.fitsBinding(tensor)) return [{ start: 0, part: tensor }];
  const entries = tensor.shape[axis]!;
  const entryBytes = tensor.strides[axis]! * bytesPerElement[tensor.dtype];
  // A window may begin within the alignment of a binding.
  const size = Math.max(1, Math.floor((device.maxBindingBytes - 512) / entryBytes));
  return Array.from({ length: Math.ceil(entries / size) }, (_, i) => ({
    start: i * size,
    part: tensor.slice(axis, i * size, Math.min(entries, (i + 1) * size)),
  }));
}
