import { type RandomStream, elementCount, launchDropout } from '../../kernels/index.js';
import type { Tensor } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { type Operation, bytesOf, dispatch, needFloats, run } from './operation.js';

export interface DropoutAttributes {
  readonly probability: number;
  readonly stream: RandomStream;
}

export const dropoutRow: Operation<{ x: Tensor }, DropoutAttributes> = {
  name: 'dropout',
  output({ x }) {
    needFloats('dropout', [x]);
    return { dtype: x.dtype, shape: x.shape };
  },
  forward({ x }, output, { probability, stream }) {
    const { device } = output;
    const dense = contiguous(x);
    // A part that was cut off lies in its tensor where its elements are counted from.
    dispatch('dropout', device, [dense, output], ([from, to]) =>
      launchDropout({ x: from!, probability, stream, first: output.offset, result: to! }, device.traits),
    );
  },
  backward: {
    saves: () => [],
    gradients: ({ gradient, attributes }) => ({ x: run(dropoutRow, { x: gradient }, attributes) }),
  },
  cost: ({ x }, output) => ({ flops: 40 * elementCount(output.shape), bytes: bytesOf([x, output]) }),
  splits: () => [{ x: 0, output: 0 }],
};

/**
 * Drops elements at random and scales the others by `1 / (1 - probability)`. The gradient drops the same elements.
 * @param stream names the random numbers; no two calls of a run should share one
 * @throws RangeError for a probability outside of 0 to 1
 */
export const dropout = (x: Tensor, probability: number, stream: RandomStream): Tensor =>
  run(dropoutRow, { x }, { probability, stream });
