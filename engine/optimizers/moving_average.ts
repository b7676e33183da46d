import { launchLerp } from '../../kernels/index.js';
import { noGrad } from '../graph.js';
import { dispatchSets } from '../operations/sets.js';
import type { Tensor } from '../tensor.js';

/** A mean and what it is to take in. */
export type Averaged = {
  /** Dense f32, changed. */
  readonly average: Tensor;
  /** Dense f32 or f16, of the same shape. */
  readonly value: Tensor;
};

/** `average += (value - average) * weight` of each pair, in place: means of weights over a training. */
export function moveTowards(pairs: readonly Averaged[], weight: number): void {
  const [first] = pairs;
  if (!first) return;
  const { device } = first.average;
  noGrad(() =>
    device.scope(() =>
      dispatchSets('moveTowards', pairs, ['average'], [], (sets) => launchLerp(sets, weight, device.traits)),
    ),
  );
}
