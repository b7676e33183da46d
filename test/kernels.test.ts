/** Kernels against float64, over odd and degenerate shapes, on memory that held NaN. */
import { describe, expect, test } from '@jest/globals';
import {
  type Dtype,
  ShapeError,
  type Tensor,
  add,
  argmax,
  attention,
  cast,
  concat,
  contiguous,
  copyInto,
  divide,
  embedding,
  endPadding,
  exp,
  gather,
  gelu,
  layerNorm,
  linear,
  log,
  logSoftmax,
  matmul,
  max,
  mean,
  multiply,
  negate,
  patches,
  quickGelu,
  reciprocal,
  relu,
  sigmoid,
  softmax,
  sqrt,
  subtract,
  sum,
  tanh,
} from '../engine/index.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  launchArgmax,
  launchLayerNorm,
  launchReduce,
  launchSoftmax,
  launchUnary,
  programKey,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { erfc } from '../bench/kernels/error_function.js';
import { gelu as geluReference, rowsOf, softmaxRow } from './support/float64.js';
import { Random, expectClose, poisonPool, poisoned, sizeOf, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const floats = ['f32', 'f16'] as const;
const values = (list: readonly number[], shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Float32Array.from(list), shape);
const ids = (list: readonly number[], shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Uint32Array.from(list), shape);
const read = async (tensor: Tensor): Promise<number[]> => [...(await tensor.read())];

describe('functions of one operand', () => {
  const functions: [string, (x: Tensor) => Tensor, (x: number) => number, number, number][] = [
    ['negate', negate, (x) => -x, -9, 9],
    ['exp', exp, Math.exp, -9, 9],
    ['log', log, Math.log, 1e-6, 9],
    ['sqrt', sqrt, Math.sqrt, 0, 9],
    ['reciprocal', reciprocal, (x) => 1 / x, 0.1, 9],
    ['relu', relu, (x) => Math.max(x, 0), -9, 9],
    ['sigmoid', sigmoid, (x) => 1 / (1 + Math.exp(-x)), -40, 40],
    ['tanh', tanh, Math.tanh, -40, 40],
    ['gelu', gelu, (x) => 0.5 * x * erfc(-x / Math.SQRT2), -9, 9],
    ['quickGelu', quickGelu, (x) => x / (1 + Math.exp(-1.702 * x)), -40, 40],
  ];
  describe.each(floats)('%s', (dtype) => {
    test.each(functions)('%s', async (_, apply, reference, low, high) => {
      for (const count of [1, 63, 1000]) {
        const x = await stored(device(), new Random(count).floats(count, low, high), [count], dtype);
        poisonPool(device(), [count], dtype);
        const result = apply(x.tensor);
        expect(result.dtype).toBe(dtype);
        expectClose(await result.read(), Array.from(x.values, reference), tolerance[dtype]);
      }
    });
  });

  test('gelu keeps its digits on the far negative side', async () => {
    const points = Float32Array.from({ length: 90 }, (_, i) => -i / 10);
    const actual = await gelu(values([...points])).read();
    for (const [i, x] of points.entries()) {
      const expected = 0.5 * x * erfc(-x / Math.SQRT2);
      expect(Math.abs(actual[i]! - expected)).toBeLessThanOrEqual(1e-5 * Math.abs(expected));
    }
  });

  test('extremes stay what they are in PyTorch', async () => {
    const extremes = values([100, -100, 3e38, -3e38, 0]);
    expect(await read(sigmoid(extremes))).toEqual([1, expect.closeTo(0), 1, 0, 0.5]);
    expect(await read(tanh(extremes))).toEqual([1, -1, 1, -1, 0]);
    expect(await read(relu(extremes))).toEqual([100, 0, Math.fround(3e38), 0, 0]);
    expect((await read(quickGelu(extremes))).map((x) => Math.abs(x))).toEqual([
      100,
      0,
      Math.fround(3e38),
      0,
      0,
    ]);
    expect(await read(exp(values([-Infinity, 89])))).toEqual([0, Infinity]);
    expect(await read(log(values([0, 1])))).toEqual([-Infinity, 0]);
  });

  test('need floats', () => {
    expect(() => gelu(ids([1, 2]))).toThrow(ShapeError);
    expect(() => softmax(ids([1, 2]))).toThrow(/softmax: needs floats, got u32\[2\]/);
    expect(() => sum(ids([1, 2]), [0])).toThrow(ShapeError);
    expect(() => logSoftmax(ids([1, 2]))).toThrow(/^logSoftmax: needs floats/);
    expect(() => argmax(ids([1, 2]))).toThrow(/^argmax: needs floats/);
    expect(() => matmul(ids([1], [1, 1]), ids([1], [1, 1]))).toThrow(/^matmul: needs floats, got u32\[1,1\]/);
  });

  test('products name all shapes that do not fit', () => {
    const [a, b, c] = [values([1, 2], [2, 1, 1]), values([1, 2, 3], [3, 1, 1]), values([1])];
    expect(() => matmul(a, b)).toThrow(/^matmul: f32\[2,1,1\], f32\[3,1,1\] do not fit/);
    expect(() => linear(c, values([1], [1, 1]))).toThrow(/^linear: f32\[1\] and the weight f32\[1,1\]/);
    const query = values([1], [1, 1, 1, 1]);
    expect(() => attention(query, query, query, { mask: values([1, 2]) })).toThrow(
      /^attention: query f32\[1,1,1,1\], .*mask f32\[2\] do not fit/,
    );
  });
});

describe('functions of two operands', () => {
  const functions: [string, (x: Tensor, y: Tensor) => Tensor, (x: number, y: number) => number][] = [
    ['add', add, (x, y) => x + y],
    ['subtract', subtract, (x, y) => x - y],
    ['multiply', multiply, (x, y) => x * y],
    ['divide', divide, (x, y) => x / y],
  ];
  const shapes: [number[], number[]][] = [
    [[1], [1]],
    [
      [7, 5],
      [7, 5],
    ],
    [[7, 5], [5]],
    [
      [4, 1, 6],
      [3, 1],
    ],
    [[], [2, 3]],
    [
      [2, 1, 3, 1],
      [1, 5, 1, 7],
    ],
    [
      [2, 3, 65],
      [2, 1, 65],
    ],
    // Four at a time, one of them repeated or read at odd places.
    [[6, 8], [8]],
    [
      [4, 1, 8],
      [3, 1],
    ],
    [
      [2, 3, 516],
      [2, 1, 516],
    ],
    [[], [3, 4]],
  ];
  /** Element of a broadcast operand that belongs to an element of the result. */
  function source(shape: readonly number[], result: readonly number[], index: number): number {
    let [at, step] = [0, 1];
    for (let d = result.length - 1; d >= 0; d--) {
      const size = shape[d - result.length + shape.length] ?? 1;
      at += size === 1 ? 0 : (index % result[d]!) * step;
      step *= size;
      index = Math.floor(index / result[d]!);
    }
    return at;
  }
  describe.each(floats)('%s', (dtype) => {
    test.each(functions)('%s', async (_, apply, reference) => {
      for (const [left, right] of shapes) {
        const random = new Random(left.length);
        const x = await stored(device(), random.floats(sizeOf(left)), left, dtype);
        const y = await stored(device(), random.floats(sizeOf(right), 0.5, 2), right, dtype);
        const result = apply(x.tensor, y.tensor);
        const expected = Array.from({ length: result.size }, (_x, i) =>
          reference(x.values[source(left, result.shape, i)]!, y.values[source(right, result.shape, i)]!),
        );
        expectClose(await result.read(), expected, tolerance[dtype]);
      }
    });
  });

  test('take transposed operands and mixed float types; refuse mixed integers and shapes', async () => {
    const x = values([1, 2, 3, 4, 5, 6], [2, 3]);
    expect(await read(add(x.transpose(), x.reshape([3, 2])))).toEqual([2, 6, 5, 9, 8, 12]);
    const mixed = add(cast(x, 'f16'), x);
    expect(mixed.dtype).toBe('f32');
    expect(await read(mixed)).toEqual([2, 4, 6, 8, 10, 12]);
    expect(await read(subtract(ids([5]), ids([3])))).toEqual([2]);
    expect(() => add(x, ids([1, 2, 3]))).toThrow(/mix element types/);
    expect(() => add(x, values([1, 2]))).toThrow(/\[2,3\] and \[2\] do not broadcast/);
  });
});

describe('row kernels', () => {
  const forms: [string, Partial<AdapterTraits>][] = [
    ['a row a lane, long ones in subgroups', {}],
    ['a row a lane, long ones in workgroup memory', { subgroupSize: 0 }],
    ['in subgroups', { software: false }],
    ['in workgroup memory', { software: false, subgroupSize: 0 }],
  ];
  const shapes = [
    [1, 1],
    [3, 2],
    [2, 5, 7],
    [4, 8],
    [5, 65],
    [2, 95],
    [1, 1280],
    // Longer than a lane takes alone on a CPU, and more than a workgroup takes at once.
    [130, 2052],
    // More rows than a workgroup takes on a CPU, and some left over.
    [1100, 12],
  ];

  describe.each(forms)('%s', (_, own) => {
    const traits = (): AdapterTraits => ({ ...device().traits, ...own });
    const launch = (build: (operands: readonly Operand[]) => Launch, tensors: readonly Tensor[]): void =>
      device().dispatch(build, tensors, () => 'test');

    test.each(floats)('softmax and its logarithm, %s', async (dtype) => {
      for (const shape of shapes) {
        for (const logarithm of [false, true]) {
          const x = await stored(device(), new Random(7).floats(sizeOf(shape), -200, 200), shape, dtype);
          const result = poisoned(device(), shape, dtype);
          launch(([from, to]) => launchSoftmax(logarithm, from!, to!, traits()), [x.tensor, result]);
          const expected = rowsOf(x.values, shape.at(-1)!).flatMap((row) => softmaxRow(row, logarithm));
          expectClose(await result.read(), expected, tolerance[dtype]);
        }
      }
    });

    test('softmax of rows with -inf', async () => {
      const rows = [
        [-Infinity, 1, 2, -Infinity],
        [-Infinity, -Infinity, -Infinity, -Infinity],
        [0, 0, -Infinity, 0],
      ];
      for (const logarithm of [false, true]) {
        const result = poisoned(device(), [3, 4]);
        launch(
          ([from, to]) => launchSoftmax(logarithm, from!, to!, traits()),
          [values(rows.flat(), [3, 4]), result],
        );
        expectClose(
          await result.read(),
          rows.flatMap((row) => softmaxRow(row, logarithm)),
        );
      }
    });

    test.each<['f32' | 'f16', number, number]>([
      ['f32', 0, 1],
      ['f32', 1000, 0.01],
      ['f32', -5, 1e-3],
      ['f16', 1, 2],
    ])('layernorm, %s, around %d by %d', async (dtype, centre, spread) => {
      for (const shape of shapes) {
        const width = shape.at(-1)!;
        const random = new Random(width);
        const x = await stored(
          device(),
          random.floats(sizeOf(shape), centre - spread, centre + spread),
          shape,
          dtype,
        );
        const [weight, bias] = [random.floats(width), random.floats(width)];
        const result = poisoned(device(), shape, dtype);
        const operands = [x.tensor, device().tensor(weight, [width]), device().tensor(bias, [width]), result];
        launch(([from, w, b, to]) => launchLayerNorm(from!, w!, b!, 1e-5, to!, traits()), operands);
        const expected = rowsOf(x.values, width).flatMap((row) => {
          const middle = row.reduce((s, v) => s + v, 0) / width;
          const variance = row.reduce((s, v) => s + (v - middle) ** 2, 0) / width;
          return row.map((v, i) => ((v - middle) / Math.sqrt(variance + 1e-5)) * weight[i]! + bias[i]!);
        });
        expectClose(await result.read(), expected, tolerance[dtype]);
      }
    });

    test.each(floats)('sum, mean, maximum and argmax of rows, %s', async (dtype) => {
      for (const shape of shapes) {
        const x = await stored(device(), new Random(9).floats(sizeOf(shape), -3, 1), shape, dtype);
        const rows = rowsOf(x.values, shape.at(-1)!);
        const references = {
          sum: rows.map((row) => row.reduce((s, v) => s + v, 0)),
          mean: rows.map((row) => row.reduce((s, v) => s + v, 0) / row.length),
          max: rows.map((row) => Math.max(...row)),
        };
        for (const [kind, expected] of Object.entries(references) as ['sum' | 'mean' | 'max', number[]][]) {
          const result = poisoned(device(), shape.slice(0, -1), dtype);
          const [reduction, divisor] = kind === 'mean' ? ['sum' as const, shape.at(-1)!] : [kind, 1];
          launch(([from, to]) => launchReduce(reduction, divisor, from!, to!, traits()), [x.tensor, result]);
          expectClose(await result.read(), expected, tolerance[dtype]);
        }
        const index = poisoned(device(), shape.slice(0, -1), 'u32');
        launch(([from, to]) => launchArgmax(from!, to!, traits()), [x.tensor, index]);
        expect(await read(index)).toEqual(rows.map((row) => row.indexOf(Math.max(...row))));
      }
    });
  });

  test.each([10_000, 100_003, 1_000_000])('%i like values keep their digits', async (length) => {
    const [tenth] = Float32Array.of(0.1);
    const x = device().tensor(new Float32Array(length).fill(tenth!), [1, length]);
    const halves = cast(x, 'f16');
    const [half] = await halves.slice(1, 0, 1).read();
    expectClose(await sum(x, [1]).read(), [tenth! * length]);
    expectClose(await mean(x, [0, 1]).read(), [tenth!]);
    expectClose(await mean(halves, [1]).read(), [half!], tolerance.f16);
    expectClose(await max(x, [1]).read(), [tenth!], 0);
    expectClose(await softmax(x).slice(1, 0, 7).read(), new Array<number>(7).fill(1 / length));
  });

  test('tanh keeps its digits near 0, and a NaN', async () => {
    const x = [1e-30, -1e-8, 1e-4, -0.003, 0.02, 0.2499, -0.2501, 0.4, NaN].map(Math.fround);
    const result = [...(await tanh(values(x)).read())];
    x.slice(0, -1).forEach((value, i) => {
      expect(Math.abs(result[i]! / Math.tanh(value) - 1)).toBeLessThan(1e-5);
    });
    expect(result.at(-1)).toBeNaN();
  });

  test('a deep product of positive numbers, with all that may follow it', async () => {
    const [rows, depth, columns] = [2, 300_007, 3];
    const random = new Random(5);
    const draw = (shape: readonly number[]) => {
      const data = random.floats(sizeOf(shape), 0, 1);
      return { data, tensor: device().tensor(data, shape) };
    };
    const [left, right] = [draw([rows, depth]), draw([depth, columns])];
    const [bias, residual] = [draw([columns]), draw([rows, columns])];
    const expected = Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      let total = 0;
      for (let k = 0; k < depth; k++)
        total += left.data[row * depth + k]! * right.data[k * columns + column]!;
      return total;
    });
    const close = (actual: ArrayLike<number>, after: (value: number, i: number) => number) =>
      expectClose(actual, expected.map(after), 2e-6);
    close(await matmul(left.tensor, right.tensor).read(), (value) => value);
    const into = poisoned(device(), [rows, columns]);
    const options = {
      bias: bias.tensor,
      residual: residual.tensor,
      activation: 'gelu',
      scale: 1e-5,
    } as const;
    matmul(left.tensor, right.tensor, { ...options, into });
    close(await into.read(), (value, i) => {
      const before = 1e-5 * value + bias.data[i % columns]!;
      return geluReference(before) + residual.data[i]!;
    });
  });

  test('layernorm of a long row after one value far off', async () => {
    const length = 1_000_003;
    const row = new Random(3).floats(length);
    row[0] = 1e6;
    const middle = row.reduce((total, value) => total + value, 0) / length;
    const variance = row.reduce((total, value) => total + (value - middle) ** 2, 0) / length;
    const [weight, bias] = [new Float32Array(length).fill(1), new Float32Array(length)];
    const tensor = (data: Float32Array<ArrayBuffer>) => device().tensor(data, [length]);
    const x = tensor(row).reshape([1, length]);
    const result = await layerNorm(x, tensor(weight), tensor(bias)).read();
    expectClose(
      result.slice(0, 1000),
      [...row.subarray(0, 1000)].map((value) => (value - middle) / Math.sqrt(variance + 1e-5)),
    );
    expect(Math.abs(result[1]! / ((row[1]! - middle) / Math.sqrt(variance + 1e-5)) - 1)).toBeLessThan(1e-3);
  });

  test('reduce over any axes, of views too', async () => {
    const data = new Random(4).floats(2 * 3 * 4 * 5);
    const x = device().tensor(data, [2, 3, 4, 5]);
    for (const axes of [[0], [1], [3], [0, 2], [-1, 1], [0, 1, 2, 3]]) {
      const reduced = new Set(axes.map((axis) => (axis + 4) % 4));
      const kept = [2, 3, 4, 5].map((size, d) => (reduced.has(d) ? 1 : size));
      const expected = new Float64Array(sizeOf(kept));
      data.forEach((value, i) => {
        const at = [Math.floor(i / 60), Math.floor(i / 20) % 3, Math.floor(i / 5) % 4, i % 5];
        const target = at.reduce(
          (sumAt, position, d) => sumAt * kept[d]! + (reduced.has(d) ? 0 : position),
          0,
        );
        expected[target]! += value;
      });
      const result = sum(x, axes, true);
      expect(result.shape).toEqual(kept);
      expectClose(await result.read(), expected);
      expectClose(
        await mean(
          x.permute([3, 1, 0, 2]),
          axes.map((axis) => [2, 1, 3, 0][(axis + 4) % 4]!),
        )
          .read()
          .then((r) => r.toSorted()),
        expected.map((value) => value / (120 / expected.length)).toSorted(),
      );
    }
    expect(await read(max(values([1, 5, 3, 2, 9, -4], [2, 3]), [0]))).toEqual([2, 9, 3]);
    expect(() => sum(x, [4])).toThrow(ShapeError);
    expect(() => sum(x, [])).toThrow(ShapeError);
    expect(() => max(x.slice(3, 0, 0), [3])).toThrow(ShapeError);
    expect(await read(sum(values([1, 2]).slice(0, 0, 0), [0]))).toEqual([0]);
  });

  test.each(floats)('sums down the columns behind, whatever lies beside them: %s', async (dtype) => {
    const shapes = [
      [3, 6, 40],
      [2, 300, 33],
      [5, 1, 32],
      [4, 3, 31],
      [7, 4500, 32],
      [2, 6, 2500],
    ];
    for (const shape of shapes) {
      const [sums, rows, columns] = shape as [number, number, number];
      const x = await stored(device(), new Random(rows).floats(sizeOf(shape)), shape, dtype);
      const expected = new Float64Array(sums * columns);
      Float64Array.from(x.values).forEach((value, i) => {
        expected[Math.floor(i / (rows * columns)) * columns + (i % columns)]! += value;
      });
      const together = await sum(x.tensor, [1]).read();
      expectClose(together, expected, tolerance[dtype]);
      expect(await sum(x.tensor.slice(0, 1, 2), [1]).read()).toEqual(together.slice(columns, 2 * columns));
      const means = expected.map((value) => value / rows);
      expectClose(
        await mean(x.tensor.reshape([sums, 1, rows, columns]), [1, 2]).read(),
        means,
        tolerance[dtype],
      );
    }
  });

  test('means of halves whose sum is none, and of what lies last already', async () => {
    for (const shape of [
      [2, 5000, 40],
      [5000, 40],
      [2, 5000, 3],
    ]) {
      const halves = cast(values(new Array<number>(sizeOf(shape)).fill(20), shape), 'f16');
      expect(new Set(await mean(halves, [-2]).read())).toEqual(new Set([20]));
    }
    const x = values([...new Random(5).floats(2 * 40 * 7)], [2, 40, 7]);
    const { dispatches } = device().counts;
    const sums = sum(x.transpose(1, 2), [1]);
    expect(device().counts.dispatches - dispatches).toBe(1);
    expectClose(await sums.read(), await sum(x, [2]).read());
    expect(() => sum(ids([1, 2, 3, 4], [2, 2]), [0])).toThrow(/^sum: needs floats, got u32\[2,2\]/);
  });

  test('argmax takes the first of equals, into a column of ids where asked', async () => {
    const x = values([1, 3, 3, 0, -Infinity, -Infinity, 2, 2], [4, 2]);
    expect(await read(argmax(x))).toEqual([1, 0, 0, 0]);
    const columns = poisoned(device(), [4, 3], 'u32');
    argmax(x, columns.select(1, 1));
    expect((await read(columns)).filter((_, i) => i % 3 === 1)).toEqual([1, 0, 0, 0]);
    expect((await read(columns)).filter((_, i) => i % 3 !== 1)).toEqual(new Array(8).fill(0xdeadbeef));
    expect(() => argmax(x, poisoned(device(), [4]))).toThrow(/the result is u32/);
  });

  test('read rows of slices and transposed operands', async () => {
    const data = new Random(2).floats(6 * 10);
    const x = device().tensor(data, [6, 10]);
    const slice = await softmax(x.slice(1, 2, 9).slice(0, 1, 5)).read();
    expectClose(
      slice,
      rowsOf(data, 10)
        .slice(1, 5)
        .flatMap((row) => softmaxRow(row.slice(2, 9), false)),
    );
    // Rows of four that begin at such a place, and beside it.
    for (const [start, end] of [
      [4, 8],
      [1, 9],
    ] as const) {
      const wide = device().tensor(data, [5, 12]);
      expectClose(
        await softmax(wide.slice(1, start, end)).read(),
        rowsOf(data, 12).flatMap((row) => softmaxRow(row.slice(start, end), false)),
      );
    }
    const turned = rowsOf(await x.transpose().read(), 6);
    expectClose(
      await logSoftmax(x.transpose()).read(),
      turned.flatMap((row) => softmaxRow(row, true)),
    );
  });

  test('layernorm refuses weights of another width', () => {
    expect(() => layerNorm(values([1, 2, 3]), values([1, 2]), values([1, 2, 3]))).toThrow(
      /weight and bias \[3\]/,
    );
  });
});

describe('embedding', () => {
  test.each(floats)('of a table in %s, scaled, with positions, and NaN for ids outside', async (dtype) => {
    const random = new Random(6);
    for (const [rows, width, batch, length] of [
      [1, 1, 1, 1],
      [97, 24, 2, 7],
      [5, 70, 3, 2],
    ] as const) {
      const table = await stored(device(), random.floats(rows * width), [rows, width], dtype);
      const positions = random.floats(length * width);
      const picked = [...random.integers(batch * length, rows)];
      picked[0] = batch * length > 1 ? rows : 0;
      const expected = picked.flatMap((id, i) =>
        Array.from({ length: width }, (_, d) =>
          id < rows ? 3 * table.values[id * width + d]! + positions[(i % length) * width + d]! : NaN,
        ),
      );
      poisonPool(device(), [batch, length, width]);
      const options = { scale: 3, positions: device().tensor(positions, [length, width]) };
      expectClose(await embedding(table.tensor, ids(picked, [batch, length]), options).read(), expected);
    }
  });

  test('refuses ids that are none', () => {
    const table = values([1, 2, 3, 4, 5, 6], [3, 2]);
    expect(() => embedding(table, values([1], [1, 1]))).toThrow(ShapeError);
    expect(() => embedding(table, ids([1], [1, 1]), { positions: table })).toThrow(/positions/);
  });
});

describe('picking', () => {
  test('gather along any axis; an index outside takes the last entry', async () => {
    const x = values([...Array(24).keys()], [2, 3, 4]);
    expect(await read(gather(x, ids([2, 0], [2]), 0))).toEqual(
      [...Array(12).keys()].map((i) => i + 12).concat([...Array(12).keys()]),
    );
    expect(await read(gather(x, ids([2, 0, 1, 9], [2, 2]), 1))).toEqual([
      8, 9, 10, 11, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23,
    ]);
    expect(await read(gather(x, ids([3, 0, 1, 1, 2, 2], [2, 3, 1]), -1))).toEqual([3, 4, 9, 13, 18, 22]);
    expect(await read(gather(x.transpose(1, 2), ids([1, 3], [2, 1]), 1))).toEqual([1, 5, 9, 15, 19, 23]);
    expect(() => gather(x, ids([0], [1]), 1)).toThrow(ShapeError);
    expect(() => gather(x, values([0], [1]), 0)).toThrow(/u32 indices/);
  });

  test('endPadding marks everything from the first end token on', async () => {
    const tokens = ids([5, 0, 7, 0, 1, 2, 3, 4, 0, 0, 0, 0], [3, 4]);
    expect(await read(endPadding(tokens, 0))).toEqual([0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
    const many = ids(new Array<number>(200).fill(3), [200, 1]);
    expect(await read(endPadding(many.slice(0, 50), 3))).toEqual(new Array(150).fill(1));
    expect(() => endPadding(values([1], [1, 1]), 0)).toThrow(ShapeError);
  });
});

describe('joining, cutting and converting', () => {
  test('concat along any axis, of views, in every type', async () => {
    const x = values([1, 2, 3, 4, 5, 6], [2, 3]);
    const y = values([7, 8], [2, 1]);
    expect(await read(concat([x, y], 1))).toEqual([1, 2, 3, 7, 4, 5, 6, 8]);
    expect(await read(concat([y, x, y], -1))).toEqual([7, 1, 2, 3, 7, 8, 4, 5, 6, 8]);
    expect(await read(concat([x.transpose(), x.reshape([3, 2])], 0))).toEqual([
      1, 4, 2, 5, 3, 6, 1, 2, 3, 4, 5, 6,
    ]);
    expect(await read(concat([cast(x, 'f16'), cast(y, 'f16')], 1))).toEqual([1, 2, 3, 7, 4, 5, 6, 8]);
    expect(await read(concat([ids([4294967295]), ids([16777217])], 0))).toEqual([4294967295, 16777217]);
    expect(await read(concat([x.slice(1, 0, 0), x], 1))).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('concat refuses nothing, other shapes, other types and other axes', () => {
    const x = values([1, 2, 3, 4], [2, 2]);
    expect(() => concat([], 0)).toThrow(ShapeError);
    expect(() => concat([x, values([1, 2, 3], [1, 3])], 0)).toThrow(/f32\[2,2\], f32\[1,3\] do not fit/);
    expect(() => concat([x, ids([1, 2], [1, 2])], 0)).toThrow(ShapeError);
    expect(() => concat([x, x], 2)).toThrow(/axis 2 is outside/);
    expect(() => concat([x, x], -3)).toThrow(ShapeError);
  });

  test.each([
    [1, 1],
    [2, 4],
    [4, 8],
    [8, 8],
  ] as [number, number][])('patches of %i x %i', async (height, width) => {
    const [batch, channels, rows, columns] = [2, 3, 8, 16];
    const data = new Random(1).floats(batch * channels * rows * columns);
    const expected: number[] = [];
    for (let b = 0; b < batch; b++)
      for (let top = 0; top < rows; top += height)
        for (let left = 0; left < columns; left += width)
          for (let c = 0; c < channels; c++)
            for (let y = top; y < top + height; y++)
              for (let x = left; x < left + width; x++)
                expected.push(data[((b * channels + c) * rows + y) * columns + x]!);
    const images = device().tensor(data, [batch, channels, rows, columns]);
    poisonPool(device(), [data.length]);
    const result = patches(images, [height, width]);
    expect(result.shape).toEqual([batch, (rows / height) * (columns / width), channels * height * width]);
    expect(await read(result)).toEqual(expected);
    expect(() => patches(images, [3, 4])).toThrow(/does not divide into patches of 3x4/);
  });

  const types: Dtype[] = ['f32', 'f16', 'i32', 'u32'];
  test.each(types.flatMap((from) => types.map((to) => [from, to] as const)))(
    'cast from %s to %s',
    async (from, to) => {
      const numbers = [0, 1, 2, 1000, 2047];
      const source = cast(values(numbers), from);
      const result = cast(source, to);
      expect(result.dtype).toBe(to);
      expect(await read(result)).toEqual(numbers);
    },
  );

  test('casts keep every bit of integers and cut fractions', async () => {
    expect(await read(cast(ids([16777217, 4294967295]), 'i32'))).toEqual([16777217, -1]);
    const negative = device().tensor(Int32Array.of(-1, -16777217), [2]);
    expect(await read(cast(negative, 'u32'))).toEqual([4294967295, 4278190079]);
    expect(await read(cast(values([-1.9, 1.9, 2.5]), 'i32'))).toEqual([-1, 1, 2]);
    expect(await read(cast(values([1 / 3, 65504, 1e-7]), 'f16'))).toEqual([
      0.333251953125,
      65504,
      2 ** -23 * 1,
    ]);
  });

  test('contiguous and copyInto follow permuted, broadcast and sliced views', async () => {
    const data = new Random(8).floats(2 * 3 * 4 * 5);
    const x = device().tensor(data, [2, 3, 4, 5]);
    const order = [2, 0, 3, 1];
    const expected: number[] = [];
    for (let c = 0; c < 4; c++)
      for (let a = 0; a < 2; a++)
        for (let d = 0; d < 5; d++)
          for (let b = 0; b < 3; b++) expected.push(data[((a * 3 + b) * 4 + c) * 5 + d]!);
    poisonPool(device(), [data.length]);
    const dense = contiguous(x.permute(order));
    expect(dense.contiguous).toBe(true);
    expect(await read(dense)).toEqual(expected);

    const target = poisoned(device(), [3, 4, 6]);
    copyInto(values([1, 2, 3, 4], [4, 1]), target.slice(2, 1, 3));
    const copied = rowsOf(await read(target), 6);
    expect(copied.map((row) => row.map((v) => (Number.isNaN(v) ? 0 : v)))).toEqual(
      copied.map((_, i) => [0, (i % 4) + 1, (i % 4) + 1, 0, 0, 0]),
    );
    expect(() => copyInto(x, target)).toThrow(ShapeError);
    expect(() => copyInto(target, values([1]))).toThrow(ShapeError);

    // Whole vectors of the middle of rows, from and to places that are and are not at their bounds.
    const wide = device().tensor(data, [10, 12]);
    for (const from of [0, 3, 4]) {
      for (const to of [0, 2, 4]) {
        const into = device().tensor(new Float32Array(160), [10, 16]);
        copyInto(wide.slice(1, from, from + 8), into.slice(1, to, to + 8));
        expect(await read(into)).toEqual(
          rowsOf(data, 12).flatMap((row) => [
            ...new Array<number>(to).fill(0),
            ...row.slice(from, from + 8),
            ...new Array<number>(8 - to).fill(0),
          ]),
        );
      }
    }
  });

  test('a tensor is copied within itself, but no result is written over its operand', async () => {
    const x = values([1, 2, 3, 4, 5, 6], [3, 2]);
    copyInto(x.select(0, 0), x.select(0, 2));
    copyInto(x.slice(0, 0, 2).transpose(), x.slice(0, 0, 2));
    expect(await read(x)).toEqual([1, 3, 2, 4, 1, 2]);
    const square = values([1, 2, 3, 4], [2, 2]);
    expect(() => matmul(square, square, { into: square.transpose().transpose() })).toThrow(/same memory/);
  });
});

test('copies of types of 32 bits are one program, those that convert are others', () => {
  const keyOf = (from: Dtype, to: Dtype): string => {
    const [x, result] = [from, to].map((dtype): Operand => ({ dtype, shape: [8], strides: [1], offset: 0 }));
    return programKey(launchUnary('copy', x!, result!, device().traits));
  };
  const same = (['f32', 'i32', 'u32'] as const).map((dtype) => keyOf(dtype, dtype));
  expect(new Set(same).size).toBe(1);
  expect(keyOf('u32', 'f32')).not.toBe(same[0]);
  expect(keyOf('f16', 'f16')).not.toBe(same[0]);
});
