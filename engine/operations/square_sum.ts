import { launchPartsSum, launchSquareSums, squareSumParts } from '../../kernels/index.js';
import { type Tensor, allocate } from '../tensor.js';
import { dispatch } from './operation.js';

/** Sum of the squares of a dense tensor that fits a binding, into one f32. */
export function squareSum(x: Tensor, result: Tensor): void {
  const { device } = x;
  const count = squareSumParts(x, device.traits);
  const parts = count === 1 ? result : allocate(device, 'f32', [count], 'squareSum');
  dispatch('squareSum', device, [x, parts], ([from, to]) => launchSquareSums(from!, to!, device.traits));
  if (count === 1) return;
  dispatch('squareSum', device, [parts, result], ([from, to]) => launchPartsSum(from!, to!, device.traits));
}
