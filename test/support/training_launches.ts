import {
  type AdapterTraits,
  type Dtype,
  type Launch,
  type Operand,
  launchAdamW,
  launchCasts,
  launchDropout,
  launchFill,
  launchGradientNorm,
  launchLerp,
  launchMomentum,
  launchScatter,
  launchSortIndices,
  launchSquareSums,
  launchUpdate,
} from '../../kernels/index.js';

const floats = ['f32', 'f16'] as const;
const pairs = floats.flatMap((a) => floats.map((b) => [a, b] as const));

type Shape = (dtype: Dtype, ...shape: number[]) => Operand;

/**
 * Every launch of the kernels that move gradients and weights that differs in its source, for one adapter.
 * @param operand gives a dense operand
 */
export function* trainingLaunches(operand: Shape, traits: AdapterTraits): Generator<Launch> {
  const [factor, skip] = [operand('f32', 1), operand('u32', 1)];
  const index = operand('u32', 2, 5);
  const stream = { seed: [1, 2], offset: 3 } as const;
  for (const outside of ['last', 'nowhere'] as const) {
    yield launchSortIndices({ index, order: index, axis: 9, outside }, traits);
  }
  // Four elements at once, and one.
  for (const size of [8, 7]) {
    for (const dtype of ['f32', 'f16', 'i32', 'u32'] as const) {
      yield launchFill(1, operand(dtype, size), traits);
      yield launchFill(1, { ...operand(dtype, 3, size), strides: [20, 2] }, traits);
    }
    const control = {
      squares: operand('f32', size),
      maxNorm: 20,
      unscale: 1,
      control: operand('f32', 2),
      skip,
    };
    yield launchGradientNorm(control, traits);
    const [weights, moments] = [operand('f32', size), operand('f32', size)];
    for (const dtype of floats) {
      const gradient = operand(dtype, size);
      for (const count of [1, 2]) {
        const times = <T>(set: T): T[] => new Array<T>(count).fill(set);
        yield launchSquareSums(times(gradient), factor, traits);
        yield launchLerp(times({ average: weights, value: gradient }), 0.5, traits);
        const rates = { learningRate: 1, weightDecay: 0 };
        const updates = times({ parameter: weights, update: gradient });
        yield launchUpdate(updates, skip, { ...rates, scale: 1 }, traits);
        const sets = times({ parameter: weights, gradient, firstMoment: moments, secondMoment: moments });
        const settings = { ...rates, betas: [0.9, 0.98], epsilon: 1e-6, step: 1 } as const;
        yield launchAdamW(sets, { factor, skip }, settings, traits);
      }
    }
    for (const [a, b] of pairs) {
      const [gradient, result] = [operand(a, size), operand(b, size)];
      yield launchDropout({ x: gradient, probability: 0.5, stream, first: 0, result }, traits);
      yield launchMomentum({ buffer: weights, gradient, result }, { factor, skip }, 0.9, traits);
      for (const count of [1, 2]) {
        yield launchCasts(new Array(count).fill({ x: gradient, result }), traits);
      }
      const rows = { gradient: operand(a, 2, 5, size), result: operand(b, 2, 9, size) };
      const picks = { index, order: index, axis: 9, outside: 'last' } as const;
      yield launchScatter({ ...picks, ...rows, scale: 1, windowStart: 0 }, traits);
    }
  }
}
