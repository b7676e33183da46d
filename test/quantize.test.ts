/** Weights as int8 with a scale for every 32 neighbours, and products with them. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ShapeError, add, cast, linear, matmul, openDevice, quantize } from '../engine/index.js';
import { type AdapterTraits, type MatmulProblem, matmulFamily, matmulOperands } from '../kernels/index.js';

import { Clip4Str, type Precision } from '../model/index.js';
import { samplePath } from './support/command.js';
import { useDevice } from './support/device.js';
import { Random, poisoned } from './support/numbers.js';

const device = useDevice({ device: 'software' });

/** What the blocks hold, computed in double precision. */
function quantized(values: Float32Array): Float32Array {
  const result = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += 32) {
    const block = values.subarray(start, start + 32);
    const most = block.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    block.forEach((value, i) => {
      result[start + i] = most === 0 ? 0 : (Math.round((value * 127) / most) * most) / 127;
    });
  }
  return result;
}

/** `x weightᵀ`, in double precision. */
function product(x: Float32Array, weight: Float32Array, depth: number): number[] {
  const [rows, columns] = [x.length / depth, weight.length / depth];
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += x[row * depth + k]! * weight[column * depth + k]!;
    return sum;
  });
}

function largestError(actual: ArrayLike<number>, expected: readonly number[]): number {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(actual[i]! - value)), 0) / largest;
}

/** Values that sit on no border between two int8, where rounding could go either way. */
function weights(random: Random, count: number): Float32Array<ArrayBuffer> {
  const values = random.floats(count);
  for (let start = 0; start < count; start += 32) values[start] = 1.27 * 2 ** ((start / 32) % 7);
  return values.map((value, i) => {
    const step = values[i - (i % 32)]! / 127;
    const steps = value / step;
    return Math.abs(Math.abs(steps % 1) - 0.5) < 0.01 ? step * Math.trunc(steps) : value;
  });
}

const software = { software: true };
const ways: readonly (readonly [string, Partial<AdapterTraits>])[] = [
  ['matmul_rows', {}],
  ['matmul_broadcast_4', software],
  ['matmul_broadcast_24', software],
  ['matmul_tile_32', {}],
  ['matmul_plain', {}],
];

describe.each(ways)('%s', (name, known) => {
  const variant = matmulFamily.variants.find((own) => own.name === name)!;

  test.each([
    [1, 32, 5],
    [7, 64, 95],
    [33, 288, 40],
  ])('%i rows, %i deep, %i columns', async (rows, depth, columns) => {
    const random = new Random(rows);
    const [x, weight] = [random.floats(rows * depth), weights(random, columns * depth)];
    const left = device().tensor(x, [1, 1, rows, depth]);
    const right = quantize(device().tensor(weight, [columns, depth]));
    const result = poisoned(device(), [1, 1, rows, columns]);
    const traits = { ...device().traits, ...known };
    device().dispatch(
      (operands) => {
        const problem: MatmulProblem = {
          left: operands[0]!,
          right: { ...operands[1]!, shape: [1, 1, depth, columns], strides: [0, 0, 1, depth] },
          activation: 'none',
          scale: 1,
          result: operands[4]!,
        };
        return variant.launch(problem, traits);
      },
      matmulOperands({ left, right, result }),
      () => name,
    );
    const actual = await result.read();
    expect(largestError(actual, product(x, quantized(weight), depth))).toBeLessThan(1e-5);
    // Each weight is off by half of a step at most, and the errors of a sum are of both signs.
    expect(largestError(actual, product(x, weight, depth))).toBeLessThan(3e-2);
  });
});

test('a weight beyond the largest binding is quantised in parts, and seen through a window', async () => {
  const small = await openDevice({ device: 'software', maxBindingBytes: 16_384 });
  try {
    const random = new Random(8);
    const [rows, depth] = [300, 64];
    const [x, weight] = [random.floats(2 * depth), weights(random, rows * depth)];
    const quantised = quantize(small.tensor(weight, [rows, depth]));
    const part = linear(small.tensor(x, [2, depth]), quantised.slice(0, 201, 290));
    const expected = product(x, quantized(weight).subarray(201 * depth, 290 * depth), depth);
    expect(largestError(await part.read(), expected)).toBeLessThan(1e-5);
  } finally {
    small.close();
  }
});

describe('quantized weights', () => {
  test('go through linear with bias, activation and residual, as rows of a larger weight too', async () => {
    const random = new Random(5);
    const [x, weight] = [random.floats(6 * 64), weights(random, 48 * 64)];
    const [bias, residual] = [random.floats(16), random.floats(6 * 16)];
    const tensor = (values: Float32Array<ArrayBuffer>, shape: number[]) => device().tensor(values, shape);
    const whole = quantize(cast(tensor(weight, [48, 64]), 'f16'));
    expect(whole.bytes).toBe((48 * 64 * 36) / 32);
    const part = linear(tensor(x, [6, 64]), whole.slice(0, 16, 32), {
      bias: tensor(bias, [16]),
      residual: tensor(residual, [6, 16]),
    });
    const halves = (await cast(tensor(weight, [48, 64]), 'f16').read()) as Float32Array;
    const products = product(x, quantized(halves).subarray(16 * 64, 32 * 64), 64);
    const expected = products.map((value, i) => value + bias[i % 16]! + residual[i]!);
    expect(largestError(await part.read(), expected)).toBeLessThan(1e-5);
  });

  test('of zeros are zeros; values that are no numbers stay none', async () => {
    const row = (value: number) => Float32Array.from({ length: 32 }, (_, i) => (i === 3 ? value : 0));
    for (const [value, expected] of [
      [0, 0],
      [1e-30, 0],
      [NaN, NaN],
      [Infinity, NaN],
    ] as const) {
      const weight = quantize(device().tensor(row(value), [1, 32]));
      const [sum] = await linear(device().tensor(new Float32Array(32).fill(1), [1, 32]), weight).read();
      if (Number.isNaN(expected)) expect(sum).toBeNaN();
      else expect(sum).toBeCloseTo(expected);
    }
  });

  test('are refused everywhere else', async () => {
    const weight = quantize(device().tensor(new Float32Array(64), [2, 32]));
    const x = device().tensor(new Float32Array(64), [2, 32]);
    expect(() => quantize(device().tensor(new Float32Array(6), [2, 3]))).toThrow(/multiple of 32/);
    expect(() => add(weight, x)).toThrow(/add: .* is q8\[2,32\]; only the weight of linear may be q8/);
    expect(() => matmul(weight, x.transpose())).toThrow(/left is q8/);
    expect(() => matmul(device().tensor(new Float32Array(4), [2, 2]), weight)).toThrow(
      /only be the weight of linear/,
    );
    expect(() => linear(x.slice(1, 0, 16), weight.slice(1, 16))).toThrow(ShapeError);
    expect(() => weight.requireGradient()).toThrow(ShapeError);
    await expect(weight.read()).rejects.toThrow(/q8\[2,32\] is for products/);
  });
});

test('the shipped model reads our samples alike in int8, in less than half of the memory', async () => {
  const files = ['exit.png', 'music.png', 'night.jpg', 'number.png', 'parking.jpg'];
  const images = files.map((name) => readFileSync(samplePath(name)));
  const read = async (precision: Precision) => {
    const reader = await Clip4Str.load(device(), undefined, { precision });
    const readings = await reader.read(images);
    const { bytes } = reader.model.parameters;
    reader.dispose();
    return { readings, bytes };
  };
  const [whole, small] = [await read('f32'), await read('int8')];
  expect(small.readings.map(({ text }) => text)).toEqual(whole.readings.map(({ text }) => text));
  small.readings.forEach(({ confidence }, i) => {
    const change = Math.abs(confidence - whole.readings[i]!.confidence);
    expect(change).toBeGreaterThan(0);
    expect(change).toBeLessThan(0.02);
  });
  // Tables of embeddings, a large part of so small a model, are f16.
  expect(small.bytes).toBeLessThan(0.45 * whole.bytes);
});
