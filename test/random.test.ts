import { describe, expect, test } from '@jest/globals';
import { RandomGenerator } from '../engine/index.js';

const draw = (random: RandomGenerator, count: number): number[] =>
  Array.from({ length: count }, () => random.next());

describe('random generator', () => {
  test('the same seed gives the same numbers on every machine', () => {
    const words = draw(new RandomGenerator(1), 3).map((value) => value * 2 ** 32);
    expect(words).toEqual(draw(new RandomGenerator(1), 3).map((value) => value * 2 ** 32));
    expect(words).toEqual(sfc32([1, 0, 0, 1], 18).slice(15));
  });

  test('goes on from its state, through JSON', () => {
    const random = new RandomGenerator(7, 3);
    draw(random, 1000);
    const state = JSON.parse(JSON.stringify(random.state)) as number[];
    expect(draw(RandomGenerator.fromState(state), 100)).toEqual(draw(random, 100));
  });

  test('numbers lie evenly in [0, 1)', () => {
    const count = 64_000;
    const bins = new Uint32Array(64);
    for (const value of draw(new RandomGenerator(0), count)) {
      expect(value).toBeLessThan(1);
      bins[Math.floor(value * 64)]!++;
    }
    const square = bins.reduce((sum, seen) => sum + (seen - count / 64) ** 2 / (count / 64), 0);
    // 63 degrees of freedom: one in a thousand lies above 103.
    expect(square).toBeLessThan(103);
  });

  test('like seeds and streams have nothing in common', () => {
    const origins = [
      [0, 0],
      [1, 0],
      [2 ** 32, 0],
      [0, 1],
      [1, 1],
    ] as const;
    const firsts = origins.flatMap(([seed, stream]) => draw(new RandomGenerator(seed, stream), 4));
    expect(new Set(firsts).size).toBe(firsts.length);
    const [a, b] = [0, 1].map((stream) => draw(new RandomGenerator(5, stream), 10_000));
    const correlation = a!.reduce((sum, value, i) => sum + (value - 0.5) * (b![i]! - 0.5), 0) / (10_000 / 12);
    expect(Math.abs(correlation)).toBeLessThan(0.04);
  });

  test('samples have no repetition, and every item comes first as often', () => {
    const random = new RandomGenerator(2);
    const items = ['a', 'b', 'c', 'd'];
    const firsts = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      const sample = random.sample(items, 3);
      expect(new Set(sample).size).toBe(3);
      firsts.set(sample[0]!, (firsts.get(sample[0]!) ?? 0) + 1);
    }
    for (const item of items) expect(Math.abs(firsts.get(item)! - 1000)).toBeLessThan(100);
    expect(items).toEqual(['a', 'b', 'c', 'd']);
    expect(random.sample(items, 9).sort()).toEqual(items);
  });

  test.each([[-1], [1.5], [NaN], [2 ** 53]])('seed %p is refused', (seed) => {
    expect(() => new RandomGenerator(seed)).toThrow(/^random seed .*: expected a whole number/);
  });

  test.each([[[1, 2, 3]], [[1, 2, 3, -1]], [[1, 2, 3, 2 ** 32]], [[1, 2, 3, 0.5]]])(
    'state %p is refused',
    (state) => {
      expect(() => RandomGenerator.fromState(state)).toThrow(/^random state .*: expected four whole numbers/);
    },
  );
});

/** The generator as its author writes it, with whole numbers that do not wrap by themselves. */
function sfc32(start: readonly number[], count: number): number[] {
  const mask = 0xffffffffn;
  let [a, b, c, counter] = start.map(BigInt) as [bigint, bigint, bigint, bigint];
  return Array.from({ length: count }, () => {
    const word = (a + b + counter++) & mask;
    a = b ^ (b >> 9n);
    b = (c + ((c << 3n) & mask)) & mask;
    c = ((((c << 21n) & mask) | (c >> 11n)) + word) & mask;
    return Number(word);
  });
}
