/** Operands larger than a binding: a device with a lowered limit must compute what an unlimited one does. */
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  type Device,
  EngineError,
  type Tensor,
  add,
  argmax,
  attention,
  cast,
  concat,
  embedding,
  gather,
  gelu,
  layerNorm,
  linear,
  logSoftmax,
  matmul,
  max,
  mean,
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
  expect(bound.length).toBeGreaterThan(0);
  expect(Math.max(...bound)).toBeLessThanOrEqual(limit);
  bound.length = 0;
});

/** Runs the same work on both devices and compares; some operand must be larger than the limit. */
async function compare(
  work: (make: (...shape: number[]) => Tensor, device: Device) => Tensor,
  tolerance = 1e-6,
): Promise<void> {
  const before = limited().memory.liveBytes;
  const results = [whole(), limited()].map((device) => {
    const random = new Random(11);
    let largest = 0;
    const result = device.scope(() =>
      work((...shape) => {
        const tensor = device.tensor(random.floats(sizeOf(shape)), shape);
        largest = Math.max(largest, tensor.bytes);
        return tensor;
      }, device),
    );
    expect(Math.max(largest, result.bytes)).toBeGreaterThan(2 * limit);
    return result;
  });
  limited().resetStatistics();
  const [expected, actual] = [await results[0]!.read(), await results[1]!.read()];
  expect(actual.some(Number.isNaN)).toBe(false);
  expectClose(actual, expected, tolerance);
  results.forEach((tensor) => tensor.dispose());
  expect(limited().memory.liveBytes).toBe(before);
}

describe('operands larger than a binding are split:', () => {
  test('element-wise, with broadcasting and results of several bindings', () =>
    compare((make) => add(gelu(make(40, 300)), make(300))));

  test('element-wise over transposed operands', () =>
    compare((make) => add(make(300, 40).transpose(), make(40, 300))));

  test('softmax', () => compare((make) => softmax(make(6, 20, 100))));

  test('logSoftmax of a transposed operand', () => compare((make) => logSoftmax(make(100, 60).transpose())));

  test('layernorm', () => compare((make) => layerNorm(make(90, 128), make(128), make(128))));

  test('sums and argmax', async () => {
    await compare((make) => sum(make(90, 100), [1]));
    await compare((make) => sum(make(90, 100), [0]));
    await compare((make) => sum(make(30, 10, 40), [1]));
    await compare((make) => sum(make(3, 200, 40), [1]));
    await compare((make) => sum(make(2, 3, 5003), [1]));
    await compare((make) => sum(make(2, 3, 3207), [1]));
    await compare((make) => mean(cast(make(2, 90, 101), 'f16'), [1]), 1e-3);
    const random = new Random(2).floats(9000);
    const [expected, actual] = [whole(), limited()].map((device) =>
      device.scope(() => argmax(device.tensor(random, [90, 100]))),
    );
    expect([...(await actual!.read())]).toEqual([...(await expected!.read())]);
    actual!.dispose();
  });

  test('concat', () => compare((make) => concat([make(10, 30, 7), make(10, 50, 7)], 1)));

  test('matmul by a large left operand', () => compare((make) => matmul(make(200, 48), make(48, 10))));

  test('matmul by a transposed large left operand', () =>
    compare((make) => matmul(make(48, 200).transpose(), make(48, 10))));

  test('matmul by a large right operand', () => compare((make) => matmul(make(3, 48), make(48, 200))));

  test('linear with a large weight, bias, activation and residual', () =>
    compare((make) =>
      linear(make(5, 48), make(200, 48), { bias: make(200), activation: 'gelu', residual: make(5, 200) }),
    ));

  test('matmul of batches, all operands large', () =>
    compare((make) => matmul(make(6, 4, 20, 30), make(6, 4, 30, 25), { residual: make(6, 4, 20, 25) })));

  test('attention over a batch', () =>
    compare((make) => {
      const [query, key, value] = [make(8, 12, 48), make(8, 20, 48), make(8, 20, 48)];
      const heads = [query, key, value].map((tensor) => tensor.splitHeads(3));
      return attention(heads[0]!, heads[1]!, heads[2]!, { mask: make(12, 20) });
    }));

  test('attention over packed heads', () =>
    compare((make) => {
      const packed = make(6, 17, 96);
      const heads = [0, 32, 64].map((start) => packed.slice(2, start, start + 32).splitHeads(2));
      return attention(heads[0]!, heads[1]!, heads[2]!, { causal: true });
    }));

  test('embedding by windows of the table, with ids outside and a large result', async () => {
    const [rows, width] = [300, 40];
    const table = new Random(1).floats(rows * width);
    const tokens = new Random(2).integers(2 * 60, rows);
    tokens[7] = rows;
    const positions = new Random(3).floats(60 * width);
    const [expected, actual] = [whole(), limited()].map((device) =>
      embedding(device.tensor(table, [rows, width]), device.tensor(tokens, [2, 60]), {
        scale: 2,
        positions: device.tensor(positions, [60, width]),
      }),
    );
    const values = await actual!.read();
    expectClose(values, await expected!.read(), 0);
    expect(values.slice(7 * width, 8 * width).every(Number.isNaN)).toBe(true);
  });

  test('reading transposed and f16 tensors', async () => {
    await compare((make) => make(150, 70).transpose());
    await compare((make) => cast(make(150, 70), 'f16'));
  });

  test('reductions of a row longer than a binding', async () => {
    for (const reduce of [sum, mean, max]) {
      await compare((make) => reduce(make(10001), [0]), 1e-4);
      await compare((make) => reduce(make(2, 5003), [1]), 1e-4);
      await compare((make) => reduce(cast(make(2, 9001), 'f16'), [0, 1]), 2e-3);
    }
  });

  test('gather by windows of the axis', async () => {
    const tokens = new Random(2).integers(2 * 90, 310);
    await compare((make, device) => gather(make(300, 40), device.tensor(tokens, [180]), 0));
    await compare((make, device) => gather(make(2, 300, 40), device.tensor(tokens, [2, 90]), 1));
  });

  test('embedding of a column slice of a table', async () => {
    const tokens = new Random(2).integers(20, 300);
    await compare((make, device) => embedding(make(300, 40).slice(1, 8, 12), device.tensor(tokens, [2, 10])));
  });
});

test('work that cannot be cut throws and leaves no memory behind', () => {
  const device = limited();
  const x = device.tensor(new Float32Array(10000), [1, 10000]);
  bound.push(0);
  const before = device.memory.liveBytes;
  expect(() => softmax(x)).toThrow(EngineError);
  expect(() => softmax(x)).toThrow(
    /softmax\(f32\[1,10000\], .*operand f32\[1,10000\] exceeds the adapter's largest binding of 8192 bytes/,
  );
  expect(() => matmul(x, x.transpose())).toThrow(/^matmul\(.*exceeds the adapter's largest binding/);
  expect(device.memory.liveBytes).toBe(before);
  x.dispose();
});
