/** Products cut along their depth: which are, and what they give, on a software adapter that passes for a GPU. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { prepareOwnWork } from '../bench/kernels/own.js';
import { inputValues } from '../bench/kernels/values.js';
import { type Work } from '../bench/kernels/work.js';
import { type Tensor, backward, contiguous, fill, linear, matmul } from '../engine/index.js';
import {
  type AdapterTraits,
  type Dtype,
  type MatmulProblem,
  choiceKey,
  chooseVariant,
  matmulFamily,
  programSource,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { Random, expectClose, stored, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });

const gpu: AdapterTraits = {
  subgroupSize: 32,
  f16: true,
  software: false,
  maxWorkgroupInvocations: 256,
  maxWorkgroupStorageBytes: 49_152,
  maxWorkgroupsPerDimension: 65_535,
  maxBoundTensors: 8,
};
const matrixUnits = { rows: 16, columns: 16, depth: 16, lanes: 32, attend: true, attendBackward: true };

/** `leftᵀ right` as the gradient of a weight is: both operands lie by rows of the depth. */
function gradientOf(rows: number, columns: number, depth: number, dtype: Dtype = 'f32'): MatmulProblem {
  const operand = (height: number, width: number, strides: readonly number[]) => ({
    dtype,
    shape: [1, 1, height, width],
    strides: [height * width, height * width, ...strides],
    offset: 0,
  });
  return {
    left: operand(rows, depth, [1, rows]),
    right: operand(depth, columns, [columns, 1]),
    result: operand(rows, columns, [columns, 1]),
    activation: 'none',
    scale: 1,
  };
}

const choiceFor = (problem: MatmulProblem, traits = gpu): string =>
  chooseVariant(matmulFamily, problem, { traits }).name;

describe('the depth of a product', () => {
  test.each<[number, number, number, string]>([
    [128, 512, 6_240, 'matmul_tile_64_split_8'],
    [512, 128, 6_240, 'matmul_tile_64_split_8'],
    [128, 384, 6_240, 'matmul_tile_64_split_16'],
    [128, 128, 6_240, 'matmul_tile_32_split_8'],
    [128, 128, 25_216, 'matmul_tile_64_split_32'],
    [95, 128, 6_240, 'matmul_tile_32_split_16'],
    // Into parts that are even: 19 of 6,251, 31 images of 65 tokens in 13, 95 in 13.
    [128, 512, 6_251, 'matmul_tile_64_split_32'],
    [128, 128, 31 * 65, 'matmul_tile_32_split_16'],
    [128, 128, 95 * 65, 'matmul_tile_32_split_16'],
    [128, 512, 6_247, 'matmul_tile_32'],
    // Where not even parts fill a GPU, into the most that are deep enough.
    [128, 128, 32 * 26, 'matmul_tile_32_split_4'],
    [128, 512, 254, 'matmul_tile_32'],
    [128, 512, 256, 'matmul_tile_32_split_2'],
    // Tiles fill a GPU without.
    [512, 512, 6_304, 'matmul_tile_32'],
    [768, 768, 6_304, 'matmul_tile_64'],
    [768, 3_072, 6_304, 'matmul_tile_128'],
  ])('of %i x %i, %i deep, is cut for a GPU: %s', (rows, columns, depth, expected) => {
    expect(choiceFor(gradientOf(rows, columns, depth))).toBe(expected);
  });

  test('is cut for units for matrices as well', () => {
    const problem = gradientOf(128, 512, 6_240, 'f16');
    expect(choiceFor(problem, { ...gpu, matrixUnits })).toBe('matmul_matrix_64_split_8');
    expect(choiceFor(gradientOf(768, 768, 6_304, 'f16'), { ...gpu, matrixUnits })).toBe('matmul_matrix_64');
  });

  test('stays whole on a CPU, and where the sum of parts is not the result or would hang on the batch', () => {
    const problem = gradientOf(128, 512, 6_240);
    const { left, right, result } = problem;
    const bias = { dtype: 'f32', shape: [512], strides: [1], offset: 0 } as const;
    const lies = (strides: readonly number[]) => ({ strides: [0, 0, ...strides] });
    const twice = (operand: typeof left) => ({ ...operand, shape: operand.shape.with(1, 2) });
    const whole: [Partial<MatmulProblem>, AdapterTraits?][] = [
      [{}, { ...gpu, software: true }],
      [{ bias }],
      [{ residual: result }],
      [{ activation: 'gelu' }],
      [{ left: twice(left), right: twice(right), result: twice(result) }],
      [{ result: { ...result, ...lies([516, 1]) } }],
      [{ right: { ...right, dtype: 'q8', ...lies([1, 6_240]) } }],
      // As what is read lies: rows are those of the batch.
      [{ left: { ...left, ...lies([6_240, 1]) } }],
      [{ left: { ...left, ...lies([0, 1]) } }],
    ];
    for (const [other, traits = gpu] of whole) {
      const cut = matmulFamily.variants.filter(
        (variant) => variant.parts && variant.canApply({ ...problem, ...other }, traits),
      );
      expect([other, cut.map(({ name }) => name)]).toEqual([other, []]);
    }
  });

  test('is cut in few other ways for a tuning to choose from, by the shaders of the whole product', () => {
    const cutsOf = (problem: MatmulProblem): string[] =>
      matmulFamily.variants.flatMap((variant) => {
        if (!variant.parts || !variant.canApply(problem, gpu)) return [];
        const { name } = variant;
        const whole = matmulFamily.variants.find((own) => own.name === name.replace(/_split_.*/, ''))!;
        const [ofPart, ofAll] = [variant, whole].map((own) => programSource(own.launch(problem, gpu)));
        expect(ofPart).toBe(ofAll);
        return [name.replace('matmul_tile_', '')];
      });
    expect(cutsOf(gradientOf(128, 512, 6_240))).toEqual([
      ...['128_split_8', '64_split_2', '64_split_4', '64_split_8', '64_split_16'],
      ...['32_split_2', '32_split_4', '32_split_8', '32_split_16'],
    ]);
    expect(cutsOf(gradientOf(768, 768, 6_304))).toEqual([
      ...['128_split_2', '128_split_4', '128_split_8', '64_split_2', '64_split_4'],
    ]);
    expect(cutsOf(gradientOf(768, 3_072, 6_304))).toEqual(['128_split_2', '128_split_4']);
  });
});

describe('a product in parts', () => {
  beforeEach(() => {
    const traits: AdapterTraits = { ...device().traits, software: false };
    jest.spyOn(device(), 'traits', 'get').mockReturnValue(traits);
  });
  afterEach(() => {
    tune({});
    jest.restoreAllMocks();
  });

  function tune(choices: Record<string, string>): void {
    const { adapter, info } = device();
    device().tune({ kind: 'tuning', adapter: adapter.name, driver: info.description, choices });
  }

  /** Does work by a variant, and tells by how many launches. */
  function launchesOf(work: () => unknown): number {
    device().resetStatistics();
    work();
    return device().counts.dispatches;
  }

  /** `leftᵀ right` in double precision, both by rows of the depth. */
  function product(
    left: ArrayLike<number>,
    right: ArrayLike<number>,
    [rows, columns, depth]: readonly [number, number, number],
  ): Float64Array {
    const sums = new Float64Array(rows * columns);
    for (let k = 0; k < depth; k++)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++)
          sums[r * columns + c]! += left[k * rows + r]! * right[k * columns + c]!;
    return sums;
  }

  test.each<[number, number, number, number, 'f32' | 'f16', 'by rows' | 'by columns']>([
    [2, 253, 250, 2 * 131, 'f32', 'by rows'],
    [2, 252, 248, 2 * 132, 'f32', 'by rows'],
    [4, 131, 227, 4 * 129, 'f32', 'by columns'],
    [8, 120, 124, 8 * 132, 'f32', 'by columns'],
    [8, 127, 125, 8 * 130, 'f16', 'by rows'],
    [32, 37, 45, 32 * 130, 'f32', 'by rows'],
  ])('%i of them: %i x %i, %i deep, %s, the right operand %s', (parts, rows, columns, depth, dtype, lies) =>
    device().scope(async () => {
      const random = new Random(parts);
      const left = await stored(device(), random.floats(depth * rows), [depth, rows], dtype);
      const right = await stored(device(), random.floats(depth * columns), [depth, columns], dtype);
      const other = lies === 'by rows' ? right.tensor : contiguous(right.tensor.transpose()).transpose();
      const operand = ({ shape, strides, offset }: Tensor) => ({
        dtype,
        shape: [1, 1, ...shape],
        strides: [0, 0, ...strides],
        offset,
      });
      const problem: MatmulProblem = {
        left: operand(left.tensor.transpose()),
        right: operand(other),
        result: { dtype, shape: [1, 1, rows, columns], strides: [0, 0, columns, 1], offset: 0 },
        activation: 'none',
        scale: 1,
      };
      tune({ [choiceKey(matmulFamily, problem)]: `matmul_tile_32_split_${parts}` });
      const build = jest.spyOn(device(), 'dispatch');
      let result: Tensor | undefined;
      const multiply = (): Tensor => (result = matmul(left.tensor.transpose(), other, { scale: 0.5 }));
      expect(launchesOf(multiply)).toBe(2);
      expect(build.mock.calls[0]![1].at(-1)!.shape).toEqual([1, parts, rows, columns]);
      expect(result!.dtype).toBe(dtype);
      const expected = product(left.values, right.values, [rows, columns, depth]).map((sum) => sum / 2);
      expectClose(await result!.read(), expected, tolerance[dtype]);
    }),
  );

  const sizes = [37, 45, 32 * 130] as const;

  /** Operands of a gradient that is cut without any tuning. */
  function operands(given: readonly [number, number, number] = sizes, seed = 1) {
    const [rows, columns, depth] = given;
    const random = new Random(seed);
    const [a, b] = [random.floats(depth * rows), random.floats(depth * columns)];
    return {
      left: device().tensor(a, [depth, rows]).transpose(),
      right: device().tensor(b, [depth, columns]),
      expected: product(a, b, given),
    };
  }

  test('gives the gradient of a weight', () =>
    device().scope(async () => {
      const [outputs, inputs, tokens] = sizes;
      const { left, right, expected } = operands();
      const x = right.reshape([tokens / 26, 26, inputs]);
      const weight = device()
        .tensor(new Float32Array(outputs * inputs), [outputs, inputs])
        .requireGradient();
      const result = linear(x, weight);
      const gradient = left.transpose().reshape([tokens / 26, 26, outputs]);
      expect(launchesOf(() => backward(result, gradient))).toBe(2);
      expectClose(await weight.gradient!.read(), expected);
      weight.gradient!.dispose();
    }));

  test('gives their memory back, and the same each time', () =>
    device().scope(async () => {
      const { left, right } = operands();
      const before = device().memory.liveBytes;
      device().resetStatistics();
      const [first, second] = [matmul(left, right), matmul(left, right)];
      const [a, b] = await device().readAll([first, second]);
      expect(a).toEqual(b);
      // Products of 32 parts, beside the results.
      expect(device().memory.peakBytes - before).toBeGreaterThan(32 * first.bytes);
      expect(device().memory.liveBytes - before).toBeLessThan(4 * first.bytes);
    }));

  test('fills a tensor that lies dense; for another it stays whole', () =>
    device().scope(async () => {
      const [rows, columns] = sizes;
      const { left, right, expected } = operands();
      for (const [width, launches] of [
        [columns, 2],
        [columns + 1, 1],
      ] as const) {
        const all = fill(device().empty('f32', [3, rows, width]), NaN);
        const into = all.select(0, 1).slice(1, 0, columns);
        expect(launchesOf(() => matmul(left, right, { into }))).toBe(launches);
        expectClose(await into.read(), expected);
        const written = Array.from(await all.read()).filter((value) => !Number.isNaN(value)).length;
        expect(written).toBe(rows * columns);
      }
    }));

  test('comes again in a recording', () =>
    device().scope(async () => {
      const { left, right } = operands();
      const result = device().empty('f32', sizes.slice(0, 2));
      const recording = device().newRecording();
      const multiply = (): void => recording.run('product', () => void matmul(left, right, { into: result }));
      multiply();
      const other = operands(sizes, 2);
      device().write(right, (await other.right.read()) as Float32Array<ArrayBuffer>);
      device().write(left.transpose(), (await other.left.transpose().read()) as Float32Array<ArrayBuffer>);
      fill(result, NaN);
      expect(launchesOf(multiply)).toBe(2);
      expectClose(await result.read(), other.expected);
      recording.dispose();
    }));

  test('of one that is too deep for one launch', () =>
    device().scope(async () => {
      const { left, right, expected } = operands([37, 45, 32_768 + 32 * 130]);
      let result: Tensor | undefined;
      // Two of parts with their sums, and one that adds those.
      expect(launchesOf(() => (result = matmul(left, right)))).toBe(5);
      expectClose(await result!.read(), expected);
    }));

  test('is what the benchmark times: the launch of the parts and that of their sum', () =>
    device().scope(async () => {
      const [rows, columns, depth] = sizes;
      const work: Work = {
        ...{
          kernel: 'matmul',
          batch: 1,
          rows,
          depth,
          columns,
          bias: false,
          activation: 'none',
          residual: false,
        },
        ...{ leftTransposed: true, rightTransposed: false },
      };
      const values = inputValues(work, 'f32');
      const { variants, outputs, choice } = prepareOwnWork(device(), work, 'f32', values);
      expect(choice!.expected).toBe('matmul_tile_32_split_32');
      const { record } = variants.find(({ name }) => name === choice!.expected)!;
      fill(outputs['result']!, NaN);
      expect(launchesOf(record)).toBe(2);
      expectClose(await outputs['result']!.read(), product(values['left']!, values['right']!, sizes));
    }));
});
