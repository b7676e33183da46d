/** Gradients of operands larger than a binding: a device with a lowered limit must give what an unlimited one does. */
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type Device,
  type Tensor,
  add,
  attention,
  backward,
  concat,
  contiguous,
  crossEntropy,
  divide,
  dropout,
  embedding,
  gather,
  gelu,
  layerNorm,
  linear,
  logSoftmax,
  matmul,
  max,
  mean,
  multiply,
  softmax,
  sum,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { Random, expectClose, sizeOf } from './support/numbers.js';

const whole = useDevice({ device: 'software' });
const limit = 8192;
const limited = useDevice({ device: 'software', maxBindingBytes: limit });

/** Sizes of the storage bindings that the limited device made. */
const bound: number[] = [];

beforeAll(() => {
  const { gpu } = limited();
  const createBindGroup = gpu.createBindGroup.bind(gpu);
  gpu.createBindGroup = (descriptor) => {
    for (const { binding, resource } of descriptor.entries) {
      if (binding > 0) bound.push((resource as GPUBufferBinding).size!);
    }
    return createBindGroup(descriptor);
  };
});

afterEach(() => {
  expect(Math.max(...bound)).toBeLessThanOrEqual(limit);
  bound.length = 0;
});

/** Compares result and gradients of the same work; an operand must be larger than two bindings. */
async function compare(
  shapes: readonly (readonly number[])[],
  work: (device: Device, ...inputs: readonly Tensor[]) => Tensor,
  tolerance = 2e-6,
): Promise<void> {
  expect(Math.max(...shapes.map(sizeOf)) * 4).toBeGreaterThan(2 * limit);
  const before = limited().memory.liveBytes;
  const [expected, actual] = [whole(), limited()].map((device) => {
    const random = new Random(5);
    const inputs = shapes.map((shape) =>
      device.tensor(random.floats(sizeOf(shape)), shape).requireGradient(),
    );
    const result = device.scope(() => {
      const output = work(device, ...inputs);
      backward(output, device.tensor(random.floats(output.size), output.shape));
      return output;
    });
    return { inputs, tensors: [result, ...inputs.map(({ gradient }) => gradient!)] };
  });
  const [of, to] = [await whole().readAll(expected!.tensors), await limited().readAll(actual!.tensors)];
  to.forEach((values, i) => expectClose(values, of[i]!, tolerance));
  for (const { inputs, tensors } of [expected!, actual!]) {
    tensors[0]!.dispose();
    inputs.forEach((input) => input.dispose());
  }
  expect(limited().memory.liveBytes).toBe(before);
}

describe('gradients of operands larger than a binding:', () => {
  test('element-wise', () =>
    compare([[40, 300], [300], [40, 1]], (_, x, y, z) =>
      multiply(gelu(add(x, y)), divide(x, add(z, multiply(z, z)))),
    ));

  test('element-wise over transposed operands and slices', () =>
    compare(
      [
        [120, 80],
        [80, 120],
      ],
      (_, x, y) => multiply(x.transpose(), add(y, contiguous(y.slice(0, 5, 6)))),
    ));

  test('a product with a large left operand', () =>
    compare(
      [
        [300, 20],
        [20, 24],
      ],
      (_, x, y) => matmul(x, y),
      1e-5,
    ));

  test('a product with a large weight, bias and residual', () =>
    compare([[5, 48], [200, 48], [200], [5, 200]], (_, x, weight, bias, residual) =>
      linear(x, weight, { bias, residual, activation: 'gelu' }),
    ));

  test('products of batches, all operands large', () =>
    compare(
      [
        [6, 4, 20, 30],
        [6, 4, 30, 25],
      ],
      (_, x, y) => matmul(x, y),
    ));

  test('a product of transposed operands', () =>
    compare(
      [
        [40, 120],
        [100, 40],
      ],
      (_, x, y) => matmul(x.transpose(), y.transpose()),
      1e-5,
    ));

  test('layerNorm', () =>
    compare([[6, 20, 64], [64], [64]], (_, x, weight, bias) => layerNorm(x, weight, bias), 1e-5));

  test('softmax, and logSoftmax of a transposed operand', async () => {
    await compare([[6, 20, 60]], (_, x) => softmax(x));
    await compare([[60, 100]], (_, x) => logSoftmax(x.transpose()), 1e-5);
  });

  test('embedding with positions', () => {
    const ids = new Random(2).integers(2 * 60, 300);
    return compare(
      [
        [300, 40],
        [60, 40],
      ],
      (device, table, positions) => embedding(table, device.tensor(ids, [2, 60]), { scale: 2, positions }),
    );
  });

  test('gather along an inner and the last axis', async () => {
    const ids = new Random(2).integers(3 * 90, 130);
    await compare([[3, 130, 40]], (device, x) => gather(x, device.tensor(ids, [3, 90]), 1));
    await compare([[60, 130]], (device, x) => gather(x, device.tensor(ids.slice(0, 240), [60, 4]), 1));
  });

  test('max', () => compare([[60, 130]], (_, x) => max(x, [1])));

  test('crossEntropy, also where one number is the gradient of all rows', async () => {
    const targets = new Random(4).integers(150, 60);
    await compare([[150, 60]], (device, x) => crossEntropy(x, device.tensor(targets, [150]), 7), 1e-5);
    await compare([[60, 150]], (device, x) =>
      mean(crossEntropy(x.transpose(), device.tensor(targets, [150])), [0]),
    );
  });

  test('dropout, which drops the same elements', async () => {
    const stream = { seed: [3, 4], offset: 5 } as const;
    await compare([[75, 101]], (_, x) => dropout(x, 0.3, stream), 0);
    await compare([[1, 9001]], (_, x) => dropout(x, 0.3, stream), 0);
    await compare([[101, 75]], (_, x) => dropout(x.transpose(), 0.3, stream), 0);
    await compare([[90, 101]], (_, x) => dropout(x.slice(0, 3, 83), 0.3, stream), 0);
  });

  test('sums and means', async () => {
    await compare([[90, 100]], (_, x) => add(sum(x, [1]), scaleOf(x)), 1e-5);
    await compare([[90, 100]], (_, x) => sum(x, [0]), 1e-5);
    await compare([[2, 5003]], (_, x) => mean(x, [1]), 1e-5);
    await compare([[10, 30, 30]], (_, x) => mean(x, [0, 2], true), 1e-5);
    await compare([[5, 30, 60]], (_, x) => mean(x, [1]), 1e-5);
  });

  test('attention of one projection', () =>
    compare([[3, 20, 96]], (_, x) => {
      const [query, key, value] = [0, 32, 64].map((start) => x.slice(2, start, start + 32).splitHeads(2));
      return attention(query!, key!, value!, { causal: true });
    }));

  test('concat and slices', () =>
    compare(
      [
        [10, 30, 17],
        [10, 20, 17],
      ],
      (_, x, y) => concat([x, y, x.slice(1, 3, 9)], 1),
    ));

  test('expand', () => compare([[1, 5000]], (_, x) => multiply(x.expand([3, 5000]), x)));
});

const scaleOf = (x: Tensor): Tensor => mean(x, [0, 1]).reshape([1]);

test('the sum of many rows takes one launch a window', () => {
  const device = limited();
  device.scope(() => {
    const x = device.tensor(new Float32Array(400 * 40), [400, 40]);
    device.resetStatistics();
    sum(x, [0]);
    bound.push(0);
    expect(device.counts.dispatches).toBeLessThan(20);
  });
});
