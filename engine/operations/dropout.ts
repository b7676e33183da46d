import { type RandomStream, elementCount, launchDropout } from '../../kernels/index.js';
import type { Tensor } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { type Operation, bytesOf, dispatch, needFloats, needTensors, run } from './operation.js';
import { rowParts } from './windows.js';

export interface DropoutAttributes {
  readonly probability: number;
  readonly stream: RandomStream;
}

/** The operand arrives dense, in one dimension. */
export const dropoutRow: Operation<{ x: Tensor }, DropoutAttributes> = {
  name: 'dropout',
  output({ x }) {
    needFloats('dropout', [x]);
    return { dtype: x.dtype, shape: x.shape };
  },
  forward({ x }, output, { probability, stream }) {
    const { device } = output;
    let first = 0;
    // Each part goes on in the stream where the one before ended.
    for (const [part, from] of rowParts(output, [x])) {
      dispatch('dropout', device, [from!, part!], ([source, to]) =>
        launchDropout({ x: source!, probability, stream, first, result: to! }, device.traits),
      );
      first += part!.size;
    }
  },
  backward: {
    saves: () => [],
    gradients: ({ gradient, attributes }) => ({
      x: run(dropoutRow, { x: contiguous(gradient) }, attributes),
    }),
  },
  cost: ({ x }, output) => ({ flops: 40 * elementCount(output.shape), bytes: bytesOf([x, output]) }),
  // Parts are counted from the first element, so the work goes through them itself.
  splits: () => [],
};

/**
 * Drops elements at random and scales the others by `1 / (1 - probability)`. The gradient drops the same elements.
 * @param stream names the random numbers; no two calls of a run should share one
 * @throws RangeError for a probability outside of 0 to 1
 */
export const dropout = (x: Tensor, probability: number, stream: RandomStream): Tensor => {
  needTensors('dropout', { x });
  return x.device.scope(() => {
    const flat = contiguous(x).reshape([x.size]);
    return run(dropoutRow, { x: flat }, { probability, stream }).reshape(x.shape);
  });
};
