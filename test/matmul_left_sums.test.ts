/** Sums of the left operand's rows beside its product: the gradients of a bias and of its weight, which read the same. */
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type Tensor, backward, linear } from '../engine/index.js';
import { type AdapterTraits, matmulFamily } from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { Random, expectClose, poisoned, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });

const variants = matmulFamily.variants.filter(({ sumsLeft }) => sumsLeft);

type Sizes = readonly [rows: number, depth: number, columns: number];
type Dtypes = readonly [operands: 'f32' | 'f16', sums: 'f32' | 'f16'];
const allF32: Dtypes = ['f32', 'f32'];

/** One launch of a variant, compared with float64; what lies around the sums must stay NaN. */
async function check(
  name: string,
  [rows, depth, columns]: Sizes,
  leftLies: 'by rows' | 'by columns',
  [dtype, sumsDtype]: Dtypes = allF32,
): Promise<void> {
  const variant = variants.find((own) => own.name === name)!;
  const random = new Random(rows * 7919 + depth * 131 + columns);
  const shape = leftLies === 'by rows' ? [rows, depth] : [depth, rows];
  const left = await stored(device(), random.floats(rows * depth), shape, dtype);
  const right = await stored(device(), random.floats(depth * columns), [depth, columns], dtype);
  const at = (row: number, k: number): number =>
    left.values[leftLies === 'by rows' ? row * depth + k : k * rows + row]!;
  const around = poisoned(device(), [rows + 8], sumsDtype);
  const sums = around.slice(0, 3, 3 + rows);
  const result = poisoned(device(), [1, 1, rows, columns]);
  const matrix = (tensor: Tensor): Tensor => tensor.reshape([1, 1, ...tensor.shape]);
  const laid = leftLies === 'by rows' ? left.tensor : left.tensor.transpose();
  const tensors = [laid.view([1, 1, rows, depth], [0, 0, ...laid.strides], 0), matrix(right.tensor)];
  device().dispatch(
    ([a, b, to, totals]) => {
      const epilogue = { activation: 'none', scale: 0.5 } as const;
      const problem = { left: a!, right: b!, result: to!, leftSums: totals!, ...epilogue };
      expect(variant.sumsLeft!(problem, device().traits)).toBe(true);
      return variant.launch(problem, device().traits);
    },
    [...tensors, result, sums],
    () => name,
  );
  const expected = Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += at(row, k);
    return sum;
  });
  expectClose(await sums.read(), expected, tolerance[sumsDtype]);
  expect(Array.from(await around.read()).filter((value) => !Number.isNaN(value))).toHaveLength(rows);
  const products = Float64Array.from({ length: rows * columns }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < depth; k++)
      sum += at(Math.floor(i / columns), k) * right.values[k * columns + (i % columns)]!;
    return sum / 2;
  });
  expectClose(await result.read(), products);
}

describe.each(variants.map(({ name }) => name))('%s', (name) => {
  // Lanes of another width than this adapter's are compiled elsewhere.
  const lanes = (): boolean => device().traits.subgroupSize >= 4;

  test.each<Sizes>([
    [1, 1, 1],
    [3, 0, 5],
    [5, 7, 3],
    [8, 4, 32],
    [37, 128, 33],
    [95, 131, 40],
    [128, 520, 36],
  ])('%i rows over %i, %i columns', async (...sizes) => {
    if (!lanes()) return;
    for (const lies of ['by rows', 'by columns'] as const)
      await device().scope(() => check(name, sizes, lies));
  });
});

test('random sizes', async () => {
  const random = new Random(3);
  const size = (): number => 1 + Math.floor(random.next() ** 2 * 150);
  for (let i = 0; i < 12; i++)
    await device().scope(() => check('matmul_broadcast_24', [size(), size(), size()], 'by columns'));
});

test.each<Dtypes>([
  ['f16', 'f32'],
  ['f16', 'f16'],
  ['f32', 'f16'],
])('operands of %s, sums of %s', (...dtypes) =>
  device().scope(() => check('matmul_broadcast_16', [19, 67, 33], 'by columns', dtypes)),
);

describe('gradients of a weight and its bias', () => {
  afterEach(() => void jest.restoreAllMocks());

  const as = (traits: Partial<AdapterTraits>): void => {
    const own = device().traits;
    jest.spyOn(device(), 'traits', 'get').mockReturnValue({ ...own, ...traits });
  };

  /** Those of `linear`, compared with float64: tells by which launches they were computed. */
  async function compare(tokens: readonly number[], inputs: number, outputs: number): Promise<string[]> {
    const count = tokens.reduce((product, size) => product * size, 1);
    const random = new Random(count);
    const [a, g] = [random.floats(count * inputs), random.floats(count * outputs)];
    const x = device().tensor(a, [...tokens, inputs]);
    const weight = device()
      .tensor(random.floats(outputs * inputs), [outputs, inputs])
      .requireGradient();
    const bias = device().tensor(new Float32Array(outputs), [outputs]).requireGradient();
    const result = linear(x, weight, { bias });
    const launches = jest.spyOn(device(), 'dispatch');
    backward(result, device().tensor(g, [...tokens, outputs]));
    const kernels = launches.mock.calls.map(([, , name]) => name().split('(')[0]!);
    const [ofWeight, ofBias] = [new Float64Array(outputs * inputs), new Float64Array(outputs)];
    for (let t = 0; t < count; t++)
      for (let o = 0; o < outputs; o++) {
        const gradient = g[t * outputs + o]!;
        ofBias[o]! += gradient;
        for (let i = 0; i < inputs; i++) ofWeight[o * inputs + i]! += gradient * a[t * inputs + i]!;
      }
    expectClose(await weight.gradient!.read(), ofWeight);
    expectClose(await bias.gradient!.read(), ofBias);
    for (const { gradient } of [weight, bias]) gradient!.dispose();
    // Small results are copied out of the large buffers that they were taken from.
    return kernels.filter((kernel) => kernel !== 'copy');
  }

  test.each<[readonly number[], number, number]>([
    [[1], 2, 3],
    [[2, 3], 5, 7],
    [[4, 65], 128, 95],
    [[2, 2, 31], 40, 33],
  ])('of tokens %j, %i to %i, in one launch', (tokens, inputs, outputs) =>
    device().scope(async () => {
      expect(await compare(tokens, inputs, outputs)).toEqual(['matmul']);
    }),
  );

  test('are two where the product is by another kernel', () =>
    device().scope(async () => {
      as({ software: false });
      expect(await compare([4, 25], 40, 33)).toEqual(['matmul', 'columnSum']);
    }));

  test('have sums that no units for matrices round', () =>
    device().scope(async () => {
      const matrixUnits = {
        rows: 16,
        columns: 16,
        depth: 16,
        lanes: 32,
        attend: false,
        attendBackward: false,
      };
      const operand = { dtype: 'f32', shape: [1, 1, 1, 1], strides: [1, 1, 1, 1], offset: 0 } as const;
      const problem = {
        left: operand,
        right: operand,
        result: operand,
        activation: 'none',
        scale: 1,
      } as const;
      const traits = { ...device().traits, f16: true, matrixUnits };
      for (const { sumsLeft } of variants) {
        expect(sumsLeft!({ ...problem, halves: true }, traits)).toBe(false);
        expect(sumsLeft!(problem, traits)).toBe(true);
      }
    }));

  test('of a bias alone, its weight frozen', () =>
    device().scope(async () => {
      const x = device().tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
      const weight = device().tensor(Float32Array.of(1, 0, 0, 1), [2, 2]);
      const bias = device().tensor(Float32Array.of(0, 0), [2]).requireGradient();
      backward(linear(x, weight, { bias }), device().tensor(Float32Array.of(1, 2, 3, 5), [2, 2]));
      expect([...(await bias.gradient!.read())]).toEqual([4, 7]);
      bias.gradient!.dispose();
    }));
});
