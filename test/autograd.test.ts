/** Gradients through the recorded graph: views, sums over uses, memory, and what is refused. */
import { describe, expect, test } from '@jest/globals';
import {
  type Tensor,
  add,
  backward,
  cast,
  checkpoint,
  concat,
  contiguous,
  divide,
  linear,
  matmul,
  mean,
  multiply,
  negate,
  noGrad,
  scale,
  subtract,
  sum,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { expectGradients } from './support/finite_differences.js';
import { Random, expectClose } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const parameter = (list: readonly number[], shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Float32Array.from(list), shape).requireGradient();
const random = (seed: number, shape: readonly number[]): Float32Array<ArrayBuffer> =>
  new Random(seed).floats(shape.reduce((n, size) => n * size, 1));
const read = async (tensor: Tensor | undefined): Promise<number[]> => [...(await tensor!.read())];

describe('gradients by finite differences', () => {
  test.each<[string, readonly (readonly number[])[], (...x: readonly Tensor[]) => Tensor]>([
    [
      'add, broadcast',
      [
        [2, 3, 4],
        [3, 1],
      ],
      (x, y) => add(x, y),
    ],
    ['subtract, broadcast', [[4], [2, 3, 4]], (x, y) => subtract(x, y)],
    [
      'multiply, broadcast',
      [
        [2, 3, 4],
        [1, 4],
      ],
      (x, y) => multiply(x, y),
    ],
    ['divide, broadcast', [[2, 3], [1]], (x, y) => divide(x, add(multiply(y, y), multiply(y, y)))],
    ['negate and scale', [[5]], (x) => negate(scale(x, 2.5))],
    ['sum', [[2, 3, 4]], (x) => sum(x, [0, 2])],
    ['mean, kept', [[2, 3, 4]], (x) => mean(x, [1], true)],
    [
      'concat',
      [
        [2, 1],
        [2, 3],
        [2, 2],
      ],
      (...parts) => concat(parts, 1),
    ],
    [
      'a matrix product',
      [
        [3, 5],
        [5, 4],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'batched, transposed',
      [
        [2, 5, 3],
        [2, 4, 5],
      ],
      (x, y) => matmul(x.transpose(), y.transpose(), { scale: 0.7 }),
    ],
    [
      'a batch broadcast to the right',
      [
        [2, 3, 3, 4],
        [3, 4, 2],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'a batch broadcast to the left',
      [
        [3, 4],
        [2, 4, 2],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'linear with bias and residual',
      [[2, 3, 4], [5, 4], [5], [2, 3, 5]],
      (x, weight, bias, residual) => linear(x, weight, { bias, residual }),
    ],
    [
      'views',
      [[2, 3, 4]],
      (x) => contiguous(x.transpose(0, 2)).reshape([2, 6, 2]).slice(1, 1, 5).select(2, 1),
    ],
    ['overlapping slices', [[6]], (x) => multiply(x.slice(0, 0, 4), x.slice(0, 2, 6))],
    ['slices with gaps', [[7, 2]], (x) => add(x.slice(0, 1, 3), scale(x.slice(0, 4, 6), 3))],
    [
      'slices along two axes',
      [[3, 3]],
      (x) => add(x.slice(0, 0, 2).slice(1, 1, 3), x.slice(1, 0, 2).slice(0, 1, 3)),
    ],
    ['heads', [[2, 3, 8]], (x) => x.splitHeads(4)],
    ['one tensor used often', [[4]], (x) => add(multiply(x, x), multiply(x, scale(x, 3)))],
    ['expand', [[1, 3]], (x) => x.expand([2, 4, 3])],
    [
      'a checkpoint',
      [
        [2, 3],
        [3, 3],
      ],
      (x, y) => checkpoint((a) => multiply(matmul(a, y), a), [x]),
    ],
  ])('of %s', async (_, shapes, work) => {
    await expectGradients(device(), shapes, work);
  });
});

describe('the graph', () => {
  test('adds up over several backward passes until cleared', async () => {
    const x = parameter([1, 2, 3]);
    for (let pass = 1; pass <= 3; pass++) {
      backward(sum(multiply(x, x), [0]));
      expect(await read(x.gradient)).toEqual([2 * pass, 4 * pass, 6 * pass]);
    }
    x.clearGradient();
    expect(x.gradient).toBeUndefined();
  });

  test('takes the gradient of what is not a single number', async () => {
    const x = parameter([1, 2, 3]);
    backward(scale(x, 2), device().tensor(Float32Array.of(1, 10, 100), [3]));
    expect(await read(x.gradient)).toEqual([2, 20, 200]);
  });

  test('keeps gradients of two parameters apart in memory', async () => {
    const [x, y] = [parameter([1, 2]), parameter([3, 4])];
    backward(sum(add(x, y), [0]));
    expect(x.gradient!.buffer.id).not.toBe(y.gradient!.buffer.id);
    expect(await read(y.gradient)).toEqual([1, 1]);
  });

  test('stops at detached tensors and records nothing within noGrad', async () => {
    const x = parameter([1, 2]);
    backward(sum(multiply(x, scale(x, 3).detach()), [0]));
    expect(await read(x.gradient)).toEqual([3, 6]);
    const silent = noGrad(() => multiply(x, x));
    expect(() => backward(sum(silent, [0]))).toThrow(/was not computed from any tensor with requireGradient/);
    await noGrad(async () => {
      await Promise.resolve();
      expect(multiply(x, x).node).toBeUndefined();
    });
  });

  test('casts, so that f16 copies of f32 parameters collect f32 gradients', async () => {
    const x = parameter([1, 2]);
    const half = cast(x, 'f16');
    backward(sum(multiply(half, half), [0]));
    expect(x.gradient!.dtype).toBe('f32');
    expectClose(await x.gradient!.read(), [2, 4], 1e-3);
  });

  test('refuses what has no gradient', () => {
    const x = parameter([1, 2]);
    expect(() => backward(multiply(x, x))).toThrow(/is not a single number/);
    expect(() => backward(multiply(x, x), device().tensor(Float32Array.of(1), [1]))).toThrow(/does not fit/);
    expect(() => device().tensor(Uint32Array.of(1), [1]).requireGradient()).toThrow(
      /u32\[1\] has no gradients/,
    );
    expect(() => multiply(x, x).requireGradient()).toThrow(/result of multiply; detach\(\)/);
    expect(() => cast(x, 'f16', device().empty('f16', [2]))).toThrow(/cannot be recorded/);
    const loss = sum(multiply(x, x), [0]);
    backward(loss);
    expect(() => backward(loss)).toThrow(/already went through/);
  });
});

describe('memory', () => {
  const step = (x: Tensor, weights: readonly Tensor[], block: (a: Tensor, w: Tensor) => Tensor): void =>
    device().scope(() => {
      backward(sum(weights.reduce(block, x), [0, 1]));
      weights.forEach((weight) => weight.clearGradient());
    });
  const block = (a: Tensor, w: Tensor): Tensor => multiply(matmul(a, w), matmul(a, w));

  test('is flat over steps, backward or not', () => {
    const x = device().tensor(random(1, [64, 64]), [64, 64]);
    const weights = [2, 3, 4].map((seed) => parameter([...random(seed, [64, 64])], [64, 64]));
    const before = device().memory.liveBytes;
    for (let i = 0; i < 5; i++) {
      step(x, weights, block);
      device().scope(() => void block(x, weights[0]!));
      expect(device().memory.liveBytes).toBe(before);
    }
  });

  test('of checkpoints is that of their inputs', () => {
    const x = device().tensor(random(1, [256, 64]), [256, 64]);
    const weights = Array.from({ length: 8 }, (_, i) => parameter([...random(i, [64, 64])], [64, 64]));
    const peak = (work: (a: Tensor, w: Tensor) => Tensor): number => {
      const before = device().memory.liveBytes;
      device().resetStatistics();
      step(x, weights, work);
      return device().memory.peakBytes - before;
    };
    const activation = 256 * 64 * 4;
    const whole = peak(block);
    const saved = peak((a, w) => checkpoint((b) => block(b, w), [a]));
    // Each block keeps its input and both products; its checkpoint the input alone, and the block at work all of its own.
    expect(whole).toBeGreaterThan(20 * activation);
    expect(saved).toBeLessThan((8 + 8) * activation + 8 * 64 * 64 * 4);
  });
});
