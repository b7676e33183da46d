/** Gradient kernels against float64, over odd and degenerate shapes, on memory that held NaN. */
import { describe, expect, test } from '@jest/globals';
import { type Tensor } from '../engine/index.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  type UnaryGradient,
  launchSoftmaxGradient,
  launchUnary,
  launchUnaryGradient,
  unaryGradients,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { erfc } from '../bench/kernels/error_function.js';
import { readTensorFixture } from './support/fixtures.js';
import { rowsOf, softmaxRow } from './support/float64.js';
import { Random, expectClose, poisoned, sizeOf, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const floats = ['f32', 'f16'] as const;
const reference = readTensorFixture('ops/ops.safetensors');
const values = (list: ArrayLike<number>, shape: readonly number[] = [list.length]): Tensor =>
  device().tensor(Float32Array.from(list), shape);
const known = (name: string): Tensor => values(reference.floats(name), reference.get(name).shape);
const launch = (build: (operands: readonly Operand[]) => Launch, tensors: readonly Tensor[]): void =>
  device().dispatch(build, tensors, () => 'test');

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const density = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** Derivative of each function and where it is tested. */
const derivatives: Readonly<Record<UnaryGradient, [(x: number) => number, number, number]>> = {
  exp: [Math.exp, -9, 9],
  log: [(x) => 1 / x, 0.01, 9],
  sqrt: [(x) => 0.5 / Math.sqrt(x), 0.01, 9],
  reciprocal: [(x) => -1 / x ** 2, 0.1, 9],
  relu: [(x) => (x > 0 ? 1 : 0), -9, 9],
  sigmoid: [(x) => sigmoid(x) * sigmoid(-x), -12, 12],
  tanh: [(x) => 4 * sigmoid(2 * x) * sigmoid(-2 * x), -8, 8],
  gelu: [(x) => 0.5 * erfc(-x / Math.SQRT2) + x * density(x), -9, 9],
  quickGelu: [(x) => sigmoid(1.702 * x) * (1 + 1.702 * x * sigmoid(-1.702 * x)), -12, 12],
};
const functionNames = Object.keys(derivatives) as UnaryGradient[];

describe('gradients of functions of one operand', () => {
  /** The gradient by what the function's description says that it is read from. */
  function gradientOf(name: UnaryGradient, x: Tensor, gradient: Tensor): Tensor {
    const { traits } = device();
    let source = x;
    if (unaryGradients[name].from === 'output') {
      source = poisoned(device(), x.shape, x.dtype);
      launch(([from, to]) => launchUnary(name, from!, to!, traits), [x, source]);
    }
    const result = poisoned(device(), x.shape, x.dtype);
    launch(([from, g, to]) => launchUnaryGradient(name, from!, g!, to!, traits), [source, gradient, result]);
    return result;
  }

  describe.each(floats)('%s', (dtype) => {
    test.each(functionNames)('%s', async (name) => {
      const [derivative, low, high] = derivatives[name];
      for (const count of [1, 63, 70_001]) {
        const random = new Random(count);
        const x = await stored(device(), random.floats(count, low, high), [count], dtype);
        const gradient = await stored(device(), random.floats(count), [count], dtype);
        const expected = Array.from(x.values, (value, i) => derivative(value) * gradient.values[i]!);
        expectClose(await gradientOf(name, x.tensor, gradient.tensor).read(), expected, tolerance[dtype]);
      }
    });
  });

  test.each(['sigmoid', 'tanh', 'gelu', 'quickGelu'] as const)(
    '%s keeps its digits in the tails',
    async (name) => {
      const [derivative, low, high] = derivatives[name];
      const points = Float32Array.from({ length: 201 }, (_, i) => low + ((high - low) * i) / 200);
      const actual = await gradientOf(name, values(points), values(new Float32Array(201).fill(1))).read();
      for (const [i, x] of points.entries()) {
        // Where the derivative passes 0, its two terms cancel and only their digits can be kept.
        const scale =
          name === 'gelu'
            ? Math.max(density(x) * Math.abs(x), Math.abs(derivative(x)))
            : Math.abs(derivative(x));
        const near = name === 'quickGelu' ? sigmoid(1.702 * x) : 0;
        expect(Math.abs(actual[i]! - derivative(x))).toBeLessThanOrEqual(1e-5 * Math.max(scale, near));
      }
    },
  );

  test('extremes', async () => {
    const x = values([100, -100, 3e38, -3e38, 0]);
    const ones = values(new Float32Array(5).fill(1));
    const read = async (name: UnaryGradient): Promise<number[]> =>
      [...(await gradientOf(name, x, ones).read())].map((value) => Math.abs(value));
    expect(await read('sigmoid')).toEqual([expect.closeTo(0, 30), expect.closeTo(0, 30), 0, 0, 0.25]);
    expect(await read('tanh')).toEqual([0, 0, 0, 0, 1]);
    expect(await read('relu')).toEqual([1, 0, 1, 0, 0]);
    expect(await read('gelu')).toEqual([1, 0, 1, 0, 0.5]);
    expect(await read('quickGelu')).toEqual([1, expect.closeTo(0, 30), 1, expect.closeTo(0, 30), 0.5]);
  });

  test('take transposed and broadcast operands and write slices', async () => {
    const data = new Random(1).floats(12);
    const x = values(data, [3, 4]).transpose();
    const gradient = values([2, 3, 5]).expand([4, 3]);
    const result = poisoned(device(), [4, 5]);
    launch(
      ([from, g, to]) => launchUnaryGradient('gelu', from!, g!, to!, device().traits),
      [x, gradient, result.slice(1, 1, 4)],
    );
    const [derivative] = derivatives.gelu;
    const expected = [0, 1, 2, 3].flatMap((row) => [
      NaN,
      ...[2, 3, 5].map((g, column) => g * derivative(data[column * 4 + row]!)),
      NaN,
    ]);
    expectClose(await result.read(), expected);
  });

  test.each(functionNames)('%s agrees with PyTorch', async (name) => {
    const own = name.toLowerCase();
    const result = gradientOf(name, known(`${own}/in_x`), known(`${own}/grad_out`));
    expectClose(await result.read(), reference.floats(`${own}/gin_x`));
  });
});

const forms: [string, Partial<AdapterTraits>][] = [
  ['a row a lane', {}],
  ['in subgroups', { software: false }],
  ['in workgroup memory', { software: false, subgroupSize: 0 }],
];

describe.each(forms)('gradients of row kernels %s', (_, own) => {
  const traits = (): AdapterTraits => ({ ...device().traits, ...own });

  function softmaxGradient(logarithm: boolean, output: Tensor, gradient: Tensor, result: Tensor): Tensor {
    launch(
      ([y, g, to]) => launchSoftmaxGradient(logarithm, y!, g!, to!, traits()),
      [output, gradient, result],
    );
    return result;
  }

  const softmaxGradientRow = (logarithm: boolean, y: readonly number[], g: readonly number[]): number[] => {
    const total = g.reduce((sum, value, i) => sum + (logarithm ? value : value * y[i]!), 0);
    return y.map((value, i) => (logarithm ? g[i]! - Math.exp(value) * total : value * (g[i]! - total)));
  };

  describe.each([
    ['softmax', false],
    ['log softmax', true],
  ])('%s', (_name, logarithm) => {
    const shapes = [
      [1, 1],
      [3, 2],
      [2, 5, 7],
      [4, 8],
      [5, 65],
      [2, 95],
      [1, 1280],
    ];

    test.each(floats)('%s', async (dtype) => {
      for (const shape of shapes) {
        const width = shape.at(-1)!;
        const random = new Random(width);
        const rows = rowsOf(random.floats(sizeOf(shape), -5, 5), width);
        const outputs = Float32Array.from(rows.flatMap((row) => softmaxRow(row, logarithm)));
        const y = await stored(device(), outputs, shape, dtype);
        const g = await stored(device(), random.floats(sizeOf(shape)), shape, dtype);
        const result = softmaxGradient(logarithm, y.tensor, g.tensor, poisoned(device(), shape, dtype));
        const gradients = rowsOf(g.values, width);
        const expected = rowsOf(y.values, width).flatMap((row, r) =>
          softmaxGradientRow(logarithm, row, gradients[r]!),
        );
        // A row of one entry has no gradient: softmax is 1 there.
        if (width === 1) expectClose(await result.read(), [0], 0);
        else expectClose(await result.read(), expected, tolerance[dtype]);
      }
    });

    test('of rows in slices and permuted operands, into a slice', async () => {
      const random = new Random(5);
      const [y, g] = [random.floats(2 * 3 * 9), random.floats(2 * 3 * 9)];
      const result = poisoned(device(), [3, 2, 8]);
      softmaxGradient(
        logarithm,
        values(y, [2, 3, 9]).permute([1, 0, 2]).slice(2, 1, 8),
        values(g, [3, 2, 9]).slice(2, 0, 7),
        result.slice(2, 1, 8),
      );
      const [outputs, gradients] = [rowsOf(y, 9), rowsOf(g, 9)];
      const expected = [0, 1, 2].flatMap((a) =>
        [0, 1].flatMap((b) => {
          const [from, arriving] = [outputs[b * 3 + a]!.slice(1, 8), gradients[a * 2 + b]!.slice(0, 7)];
          return [NaN, ...softmaxGradientRow(logarithm, from, arriving)];
        }),
      );
      expectClose(await result.read(), expected);
      expect(() =>
        softmaxGradient(
          logarithm,
          values([1, 2], [1, 2]),
          values([1]).expand([1, 2]),
          poisoned(device(), [1, 2]),
        ),
      ).toThrow(/^softmax_gradient: the last dimension must be contiguous, its stride is 0/);
    });

    test('of long rows of like values keeps their digits', async () => {
      const length = 100_003;
      const y = new Float32Array(length).fill(logarithm ? Math.log(2 / length) : 2 / length);
      const g = new Float32Array(length).fill(0.1);
      const shape = [1, length];
      const result = softmaxGradient(
        logarithm,
        values(y, shape),
        values(g, shape),
        poisoned(device(), shape),
      );
      expectClose(await result.read(), softmaxGradientRow(logarithm, [...y], [...g]));
    });

    test('agrees with PyTorch', async () => {
      const cases = logarithm
        ? ['log_softmax']
        : ['softmax', 'softmax_large', 'softmax_causal', 'softmax_mask'];
      for (const own of cases) {
        const y = known(`${own}/out`);
        const result = softmaxGradient(logarithm, y, known(`${own}/grad_out`), poisoned(device(), y.shape));
        // Where one output is nearly 1, its gradient is a difference of nearly equal terms.
        const limit = own === 'softmax_large' ? 1e-4 : tolerance.f32;
        expectClose(await result.read(), reference.floats(`${own}/gin_x`), limit);
      }
    });
  });
});

test('gradients are the same bit for bit when computed again', async () => {
  const { traits } = device();
  const random = new Random(8);
  const [y, g] = [values(random.floats(300 * 95), [300, 95]), values(random.floats(300 * 95), [300, 95])];
  const builds: ((operands: readonly Operand[]) => Launch)[] = [
    ([a, b, to]) => launchSoftmaxGradient(false, a!, b!, to!, traits),
    ([a, b, to]) => launchUnaryGradient('gelu', a!, b!, to!, traits),
  ];
  for (const build of builds) {
    const results = [poisoned(device(), [300, 95]), poisoned(device(), [300, 95])];
    for (const result of results) launch(build, [y, g, result]);
    const [first, second] = await device().readAll(results);
    expect(first).toEqual(second);
  }
});
