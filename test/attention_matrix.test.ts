/** Attention by units for matrices, which lanes stand in for, against a float64 reference; the real shaders are compiled. */
import { expect, test } from '@jest/globals';
import { type AdapterTraits, type Tensor, copyInto } from '../engine/index.js';
import {
  type AttentionProblem,
  type Dtype,
  type MatrixSizes,
  type Operand,
  attentionFamily,
  chooseVariant,
  programSource,
} from '../kernels/index.js';
import { attendBy, attentionOperands } from './support/attention_operands.js';
import type { AttentionCase } from './support/attention_reference.js';
import { useDevice } from './support/device.js';
import { useEmulatedMatrices, withLaunches } from './support/emulated_matrices.js';
import { expectValidShaders } from './support/null_device.js';
import { expectClose, poisoned } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const emulated = useEmulatedMatrices();
const real = attentionFamily.variants.find(({ byMatrixUnits }) => byMatrixUnits)!;

/** Lanes of a workgroup, 8 of which are a subgroup of the adapter; few and large matrices compile the fastest. */
const units = {
  large: { rows: 16, columns: 32, depth: 32, lanes: 128 },
  square: { rows: 16, columns: 16, depth: 16, lanes: 128 },
} as const satisfies Record<string, MatrixSizes>;

const traitsWith = (matrixUnits: MatrixSizes): AdapterTraits => ({
  ...device().traits,
  software: false,
  maxWorkgroupStorageBytes: 16_384,
  matrixUnits: { ...matrixUnits, attend: true, attendBackward: false },
});

/** Weights are rounded to f16, whose errors are random. */
const limit = 1e-3;

interface Form {
  readonly unit?: keyof typeof units;
  readonly result?: 'f32' | 'f16';
  readonly seed?: number;
  readonly change?: (operand: Tensor) => Tensor;
}

async function attended(options: AttentionCase, { unit = 'large', ...form }: Form = {}): Promise<Tensor> {
  const { seed = 1, change = (operand) => operand } = form;
  const given = await attentionOperands(device(), options, 'f16', seed);
  const operands = {
    ...given,
    query: change(given.query),
    key: change(given.key),
    value: change(given.value),
  };
  const variant = withLaunches(real, emulated);
  const result = attendBy(device(), variant, traitsWith(units[unit]), options, operands, form.result);
  expectClose(await result.read(), given.expected, limit);
  return result;
}

const hiding = {
  causal: true,
  mask: (b: number, h: number, i: number, j: number) =>
    (i * j + b + h) % 3 === 0 && j !== 0 ? -Infinity : (i % 5) - 2,
  padded: (b: number, j: number) => j > 20 + b && j % 3 === 0,
};

const cases: [string, AttentionCase, Form][] = [
  ['one tile and block', { batch: 1, heads: 1, queries: 32, keys: 32, width: 32 }, {}],
  ['odd numbers of queries and keys', { batch: 2, heads: 3, queries: 45, keys: 71, width: 32 }, {}],
  ['one key', { batch: 1, heads: 2, queries: 33, keys: 1, width: 32 }, {}],
  ['a key more than a block', { batch: 1, heads: 2, queries: 32, keys: 33, width: 32 }, {}],
  ['many keys', { batch: 1, heads: 1, queries: 32, keys: 1000, width: 32 }, {}],
  ['large scores', { batch: 1, heads: 2, queries: 40, keys: 50, width: 32, scale: 6 }, {}],
  ['all that hides keys', { batch: 2, heads: 2, queries: 67, keys: 67, width: 32, ...hiding }, {}],
  // Several matrices along each dimension.
  ['causal', { batch: 2, heads: 2, queries: 70, keys: 70, width: 32, causal: true }, { unit: 'square' }],
  ['fewer queries than keys a tile', { batch: 1, heads: 1, queries: 19, keys: 35, width: 96 }, {}],
];

test.each(cases)('%s', async (_, options, form) => void (await attended(options, form)));

test('queries whose keys are all hidden give NaN', async () => {
  const shape = { batch: 2, heads: 1, queries: 40, keys: 40, width: 32, causal: true };
  const mask = (b: number, _h: number, i: number): number => (b === 0 && i === 1 ? -Infinity : 0);
  await attended({ ...shape, mask, padded: (b) => b === 1 });
});

test('keys that follow more than a block of hidden ones are found', async () => {
  const shape = { batch: 1, heads: 1, queries: 70, keys: 70, width: 32, causal: true };
  await attended({ ...shape, mask: () => 0, padded: (_, j) => j < 66 });
});

test('rows that begin anywhere, among others, into f16', async () => {
  const oddly = (operand: Tensor): Tensor => {
    const [batch, heads, tokens, width] = operand.shape as [number, number, number, number];
    const around = poisoned(device(), [batch, tokens, heads * width + 3], 'f16');
    const into = around.slice(2, 1, heads * width + 1).splitHeads(heads);
    copyInto(operand, into);
    return into;
  };
  await attended({ batch: 2, heads: 2, queries: 35, keys: 41, width: 32 }, { change: oddly, result: 'f16' });
});

test('an entry of a batch gets what it gets alone, to the bit', async () => {
  const shape = { heads: 2, queries: 33, keys: 40, width: 32 };
  const variant = withLaunches(real, emulated);
  const traits = traitsWith(units.large);
  const options = { ...shape, batch: 3 };
  const operands = await attentionOperands(device(), options, 'f16');
  const all = await attendBy(device(), variant, traits, options, operands).read();
  for (let b = 0; b < 3; b++) {
    const of = (tensor: Tensor): Tensor => tensor.slice(0, b, b + 1);
    const own = { ...operands, query: of(operands.query), key: of(operands.key), value: of(operands.value) };
    const alone = await attendBy(device(), variant, traits, { ...shape, batch: 1 }, own).read();
    expect(all.subarray(b * alone.length, (b + 1) * alone.length)).toEqual(alone);
  }
});

/** `[2, heads, tokens, width]`, rows at multiples of four elements or not. */
function operand(dtype: Dtype, tokens: number, width: number, aligned = true): Operand {
  const row = 2 * width + (aligned ? 0 : 1);
  return { dtype, shape: [2, 2, tokens, width], strides: [tokens * row, width, row, 1], offset: 0 };
}

function problemOf(queries: number, width: number, change: Partial<AttentionProblem> = {}): AttentionProblem {
  const own = operand('f16', queries, width);
  return { query: own, key: own, value: own, result: own, causal: false, scale: 1, ...change };
}

test('is chosen for as many queries as a tile has, of f16, in heads that matrices divide, whatever the batch', () => {
  const wide: MatrixSizes = { rows: 16, columns: 16, depth: 16, lanes: 32 };
  const traits: AdapterTraits = {
    ...traitsWith(wide),
    subgroupSize: 32,
    maxWorkgroupInvocations: 256,
    maxWorkgroupStorageBytes: 16_384,
  };
  const choice = (problem: AttentionProblem, own: Partial<AdapterTraits> = {}): string =>
    chooseVariant(attentionFamily, problem, { traits: { ...traits, ...own } }).name;
  for (const batch of [1, 32]) {
    const own = { ...operand('f16', 197, 64), shape: [batch, 12, 197, 64] };
    const problem = problemOf(197, 64, { query: own, key: own, value: own, result: own });
    expect(choice(problem)).toBe('attention_matrix');
  }
  expect(choice(problemOf(32, 64))).toBe('attention_matrix');
  expect(choice(problemOf(16, 64))).toBe('attention_matrix');
  expect(choice(problemOf(15, 64))).toBe('attention_tile');
  expect(choice(problemOf(16, 128))).toBe('attention_matrix');
  expect(choice(problemOf(197, 24))).toBe('attention_tile');
  expect(choice(problemOf(197, 144))).toBe('attention_row');
  for (const name of ['query', 'key', 'value'] as const) {
    expect(choice(problemOf(197, 64, { [name]: operand('f32', 197, 64) }))).toBe('attention_tile');
  }
  const { matrixUnits, ...without } = traits;
  expect(matrixUnits).toBeDefined();
  expect(chooseVariant(attentionFamily, problemOf(197, 64), { traits: without }).name).toBe('attention_tile');
  expect(choice(problemOf(31, 64), { maxWorkgroupInvocations: 32 })).toBe('attention_matrix');
  expect(choice(problemOf(197, 64), { maxWorkgroupInvocations: 16 })).toBe('attention_row');
  expect(choice(problemOf(197, 64), { maxWorkgroupStorageBytes: 4096 })).toBe('attention_tile');
  expect(
    choice(problemOf(197, 64), { matrixUnits: { ...wide, depth: 24, attend: true, attendBackward: false } }),
  ).toBe('attention_tile');
});

test('a measured choice does not depend on the batch either, where weights may be rounded', () => {
  const kindOf = (dtype: Dtype, batch: number): string => {
    const own = { ...operand(dtype, 197, 64), shape: [batch, 12, 197, 64] };
    return attentionFamily.kindOf(problemOf(197, 64, { query: own, key: own, value: own, result: own }));
  };
  expect(kindOf('f16', 1)).toBe(kindOf('f16', 32));
  expect(kindOf('f32', 1)).not.toBe(kindOf('f32', 32));
});

test('its shaders with real matrices are valid and fit the least workgroup memory, in every form', async () => {
  const sources = new Set<string>();
  for (const [sizes, lanes] of [
    [{ rows: 16, columns: 16, depth: 16 }, 32],
    [{ rows: 16, columns: 16, depth: 16 }, 64],
    [{ rows: 8, columns: 16, depth: 16 }, 16],
    [{ rows: 8, columns: 8, depth: 8 }, 32],
  ] as const) {
    const traits: AdapterTraits = {
      ...traitsWith({ ...sizes, lanes }),
      maxWorkgroupInvocations: 256,
      maxWorkgroupStorageBytes: 16_384,
    };
    for (const width of [32, 64, 80, 96, 128]) {
      for (let bits = 0; bits < 16; bits++) {
        if (bits > 0 && width !== 64) continue;
        const own = operand('f16', 197, width, (bits & 1) === 0);
        const problem = problemOf(197, width, {
          ...{ query: own, key: own, value: own },
          mask: bits & 2 ? { ...operand('f32', 197, 197), strides: [0, 0, 197, 1] } : undefined,
          padding: bits & 4 ? { dtype: 'u32', shape: [2, 197], strides: [197, 1], offset: 0 } : undefined,
          result: operand(bits & 8 ? 'f32' : 'f16', 197, width),
        });
        expect(real.canApply(problem, traits)).toBe(true);
        const launch = real.launch(problem, traits);
        expect(launch.access.length).toBeLessThanOrEqual(8);
        sources.add(programSource(launch));
      }
    }
  }
  await expectValidShaders(sources, 16_384);
  expect(sources.size).toBe(4 * (16 + 4));
});
