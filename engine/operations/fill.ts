import { launchFill } from '../../kernels/index.js';
import { anyAxis, inParts } from '../splitting.js';
import type { Tensor } from '../tensor.js';
import { dispatch, needTensors } from './operation.js';

/** Sets every element of a tensor or slice, and returns it. */
export function fill(target: Tensor, value: number): Tensor {
  needTensors('fill', { target });
  const { device } = target;
  if (target.size === 0) return target;
  device.scope(() =>
    inParts(
      { target },
      () => anyAxis(target.rank, ['target']),
      (parts) => dispatch('fill', device, [parts.target], ([to]) => launchFill(value, to!, device.traits)),
    ),
  );
  return target;
}
