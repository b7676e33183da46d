import { describe, expect, test } from '@jest/globals';
import type { Tensor } from '../engine/index.js';
import {
  type AdapterTraits,
  type AttentionBackwardVariant,
  type Operand,
  attentionBackwardCost,
  attentionBackwardFamily,
  attentionBackwardSteps,
  chooseVariant,
} from '../kernels/index.js';
import {
  type Float,
  type Name,
  type Tensors,
  expectGradients,
  expectNear,
  gradientProblem,
  launchSteps,
  readGradients,
  tokenRows,
  tolerance,
  withResults,
} from './support/attention_gradients.js';
import { type AttentionCase, attentionGradientReference } from './support/attention_reference.js';
import { useDevice } from './support/device.js';
import { readJsonFixture, readTensorFixture } from './support/fixtures.js';
import { poisoned } from './support/numbers.js';

const device = useDevice({ device: 'software' });

async function check(
  options: AttentionCase,
  dtype: Float = 'f32',
  variant?: AttentionBackwardVariant,
  number?: (name: Name, index: number) => number,
): Promise<void> {
  await device().scope(async () => {
    const { inputs, expected } = await gradientProblem(device(), options, dtype, number);
    const tensors = withResults(device(), inputs, options.causal, options.scale);
    launchSteps(device(), tensors, options, variant);
    await expectGradients(tensors, expected, tolerance[dtype]);
  });
  expect(device().memory.liveBytes).toBe(0);
}

const permutationMask = (b: number, h: number, i: number, j: number): number =>
  (i * 7 + j * 3 + b + h) % 4 === 0 && j !== 0 ? -Infinity : ((i + 2 * j) % 5) - 2;

describe('gradients of attention', () => {
  const shapes: [number, number, number, number, number][] = [
    [1, 1, 1, 1, 1],
    [1, 1, 2, 2, 3],
    [2, 3, 7, 7, 24],
    [1, 2, 8, 1, 16],
    [2, 2, 1, 26, 16],
    [2, 2, 16, 16, 16],
    [3, 1, 26, 65, 64],
    [1, 2, 65, 65, 64],
    [2, 1, 9, 31, 80],
    [1, 2, 197, 197, 64],
    [1, 1, 13, 40, 128],
    [1, 1, 33, 17, 5],
    [1, 1, 16, 4096, 16],
    [1, 1, 4096, 16, 16],
  ];
  test.each(shapes)('of %i x %i, %i queries, %i keys, width %i', (batch, heads, queries, keys, width) =>
    check({ batch, heads, queries, keys, width }),
  );

  test.each([1, 7, 16, 26, 65])('causal over %i tokens', (tokens) =>
    check({ batch: 2, heads: 2, queries: tokens, keys: tokens, width: 16, causal: true }),
  );

  test.each([1, 9, 26])('with a mask and padded keys, %i queries', (queries) =>
    check({
      batch: 2,
      heads: 2,
      queries,
      keys: 26,
      width: 16,
      mask: permutationMask,
      padded: (b, j) => j >= 20 - 3 * b,
    }),
  );

  test('causal with a mask and padded keys', () =>
    check({
      batch: 2,
      heads: 2,
      queries: 19,
      keys: 19,
      width: 16,
      causal: true,
      mask: (b, h, i, j) => ((i * j + b + h) % 3) - 1,
      padded: (b, j) => j > 0 && j === b + 3,
    }));

  test('with a scale of its own and large scores', () =>
    check({ batch: 1, heads: 2, queries: 12, keys: 21, width: 16, scale: 3 }));

  test('finds keys that follow many hidden ones', () =>
    check({ batch: 1, heads: 1, queries: 12, keys: 70, width: 16, padded: (_, j) => j < 66 }));

  test('gives NaN to a query that sees no key, which adds nothing to keys and values', () =>
    check({
      batch: 2,
      heads: 1,
      queries: 5,
      keys: 6,
      width: 16,
      mask: (_b, _h, i) => (i === 1 ? -Infinity : 0),
      padded: (b) => b === 1,
    }));

  test.each([
    [1, 26, 32],
    [12, 26, 32],
    [65, 65, 32],
    [9, 10, 7],
  ])('in f16, %i queries, %i keys, width %i', (queries, keys, width) =>
    check({ batch: 2, heads: 2, queries, keys, width, mask: permutationMask }, 'f16'),
  );

  test('of f16 operands in f32', () =>
    device().scope(async () => {
      const { inputs, expected } = await gradientProblem(
        device(),
        { batch: 1, heads: 2, queries: 9, keys: 10, width: 8 },
        'f16',
      );
      const tensors: Tensors = {
        ...withResults(device(), inputs),
        queryGradient: poisoned(device(), [1, 2, 9, 8]),
        keyValueGradient: poisoned(device(), [2, 1, 2, 10, 8]),
      };
      launchSteps(device(), tensors, {});
      await expectGradients(tensors, expected, tolerance.f16);
    }));

  test('read and write slices of packed projections, and nothing beside them', () =>
    device().scope(async () => {
      const [batch, heads, tokens, width] = [2, 2, 11, 16];
      const options = { batch, heads, queries: tokens, keys: tokens, width };
      const { inputs, expected } = await gradientProblem(device(), options);
      const parts = await Promise.all([inputs.query, inputs.key, inputs.value].map(tokenRows));
      const total = heads * width;
      const packed = Float32Array.from(
        { length: batch * tokens * 3 * total },
        (_, n) => parts[Math.floor(n / total) % 3]![Math.floor(n / (3 * total)) * total + (n % total)]!,
      );
      const projection = device().tensor(packed, [batch, tokens, 3, heads, width]).permute([2, 0, 3, 1, 4]);
      // One head more than is written: it must stay as it is.
      const gradient = poisoned(device(), [batch, tokens, 3, heads + 1, width]).permute([2, 0, 3, 1, 4]);
      const written = gradient.slice(2, 0, heads);
      const [query, key, value] = [0, 1, 2].map((part) => projection.select(0, part));
      const tensors: Tensors = {
        ...withResults(device(), { ...inputs, query: query!, key: key!, value: value! }),
        queryGradient: written.select(0, 0),
        keyValueGradient: written.slice(0, 1, 3),
      };
      launchSteps(device(), tensors, {});
      await expectGradients(tensors, expected, tolerance.f32);
      const beside = await gradient.slice(2, heads, heads + 1).read();
      expect(beside.every(Number.isNaN)).toBe(true);
    }));

  test('broadcast a mask, and a query over the batch, by strides', () =>
    device().scope(async () => {
      const options = { batch: 2, heads: 3, queries: 9, keys: 9, width: 16 };
      const mask = (_b: number, _h: number, i: number, j: number): number => (i === j ? -Infinity : i - j);
      const { inputs } = await gradientProblem(device(), options);
      const shared = inputs.query.slice(0, 0, 1).expand(inputs.query.shape);
      const rows = Float32Array.from({ length: 81 }, (_, n) => mask(0, 0, Math.floor(n / 9), n % 9));
      const expanded = device().tensor(rows, [1, 1, 9, 9]).expand([2, 3, 9, 9]);
      const values = await Promise.all(
        [shared, inputs.key, inputs.value, inputs.outputGradient].map(tokenRows),
      );
      const [query, key, value, outputGradient] = values as [
        ArrayLike<number>,
        ArrayLike<number>,
        ArrayLike<number>,
        ArrayLike<number>,
      ];
      const tensors = withResults(device(), { ...inputs, query: shared, mask: expanded });
      launchSteps(device(), tensors, {});
      const expected = attentionGradientReference({ ...options, mask }, query, key, value, outputGradient);
      await expectGradients(tensors, expected, tolerance.f32);
    }));

  test('are the same bits in every run', () =>
    device().scope(async () => {
      const { inputs } = await gradientProblem(device(), {
        batch: 2,
        heads: 2,
        queries: 65,
        keys: 65,
        width: 32,
      });
      const runs = [];
      for (let run = 0; run < 2; run++) {
        const tensors = withResults(device(), inputs);
        launchSteps(device(), tensors, {});
        runs.push(await readGradients(tensors));
      }
      expect(runs[1]).toEqual(runs[0]);
    }));
});

describe('variants of the gradients of attention', () => {
  const cases: [string, AttentionCase][] = [
    ['plain', { batch: 2, heads: 2, queries: 70, keys: 90, width: 4 }],
    ['one query', { batch: 1, heads: 2, queries: 1, keys: 33, width: 4 }],
    ['odd and wide', { batch: 1, heads: 2, queries: 9, keys: 41, width: 35 }],
    [
      'causal, masked, padded, a query that sees no key',
      {
        batch: 2,
        heads: 1,
        queries: 67,
        keys: 67,
        width: 4,
        causal: true,
        mask: (b, h, i, j) => (i === 1 || i === 40 ? -Infinity : permutationMask(b, h, i, j)),
        padded: (b, j) => j > 40 + b && j % 3 === 0,
      },
    ],
  ];
  // Those for units are in attention_backward_matrix.test.ts.
  const onAnyAdapter = attentionBackwardFamily.variants.filter(({ byMatrixUnits }) => !byMatrixUnits);
  describe.each(onAnyAdapter.map((variant) => [variant.name, variant] as const))('%s', (_, variant) => {
    test.each(cases)('%s', (_case, options) => check(options, 'f32', variant));
    test('in f16', () => check({ batch: 1, heads: 2, queries: 9, keys: 40, width: 4 }, 'f16', variant));

    test.each([
      [9, 1000],
      [9, 4096],
      [1000, 9],
      [4096, 9],
    ])('%i like queries and %i keys of two kinds', async (queries, keys) => {
      const options: AttentionCase = { batch: 1, heads: 1, queries, keys, width: 4 };
      for (const constant of [0.1, 1 / 3, 0.7]) {
        await check(options, 'f32', variant, (name, index) => {
          // Each key of a kind adds the same to a sum. Kinds whose slopes are far from their mean lose no digits there.
          const odd = Math.floor(index / 4) % 2;
          if (name === 'key') return odd ? -5 * constant : 5 * constant;
          if (name === 'value') return odd ? -1 : 2;
          return name === 'query' ? constant / 10 : 3 * constant;
        });
      }
    });
  });

  const operand = (...shape: number[]): Operand => ({
    dtype: 'f32',
    shape,
    strides: shape.map((_, d) => shape.slice(d + 1).reduce((product, size) => product * size, 1)),
    offset: 0,
  });
  const [rows, keys] = [operand(2, 3, 5, 8), operand(2, 3, 7, 8)];
  const problem = {
    query: rows,
    key: keys,
    value: keys,
    output: rows,
    outputGradient: rows,
    statistics: operand(2, 3, 5, 2),
    queryGradient: rows,
    keyValueGradient: operand(2, 2, 3, 7, 8),
    causal: false,
    scale: 1,
  };

  test('go to the adapters they are fast on', () => {
    const chosen = (traits: Partial<AdapterTraits>): string[] => {
      const seen: AdapterTraits = {
        subgroupSize: 8,
        f16: true,
        software: true,
        maxWorkgroupInvocations: 256,
        maxWorkgroupStorageBytes: 16_384,
        maxWorkgroupsPerDimension: 65_535,
        maxBoundTensors: 8,
        ...traits,
      };
      const variant = chooseVariant(attentionBackwardFamily, problem, { traits: seen });
      return attentionBackwardSteps.map(({ name }) => variant.launch(name, problem, seen).file);
    };
    const broadcast = ['attention_statistics_broadcast', 'attention_backward_broadcast'];
    const tile = ['attention_statistics_tile', 'attention_backward_tile'];
    const files = ([statistics, backward]: string[]) =>
      [statistics, backward, backward].map((f) => `${f}.wgsl`);
    expect(chosen({})).toEqual(files(broadcast));
    expect(chosen({ subgroupSize: 0 })).toEqual(files(tile));
    expect(chosen({ software: false, subgroupSize: 32 })).toEqual(files(tile));
  });

  test('cost eight products, each of two operations', () => {
    const elements = 2 * 3 * (4 * 5 * 8 + 4 * 7 * 8);
    expect(attentionBackwardCost(problem)).toEqual({ flops: 8 * 2 * 2 * 3 * 5 * 7 * 8, bytes: 4 * elements });
  });
});

describe('PyTorch gives the same gradients', () => {
  const tensors = readTensorFixture('ops/ops.safetensors');
  const cases = Object.entries(
    readJsonFixture<Record<string, { op: string; inputs: string[] }>>('ops/ops.json'),
  ).filter(([name, { op }]) => op.startsWith('sdpa') && tensors.names.includes(`${name}/grad_out`));

  test('in thirteen cases or more', () => expect(cases.length).toBeGreaterThanOrEqual(13));

  test.each(cases)('%s', async (name, { inputs: names }) => {
    await device().scope(async () => {
      const floats = (part: string): Tensor =>
        device().tensor(
          Float32Array.from(tensors.floats(`${name}/${part}`)),
          tensors.get(`${name}/${part}`).shape,
        );
      const [query, key] = [floats('in_q'), floats('in_k')];
      const scores = [query.shape[0]!, query.shape[1]!, query.shape[2]!, key.shape[2]!];
      const mask = names.includes('mask') ? floats('in_mask') : undefined;
      const padding = names.includes('kp')
        ? device().tensor(Uint32Array.from(tensors.integers(`${name}/in_kp`)), [scores[0]!, scores[3]!])
        : undefined;
      const operands = withResults(device(), {
        query,
        key,
        value: floats('in_v'),
        outputGradient: floats('grad_out'),
        mask: mask?.reshape([1, 1, ...mask.shape]).expand(scores),
        padding,
      });
      launchSteps(device(), operands, {});
      const results = {
        gin_q: operands.queryGradient,
        gin_k: operands.keyValueGradient.select(0, 0),
        gin_v: operands.keyValueGradient.select(0, 1),
      };
      for (const [part, result] of Object.entries(results)) {
        expectNear(part, await result.read(), tensors.floats(`${name}/${part}`), tolerance.f32);
      }
    });
  });
});
