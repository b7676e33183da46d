import { launchLerp } from '../../kernels/index.js';
import { noGrad } from '../graph.js';
import { dispatch } from '../operations/operation.js';
import type { Tensor } from '../tensor.js';
import { inFlatParts } from './optimizer.js';

/**
 * `average += (value - average) * weight`, in place: a mean of weights over a training.
 * @param average dense f32
 * @param value dense f32 or f16, of the same shape
 */
export function moveTowards(average: Tensor, value: Tensor, weight: number): void {
  const { device } = average;
  noGrad(() =>
    device.scope(() =>
      inFlatParts({ average, value }, (parts) =>
        dispatch('moveTowards', device, [parts.average, parts.value], ([to, from]) =>
          launchLerp(to!, from!, weight, device.traits),
        ),
      ),
    ),
  );
}
