/** Random numbers: the same on the host and on every adapter, as published, and without visible dependence. */
import { describe, expect, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
import { type RandomStream, launchDropout, philox, randomWord } from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { readTensorFixture } from './support/fixtures.js';
import { Launcher, adapterForms, bitsOf } from './support/launching.js';
import { Random, expectClose, poisoned, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const reference = readTensorFixture('ops/ops.safetensors');

const streams: RandomStream[] = [
  { seed: [0, 0], offset: 0 },
  { seed: [0x12345678, 0xfedcba98], offset: 1 },
  { seed: [0xffffffff, 0xffffffff], offset: 2 ** 53 - 1 },
  { seed: [42, 0], offset: 2 ** 32 + 5 },
];
const ordinary = streams[1]!;

describe('philox', () => {
  // The vectors published with the paper's library, Random123 (kat_vectors, philox4x32 10).
  test.each<[readonly number[], readonly number[], readonly number[]]>([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('of %p with key %p', (counter, key, expected) => {
    const words = philox(counter as [number, number, number, number], key as [number, number]);
    expect(words).toEqual(expected);
  });

  test('refuses streams that are none', () => {
    for (const offset of [-1, 0.5, 2 ** 53, NaN]) {
      expect(() => randomWord({ seed: [1, 2], offset }, 0)).toThrow(RangeError);
    }
  });

  /** Correlation of two lists of words, as numbers of mean 0 and variance 1. */
  function correlation(left: readonly number[], right: readonly number[]): number {
    const unit = (word: number): number => (word / 2 ** 32 - 0.5) * Math.sqrt(12);
    return left.reduce((sum, word, i) => sum + unit(word) * unit(right[i]!), 0) / left.length;
  }

  test('is uniform, and neighbours in index, stream, seed and bits are independent', () => {
    const count = 20_000;
    const draw = (stream: RandomStream, first = 0): number[] =>
      Array.from({ length: count }, (_, i) => randomWord(stream, first + i));
    const words = draw(ordinary);
    const units = words.map((word) => word / 2 ** 32);
    const mean = units.reduce((sum, x) => sum + x, 0) / count;
    const variance = units.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count;
    // Five standard errors each.
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / count));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / count));
    const others = [
      draw(ordinary, 1),
      draw(ordinary, 4),
      draw({ ...ordinary, offset: ordinary.offset + 1 }),
      draw({ ...ordinary, seed: [ordinary.seed[0] + 1, ordinary.seed[1]] }),
      draw({ ...ordinary, seed: [ordinary.seed[0], ordinary.seed[1] + 1] }),
    ];
    for (const other of others)
      expect(Math.abs(correlation(words, other))).toBeLessThan(5 / Math.sqrt(count));
    for (let bit = 0; bit < 32; bit++) {
      const ones = words.reduce((sum, word) => sum + ((word >>> bit) & 1), 0);
      expect(Math.abs(ones - count / 2)).toBeLessThan(2.5 * Math.sqrt(count));
    }
    expect(new Set(words).size).toBeGreaterThan(count - 10);
  });
});

describe.each(adapterForms)('on the GPU %s', (_, own) => {
  const launcher = (): Launcher => new Launcher(device(), own);

  const drop = (
    x: Tensor,
    probability: number,
    result: Tensor,
    { stream = ordinary, first = 0 } = {},
  ): void =>
    launcher().run([x, result], ([from, to], traits) =>
      launchDropout({ x: from!, probability, stream, first, result: to! }, traits),
    );

  test('every stream decides as on the host', async () => {
    for (const stream of streams) {
      for (const count of [1, 64, 1001, 4096]) {
        const ones = device().tensor(new Float32Array(count).fill(1), [count]);
        // Words lie in quarters, of which each threshold is an end.
        for (const probability of [0.25, 0.5, 0.75]) {
          const result = poisoned(device(), [count], 'f32');
          drop(ones, probability, result, { stream });
          const kept = Array.from(
            { length: count },
            (_x, i) => randomWord(stream, i) / 2 ** 32 >= probability,
          );
          expect(Array.from(await result.read(), (value) => value > 0)).toEqual(kept);
        }
      }
    }
  });

  test.each(['f32', 'f16'] as const)('dropout of %s keeps what the stream says, scaled', async (dtype) => {
    for (const shape of [[1], [5, 8], [3, 7, 11], [2, 2048]]) {
      for (const probability of [0.1, 0.5, 0.9]) {
        const count = shape.reduce((product, size) => product * size, 1);
        const x = await stored(device(), new Random(5).floats(count), shape, dtype);
        const result = poisoned(device(), shape, dtype);
        drop(x.tensor, probability, result);
        const expected = Array.from(x.values, (value, i) =>
          randomWord(ordinary, i) / 2 ** 32 >= probability ? value / (1 - probability) : 0,
        );
        expectClose(await result.read(), expected, tolerance[dtype]);
      }
    }
  });

  test('dropout of 0 copies and of 1 gives zeros, of infinities too', async () => {
    const values = Float32Array.from([1, -2, 3e38, Infinity, -Infinity, NaN, 0.1, 65504]);
    for (const dtype of ['f32', 'f16'] as const) {
      const x = await stored(device(), values, [8], dtype);
      const result = poisoned(device(), [8], dtype);
      drop(x.tensor, 0, result);
      expect([...(await result.read())]).toEqual([...Array.from(x.values)]);
      drop(x.tensor, 1, result);
      expect([...(await result.read())]).toEqual(new Array(8).fill(0));
    }
    for (const probability of [-0.1, 1.1, NaN]) {
      const x = poisoned(device(), [4]);
      expect(() => drop(x, probability, poisoned(device(), [4]))).toThrow(RangeError);
    }
  });

  test('parts of a tensor, and its gradient, take the mask of the whole', async () => {
    const count = 1000;
    const x = device().tensor(new Random(2).floats(count, 1, 2), [count]);
    const whole = poisoned(device(), [count]);
    drop(x, 0.3, whole);
    const expected = await whole.read();
    for (const cuts of [
      [0, 500, 1000],
      [0, 4, 123, 126, 999, 1000],
    ]) {
      const parts = poisoned(device(), [count]);
      cuts.slice(1).forEach((end, i) => {
        const first = cuts[i]!;
        drop(x.slice(0, first, end), 0.3, parts.slice(0, first, end), { first });
      });
      expect(bitsOf(await parts.read())).toEqual(bitsOf(expected));
    }
    const gradient = poisoned(device(), [count]);
    drop(device().tensor(new Float32Array(count).fill(1), [count]), 0.3, gradient);
    const factors = await gradient.read();
    expect(Array.from(factors, (factor) => factor > 0)).toEqual(Array.from(expected, (y) => y > 0));
    expect(factors.filter((factor) => factor > 0).length / count).toBeCloseTo(0.7, 1);
    const other = poisoned(device(), [count]);
    drop(x, 0.3, other, { stream: { ...ordinary, offset: 9 } });
    expect(await other.read()).not.toEqual(expected);
  });
});

describe('dropout', () => {
  test('drops its part of a million, and neighbours independently', async () => {
    const [count, probability] = [1 << 20, 0.1];
    const x = device().tensor(new Float32Array(count).fill(1), [count]);
    const result = poisoned(device(), [count]);
    new Launcher(device()).run([x, result], ([from, to], traits) =>
      launchDropout({ x: from!, probability, stream: ordinary, first: 0, result: to! }, traits),
    );
    const values = await result.read();
    const dropped = values.filter((y) => y === 0).length;
    const deviation = Math.sqrt(probability * (1 - probability) * count);
    expect(Math.abs(dropped - probability * count)).toBeLessThan(5 * deviation);
    for (const distance of [1, 2, 3, 4, 8, 1024]) {
      let both = 0;
      for (let i = 0; i + distance < count; i++) if (values[i] === 0 && values[i + distance] === 0) both++;
      const expected = probability ** 2 * (count - distance);
      // Overlapping pairs are weakly dependent; 6 deviations of independent ones leave room for that.
      expect(Math.abs(both - expected)).toBeLessThan(6 * Math.sqrt(expected));
    }
  });

  test('scales as the reference where it keeps', async () => {
    const name = 'dropout_given_mask';
    const [x, mask, out] = ['in_x', 'in_m', 'out'].map((part) => reference.floats(`${name}/${part}`));
    const [gradient, back] = ['grad_out', 'gin_x'].map((part) => reference.floats(`${name}/${part}`));
    for (const [from, to] of [
      [x!, out!],
      [gradient!, back!],
    ] as const) {
      const result = poisoned(device(), [from.length]);
      const operands = [device().tensor(Float32Array.from(from), [from.length]), result];
      new Launcher(device()).run(operands, ([a, b], traits) =>
        launchDropout({ x: a!, probability: 0.1, stream: ordinary, first: 0, result: b! }, traits),
      );
      const kept = Array.from(await result.read(), (y, i) => [i, y] as const).filter(
        ([i, y]) => y !== 0 && mask![i] !== 0,
      );
      expect(kept.length).toBeGreaterThan(20);
      expectClose(
        kept.map(([, y]) => y),
        kept.map(([i]) => to[i]!),
      );
    }
  });
});
