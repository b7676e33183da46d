import { describe, expect, test } from '@jest/globals';
import { type AdapterTraits, ShapeError, attention, contiguous, copyInto } from '../engine/index.js';
import { attentionFamily, chooseVariant, programKey } from '../kernels/index.js';
import { type AttentionOperands, attendBy, attentionOperands } from './support/attention_operands.js';
import { type AttentionCase, attentionReference } from './support/attention_reference.js';
import { useDevice } from './support/device.js';
import { Random, expectClose, poisoned, poisonPool, tolerance } from './support/numbers.js';

const device = useDevice({ device: 'software' });

/** Runs the operation on memory that held NaN. */
async function check(options: AttentionCase, dtype: 'f32' | 'f16' = 'f32', seed = 1): Promise<void> {
  const { query, key, value, mask, padding, expected } = await attentionOperands(
    device(),
    options,
    dtype,
    seed,
  );
  poisonPool(device(), [options.batch, options.queries, options.heads * options.width], dtype);
  const { causal = false, scale } = options;
  const result = attention(query, key, value, {
    causal,
    mask,
    keyPadding: padding,
    ...(scale === undefined ? {} : { scale }),
  });
  expect(result.shape).toEqual([options.batch, options.queries, options.heads * options.width]);
  expectClose(await result.read(), expected, tolerance[dtype]);
  for (const tensor of [query, key, value, mask, padding, result]) tensor?.dispose();
}

const permutationMask = (b: number, h: number, i: number, j: number): number =>
  (i * 7 + j * 3 + b + h) % 4 === 0 && j !== 0 ? -Infinity : ((i + 2 * j) % 5) - 2;

describe('attention', () => {
  const shapes: [number, number, number, number, number][] = [
    [1, 1, 1, 1, 1],
    [1, 1, 2, 2, 3],
    [2, 3, 7, 7, 24],
    [1, 2, 8, 1, 16],
    [2, 2, 16, 16, 16],
    [3, 1, 26, 65, 64],
    [1, 2, 65, 65, 64],
    [2, 1, 9, 31, 80],
    [1, 2, 197, 197, 64],
    [1, 1, 13, 40, 128],
    [1, 1, 33, 17, 5],
    [1, 1, 1024, 1024, 16],
    [1, 1, 16, 4096, 16],
    [1, 1, 1, 4096, 64],
  ];
  test.each(shapes)('of %i x %i, %i queries, %i keys, width %i', (batch, heads, queries, keys, width) =>
    check({ batch, heads, queries, keys, width }),
  );

  test('of 4096 queries and keys, compared at every 64th query', async () => {
    const [tokens, width, step] = [4096, 16, 64];
    const { query, key, value } = await attentionOperands(device(), {
      batch: 1,
      heads: 1,
      queries: 1,
      keys: tokens,
      width,
    });
    const queries = new Random(2).floats(tokens * width);
    const all = device().tensor(queries, [1, 1, tokens, width]);
    const result = await attention(all, key, value).read();
    const sampled = Array.from({ length: tokens / step }, (_, i) => i * step * width);
    const rowsOf = (values: ArrayLike<number>): number[] =>
      sampled.flatMap((at) => Array.from({ length: width }, (_, d) => values[at + d]!));
    const shape = { batch: 1, heads: 1, queries: sampled.length, keys: tokens, width };
    const expected = attentionReference(shape, rowsOf(queries), await key.read(), await value.read());
    expectClose(rowsOf(result), expected);
    expect(result.every(Number.isFinite)).toBe(true);
    query.dispose();
  });

  test.each([1, 7, 16, 26, 65, 512])('causal over %i tokens', (tokens) =>
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

  test.each([1, 12])('with a scale of its own, large scores and %i queries', (queries) =>
    check({ batch: 1, heads: 2, queries, keys: 21, width: 16, scale: 12 }),
  );

  test.each([2, 12])('gives NaN where every key of a query is hidden (%i queries)', (queries) =>
    check({
      batch: 1,
      heads: 1,
      queries,
      keys: 5,
      width: 16,
      mask: (_b, _h, i) => (i === 1 ? -Infinity : 0),
    }),
  );

  test.each([1, 12])('gives NaN where all keys are padding (%i queries)', (queries) =>
    check({ batch: 2, heads: 1, queries, keys: 20, width: 16, padded: (b) => b === 1 }),
  );

  test.each([1, 12])('finds keys that follow more than a block of hidden ones (%i queries)', (queries) =>
    check({ batch: 1, heads: 1, queries, keys: 70, width: 16, padded: (_, j) => j < 66 }),
  );

  test.each([
    [1, 26, 32],
    [12, 26, 32],
    [65, 65, 32],
    [9, 10, 7],
  ])('in f16, %i queries, %i keys, width %i', (queries, keys, width) =>
    check({ batch: 2, heads: 2, queries, keys, width, mask: permutationMask }, 'f16'),
  );

  test('lets NaN of a key through, as PyTorch does', async () => {
    const operands = await attentionOperands(device(), { batch: 1, heads: 1, queries: 1, keys: 3, width: 4 });
    device().write(operands.key.reshape([12]), Float32Array.of(NaN), 5);
    expect([...(await attention(operands.query, operands.key, operands.value).read())]).toEqual([
      NaN,
      NaN,
      NaN,
      NaN,
    ]);
  });

  test('broadcasts a mask over batch and heads by strides', async () => {
    const options = { batch: 2, heads: 3, queries: 9, keys: 9, width: 16 };
    const mask = (_b: number, _h: number, i: number, j: number): number => (i === j ? -Infinity : 0);
    const operands = await attentionOperands(device(), { ...options, mask });
    const rows = Float32Array.from({ length: 81 }, (_, n) => mask(0, 0, Math.floor(n / 9), n % 9));
    const { query, key, value } = operands;
    const masked = attention(query, key, value, { mask: device().tensor(rows, [9, 9]) });
    expectClose(await masked.read(), operands.expected);
    const column = device().tensor(
      Float32Array.from({ length: 9 }, (_, i) => i),
      [9, 1],
    );
    // A constant along the keys leaves the softmax as it is.
    const shifted = attention(query, key, value, { mask: column });
    expectClose(await shifted.read(), await attention(query, key, value).read());
  });

  test('reads queries, keys and values as views of one packed projection and of a cache', async () => {
    const [batch, heads, tokens, width] = [2, 2, 11, 16];
    const random = new Random(5);
    const total = heads * width;
    const packed = random.floats(batch * tokens * 3 * total);
    const parts = [0, 1, 2].map((part) => {
      const values = new Float32Array(batch * tokens * total);
      for (let row = 0; row < batch * tokens; row++) {
        for (let d = 0; d < total; d++) values[row * total + d] = packed[(row * 3 + part) * total + d]!;
      }
      return values;
    });
    const projection = device().tensor(packed, [batch, tokens, 3 * total]);
    const [query, key, value] = [0, 1, 2].map((part) =>
      projection.slice(2, part * total, (part + 1) * total).splitHeads(heads),
    );
    const shape = { batch, heads, queries: tokens, keys: tokens, width };
    const expected = attentionReference(shape, parts[0]!, parts[1]!, parts[2]!);
    expectClose(await attention(query!, key!, value!).read(), expected);

    // One query against the first five keys of a cache with room for all: the rest must not be touched.
    const cached = poisoned(device(), [batch, tokens, 3 * total]);
    copyInto(projection.slice(1, 0, 5), cached.slice(1, 0, 5));
    const [cachedKey, cachedValue] = [1, 2].map((part) =>
      cached
        .slice(2, part * total, (part + 1) * total)
        .slice(1, 0, 5)
        .splitHeads(heads),
    );
    const single = attention(query!.slice(2, 4, 5), cachedKey!, cachedValue!);
    const causal = attentionReference({ ...shape, causal: true }, parts[0]!, parts[1]!, parts[2]!);
    const rows = [0, 1].flatMap((b) => [...causal.slice((b * tokens + 4) * total, (b * tokens + 5) * total)]);
    expectClose(await single.read(), rows);
  });

  test('copies operands whose width is not contiguous', async () => {
    const { query, key, value, expected } = await attentionOperands(device(), {
      batch: 1,
      heads: 1,
      queries: 9,
      keys: 10,
      width: 5,
    });
    const turned = [query, key, value].map((tensor) => contiguous(tensor.transpose()).transpose());
    expect(turned[0]!.strides[3]).not.toBe(1);
    expectClose(await attention(turned[0]!, turned[1]!, turned[2]!).read(), expected);
  });

  test('refuses operands that do not fit, naming them', async () => {
    const { query, key } = await attentionOperands(device(), {
      batch: 1,
      heads: 2,
      queries: 3,
      keys: 4,
      width: 4,
    });
    const short = key.slice(2, 0, 3);
    expect(() => attention(query, key, short)).toThrow(ShapeError);
    expect(() => attention(query, key, short)).toThrow(/attention.*\[1,2,3,4\].*\[1,2,4,4\]/);
    expect(() => attention(query, key, key, { causal: true })).toThrow(/causal/);
    const padding = device().tensor(new Uint32Array(3), [1, 3]);
    expect(() => attention(query, key, key, { keyPadding: padding })).toThrow(ShapeError);
  });
});

describe('attention variants', () => {
  const gpu: Partial<AdapterTraits> = { software: false };
  const forms: [string, string, Partial<AdapterTraits>][] = [
    ['broadcasts', 'attention_broadcast', {}],
    ['workgroup memory', 'attention_tile', gpu],
    ['workgroup memory without subgroups', 'attention_tile', { ...gpu, subgroupSize: 0 }],
    ['rows in subgroups', 'attention_row', {}],
    ['rows in workgroup memory', 'attention_row', { subgroupSize: 0 }],
  ];
  const cases: [string, AttentionCase][] = [
    ['plain', { batch: 2, heads: 2, queries: 70, keys: 90, width: 4 }],
    ['odd width', { batch: 1, heads: 2, queries: 9, keys: 23, width: 3 }],
    [
      'causal, masked, padded',
      {
        batch: 2,
        heads: 1,
        queries: 67,
        keys: 67,
        width: 4,
        causal: true,
        mask: permutationMask,
        padded: (b, j) => j > 40 + b && j % 3 === 0,
      },
    ],
  ];
  describe.each(forms)('%s', (_, name, traits) => {
    const checkForm = async (options: AttentionCase, operands: Promise<AttentionOperands>): Promise<void> => {
      const variant = attentionFamily.variants.find((candidate) => candidate.name === name)!;
      const given = await operands;
      const result = attendBy(device(), variant, { ...device().traits, ...traits }, options, given);
      expectClose(await result.read(), given.expected);
    };

    test.each(cases)('%s', (_case, options) => checkForm(options, attentionOperands(device(), options)));

    test.each([1000, 2048, 4096])('like values of %i keys', async (keys) => {
      for (const constant of [0.1, 1 / 3, 0.7]) {
        // The last score is the highest: all sums are rescaled to it.
        for (const last of [0, 1]) {
          const options: AttentionCase = {
            ...{ batch: 1, heads: 1, queries: 9, keys, width: 4 },
            mask: (_b, _h, _i, j) => (j === keys - 1 ? last : 0),
          };
          const like = (_name: string, count: number) => new Float32Array(count).fill(constant);
          await checkForm(options, attentionOperands(device(), options, 'f32', 1, like));
        }
      }
    });
  });

  test('causal or not, it is the same program', () => {
    const own = { dtype: 'f32', shape: [1, 2, 9, 8], strides: [144, 72, 8, 1], offset: 0 } as const;
    const problem = { query: own, key: own, value: own, result: own, scale: 1 };
    for (const variant of attentionFamily.variants) {
      if (variant.byMatrixUnits) continue;
      const traits = { ...device().traits, software: variant.name !== 'attention_tile' };
      const [before, all] = [true, false].map((causal) =>
        programKey(variant.launch({ ...problem, causal }, traits)),
      );
      expect(before).toBe(all);
    }
  });

  test('many queries go to tiles, few to rows', () => {
    const operand = (tokens: number) => ({
      dtype: 'f32' as const,
      shape: [1, 2, tokens, 64],
      strides: [tokens * 128, 64, 128, 1],
      offset: 0,
    });
    const chosen = (tokens: number, traits: Partial<AdapterTraits>): string => {
      const own = operand(tokens);
      const problem = { query: own, key: own, value: own, result: own, causal: false, scale: 1 };
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
      return chooseVariant(attentionFamily, problem, { traits: seen }).name;
    };
    expect(chosen(197, {})).toBe('attention_broadcast');
    expect(chosen(1, {})).toBe('attention_row');
    expect(chosen(197, { subgroupSize: 0 })).toBe('attention_row');
    expect(chosen(197, { software: false, subgroupSize: 32 })).toBe('attention_tile');
    expect(chosen(1, { software: false, subgroupSize: 32 })).toBe('attention_row');
  });
});
