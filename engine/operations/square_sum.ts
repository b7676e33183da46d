import { launchPartsSum, launchSquareSums, squareSumParts } from '../../kernels/index.js';
import { type Tensor, allocate } from '../tensor.js';
import { dispatch } from './operation.js';
import { axisWindows } from './windows.js';

/**
 * Sums of the squares of dense tensors.
 * @param tensors at least one
 * @returns `[windows]` f32: a sum for each window of a tensor that fits a binding
 */
export function squareSums(tensors: readonly Tensor[]): Tensor {
  const windows = tensors
    .filter(({ size }) => size > 0)
    .flatMap((tensor) => axisWindows(tensor.reshape([tensor.size]), 0));
  const sums = allocate(tensors[0]!.device, 'f32', [windows.length], 'squareSum');
  windows.forEach(({ part }, i) => squareSum(part, sums.slice(0, i, i + 1)));
  return sums;
}

/** Of a tensor that fits a binding, into one f32. */
function squareSum(x: Tensor, result: Tensor): void {
  const { device } = x;
  const count = squareSumParts(x, device.traits);
  const parts = count === 1 ? result : allocate(device, 'f32', [count], 'squareSum');
  dispatch('squareSum', device, [x, parts], ([from, to]) => launchSquareSums(from!, to!, device.traits));
  if (count === 1) return;
  dispatch('squareSum', device, [parts, result], ([from, to]) => launchPartsSum(from!, to!, device.traits));
}
