import { bytesPerElement } from '../../kernels/index.js';
import type { Tensor, TensorDevice } from '../tensor.js';

/** How many entries of so many bytes fit a binding, which may begin within its alignment; at least one. */
export function fittingEntries({ maxBindingBytes }: TensorDevice, entryBytes: number): number {
  return Math.max(1, Math.floor((maxBindingBytes - 512) / entryBytes));
}

/** A tensor in windows along an axis that lies outermost, each of which fits a binding. */
export function axisWindows(tensor: Tensor, axis: number): { start: number; part: Tensor }[] {
  const { device } = tensor;
  if (device.fitsBinding(tensor)) return [{ start: 0, part: tensor }];
  const entries = tensor.shape[axis]!;
  const entryBytes = tensor.strides[axis]! * bytesPerElement[tensor.dtype];
  const size = fittingEntries(device, entryBytes);
  return Array.from({ length: Math.ceil(entries / size) }, (_, i) => ({
    start: i * size,
    part: tensor.slice(axis, i * size, Math.min(entries, (i + 1) * size)),
  }));
}

/**
 * A tensor `[rows, ...]` in windows along its first axis, each of which fits a binding.
 * @param others tensors of as many rows, cut alike
 */
export function rowParts(tensor: Tensor, others: readonly Tensor[] = []): (readonly Tensor[])[] {
  const { device } = tensor;
  const all = [tensor, ...others];
  if (all.every((own) => device.fitsBinding(own))) return [all];
  const rows = tensor.shape[0]!;
  const rowBytes = Math.max(...all.map((own) => own.strides[0]! * bytesPerElement[own.dtype]));
  const size = fittingEntries(device, rowBytes);
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) =>
    all.map((own) => own.slice(0, i * size, Math.min(rows, (i + 1) * size))),
  );
}
