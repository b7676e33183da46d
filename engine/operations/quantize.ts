import { launchQuantize, quantizedBlock } from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { contiguous } from './elementwise.js';
import { type Operation, bytesOf, describe, dispatch, needFloats, needTensors, run } from './operation.js';

type QuantizeInputs = { readonly x: Tensor };

export const quantizeRow: Operation<QuantizeInputs, undefined> = {
  name: 'quantize',
  output: ({ x }) => ({ dtype: 'q8', shape: x.shape }),
  forward({ x }, output) {
    const { device } = output;
    dispatch('quantize', device, [contiguous(x), output], ([from, to]) =>
      launchQuantize(from!, to!, device.traits),
    );
  },
  cost: ({ x }, output) => ({ flops: 0, bytes: bytesOf([x, output]) }),
  // Along rows, which are whole blocks.
  splits: ({ x }) => (x.rank > 1 ? [{ x: 0, output: 0 }] : []),
};

/**
 * Floats as int8 with a scale for every 32 neighbours, the type `q8`: a little more than a quarter of the memory. A weight
 * of {@link linear} may be of it; nothing else takes it, and no gradient goes through it.
 * @param x f32 or f16; the last dimension is a multiple of 32
 * @param into a dense tensor or slice of type `q8` to fill instead of a new one
 */
export function quantize(x: Tensor, into?: Tensor): Tensor {
  needTensors('quantize', { x });
  needFloats('quantize', [x]);
  if (x.rank === 0 || x.shape.at(-1)! % quantizedBlock !== 0) {
    throw new ShapeError(`quantize: ${describe(x)} does not end in a multiple of ${quantizedBlock}`);
  }
  return run(quantizeRow, { x }, undefined, into);
}
