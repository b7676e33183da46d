import type { Tensor } from '../tensor.js';
import { copyInto } from './elementwise.js';

/** Sets every element of a tensor or slice, and returns it. */
export function fill(target: Tensor, value: number): Tensor {
  target.device.scope(() => copyInto(target.device.tensor(Float32Array.of(value), []), target));
  return target;
}
