/** Values that gradients need are not mistaken for what was written over them. */
import { describe, expect, test } from '@jest/globals';
import {
  type Tensor,
  add,
  backward,
  checkpoint,
  copyInto,
  multiply,
  scale,
  sum,
  tanh,
} from '../engine/index.js';
import { useDevice } from './support/device.js';

const device = useDevice({ device: 'software' });

const vector = (...values: number[]): Tensor => device().tensor(Float32Array.from(values), [values.length]);

const message = /backward: f32\[2\], which the gradients of \w+ need, was written to after it was used/;

describe('what is written between forward and backward', () => {
  test.each<[string, (x: Tensor, square: Tensor) => void]>([
    ['into the operand', (x) => copyInto(vector(7, 7), x.detach())],
    ['into a slice of it', (x) => copyInto(vector(7), x.detach().slice(0, 1, 2))],
    ['by the host', (x) => device().write(x, Float32Array.of(7))],
    ['into the result', (_, square) => copyInto(vector(7, 7), square.detach())],
  ])('%s is told', (_, overwrite) => {
    device().scope(() => {
      const x = vector(2, 3).requireGradient();
      const square = multiply(x, x);
      const loss = sum(tanh(scale(multiply(square, square), 0.01)), [0]);
      overwrite(x, square);
      expect(() => backward(loss)).toThrow(message);
      x.requireGradient(false);
    });
    expect(device().memory.liveBytes).toBe(0);
  });

  test('into the input of a checkpoint is told', () => {
    device().scope(() => {
      const x = vector(2, 3).requireGradient();
      const loss = sum(
        checkpoint((given) => multiply(given, given), [x]),
        [0],
      );
      copyInto(vector(7, 7), x.detach());
      expect(() => backward(loss)).toThrow(message);
      x.requireGradient(false);
    });
  });

  test('does no harm where the gradients need no values, or after they went back', async () => {
    const x = vector(2, 3).requireGradient();
    device().scope(() => {
      const loss = sum(add(x, scale(x, 3)), [0]);
      copyInto(vector(7, 7), x.detach());
      backward(loss);
    });
    expect([...(await x.gradient!.read())]).toEqual([4, 4]);
    device().scope(() => {
      backward(sum(multiply(x, x), [0]));
      copyInto(vector(1, 1), x.detach());
      backward(sum(multiply(x, x), [0]));
    });
    expect([...(await x.gradient!.read())]).toEqual([20, 20]);
    x.dispose();
    expect(device().memory.liveBytes).toBe(0);
  });
});
