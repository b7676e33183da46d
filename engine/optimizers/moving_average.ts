import { launchLerp, lerpAccess } from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import { noGrad } from '../graph.js';
import { describe } from '../operations/operation.js';
import { dispatchSets } from '../operations/sets.js';
import { shapeText } from '../shape.js';
import type { Tensor } from '../tensor.js';

/** A mean and what it is to take in. */
export type Averaged = {
  /** Dense f32, changed. */
  readonly average: Tensor;
  /** Dense f32 or f16, of the same shape. */
  readonly value: Tensor;
};

/**
 * `average += (value - average) * weight` of each pair, in place: means of weights over a training. No average may be the
 * value of another pair.
 * @throws ShapeError where the two of a pair differ in shape
 */
export function moveTowards(pairs: readonly Averaged[], weight: number): void {
  const [first] = pairs;
  if (!first) return;
  const { device } = first.average;
  for (const { average, value } of pairs) {
    if (shapeText(average.shape) === shapeText(value.shape)) continue;
    throw new ShapeError(
      `moveTowards: the value ${describe(value)} does not fit the average ${describe(average)}`,
    );
  }
  noGrad(() =>
    device.scope(() =>
      dispatchSets('moveTowards', lerpAccess, pairs, [], (sets) => launchLerp(sets, weight, device.traits)),
    ),
  );
}
