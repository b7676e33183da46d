import { launchSquareSums, setsPerLaunch, squareSumParts } from '../../kernels/index.js';
import { type Tensor, allocate } from '../tensor.js';
import { dispatch } from './operation.js';
import { axisWindows } from './windows.js';

/**
 * Sums of the squares of dense tensors.
 * @param tensors at least one
 * @returns `[parts]` f32, whose sum is that of all squares
 */
export function squareSums(tensors: readonly Tensor[]): Tensor {
  const { device } = tensors[0]!;
  const { traits } = device;
  const windows = tensors
    .filter(({ size }) => size > 0)
    .flatMap((tensor) => axisWindows(tensor.reshape([tensor.size]), 0))
    .map(({ part }) => ({ x: part }));
  const launches = setsPerLaunch(windows, traits.maxBoundTensors - 1).map((sets) => {
    const xs = sets.map(({ x }) => x);
    return { xs, parts: squareSumParts(xs, traits) };
  });
  const total = launches.reduce((sum, { parts }) => sum + parts, 0);
  const sums = allocate(device, 'f32', [total], 'squareSum');
  let first = 0;
  for (const { xs, parts } of launches) {
    const into = sums.slice(0, first, (first += parts));
    dispatch('squareSum', device, [...xs, into], (operands) =>
      launchSquareSums(operands.slice(0, -1), operands.at(-1)!, traits),
    );
  }
  return sums;
}
