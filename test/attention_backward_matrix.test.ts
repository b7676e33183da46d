/** Gradients of attention by units for matrices, which lanes stand in for, against float64; the real shaders are compiled. */
import { describe, expect, test } from '@jest/globals';
import { prepareOwnWork } from '../bench/kernels/own.js';
import { inputValues } from '../bench/kernels/values.js';
import { type AdapterTraits, type Tensor, copyInto, openDevice } from '../engine/index.js';
import {
  type AttentionBackwardProblem,
  type AttentionBackwardVariant,
  type Dtype,
  type Launch,
  type MatrixSizes,
  type Operand,
  attentionBackwardFamily,
  attentionBackwardSteps,
  attentionFamily,
  attendsBackwardByMatrixUnits,
  chooseVariant,
  programSource,
} from '../kernels/index.js';
import {
  type Inputs,
  type Name,
  expectGradients,
  gradientProblem,
  launchSteps,
  readGradients,
  withResults,
} from './support/attention_gradients.js';
import { attendBy } from './support/attention_operands.js';
import type { AttentionCase } from './support/attention_reference.js';
import { useDevice } from './support/device.js';
import { useEmulatedMatrices, withLaunches } from './support/emulated_matrices.js';
import { expectValidShaders } from './support/null_device.js';
import { poisoned } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const emulated = useEmulatedMatrices();
const real = attentionBackwardFamily.variants.find(({ byMatrixUnits }) => byMatrixUnits)!;
const emulatedWay: AttentionBackwardVariant = {
  ...real,
  launch: (step, problem, traits): Launch => emulated(real.launch(step, problem, traits)),
};

/** Lanes of a workgroup, 8 of which are a subgroup of the adapter; few and large matrices compile the fastest. */
const units = {
  large: { rows: 16, columns: 32, depth: 32, lanes: 128 },
  square: { rows: 16, columns: 16, depth: 16, lanes: 128 },
} as const satisfies Record<string, MatrixSizes>;

/** @param workgroupBytes 16 KiB hold tiles that meet 16 rows at once, or own 16 */
const traitsWith = (matrixUnits: MatrixSizes, workgroupBytes = 32_768): AdapterTraits => ({
  ...device().traits,
  software: false,
  maxWorkgroupStorageBytes: workgroupBytes,
  matrixUnits: { ...matrixUnits, attend: true, attendBackward: true },
});

/** Of the largest value of a gradient. Weights and slopes are rounded to f16, as operands and gradients are. */
const limit = 1.5e-3;

interface Form {
  readonly unit?: keyof typeof units;
  readonly workgroupBytes?: number;
  readonly result?: 'f32' | 'f16';
  readonly change?: (operand: Tensor) => Tensor;
  readonly number?: (name: Name, index: number) => number;
}

async function check(options: AttentionCase, form: Form = {}): Promise<void> {
  const { unit = 'large', workgroupBytes, result = 'f16', change = (operand) => operand, number } = form;
  const traits = traitsWith(units[unit], workgroupBytes);
  await device().scope(async () => {
    const { inputs: given, expected } = await gradientProblem(device(), options, 'f16', number);
    const { query, key, value, outputGradient, ...rest } = given;
    const inputs: Inputs = {
      ...rest,
      ...{
        query: change(query),
        key: change(key),
        value: change(value),
        outputGradient: change(outputGradient),
      },
    };
    const tensors = withResults(device(), inputs, options.causal, options.scale, result);
    launchSteps(device(), tensors, options, emulatedWay, traits);
    await expectGradients(tensors, expected, limit);
  });
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
  ['one query', { batch: 1, heads: 2, queries: 1, keys: 33, width: 32 }, {}],
  ['a row more than a tile and block', { batch: 1, heads: 2, queries: 33, keys: 33, width: 32 }, {}],
  ['many keys, few queries', { batch: 1, heads: 1, queries: 9, keys: 600, width: 32 }, {}],
  ['many queries, few keys', { batch: 1, heads: 1, queries: 600, keys: 9, width: 32 }, {}],
  ['large scores', { batch: 1, heads: 2, queries: 40, keys: 50, width: 32, scale: 2 }, {}],
  ['all that hides keys', { batch: 2, heads: 2, queries: 67, keys: 67, width: 32, ...hiding }, {}],
  // Several matrices along each dimension.
  [
    'causal',
    { batch: 2, heads: 2, queries: 70, keys: 70, width: 32, causal: true },
    { unit: 'square', workgroupBytes: 24_576 },
  ],
  [
    'smaller tiles',
    { batch: 1, heads: 2, queries: 45, keys: 20, width: 32 },
    { unit: 'square', workgroupBytes: 16_384 },
  ],
];

test.each(cases)('%s', (_, options, form) => check(options, form));

test('queries whose keys are all hidden get NaN, and add nothing to keys and values', async () => {
  const shape = { batch: 2, heads: 1, queries: 40, keys: 40, width: 32, causal: true };
  const mask = (b: number, _h: number, i: number): number => (b === 0 && i === 1 ? -Infinity : 0);
  await check({ ...shape, mask, padded: (b) => b === 1 });
});

test('keys that follow more than a block of hidden ones are found', async () => {
  const shape = { batch: 1, heads: 1, queries: 70, keys: 70, width: 32, causal: true };
  await check({ ...shape, mask: () => 0, padded: (_, j) => j < 66 });
});

test('rows that begin anywhere, among others, into f32', async () => {
  const oddly = (operand: Tensor): Tensor => {
    const [batch, heads, tokens, width] = operand.shape as [number, number, number, number];
    const around = poisoned(device(), [batch, tokens, heads * width + 3], 'f16');
    const into = around.slice(2, 1, heads * width + 1).splitHeads(heads);
    copyInto(operand, into);
    return into;
  };
  await check({ batch: 2, heads: 2, queries: 35, keys: 41, width: 32 }, { change: oddly, result: 'f32' });
});

test('what the units gave is taken back by them, the same in every run', async () => {
  const options = { batch: 1, heads: 2, queries: 40, keys: 50, width: 32 };
  const traits = traitsWith(units.large);
  const attention = attentionFamily.variants.find(({ byMatrixUnits }) => byMatrixUnits)!;
  await device().scope(async () => {
    const { inputs, expected } = await gradientProblem(device(), options, 'f16');
    const operands = { ...inputs, mask: undefined, padding: undefined, expected: new Float64Array() };
    const given = attendBy(device(), withLaunches(attention, emulated), traits, options, operands, 'f16');
    const runs = [];
    for (let run = 0; run < 2; run++) {
      const tensors = { ...withResults(device(), inputs), output: given.splitHeads(options.heads) };
      launchSteps(device(), tensors, {}, emulatedWay, traits);
      await expectGradients(tensors, expected, limit);
      runs.push(await readGradients(tensors));
    }
    expect(runs[1]).toEqual(runs[0]);
  });
});

/** `[2, heads, tokens, width]`, rows at multiples of four elements or not. */
function operand(dtype: Dtype, tokens: number, width: number, aligned = true): Operand {
  const row = 2 * width + (aligned ? 0 : 1);
  return { dtype, shape: [2, 2, tokens, width], strides: [tokens * row, width, row, 1], offset: 0 };
}

function problemOf(
  [queries, keys, width]: readonly [number, number, number],
  change: Partial<AttentionBackwardProblem> = {},
  aligned = true,
): AttentionBackwardProblem {
  const [own, met] = [queries, keys].map((tokens) => operand('f16', tokens, width, aligned)) as [
    Operand,
    Operand,
  ];
  return {
    ...{ query: own, key: met, value: met, output: own, outputGradient: own, queryGradient: own },
    statistics: {
      dtype: 'f32',
      shape: [2, 2, queries, 2],
      strides: [4 * queries, 2 * queries, 2, 1],
      offset: 0,
    },
    keyValueGradient: { ...met, shape: [2, ...met.shape], strides: [2 * met.strides[0]!, ...met.strides] },
    causal: false,
    scale: 1,
    ...change,
  };
}

describe('the variant', () => {
  const wide: MatrixSizes = { rows: 16, columns: 16, depth: 16, lanes: 32 };
  const traits = (change: Partial<AdapterTraits> = {}): AdapterTraits => ({
    ...traitsWith(wide, 16_384),
    maxWorkgroupInvocations: 256,
    ...change,
  });
  const choice = (problem: AttentionBackwardProblem, own: Partial<AdapterTraits> = {}): string =>
    chooseVariant(attentionBackwardFamily, problem, { traits: traits(own) })
      .name.split('_')
      .at(-1)!;

  test('is chosen for f16, in heads that matrices divide, where rows fill half a tile', () => {
    for (const width of [16, 32, 64, 128]) expect(choice(problemOf([197, 197, width]))).toBe('matrix');
    expect(choice(problemOf([16, 197, 64]))).toBe('matrix');
    expect(choice(problemOf([15, 197, 64]))).toBe('tile');
    expect(choice(problemOf([197, 15, 64]))).toBe('tile');
    expect(choice(problemOf([197, 197, 24]))).toBe('tile');
    expect(choice(problemOf([197, 197, 144]))).toBe('tile');
    for (const name of ['query', 'key', 'value', 'outputGradient'] as const) {
      const change = { [name]: operand('f32', 197, 64) };
      expect(choice(problemOf([197, 197, 64], change))).toBe('tile');
    }
  });

  test('is chosen where units were seen to compute gradients, and their tiles fit', () => {
    const problem = problemOf([197, 197, 64]);
    expect(choice(problem, { matrixUnits: { ...wide, attend: true, attendBackward: false } })).toBe('tile');
    expect(choice(problem, { matrixUnits: { ...wide, attend: false, attendBackward: true } })).toBe('matrix');
    expect(choice(problem, { maxWorkgroupInvocations: 32 })).toBe('matrix');
    expect(choice(problem, { maxWorkgroupInvocations: 16 })).toBe('tile');
    expect(choice(problem, { maxWorkgroupStorageBytes: 4096 })).toBe('tile');
    expect(attendsBackwardByMatrixUnits(64, traits())).toBe(true);
    expect(attendsBackwardByMatrixUnits(24, traits())).toBe(false);
  });

  test('meets as many rows at once as fit, and owns no more than half of which are none', () => {
    const tiles = (rows: readonly [number, number, number], bytes: number): unknown[] =>
      attentionBackwardSteps.map(({ name }) => {
        const { OWN, MET } = real.launch(
          name,
          problemOf(rows),
          traits({ maxWorkgroupStorageBytes: bytes }),
        ).defines;
        return [OWN, MET];
      });
    expect(tiles([197, 197, 64], 32_768)).toEqual(Array(3).fill([32, 32]));
    expect(tiles([197, 197, 64], 16_384)).toEqual(Array(3).fill([32, 16]));
    expect(tiles([197, 197, 128], 16_384)).toEqual(Array(3).fill([16, 16]));
    expect(tiles([197, 20, 64], 32_768)).toEqual([
      [32, 32],
      [32, 32],
      [16, 16],
    ]);
    expect(tiles([3, 197, 64], 32_768)).toEqual([
      [16, 16],
      [16, 16],
      [32, 32],
    ]);
  });
});

test('is measured by the benchmark, and taken where it was the fastest', async () => {
  const own = await openDevice({ device: 'software' });
  own.useMatrixUnits({ ...units.large, attend: false, attendBackward: true });
  const work = { kernel: 'attention_gradient', batch: 2, heads: 2, queries: 9, keys: 40, width: 32 } as const;
  const measured = (dtype: 'f32' | 'f16') =>
    own.scope(() => {
      const whole = { ...work, causal: false };
      const { variants, choice } = prepareOwnWork(own, whole, dtype, inputValues(whole, dtype));
      return { names: variants.map(({ name }) => name), choice: choice! };
    });
  const { names, choice } = measured('f16');
  expect(names).toContain(real.name);
  expect(measured('f32').names).not.toContain(real.name);
  // Not expected for so few queries.
  expect(choice.expected).not.toBe(real.name);
  const choices = new Map([[choice.key, real.name]]);
  const chosen = chooseVariant(attentionBackwardFamily, problemOf([9, 40, 32]), {
    traits: own.traits,
    choices,
  });
  expect(chosen).toBe(real);
  own.close();
});

test('its shaders with real matrices are valid and fit the workgroup memory, in every form', async () => {
  for (const workgroupBytes of [16_384, 32_768]) {
    const sources = new Set<string>();
    for (const [sizes, lanes] of [
      [{ rows: 16, columns: 16, depth: 16 }, 32],
      [{ rows: 16, columns: 16, depth: 16 }, 64],
      [{ rows: 8, columns: 16, depth: 16 }, 16],
      [{ rows: 8, columns: 8, depth: 8 }, 32],
    ] as const) {
      const traits: AdapterTraits = {
        ...traitsWith({ ...sizes, lanes }, workgroupBytes),
        maxWorkgroupInvocations: 256,
      };
      for (const width of [32, 64, 80, 96, 128]) {
        for (let bits = 0; bits < 16; bits++) {
          if (bits > 0 && (width !== 64 || workgroupBytes > 16_384)) continue;
          const form = {
            mask: bits & 2 ? { ...operand('f32', 197, 197), strides: [0, 0, 197, 1] } : undefined,
            padding:
              bits & 4
                ? ({ dtype: 'u32', shape: [2, 197], strides: [197, 1], offset: 0 } as const)
                : undefined,
            ...(bits & 8 ? { queryGradient: operand('f32', 197, width) } : {}),
          };
          const problem = problemOf([197, 197, width], form, (bits & 1) === 0);
          expect(real.canApply(problem, traits)).toBe(true);
          for (const { name } of attentionBackwardSteps) {
            const launch = real.launch(name, problem, traits);
            expect(launch.access.length).toBeLessThanOrEqual(8);
            sources.add(programSource(launch));
          }
        }
      }
    }
    await expectValidShaders(sources, workgroupBytes);
    // Only the query's gradient is in both types.
    expect(sources.size).toBe(4 * (workgroupBytes > 16_384 ? 3 * 5 : 3 * 4 + 8 + 16 + 8));
  }
});
