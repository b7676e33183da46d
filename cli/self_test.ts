/** Numeric self-test of an adapter: our kernels on small random operands against double precision on the host. */
import {
  type Device,
  RandomGenerator,
  type Tensor,
  attention,
  cast,
  layerNorm,
  matmul,
  softmax,
} from '../engine/index.js';
import { f32FromHalf, halfFromF32 } from '../weights/index.js';

export interface SelfTestResult {
  readonly operation: string;
  readonly dtype: 'f32' | 'f16';
  /** Largest difference from the host's result, relative to the largest value of it; NaN where the result is none. */
  readonly error: number;
  readonly tolerance: number;
  readonly passed: boolean;
  /** Of the second run: the first also compiles the kernel. */
  readonly milliseconds: number;
  /** What the driver said instead of computing. */
  readonly failure?: string;
}

interface Case {
  readonly operation: string;
  readonly shapes: readonly (readonly number[])[];
  compute(operands: readonly Tensor[]): Tensor;
  /** In double precision; operands and result row-major. */
  expected(operands: readonly Float32Array[]): Float64Array;
}

const tolerances = { f32: 1e-5, f16: 3e-3 } as const;
const [rows, depth, columns] = [37, 96, 53];
const [heads, tokens, headWidth] = [2, 29, 32];
const rowWidth = 101;
const epsilon = 1e-5;

const cases: readonly Case[] = [
  {
    operation: 'matmul',
    shapes: [
      [rows, depth],
      [depth, columns],
    ],
    compute: ([left, right]) => matmul(left!, right!),
    expected: ([left, right]) => product(left!, right!),
  },
  {
    operation: 'softmax',
    shapes: [[rows, rowWidth]],
    compute: ([x]) => softmax(x!),
    expected: ([x]) => eachRow(x!, rowWidth, softmaxOf),
  },
  {
    operation: 'layernorm',
    shapes: [[rows, rowWidth], [rowWidth], [rowWidth]],
    compute: ([x, weight, bias]) => layerNorm(x!, weight!, bias!, epsilon),
    expected: ([x, weight, bias]) =>
      eachRow(x!, rowWidth, (row) => normalized(row).map((value, i) => value * weight![i]! + bias![i]!)),
  },
  {
    operation: 'attention',
    shapes: Array.from({ length: 3 }, () => [1, heads, tokens, headWidth]),
    compute: ([query, key, value]) => attention(query!, key!, value!),
    expected: ([query, key, value]) => attended(query!, key!, value!),
  },
];

/** Runs every case in f32, and in f16 where the adapter has it. */
export async function runSelfTest(device: Device): Promise<SelfTestResult[]> {
  const results: SelfTestResult[] = [];
  for (const dtype of device.traits.f16 ? (['f32', 'f16'] as const) : (['f32'] as const)) {
    for (const one of cases) results.push(await runCase(device, one, dtype));
  }
  return results;
}

async function runCase(device: Device, one: Case, dtype: 'f32' | 'f16'): Promise<SelfTestResult> {
  const { operation } = one;
  const tolerance = tolerances[dtype];
  const random = new RandomGenerator(operation.length);
  const operands = one.shapes.map((shape) => {
    const values = new Float32Array(count(shape)).map(() => 2 * random.next() - 1);
    if (dtype === 'f16') f32FromHalf(halfFromF32(values), values);
    return values;
  });
  try {
    const first = await compute(device, one, dtype, operands);
    const startedAt = performance.now();
    const second = await compute(device, one, dtype, operands);
    const milliseconds = performance.now() - startedAt;
    const expected = one.expected(operands);
    const error = Math.max(largestError(first, expected), largestError(second, expected));
    return { operation, dtype, error, tolerance, passed: error <= tolerance, milliseconds };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    return { operation, dtype, error: NaN, tolerance, passed: false, milliseconds: NaN, failure };
  }
}

function compute(
  device: Device,
  one: Case,
  dtype: 'f32' | 'f16',
  operands: readonly Float32Array<ArrayBuffer>[],
): Promise<Float32Array> {
  return device.exclusively(() =>
    device.scope(async () => {
      const tensors = operands.map((values, index) => {
        const tensor = device.tensor(values, one.shapes[index]!);
        return dtype === 'f16' ? cast(tensor, 'f16') : tensor;
      });
      return (await one.compute(tensors).read()) as Float32Array;
    }),
  );
}

/** NaN where any value is. */
function largestError(found: Float32Array, expected: Float64Array): number {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(found[i]! - value)), 0) / largest;
}

function count(shape: readonly number[]): number {
  return shape.reduce((total, size) => total * size, 1);
}

function product(left: Float32Array, right: Float32Array): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      for (let k = 0; k < depth; k++)
        result[i * columns + j]! += left[i * depth + k]! * right[k * columns + j]!;
    }
  }
  return result;
}

function eachRow(x: Float32Array, width: number, compute: (row: Float64Array) => Float64Array): Float64Array {
  const result = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    result.set(compute(Float64Array.from(x.subarray(start, start + width))), start);
  }
  return result;
}

function softmaxOf(row: Float64Array): Float64Array {
  const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const exponentials = row.map((value) => Math.exp(value - most));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

function normalized(row: Float64Array): Float64Array {
  const mean = row.reduce((a, b) => a + b, 0) / row.length;
  const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
  return row.map((value) => (value - mean) / Math.sqrt(variance + epsilon));
}

/** The heads joined: `[tokens, heads * width]`. */
function attended(query: Float32Array, key: Float32Array, value: Float32Array): Float64Array {
  const result = new Float64Array(query.length);
  for (let head = 0; head < heads; head++) {
    const at = (token: number, i: number): number => (head * tokens + token) * headWidth + i;
    for (let from = 0; from < tokens; from++) {
      const scores = new Float64Array(tokens).map((_, to) => {
        let sum = 0;
        for (let i = 0; i < headWidth; i++) sum += query[at(from, i)]! * key[at(to, i)]!;
        return sum / Math.sqrt(headWidth);
      });
      softmaxOf(scores).forEach((weight, to) => {
        for (let i = 0; i < headWidth; i++) {
          result[(from * heads + head) * headWidth + i]! += weight * value[at(to, i)]!;
        }
      });
    }
  }
  return result;
}
