/** What callers without types pass to operations: no tensor is refused by its name, before anything is recorded. */
import { expect, test } from '@jest/globals';
import {
  ShapeError,
  type Tensor,
  add,
  attention,
  concat,
  copyInto,
  crossEntropy,
  embedding,
  fill,
  gather,
  layerNorm,
  linear,
  matmul,
  mean,
  relu,
  scale,
  softmax,
} from '../engine/index.js';
import { useDevice } from './support/device.js';

const device = useDevice({ device: 'software' });
const nothing = undefined as unknown as Tensor;
const five = 5 as unknown as Tensor;
const values = Float32Array.of(1, 2) as unknown as Tensor;

test.each<[string, (x: Tensor) => unknown]>([
  ['add: y is the number 5', (x) => add(x, five)],
  ['add: x is Float32Array', (x) => add(values, x)],
  ['relu: x is Undefined', () => relu(nothing)],
  ['scale: x is the number 5', () => scale(five, 2)],
  ['softmax: x is Undefined', () => softmax(nothing)],
  ['mean: x is the number 5', () => mean(five, [0])],
  ['matmul: right is Float32Array', (x) => matmul(x, values)],
  ['matmul: bias is the number 5', (x) => matmul(x, x, { bias: five })],
  ['linear: weight is Undefined', (x) => linear(x, nothing)],
  ['layerNorm: bias is Undefined', (x) => layerNorm(x, x, nothing)],
  ['attention: key is the number 5', (x) => attention(x, five, x)],
  ['concat: tensors[1] is the number 5', (x) => concat([x, five], 0)],
  ['gather: index is Undefined', (x) => gather(x, nothing, 0)],
  ['embedding: ids is Float32Array', (x) => embedding(x, values)],
  ['embedding: positions is the number 5', (x) => embedding(x, x, { positions: five })],
  ['crossEntropy: targets is Undefined', (x) => crossEntropy(x, nothing)],
  ['copyInto: target is the number 5', (x) => copyInto(x, five)],
  ['fill: target is Undefined', () => fill(nothing, 1)],
])('%s', (problem, call) => {
  const x = device().tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const refused = new ShapeError(
    `${problem}; expected a tensor. Make one with device.tensor(values, shape).`,
  );
  expect(() => call(x)).toThrow(refused);
  x.dispose();
});
