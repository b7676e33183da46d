/** Every way to multiply, against a float64 reference: shapes, layouts, batches, types, epilogues, guarded stores. */
import { describe, expect, test } from '@jest/globals';
import {
  type AdapterTraits,
  type Tensor,
  backward,
  cast,
  linear,
  matmul,
  scale,
  sum,
} from '../engine/index.js';
import {
  type Activation,
  type Dtype,
  type MatmulProblem,
  type MatmulVariant,
  type MatrixUnits,
  matmulFamily,
  matmulOperands,
  matmulOperandsByName,
  programKey,
  programSource,
} from '../kernels/index.js';
import { f32FromHalf, halfBits } from '../weights/half.js';
import { useDevice } from './support/device.js';
import { useEmulatedMatrices, withLaunches } from './support/emulated_matrices.js';
import { gelu, quickGelu, randomNumbers } from './support/float64.js';
import { nullDevice } from './support/null_device.js';
import { expectClose } from './support/numbers.js';

const device = useDevice();

/** How an operand of shape `[outer, inner, rows, columns]` lies in memory. */
interface Layout {
  /** Dimensions from the outermost in memory to the innermost. */
  readonly order?: readonly number[];
  /** Elements between the end of the innermost dimension and its next start. */
  readonly padding?: number;
  readonly offset?: number;
  readonly innermostStride?: number;
  /** Dimensions whose entries are all one. */
  readonly repeated?: readonly number[];
}

const dense: Layout = {};
const transposed: Layout = { order: [0, 1, 3, 2] };
const heads: Layout = { order: [0, 2, 1, 3] };
const alignedSlice: Layout = { padding: 4, offset: 8 };
const unalignedSlice: Layout = { padding: 3, offset: 5 };
const strided: Layout = { innermostStride: 2, offset: 1 };

interface Case {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly batch?: readonly [number, number];
  readonly left?: Layout;
  readonly right?: Layout;
  readonly result?: Layout;
  readonly bias?: boolean;
  readonly residual?: Layout;
  readonly activation?: Activation;
  readonly scale?: number;
  readonly f16?: boolean;
  /** Whether operands may be rounded to f16, on adapters with units for matrices. */
  readonly halves?: boolean;
  /** What every operand is full of, instead of random numbers. */
  readonly constant?: number;
  /** What all of them are multiples of. */
  readonly grain?: number;
}

/** An operand on the device and its values in row-major order. */
interface Operand {
  readonly tensor: Tensor;
  readonly at: (...index: readonly number[]) => number;
}

/** Lays values into memory as `layout` says; everything between them is NaN. */
async function place(
  shape: readonly number[],
  layout: Layout,
  value: () => number,
  f16 = false,
): Promise<Operand> {
  const { order = shape.map((_, d) => d), padding = 0, offset = 0, innermostStride = 1 } = layout;
  const strides = shape.map(() => 0);
  let step = innermostStride;
  for (const d of order.toReversed()) {
    if (layout.repeated?.includes(d)) continue;
    strides[d] = step;
    step *= shape[d]!;
    if (d === order.at(-1)) step += padding;
  }
  const memory = new Float32Array(offset + step + 4).fill(NaN);
  const index = shape.map(() => 0);
  const position = (at: readonly number[]): number => at.reduce((sum, i, d) => sum + i * strides[d]!, offset);
  const fill = (d: number): void => {
    if (d === shape.length) memory[position(index)] = value();
    else for (index[d] = 0; index[d] < shape[d]!; index[d]++) fill(d + 1);
  };
  fill(0);
  const stored = device().tensor(memory, [memory.length]);
  const flat = f16 ? cast(stored, 'f16') : stored;
  const rounded = f16 ? await flat.read() : memory;
  return { tensor: flat.view(shape, strides, offset), at: (...at) => rounded[position(at)]! };
}

const activations: Record<Activation, (x: number) => number> = {
  none: (x) => x,
  gelu,
  quick_gelu: quickGelu,
};

/** Runs one variant and gives its largest error: by norm, and by element relative to the largest element. */
async function errorOf(
  variant: MatmulVariant,
  traits: AdapterTraits,
  { rows, depth, columns, batch = [1, 1], activation = 'none', scale = 1, ...given }: Case,
): Promise<number> {
  const random = randomNumbers(rows * 7919 + depth * 131 + columns);
  const number = (): number => given.constant ?? random() * 2 - 1;
  const value = (): number =>
    given.grain === undefined ? number() : Math.round(number() / given.grain) * given.grain;
  const left = await place([...batch, rows, depth], given.left ?? dense, value, given.f16);
  const right = await place([...batch, depth, columns], given.right ?? dense, value, given.f16);
  const bias = given.bias ? await place([columns], {}, value, given.f16) : undefined;
  const residual =
    given.residual && (await place([...batch, rows, columns], given.residual, value, given.f16));
  const result = await place([...batch, rows, columns], given.result ?? dense, () => NaN, given.f16);

  const tensors = matmulOperands({ left, right, bias, residual: residual || undefined, result });
  device().dispatch(
    (operands) => {
      const problem = {
        ...matmulOperandsByName(operands, { bias, residual }),
        activation,
        scale,
        halves: given.halves,
      };
      return variant.launch(problem, traits);
    },
    tensors.map(({ tensor }) => tensor),
    () => variant.name,
  );
  // The memory around the view must have stayed NaN: with it the view has as many numbers as results.
  const memory = result.tensor.view([whole(result.tensor)], [1], 0);
  const written = Array.from(await memory.read()).filter((x) => !Number.isNaN(x)).length;
  expect(written).toBe(result.tensor.size);

  const half = new Float32Array(1);
  const kept = (x: number): number => {
    if (!given.halves) return x;
    f32FromHalf(Uint16Array.of(halfBits(x)), half);
    return half[0]!;
  };
  const actual = await result.tensor.read();
  let [i, difference, norm, largestDifference, largest] = [0, 0, 0, 0, 0];
  for (let o = 0; o < batch[0]; o++)
    for (let n = 0; n < batch[1]; n++)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++) {
          let sum = 0;
          for (let k = 0; k < depth; k++) sum += kept(left.at(o, n, r, k)) * kept(right.at(o, n, k, c));
          const expected =
            activations[activation](sum * scale + (bias?.at(c) ?? 0)) + (residual?.at(o, n, r, c) ?? 0);
          const error = Math.abs(actual[i++]! - expected);
          difference += error * error;
          norm += expected * expected;
          largestDifference = error > largestDifference ? error : largestDifference;
          largest = Math.max(largest, Math.abs(expected));
        }
  return norm === 0 ? difference : Math.max(Math.sqrt(difference / norm), largestDifference / largest);
}

/** Elements from the start of a view's memory to the end of the view. */
function whole({ shape, strides, offset }: Tensor): number {
  return shape.reduce((extent, size, d) => extent + (size - 1) * strides[d]!, offset + 1);
}

/** Families of variants with what they are told of the adapter: each line takes another path. */
const ways: readonly (readonly [string, string, Partial<AdapterTraits>])[] = [
  ['matmul_rows', 'on any grid', {}],
  ['matmul_broadcast', 'on any grid', {}],
  ['matmul_tile', 'with much workgroup memory', { software: false }],
  ['matmul_tile', 'with the least workgroup memory', { software: false, maxWorkgroupStorageBytes: 16_384 }],
  ['matmul_plain', 'on a grid of small dimensions', { maxWorkgroupsPerDimension: 7 }],
];

const epilogue = { bias: true, residual: unalignedSlice, scale: 0.5 };

const cases: Record<string, Case> = {
  'one number': { rows: 1, depth: 1, columns: 1 },
  'a decode step': { rows: 1, depth: 128, columns: 384, right: transposed },
  'a decode step of five': { rows: 5, depth: 128, columns: 95, right: transposed, ...epilogue },
  'a depth of 1': { rows: 33, depth: 1, columns: 65 },
  'a depth of 0': { rows: 3, depth: 0, columns: 5, right: transposed, ...epilogue, activation: 'gelu' },
  'odd sizes': { rows: 67, depth: 131, columns: 95, right: transposed },
  'image tokens': {
    rows: 197,
    depth: 64,
    columns: 128,
    right: transposed,
    bias: true,
    activation: 'quick_gelu',
  },
  'row-major operands': { rows: 37, depth: 52, columns: 100, activation: 'gelu', ...epilogue },
  'row-major operands of odd columns': { rows: 21, depth: 30, columns: 39 },
  'a transposed left operand': { rows: 44, depth: 37, columns: 40, left: transposed },
  'both transposed, odd': { rows: 43, depth: 19, columns: 41, left: transposed, right: transposed },
  'aligned slices': {
    ...{ rows: 19, depth: 20, columns: 24, left: alignedSlice, right: { ...transposed, ...alignedSlice } },
    ...{ result: alignedSlice, residual: alignedSlice },
  },
  'unaligned slices': {
    ...{
      rows: 19,
      depth: 20,
      columns: 24,
      left: unalignedSlice,
      right: { ...transposed, ...unalignedSlice },
    },
    ...{ result: unalignedSlice, residual: alignedSlice },
  },
  'strided operands': { rows: 17, depth: 23, columns: 29, left: strided, right: strided },
  'attention scores': {
    ...{ rows: 26, depth: 32, columns: 26, batch: [3, 4], scale: 0.176 },
    ...{ left: heads, right: { order: [0, 3, 1, 2] }, result: heads },
  },
  'many small matrices': { rows: 9, depth: 5, columns: 35, batch: [2, 65], right: { repeated: [0] } },
  'batches of middling matrices': {
    rows: 70,
    depth: 18,
    columns: 97,
    batch: [40, 1],
    left: { repeated: [1] },
  },
};

describe.each(ways)('%s %s', (name, _, known) => {
  const traits = (): AdapterTraits => ({ ...device().traits, ...known });
  /** The one of these variants that is expected to be the fastest. */
  const variant: MatmulVariant = {
    name,
    canApply: () => true,
    launch: (problem, told) =>
      matmulFamily.variants
        .find((own) => !own.parts && own.name.startsWith(name) && (own.suits?.(problem, told) ?? true))!
        .launch(problem, told),
  };

  test.each(Object.entries(cases))('%s', async (_, problem) => {
    expect(await errorOf(variant, traits(), problem)).toBeLessThanOrEqual(1e-5);
  });

  test('random shapes', async () => {
    const random = randomNumbers(7);
    const size = (): number => 1 + Math.floor(random() ** 2 * 130);
    for (let i = 0; i < 12; i++) {
      const problem: Case = { rows: size(), depth: size(), columns: size(), right: transposed };
      const error = await errorOf(variant, traits(), problem);
      if (!(error <= 1e-5)) throw new Error(`${JSON.stringify(problem)}: relative error ${error}`);
    }
  });

  test.each([1024, 4096, 8192, 30_000])('like products, %i deep', async (depth) => {
    for (const constant of [0.1, 1 / 3, 0.7]) {
      for (const right of [transposed, dense]) {
        const problem: Case = { rows: 3, depth, columns: 5, right, constant };
        const error = await errorOf(variant, traits(), problem);
        if (!(error <= 1e-5)) throw new Error(`${JSON.stringify(problem)}: relative error ${error}`);
      }
    }
  });

  test.each([
    ['rows', 1],
    ['more rows', 18],
  ])('f16 storage: %s', async (_, rows) => {
    const sizes = { rows, depth: 64, columns: 44, f16: true };
    const problem: Case = { ...sizes, right: transposed, ...epilogue, activation: 'gelu' };
    expect(await errorOf(variant, traits(), problem)).toBeLessThanOrEqual(3e-3);
    expect(await errorOf(variant, traits(), { ...sizes, depth: 7, columns: 5 })).toBeLessThanOrEqual(3e-3);
  });
});

describe('matmul_matrix on units that lanes stand in for', () => {
  const emulated = useEmulatedMatrices();
  const units = [
    { rows: 16, columns: 16, depth: 16 },
    { rows: 8, columns: 32, depth: 32 },
    { rows: 32, columns: 32, depth: 32 },
  ].map((sizes) => ({ ...sizes, lanes: 8, attend: false, attendBackward: false }));
  const variants = matmulFamily.variants.filter(({ byMatrixUnits }) => byMatrixUnits);
  const traitsWith = (matrixUnits: MatrixUnits): AdapterTraits => ({
    ...device().traits,
    software: false,
    matrixUnits,
  });

  /** Of multiples of what f16 holds, so that rounding to it changes nothing. */
  const errorOfExact = (index: number, unit: MatrixUnits, problem: Case): Promise<number> =>
    errorOf(withLaunches(variants[index]!, emulated), traitsWith(unit), { ...problem, grain: 1 / 64 });

  // Each is a shader of its own, which takes long to compile.
  test.each(['row-major operands', 'a transposed left operand', 'attention scores'])('%s', async (name) => {
    expect(await errorOfExact(2, units[0]!, cases[name]!)).toBeLessThanOrEqual(1e-5);
  });

  test('other units, and tiles of several subgroups', async () => {
    const problem = cases['odd sizes']!;
    expect(await errorOfExact(2, units[1]!, problem)).toBeLessThanOrEqual(1e-5);
    expect(await errorOfExact(1, units[2]!, problem)).toBeLessThanOrEqual(1e-5);
  });

  test('f16 storage', async () => {
    const problem = { rows: 33, depth: 41, columns: 40, right: transposed, f16: true, ...epilogue };
    const error = await errorOf(withLaunches(variants.at(-1)!, emulated), traitsWith(units[0]!), problem);
    expect(error).toBeLessThanOrEqual(3e-3);
  });

  test.each(['matmul_rows', 'matmul_broadcast_16', 'matmul_plain'])('%s rounds alike', async (name) => {
    const variant = matmulFamily.variants.find((own) => own.name === name)!;
    const traits = { ...traitsWith(units[0]!), software: true };
    for (const leftTransposed of [false, true]) {
      const sizes = { rows: 7, depth: 44, columns: 36, halves: true };
      const problem: Case = { ...sizes, left: leftTransposed ? transposed : dense, ...epilogue };
      expect(await errorOf(variant, traits, problem)).toBeLessThanOrEqual(1e-5);
      // Far more than that by numbers that are not rounded.
      expect(await errorOf(variant, device().traits, problem)).toBeGreaterThan(1e-4);
      expect(await errorOf(variant, traits, { ...problem, depth: 43, columns: 35 })).toBeLessThanOrEqual(
        1e-5,
      );
    }
  });

  test('what is not finite stays so where numbers are rounded', async () => {
    // NaN as lavapipe, NVIDIA and others write it, then infinities.
    const bits = Uint32Array.of(0x7fc00000, 0x7fffffff, 0xffffffff, 0x7f800001, 0x7f800000, 0xff800000);
    const left = device().tensor(new Float32Array(bits.buffer), [1, 1, bits.length, 1]);
    const right = device().tensor(Float32Array.of(2, 2, 2, 2), [1, 1, 1, 4]);
    const result = device().empty('f32', [1, 1, bits.length, 4]);
    const plain = matmulFamily.variants.at(-1)!;
    const rest = { activation: 'none', scale: 1, halves: true } as const;
    device().dispatch(
      (operands) => plain.launch({ ...matmulOperandsByName(operands, {}), ...rest }, traitsWith(units[0]!)),
      matmulOperands({ left, right, result }),
      () => 'a test',
    );
    const rows = await result.read();
    const expected = [NaN, NaN, NaN, NaN, Infinity, -Infinity];
    expect(Array.from(rows)).toEqual(expected.flatMap((value) => [value, value, value, value]));
  });

  test('its shaders with real matrices are valid, in every layout', async () => {
    const gpu = await nullDevice();
    const lanes = 128;
    const traits = { ...traitsWith({ ...units[0]!, lanes }), maxWorkgroupInvocations: 4 * lanes };
    let shaders = 0;
    for (const variant of variants) {
      for (const dtype of ['f32', 'f16', 'q8'] as const) {
        for (const [leftTransposed, other] of [
          [false, 'f32'],
          [true, 'f32'],
          [true, 'f16'],
        ] as const) {
          for (const rightTransposed of dtype === 'q8' ? [true] : [false, true]) {
            const operand = (type: Dtype, height: number, width: number, turned: boolean) => ({
              dtype: type,
              shape: [1, 1, height, width],
              strides: turned ? [0, 0, 1, height] : [0, 0, width, 1],
              offset: 0,
            });
            const problem: MatmulProblem = {
              left: operand(other, 64, 96, leftTransposed),
              right: operand(dtype, 96, 128, rightTransposed),
              bias: { dtype: 'f32', shape: [128], strides: [1], offset: 0 },
              residual: operand('f32', 64, 128, false),
              activation: 'gelu',
              scale: 1,
              halves: dtype === 'f32',
              result: operand(other, 64, 128, false),
            };
            expect(variant.canApply(problem, traits)).toBe(true);
            expect(variant.canApply({ ...problem, halves: false }, traits)).toBe(dtype !== 'f32');
            const code = programSource(variant.launch(problem, traits));
            const { messages } = await gpu.createShaderModule({ code }).getCompilationInfo();
            expect(messages.map(({ message, lineNum }) => `${lineNum}: ${message}`)).toEqual([]);
            shaders++;
          }
        }
      }
    }
    expect(shaders).toBe(45);
    gpu.destroy();
  });
});

test.each(matmulFamily.variants.filter(({ name, parts }) => !parts && /broadcast|tile/.test(name)))(
  '$name, whatever the rows',
  async (variant) => {
    const traits = { ...device().traits, software: /broadcast/.test(variant.name) };
    for (const rows of [1, 37]) {
      // Of lanes and workgroup memory that this adapter has.
      if (traits.subgroupSize < 4 && traits.software) continue;
      const problem: Case = { rows, depth: 21, columns: 39, right: transposed, ...epilogue };
      expect(await errorOf(variant, traits, problem)).toBeLessThanOrEqual(1e-5);
    }
  },
);

test('a bias, a residual and an activation make no other program', () => {
  const operand = (...shape: number[]) =>
    ({ dtype: 'f32', shape, strides: [48, 48, 8, 1], offset: 0 }) as const;
  const plain: MatmulProblem = {
    left: operand(1, 1, 6, 8),
    right: operand(1, 1, 8, 8),
    activation: 'none',
    scale: 1,
    result: operand(1, 1, 6, 8),
  };
  const bias = { dtype: 'f32', shape: [8], strides: [1], offset: 0 } as const;
  const finished: MatmulProblem = { ...plain, bias, residual: plain.result, activation: 'gelu' };
  for (const variant of matmulFamily.variants) {
    if (!variant.canApply(plain, device().traits)) continue;
    const [ofPlain, ofFinished] = [plain, finished].map((problem) =>
      programKey(variant.launch(problem, device().traits)),
    );
    expect(ofFinished).toBe(ofPlain);
  }
});

test('a rest of the depth is in the program of a CPU only where there is one', () => {
  const keyOf = (depth: number): string => {
    const operand = (rows: number, columns: number) =>
      ({ dtype: 'f32', shape: [1, 1, rows, columns], strides: [480, 480, 12, 1], offset: 0 }) as const;
    const problem: MatmulProblem = {
      left: operand(6, depth),
      right: operand(depth, 8),
      activation: 'none',
      scale: 1,
      result: operand(6, 8),
    };
    const traits = { ...device().traits, software: true, subgroupSize: 8 };
    const variant = matmulFamily.variants.find(({ name }) => name === 'matmul_broadcast_16')!;
    return programKey(variant.launch(problem, traits));
  };
  expect(keyOf(12)).toBe(keyOf(8));
  expect(keyOf(11)).not.toBe(keyOf(8));
});

test('an activation that is none is refused', () =>
  device().scope(() => {
    const x = device().tensor(Float32Array.of(1), [1, 1]);
    expect(() => matmul(x, x, { activation: 'relu' as never })).toThrow(
      'matmul: activation is relu; expected none, gelu, quick_gelu',
    );
  }));

describe('a deep product of like numbers', () => {
  const filled = (shape: readonly [number, number], value: number): Tensor =>
    device().tensor(new Float32Array(shape[0] * shape[1]).fill(value), shape);

  test.each<['f32' | 'f16', number, number]>([
    ['f32', 40_000, 0.1],
    ['f32', 1_000_000, 0.1],
    ['f16', 40_000, 1 / 3],
    ['f16', 1_000_000, 0.1],
  ])('of %s, %i deep, keeps its digits', async (dtype, depth, value) => {
    const [left, right] = [filled([2, depth], value), filled([3, depth], value)];
    const [a, b] = dtype === 'f32' ? [left, right] : [cast(left, dtype), cast(right, dtype)];
    const [stored] = await a.slice(1, 0, 1).read();
    const expected = new Array<number>(6).fill(stored! ** 2 * depth);
    expectClose(await matmul(a, b.transpose(), { dtype: 'f32' }).read(), expected);
    // What is rounded to f16 is the whole sum.
    const result = matmul(a, b.transpose(), { bias: filled([1, 3], 2).reshape([3]) });
    expect(result.dtype).toBe(dtype);
    const limit = dtype === 'f32' ? 1e-5 : 2 ** -11;
    expectClose(
      await result.read(),
      expected.map((product) => product + 2),
      limit,
    );
  });

  test('of f16 has a bias whose gradient f16 would not hold', async () => {
    const [x, weight] = [filled([70, 8], 1), cast(filled([4, 8], 1), 'f16')];
    const bias = filled([1, 4], 0).reshape([4]).requireGradient();
    backward(linear(x, weight, { bias, dtype: 'f16' }), cast(filled([70, 4], 1000), 'f16'));
    expect([...(await bias.gradient!.read())]).toEqual([70_000, 70_000, 70_000, 70_000]);
  });

  test.each([6_240, 25_216, 50_432])('gives the gradients of a weight over %i tokens', async (tokens) => {
    const [x, weight] = [filled([tokens, 6], 0.1), filled([5, 6], 1 / 3).requireGradient()];
    const bias = filled([1, 5], 0).reshape([5]).requireGradient();
    backward(sum(scale(linear(x, weight, { bias }), 0.7), [0, 1]));
    const [tenth, factor] = [Math.fround(0.1), Math.fround(0.7)];
    expectClose(await weight.gradient!.read(), new Array<number>(30).fill(tenth * factor * tokens));
    expectClose(await bias.gradient!.read(), new Array<number>(5).fill(factor * tokens));
  });
});
