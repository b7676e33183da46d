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
  crossEntropy,
  divide,
  dropout,
  embedding,
  gather,
  layerNorm,
  linear,
  matmul,
  max,
  mean,
  multiply,
  negate,
  noGrad,
  quickGelu,
  scale,
  softmax,
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

  test('and does not round them to f16 on their way, of all uses and of views', async () => {
    const x = parameter([1, 2]);
    const half = cast(x, 'f16');
    const thirds = device().tensor(Float32Array.of(1 / 3, 1 / 7), [2]);
    const uses = add(multiply(half, thirds), multiply(half.reshape([1, 2]).select(0, 0), thirds));
    backward(
      sum(
        add(
          uses,
          matmul(half.reshape([2, 1]), thirds.slice(0, 0, 1).reshape([1, 1]), { dtype: 'f32' }).reshape([2]),
        ),
        [0],
      ),
    );
    expectClose(await x.gradient!.read(), [3 / 3, 2 / 7 + 1 / 3], 1e-6);
  });

  test('nor where a copy goes into a checkpoint', async () => {
    const x = parameter([1, 2]);
    const thirds = device().tensor(Float32Array.of(1 / 3, 1 / 7), [2]);
    const work = (half: Tensor): Tensor => sum(multiply(half, thirds), [0]);
    backward(checkpoint(work, [cast(x, 'f16')]));
    expectClose(await x.gradient!.read(), [1 / 3, 1 / 7], 1e-6);
  });

  test.each([
    ['as their tensor has them', 0, [0, 3], [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121]],
    ['in another order', 2, [3, 0], [9, 16, 25, 0, 1, 4, 81, 100, 121, 36, 49, 64]],
  ] as const)(
    'gradients of slices that lie side by side in one tensor, %s: %i copies',
    async (_, copies, starts, expected) => {
      const x = parameter(
        Array.from({ length: 12 }, (_, i) => i),
        [2, 6],
      );
      const twice = scale(x, 2);
      // The gradients of what is joined are slices of one tensor.
      const joined = concat(
        starts.map((start) => twice.slice(1, start, start + 3)),
        1,
      );
      const squares = device().tensor(
        Float32Array.from({ length: 12 }, (_, i) => i * i),
        [2, 6],
      );
      const loss = sum(multiply(joined, squares), [0, 1]);
      device().resetStatistics();
      backward(loss);
      // Of the loss, its sum, the product and the scale.
      expect(device().counts.dispatches).toBe(4 + copies);
      expect(await read(x.gradient)).toEqual(expected.map((value) => 2 * value));
    },
  );

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

describe('what may go wrong', () => {
  const live = (): number => device().memory.liveBytes;

  test('an operation that throws on the way back loses no memory', () => {
    const before = live();
    const weights = [1, 2].map((seed) => parameter([...random(seed, [8, 8])], [8, 8]));
    const held = live();
    const real = device().dispatch.bind(device());
    for (const failing of [0, 1, 3, 5, 8, 11, 14]) {
      device().scope(() => {
        const [a, b] = weights as [Tensor, Tensor];
        const whole = checkpoint((x) => multiply(matmul(x, b), x), [matmul(a, b)]);
        const loss = sum(add(multiply(whole.slice(0, 0, 5), whole.slice(0, 3, 8)), a.slice(0, 0, 5)), [0, 1]);
        let left = failing;
        device().dispatch = (...given: Parameters<typeof real>) => {
          if (left-- === 0) throw new Error('refused');
          real(...given);
        };
        try {
          expect(() => backward(loss)).toThrow('refused');
        } finally {
          device().dispatch = real;
        }
      });
      weights.forEach((weight) => weight.clearGradient());
      expect(live()).toBe(held);
    }
    weights.forEach((weight) => weight.dispose());
    expect(live()).toBe(before);
  });

  test('a second pass through a shared part is refused by name', () => {
    device().scope(() => {
      const x = parameter([1, 2]);
      const shared = multiply(x, x);
      backward(sum(shared, [0]));
      expect(() => backward(sum(scale(shared, 2), [0]))).toThrow(/gradients already went through multiply/);
    });
  });

  test('tensors used after they were disposed are refused', () => {
    const x = parameter([1, 2]);
    const loss = sum(multiply(x, x), [0]);
    loss.dispose();
    expect(() => backward(loss)).toThrow(/used after dispose/);
    x.dispose();
    expect(() => x.requireGradient()).toThrow(/used after dispose/);
  });

  test('what gradients need outlives the tensors that were disposed', async () => {
    const before = live();
    const x = parameter([1, 2, 3]);
    const square = multiply(x, x);
    const product = multiply(square, square);
    const loss = sum(product, [0]);
    for (const tensor of [square, product]) tensor.dispose();
    backward(loss);
    expect(await read(x.gradient)).toEqual([4, 32, 108]);
    for (const tensor of [x, loss]) tensor.dispose();
    expect(live()).toBe(before);
  });

  test('works that overlap in time keep their graphs and memory apart', async () => {
    const before = live();
    const train = (values: number[], silent: boolean): Promise<number[] | undefined> =>
      device().scope(async () => {
        const x = parameter(values);
        await Promise.resolve();
        const work = async (): Promise<Tensor> => {
          const square = multiply(x, x);
          await device().finish();
          return sum(multiply(square, x), [0]);
        };
        const loss = await (silent ? noGrad(work) : work());
        await Promise.resolve();
        if (loss.node) backward(loss);
        return x.gradient ? read(x.gradient) : undefined;
      });
    const results = await Promise.all([train([1, 2], false), train([5, 6], true), train([3, 4], false)]);
    expect(results).toEqual([[3, 12], undefined, [27, 48]]);
    expect(live()).toBe(before);
  });

  test('a gradient that was computed itself is taken as numbers', async () => {
    const before = live();
    const [x, y] = [parameter([1, 2]), parameter([3, 4])];
    device().scope(() => backward(multiply(x, x), multiply(y, y)));
    expect(x.gradient!.node).toBeUndefined();
    expect(await read(x.gradient)).toEqual([18, 64]);
    for (const tensor of [x, y]) tensor.dispose();
    expect(live()).toBe(before);
  });

  test('integers pass no gradient on', () => {
    device().scope(() => {
      const x = parameter([1.5, 2.5]);
      expect(cast(cast(x, 'u32'), 'f32').node).toBeUndefined();
    });
  });

  test('a result cannot be written into a given tensor and recorded, fused activation or not', () => {
    device().scope(() => {
      const x = parameter([1, 2, 3, 4], [2, 2]);
      const into = device().empty('f32', [2, 2]);
      expect(() => matmul(x, x, { activation: 'gelu', into })).toThrow(/cannot be recorded/);
      expect(() => matmul(x, x, { into })).toThrow(/cannot be recorded/);
    });
  });

  test('a checkpoint without inputs is refused, and one outside of scopes keeps its result alone', () => {
    const before = live();
    expect(() => checkpoint(() => parameter([1]), [])).toThrow(/needs at least one input/);
    const x = parameter([1, 2]);
    const result = checkpoint((a) => multiply(a, a), [x]);
    for (const tensor of [x, result]) tensor.dispose();
    expect(live()).toBe(before);
  });
});

describe('gradients of tensors without elements', () => {
  test.each<[string, readonly (readonly number[])[], (...x: readonly Tensor[]) => Tensor]>([
    [
      'no rows',
      [
        [0, 3],
        [3, 2],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'no depth',
      [
        [2, 0],
        [0, 3],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'no batch',
      [
        [0, 2, 2, 3, 4],
        [4, 2],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'no batch, expanded',
      [
        [0, 2, 2, 3, 4],
        [2, 2, 4, 2],
      ],
      (x, y) => matmul(x, y),
    ],
    ['sum over nothing', [[0, 3]], (x) => sum(x, [0])],
    ['nothing summed', [[0, 3]], (x) => sum(x, [1])],
    [
      'broadcast to nothing',
      [
        [0, 3],
        [1, 3],
      ],
      (x, y) => multiply(x, y),
    ],
    [
      'concat',
      [
        [0, 3],
        [2, 3],
      ],
      (x, y) => concat([x, y], 0),
    ],
    ['layerNorm', [[0, 3], [3], [3]], (x, w, b) => layerNorm(x, w, b)],
    ['softmax', [[0, 3]], (x) => softmax(x)],
    ['max', [[0, 3]], (x) => max(x, [1])],
    ['gather', [[2, 3]], (x) => gather(x, device().tensor(new Uint32Array(0), [2, 0]), 1)],
    ['embedding', [[4, 3]], (x) => embedding(x, device().tensor(new Uint32Array(0), [2, 0]))],
    ['crossEntropy', [[0, 3]], (x) => crossEntropy(x, device().tensor(new Uint32Array(0), [0]))],
    ['dropout', [[0, 3]], (x) => dropout(x, 0.5, { seed: [1, 2], offset: 0 })],
    ['an empty slice', [[3]], (x) => x.slice(0, 1, 1)],
  ])('%s', async (_, shapes, work) => {
    const before = device().memory.liveBytes;
    const inputs = shapes.map((shape) => parameter([...random(1, shape)], shape));
    device().scope(() => {
      const result = work(...inputs);
      const upstream = device().tensor(new Float32Array(result.size).fill(1), result.shape);
      backward(result, upstream);
    });
    for (const { gradient, shape } of inputs) {
      expect(gradient!.shape).toEqual(shape);
      const values = await read(gradient);
      expect(values.every((value) => value === 0 || (value === 1 && shapes.length === 2))).toBe(true);
    }
    inputs.forEach((input) => input.dispose());
    expect(device().memory.liveBytes).toBe(before);
  });

  test('an axis without entries is refused', () => {
    device().scope(() => {
      const index = device().tensor(Uint32Array.of(0), [1]);
      expect(() => gather(device().empty('f32', [0, 3]), index, 0)).toThrow(/has no entries to pick/);
    });
  });
});

test('quotients of numbers whose squares are beyond f32', async () => {
  const [x, y] = [parameter([2e-30, 3e25]), parameter([1e-25, 1e25])];
  device().scope(() => backward(sum(divide(x, y), [0])));
  expectClose(await y.gradient!.read(), [-2e20, -3e-25].map(Math.fround), 1e-5);
  for (const tensor of [x, y]) tensor.dispose();
});

test('the scope of a model frees what went through as gradients come back', () => {
  const weights = Array.from({ length: 6 }, (_, i) => parameter([...random(i, [64, 64])], [64, 64]));
  const x = device().tensor(random(9, [512, 64]), [512, 64]);
  const activation = 512 * 64 * 4;
  const model = (): Tensor =>
    device().scope(() =>
      sum(
        weights.reduce((a, w) => quickGelu(matmul(a, w)), x),
        [0, 1],
      ),
    );
  device().scope(() => {
    const before = device().memory.liveBytes;
    const loss = model();
    // What the activation came from, and what the next product needs.
    expect(device().memory.liveBytes - before).toBeLessThan(12.5 * activation);
    device().resetStatistics();
    backward(loss);
    // A few gradients at a time beside what is left; all twelve tensors and their gradients would be 24.
    expect(device().memory.peakBytes - before).toBeLessThan(16 * activation);
    const gradients = 6 * 64 * 64 * 4;
    expect(device().memory.liveBytes - before).toBeLessThan(gradients + 4096);
  });
  for (const weight of weights) weight.dispose();
  x.dispose();
});

test('frozen operands keep nothing for gradients that nobody wants', () => {
  device().scope(() => {
    const x = parameter([...random(1, [256, 64])], [256, 64]);
    const frozen = device().tensor(random(2, [64, 64]), [64, 64]);
    const before = device().memory.liveBytes;
    const y = device().scope(() => matmul(matmul(matmul(x, frozen), frozen), frozen));
    expect(device().memory.liveBytes - before).toBe(y.bytes);
  });
});
