/** Every operation row with a backward, against finite differences. */
import { describe, expect, test } from '@jest/globals';
import {
  type Tensor,
  add,
  attention,
  backward,
  cast,
  concat,
  contiguous,
  crossEntropy,
  divide,
  dropout,
  embedding,
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
  operations,
  patches,
  quickGelu,
  reciprocal,
  relu,
  scale,
  sigmoid,
  softmax,
  sqrt,
  subtract,
  sum,
  tanh,
} from '../engine/index.js';
import { useDevice } from './support/device.js';
import { expectGradients } from './support/finite_differences.js';

const device = useDevice({ device: 'software' });
const constant = (values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, shape: number[]): Tensor =>
  device().tensor(values, shape);
const ids = (values: number[], shape: number[] = [values.length]): Tensor =>
  constant(Uint32Array.from(values), shape);
/** At least 0.5, so that no step reaches a kink or a pole. */
const positive = (x: Tensor): Tensor => add(multiply(x, x), constant(Float32Array.of(0.5), [1]));

type Case = readonly [
  name: string,
  shapes: readonly (readonly number[])[],
  work: (...x: readonly Tensor[]) => Tensor,
];

const cases: Readonly<Record<string, readonly Case[]>> = {
  matmul: [
    [
      'bias, residual and scale',
      [[2, 3, 4], [4, 5], [5], [2, 3, 5]],
      (x, w, bias, residual) => matmul(x, w, { bias, residual, scale: 0.5 }),
    ],
    [
      'with an activation',
      [[3, 4], [5, 4], [5]],
      (x, weight, bias) => linear(x, weight, { bias, activation: 'gelu' }),
    ],
    [
      'three batch dimensions, one broadcast',
      [
        [2, 1, 2, 2, 3],
        [2, 2, 3, 2],
      ],
      (x, y) => matmul(x, y),
    ],
    [
      'patches',
      [
        [1, 2, 4, 4],
        [3, 8],
      ],
      (x, weight) => linear(patches(x, [2, 2]), weight),
    ],
  ],
  attention: [
    [
      'with a mask and padding',
      [
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [1, 2, 3, 4],
      ],
      (query, key, value) =>
        attention(query, key, value, {
          mask: constant(Float32Array.of(0, -1, 0.5, 0, 0, -Infinity, 1, 0, 0), [3, 3]),
          keyPadding: ids([0, 1, 0], [1, 3]),
        }),
    ],
  ],
  unary: [
    ['copy', [[2, 3]], (x) => contiguous(x.transpose())],
    ['negate', [[3]], (x) => negate(x)],
    ['scale', [[3]], (x) => scale(x, -1.5)],
    ['exp', [[4]], (x) => exp(x)],
    ['log', [[4]], (x) => log(positive(x))],
    ['sqrt', [[4]], (x) => sqrt(positive(x))],
    ['reciprocal', [[4]], (x) => reciprocal(positive(x))],
    ['relu', [[4]], (x) => add(relu(positive(x)), relu(negate(positive(x))))],
    ['sigmoid', [[4]], (x) => sigmoid(x)],
    ['tanh', [[4]], (x) => tanh(x)],
    ['gelu', [[4]], (x) => gelu(x)],
    ['quickGelu', [[4]], (x) => quickGelu(x)],
  ],
  binary: [
    [
      'add',
      [
        [2, 3],
        [3, 1, 3],
      ],
      (x, y) => add(x, y),
    ],
    ['subtract', [[2, 3], [3]], (x, y) => subtract(x, y)],
    ['multiply', [[2, 3], [3]], (x, y) => multiply(x, y)],
    ['divide', [[2, 3], [3]], (x, y) => divide(x, positive(y))],
  ],
  concat: [['along the first', [[2, 3], [3]], (x, y) => concat([x, y.reshape([1, 3]), x], 0)]],
  softmax: [
    ['softmax', [[2, 5]], (x) => softmax(x)],
    ['softmax of columns', [[5, 2]], (x) => softmax(x.transpose())],
    ['logSoftmax', [[2, 5]], (x) => logSoftmax(x)],
  ],
  layerNorm: [
    ['rows', [[2, 3, 4], [4], [4]], (x, weight, bias) => layerNorm(x, weight, bias)],
    ['columns', [[4, 3], [4], [4]], (x, weight, bias) => layerNorm(x.transpose(), weight, bias)],
  ],
  reduce: [
    ['sum of rows', [[2, 3]], (x) => sum(x, [1])],
    ['mean of everything', [[2, 3]], (x) => mean(x, [0, 1]).reshape([1])],
    [
      'max',
      [[2, 3]],
      (x) => max(add(scale(x, 0.1), constant(Float32Array.of(1, 3, 2, 6, 5, 4), [2, 3])), [1]),
    ],
  ],
  sum: [
    ['sum of columns', [[4, 3]], (x) => sum(x, [0])],
    ['of columns between others', [[2, 3, 32]], (x) => sum(x, [1])],
  ],
  embedding: [
    [
      'an id twice, and one outside',
      [
        [4, 3],
        [3, 3],
      ],
      (table, positions) => embedding(table, ids([1, 3, 1, 0, 3, 3], [2, 3]), { scale: 2, positions }),
    ],
  ],
  gather: [
    ['the middle axis', [[2, 3, 2]], (x) => gather(x, ids([2, 0, 2, 1, 1, 7], [2, 3]), 1)],
    ['the last axis', [[2, 4]], (x) => gather(x, ids([2, 0, 1, 1], [2, 2]), 1)],
  ],
  crossEntropy: [
    ['with an ignored row', [[3, 4]], (logits) => crossEntropy(logits, ids([1, 9, 3]), 9)],
    ['of columns', [[4, 3]], (logits) => crossEntropy(logits.transpose(), ids([1, 0, 3]))],
  ],
  dropout: [['half', [[4, 5]], (x) => dropout(x.transpose(), 0.5, { seed: [1, 2], offset: 3 })]],
};

test('every row with a backward has a case here, and every case a row', () => {
  const rows = operations.filter((row) => row.backward !== undefined).map(({ name }) => name);
  expect(Object.keys(cases).sort()).toEqual([...new Set(rows)].sort());
});

describe.each(Object.entries(cases))('%s', (_row, own) => {
  test.each(own)('%s', async (_, shapes, work) => {
    await expectGradients(device(), shapes, work);
    expect(device().memory.liveBytes).toBe(0);
  });
});

describe('f16', () => {
  test('operands and gradients in half precision follow those in single', async () => {
    const numbers = Float32Array.from({ length: 24 }, (_, i) => Math.sin(i));
    const gradients = (['f32', 'f16'] as const).map((dtype) => {
      const x = constant(numbers, [4, 6]).requireGradient();
      device().scope(() => {
        const half = cast(x, dtype);
        const weights = cast(constant(numbers, [6, 4]), dtype);
        const mixed = softmax(matmul(half, weights));
        const logits = layerNorm(
          mixed,
          constant(numbers.slice(0, 4), [4]),
          constant(numbers.slice(4, 8), [4]),
        );
        const loss = sum(crossEntropy(add(logits, gelu(logits)), ids([0, 1, 2, 3])), [0]);
        expect(loss.dtype).toBe('f32');
        backward(loss);
      });
      expect(x.gradient!.dtype).toBe('f32');
      return x;
    });
    const [single, half] = await device().readAll(gradients.map(({ gradient }) => gradient!));
    const largest = Math.max(...single!.map(Math.abs));
    expect(Math.max(...single!.map((value, i) => Math.abs(value - half![i]!)))).toBeLessThan(0.02 * largest);
    gradients.forEach((x) => x.dispose());
  });
});
