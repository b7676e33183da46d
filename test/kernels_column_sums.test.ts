/** Column sums and layernorm's gradients against float64, over odd and degenerate shapes, on memory that held NaN. */
import { describe, expect, test } from '@jest/globals';
import { type Tensor, cast } from '../engine/index.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  columnSumGroups,
  launchColumnSum,
  launchLayerNormGradient,
  launchLayerNormWeightGradient,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { readTensorFixture } from './support/fixtures.js';
import { rowsOf } from './support/float64.js';
import { Random, expectClose, poisoned, sizeOf, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const floats = ['f32', 'f16'] as const;
const reference = readTensorFixture('ops/ops.safetensors');
const values = (list: ArrayLike<number>, shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Float32Array.from(list), shape);
const known = (name: string): Tensor => values(reference.floats(name), reference.get(name).shape);
const launch = (build: (operands: readonly Operand[]) => Launch, tensors: readonly Tensor[]): void =>
  device().dispatch(build, tensors, () => 'test');

const forms: [string, Partial<AdapterTraits>][] = [
  ['as on a CPU', {}],
  ['as on a GPU', { software: false }],
  ['without subgroups', { subgroupSize: 0 }],
];

/** Sums over rows, in as many stages as the adapter should take. */
function columnSum(x: Tensor, traits: AdapterTraits, dtype: 'f32' | 'f16' = 'f32'): Tensor {
  const columns = x.shape.at(-1)!;
  const groups = columnSumGroups(x.size / columns, columns, traits);
  const result = poisoned(device(), groups > 1 ? [groups, columns] : [columns], groups > 1 ? 'f32' : dtype);
  launch(([from, to]) => launchColumnSum(1, from!, to!, traits), [x, result]);
  return groups > 1 ? columnSum(result, traits, dtype) : result;
}

function columnSumReference(data: ArrayLike<number>, columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (let i = 0; i < data.length; i++) sums[i % columns]! += data[i]!;
  return sums;
}

describe.each(forms)('column sums %s', (_, own) => {
  const traits = (): AdapterTraits => ({ ...device().traits, ...own });

  test.each(floats)('%s', async (dtype) => {
    const shapes = [
      [1, 1],
      [3, 5],
      [1, 40],
      [300, 1],
      [257, 33],
      [1000, 128],
      [2, 3, 300],
      [5000, 7],
      [3001, 260],
      [40, 3001],
    ];
    for (const shape of shapes) {
      const columns = shape.at(-1)!;
      const x = await stored(device(), new Random(columns).floats(sizeOf(shape)), shape, dtype);
      const expected = columnSumReference(x.values, columns);
      for (const into of floats) {
        expectClose(await columnSum(x.tensor, traits(), into).read(), expected, tolerance[into]);
      }
    }
  });

  test('of slices and permuted operands, into a slice', async () => {
    const data = new Random(1).floats(6 * 70 * 10);
    const x = values(data, [6, 70, 10]).permute([1, 0, 2]).slice(2, 1, 8).slice(0, 3);
    const expected = new Float64Array(7);
    data.forEach((value, i) => {
      const [row, column] = [Math.floor(i / 10) % 70, i % 10];
      if (row >= 3 && column >= 1 && column < 8) expected[column - 1]! += value;
    });
    expectClose(await columnSum(x, traits()).read(), expected);
    const result = poisoned(device(), [9]);
    launch(([from, to]) => launchColumnSum(1, from!, to!, traits()), [x, result.slice(0, 1, 8)]);
    expectClose(await result.read(), [NaN, ...expected, NaN]);
    expect(() => columnSum(x.transpose(), traits())).toThrow(
      /^column_sum: the last dimension must be contiguous, its stride is 700/,
    );
  });

  test('of several side by side, in groups', async () => {
    const [sums, rows, columns] = [3, 70, 36];
    const data = new Random(6).floats(sums * rows * columns);
    const x = values(data, [sums, rows, columns]).transpose(0, 1);
    const result = poisoned(device(), [4, sums, columns]);
    launch(([from, to]) => launchColumnSum(2, from!, to!, traits()), [x, result]);
    const expected = new Float64Array(4 * sums * columns);
    data.forEach((value, i) => {
      const [sum, row, column] = [
        Math.floor(i / columns / rows),
        Math.floor(i / columns) % rows,
        i % columns,
      ];
      expected[((row % 4) * sums + sum) * columns + column]! += value / 2;
    });
    expectClose(await result.read(), expected);
  });

  test('of one row, whose stride is no multiple of the columns taken at once', async () => {
    const x = values([1, 2, 3, 4, 5, 6, 7], [1, 1, 7]).slice(2, 0, 4);
    const result = poisoned(device(), [1, 1, 4]);
    launch(([from, to]) => launchColumnSum(1, from!, to!, traits()), [x, result]);
    expect([...(await result.read())]).toEqual([1, 2, 3, 4]);
  });

  test('groups may be more than rows', async () => {
    const result = poisoned(device(), [4, 2]);
    launch(([from, to]) => launchColumnSum(1, from!, to!, traits()), [values([1, 2, 3, 4], [2, 2]), result]);
    expect([...(await result.read())]).toEqual([1, 2, 3, 4, 0, 0, 0, 0]);
  });

  test.each([
    [1000, 3],
    [4096, 40],
    [100_003, 2],
    [1_000_000, 1],
  ])('%i like values keep their digits', async (rows, columns) => {
    const x = values(new Float32Array(rows * columns).fill(0.1), [rows, columns]);
    const tenth = Math.fround(0.1);
    expectClose(await columnSum(x, traits()).read(), new Array<number>(columns).fill(tenth * rows));
  });

  test('are the same bit for bit when computed again', async () => {
    const x = values(new Random(4).floats(3000 * 65), [3000, 65]);
    const [first, second] = await device().readAll([columnSum(x, traits()), columnSum(x, traits())]);
    expect(second).toEqual(first);
  });
});

interface NormGradients {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
}

function normGradients(
  x: Tensor,
  gradient: Tensor,
  weight: Tensor,
  epsilon: number,
  traits: AdapterTraits,
  result = poisoned(device(), x.shape, x.dtype),
): NormGradients {
  const width = x.shape.at(-1)!;
  const rows = x.size / width;
  const groups = columnSumGroups(rows, 2 * width, traits);
  const statistics = poisoned(device(), [rows, 2]);
  const partial = [0, 1].map(() => poisoned(device(), [groups, width]));
  launch(
    ([from, g, w, to, known]) =>
      launchLayerNormGradient(
        { x: from!, gradient: g!, weight: w!, epsilon, result: to!, statistics: known! },
        traits,
      ),
    [x, gradient, weight, result, statistics],
  );
  launch(
    ([from, g, known, w, b]) =>
      launchLayerNormWeightGradient(
        { x: from!, gradient: g!, statistics: known! },
        { weight: w!, bias: b! },
        traits,
      ),
    [x, gradient, statistics, ...partial],
  );
  const [weights, biases] = partial.map((sums) => columnSum(sums, traits));
  return { x: result, weight: weights!, bias: biases! };
}

function normReference(
  data: readonly (readonly number[])[],
  gradients: readonly (readonly number[])[],
  weight: ArrayLike<number>,
  epsilon: number,
): { x: number[]; weight: Float64Array; bias: Float64Array } {
  const width = weight.length;
  const sums = { weight: new Float64Array(width), bias: new Float64Array(width) };
  const average = (list: readonly number[]): number => list.reduce((sum, v) => sum + v, 0) / width;
  const x = data.flatMap((row, r) => {
    const gradient = gradients[r]!;
    const mean = average(row);
    const scale = 1 / Math.sqrt(average(row.map((v) => (v - mean) ** 2)) + epsilon);
    const normalized = row.map((v) => (v - mean) * scale);
    normalized.forEach((v, i) => {
      sums.weight[i]! += gradient[i]! * v;
      sums.bias[i]! += gradient[i]!;
    });
    const weighted = gradient.map((g, i) => g * weight[i]!);
    const [offset, slope] = [average(weighted), average(weighted.map((g, i) => g * normalized[i]!))];
    return weighted.map((g, i) => scale * (g - offset - normalized[i]! * slope));
  });
  return { x, ...sums };
}

describe.each(forms)('gradients of layernorm %s', (_, own) => {
  const traits = (): AdapterTraits => ({ ...device().traits, ...own });

  test.each<['f32' | 'f16', number, number]>([
    ['f32', 0, 1],
    ['f32', 1000, 0.01],
    ['f32', -5, 1e-3],
    ['f16', 1, 2],
  ])('%s, around %d by %d', async (dtype, centre, spread) => {
    const shapes = [
      [1, 1],
      [3, 3],
      [2, 5, 7],
      [4, 8],
      [5, 65],
      [2, 95],
      [1, 1280],
      [700, 48],
    ];
    for (const shape of shapes) {
      const width = shape.at(-1)!;
      const random = new Random(width);
      const data = random.floats(sizeOf(shape), centre - spread, centre + spread);
      const x = await stored(device(), data, shape, dtype);
      const gradient = await stored(device(), random.floats(sizeOf(shape)), shape, dtype);
      const weight = await stored(device(), random.floats(width), [width], dtype);
      const actual = normGradients(x.tensor, gradient.tensor, weight.tensor, 1e-5, traits());
      const rows = rowsOf(x.values, width);
      const expected = normReference(rows, rowsOf(gradient.values, width), weight.values, 1e-5);
      expectClose(await actual.x.read(), expected.x, tolerance[dtype]);
      expectClose(await actual.weight.read(), expected.weight);
      expectClose(await actual.bias.read(), expected.bias);
    }
  });

  test('of operands in slices and permuted, into a slice', async () => {
    const random = new Random(6);
    const [data, arriving] = [random.floats(2 * 3 * 9), random.floats(2 * 3 * 9)];
    const weight = random.floats(9);
    const result = poisoned(device(), [3, 2, 8]);
    const actual = normGradients(
      values(data, [2, 3, 9]).permute([1, 0, 2]).slice(2, 1, 8),
      values(arriving, [3, 2, 9]).slice(2, 0, 7),
      values(weight).slice(0, 2, 9),
      1e-6,
      traits(),
      result.slice(2, 1, 8),
    );
    const [from, gradients] = [rowsOf(data, 9), rowsOf(arriving, 9)];
    const rows = [0, 1, 2].flatMap((a) => [0, 1].map((b) => from[b * 3 + a]!.slice(1, 8)));
    const expected = normReference(
      rows,
      gradients.map((row) => row.slice(0, 7)),
      weight.slice(2),
      1e-6,
    );
    const padded = rowsOf(expected.x, 7).flatMap((row) => [NaN, ...row]);
    expectClose(await result.read(), padded);
    expectClose(await actual.weight.read(), expected.weight);
    expectClose(await actual.bias.read(), expected.bias);
  });

  test('like rows keep their digits', async () => {
    const [count, width] = [20_000, 8];
    const row = new Random(2).floats(width);
    const repeated = values(row).expand([count, width]);
    const x = cast(repeated, 'f32', poisoned(device(), [count, width]));
    const ones = values(new Float32Array(width).fill(1));
    const actual = normGradients(x, x, ones, 1e-5, traits());
    const expected = normReference([[...row]], [[...row]], new Float32Array(width).fill(1), 1e-5);
    expectClose(
      await actual.weight.read(),
      expected.weight.map((sum) => sum * count),
    );
    expectClose(
      await actual.bias.read(),
      expected.bias.map((sum) => sum * count),
    );
  });

  test('are the same bit for bit when computed again', async () => {
    const random = new Random(5);
    const [x, gradient] = [
      values(random.floats(900 * 65), [900, 65]),
      values(random.floats(900 * 65), [900, 65]),
    ];
    const weight = values(random.floats(65));
    const compute = (): Tensor[] =>
      Object.values(normGradients(x, gradient, weight, 1e-5, traits())) as Tensor[];
    const [first, second] = [await device().readAll(compute()), await device().readAll(compute())];
    expect(second).toEqual(first);
  });

  // The small variance was computed before its inputs were rounded to f32, which alone moves the weight's gradient by
  // 1.6e-4.
  test.each([
    ['layernorm.a', 1e-5, 1e-5],
    ['layernorm.b', 1e-6, 1e-5],
    ['layernorm.c', 1e-5, 1e-5],
    ['layernorm_small_var', 1e-5, 2e-4],
  ])('%s agrees with PyTorch', async (name, epsilon, limit) => {
    const [x, gradient, weight] = ['in_x', 'grad_out', 'in_w'].map((part) => known(`${name}/${part}`));
    const actual = normGradients(x!, gradient!, weight!, epsilon, traits());
    expectClose(await actual.x.read(), reference.floats(`${name}/gin_x`), limit);
    expectClose(await actual.weight.read(), reference.floats(`${name}/gin_w`), limit);
    expectClose(await actual.bias.read(), reference.floats(`${name}/gin_b`), limit);
  });
});
