/** Which way each adapter takes, and that the ways of GPUs fit their workgroup memory at the widths of real models. */
import { describe, expect, test } from '@jest/globals';
import { type Tuning, linear, operations, parseTuning } from '../engine/index.js';
import {
  type AdapterTraits,
  type AttentionBackwardProblem,
  type AttentionProblem,
  type Launch,
  type MatmulProblem,
  attentionBackwardFamily,
  attentionBackwardSteps,
  attentionFamily,
  choiceKey,
  chooseVariant,
  matmulCost,
  matmulFamily,
  programSource,
} from '../kernels/index.js';
import { useDevice } from './support/device.js';

const device = useDevice();

const gpu: AdapterTraits = {
  subgroupSize: 32,
  f16: true,
  software: false,
  maxWorkgroupInvocations: 256,
  maxWorkgroupStorageBytes: 16_384,
  maxWorkgroupsPerDimension: 65_535,
  maxBoundTensors: 8,
};
const software: AdapterTraits = { ...gpu, subgroupSize: 8, software: true };

function product(rows: number, depth: number, columns: number): MatmulProblem {
  const operand = (height: number, width: number) => ({
    dtype: 'f32' as const,
    shape: [1, 1, height, width],
    strides: [height * width, height * width, width, 1],
    offset: 0,
  });
  return {
    left: operand(rows, depth),
    right: operand(depth, columns),
    result: operand(rows, columns),
    activation: 'none',
    scale: 1,
  };
}

function attentionOf(tokens: number, width: number): AttentionProblem {
  const own = {
    dtype: 'f32' as const,
    shape: [1, 2, tokens, width],
    strides: [tokens * 2 * width, width, 2 * width, 1],
    offset: 0,
  };
  return { query: own, key: own, value: own, result: own, causal: false, scale: 1 };
}

describe('a matrix product', () => {
  test.each<[string, number, AdapterTraits, string]>([
    ['many rows on a CPU', 197, software, 'matmul_broadcast_24'],
    ['one row on a CPU', 1, software, 'matmul_broadcast_4'],
    ['many rows on a CPU without subgroups', 197, { ...software, subgroupSize: 0 }, 'matmul_plain'],
    ['many rows on a GPU', 197, gpu, 'matmul_tile_32'],
    ['many rows on a GPU without fixed subgroups', 197, { ...gpu, subgroupSize: 0 }, 'matmul_tile_32'],
    ['a decoding step on a GPU', 1, gpu, 'matmul_rows'],
    ['a decoding step of a batch on a GPU', 8, gpu, 'matmul_rows'],
  ])('of %s goes its way', (_, rows, traits, expected) => {
    const problem = product(rows, 768, 768);
    expect(chooseVariant(matmulFamily, problem, { traits }).name).toBe(expected);
  });

  test('of f16 weights goes to units for matrices, in tiles that keep the GPU busy', () => {
    const traits = {
      ...gpu,
      maxWorkgroupStorageBytes: 49_152,
      matrixUnits: { rows: 16, columns: 16, depth: 16, lanes: 32, attend: false, attendBackward: false },
    };
    const half = (problem: MatmulProblem): MatmulProblem => ({
      ...problem,
      right: { ...problem.right, dtype: 'f16' },
    });
    const choice = (problem: MatmulProblem, own: AdapterTraits): string =>
      chooseVariant(matmulFamily, problem, { traits: own }).name;
    expect(choice(half(product(32 * 197, 768, 3072)), traits)).toBe('matmul_matrix_128');
    expect(choice(half(product(197, 768, 2304)), traits)).toBe('matmul_matrix_64');
    expect(choice(half(product(197, 768, 768)), traits)).toBe('matmul_matrix_32');
    expect(choice(half(product(1, 768, 768)), traits)).toBe('matmul_rows');
    // Whatever the rows, the operand is rounded alike; without such units it is not.
    for (const rows of [1, 9]) {
      const problem = half(product(rows, 768, 768));
      const launchOn = (own: AdapterTraits) =>
        chooseVariant(matmulFamily, problem, { traits: own }).launch(problem, own);
      const { defines, features } = launchOn(traits);
      expect([defines['ROUNDED'], features.includes('f16')]).toEqual([true, true]);
      expect(launchOn(gpu).defines['ROUNDED']).toBe(false);
    }
    // Digits of f32 weights are not given up; a tile must fit the workgroup's memory, the units the tile.
    expect(choice(product(197, 768, 768), traits)).toBe('matmul_tile_32');
    expect(choice(half(product(197, 768, 768)), { ...gpu, matrixUnits: traits.matrixUnits })).toBe(
      'matmul_matrix_32',
    );
    const large = half(product(32 * 197, 768, 3072));
    expect(choice(large, { ...traits, maxWorkgroupStorageBytes: 16_384 })).toBe('matmul_matrix_64');
    expect(choice(large, { ...traits, matrixUnits: { ...traits.matrixUnits, depth: 24 } })).toBe(
      'matmul_tile_128',
    );
  });

  test('costs two operations a multiplication', () => {
    expect(matmulCost(product(3, 5, 7))).toEqual({ flops: 2 * 3 * 5 * 7, bytes: 4 * (15 + 35 + 21) });
  });

  test('is made once: a second one of the same kind compiles and binds nothing new', async () => {
    const x = device().tensor(new Float32Array(64).fill(1), [8, 8]);
    const run = (): Promise<unknown> => device().scope(async () => linear(x, x).read());
    await run();
    const [programs, groups] = [device().programCount, device().bindGroupCount];
    await run();
    expect([device().programCount, device().bindGroupCount]).toEqual([programs, groups]);
    expect(new Set(operations.map(({ name }) => name)).size).toBe(operations.length);
  });
});

describe('a tuning', () => {
  const kind = choiceKey(matmulFamily, product(197, 768, 768));
  const tuning = (choices: Record<string, string>): Tuning => ({
    kind: 'tuning',
    adapter: device().adapter.name,
    driver: device().info.description,
    choices,
  });

  test.each<[string, number, Record<string, string>, string]>([
    ['of such a product', 197, { [kind]: 'matmul_broadcast_16' }, 'matmul_broadcast_16'],
    ['of sizes that are alike', 250, { [kind]: 'matmul_broadcast_16' }, 'matmul_broadcast_16'],
    ['of other sizes', 100, { [kind]: 'matmul_broadcast_16' }, 'matmul_broadcast_24'],
    ['that names what does not apply', 197, { [kind]: 'matmul_rows' }, 'matmul_broadcast_24'],
    ['that names what there is no more', 197, { [kind]: 'matmul_best' }, 'matmul_broadcast_24'],
  ])('%s chooses', (_, rows, choices, expected) => {
    const told = { traits: software, choices: new Map(Object.entries(choices)) };
    expect(chooseVariant(matmulFamily, product(rows, 768, 768), told).name).toBe(expected);
  });

  test('is what the device goes by', async () => {
    const x = device().tensor(new Float32Array(40 * 40).fill(1), [40, 40]);
    const run = (): Promise<ArrayLike<number>> => device().scope(async () => linear(x, x).read());
    const expected = await run();
    const problem = product(40, 40, 40);
    const transposed = { ...problem.right, strides: [1600, 1600, 1, 40] };
    const key = choiceKey(matmulFamily, { ...problem, right: transposed });
    const programs = device().programCount;
    try {
      device().tune(parseTuning(JSON.stringify(tuning({ [key]: 'matmul_plain' }))));
      expect(await run()).toEqual(expected);
      expect(device().programCount).toBe(programs + 1);
    } finally {
      device().tune(tuning({}));
    }
    await run();
    expect(device().programCount).toBe(programs + 1);
  });

  test('of another adapter, or none at all, is refused', () => {
    expect(() => device().tune({ ...tuning({}), driver: 'Mesa 1' })).toThrow(
      /measured with the driver Mesa 1; this one is .* Tune here with bench --kernels --tune/,
    );
    expect(() => device().tune({ ...tuning({}), adapter: 'a GPU' })).toThrow(/the adapter a GPU/);
    for (const text of [
      '',
      '[]',
      'null',
      '{"kind":"tuning"}',
      '{"kind":"tuning","adapter":"a","driver":"d","choices":{"a":1}}',
    ]) {
      expect(() => parseTuning(text)).toThrow(/^tuning: /);
    }
  });
});

describe('the attention of GPUs', () => {
  const tile = attentionFamily.variants.find(({ name }) => name === 'attention_tile')!;

  /** Bytes of every `var<workgroup>` array of f32 or vec4 of it. */
  function workgroupBytes(source: string): number {
    const arrays = [...source.matchAll(/var<workgroup>\s+\w+:\s*array<(vec4<f32>|f32),\s*([\d *]+)u?>/g)];
    expect(arrays.length).toBeGreaterThan(0);
    return arrays.reduce((total, [, type, count]) => {
      const elements = count!.split('*').reduce((size, factor) => size * Number(factor), 1);
      return total + elements * (type === 'f32' ? 4 : 16);
    }, 0);
  }

  async function expectFits(launch: Launch): Promise<void> {
    const source = programSource(launch);
    expect(workgroupBytes(source)).toBeLessThanOrEqual(gpu.maxWorkgroupStorageBytes);
    const module = device().gpu.createShaderModule({ code: source });
    const { messages } = await module.getCompilationInfo();
    expect(messages.filter(({ type }) => type === 'error').map(({ message }) => message)).toEqual([]);
  }

  test.each([24, 32, 64, 80, 128])(
    'of heads %i wide is valid and fits the least workgroup memory',
    async (width) => {
      const problem = attentionOf(197, width);
      expect(tile.canApply(problem, gpu)).toBe(true);
      await expectFits(tile.launch(problem, gpu));
    },
  );

  test.each([24, 32, 64, 80, 128])(
    'of heads %i wide has gradients that are valid and fit the least workgroup memory and 8 bindings',
    async (width) => {
      const { result, ...operands } = attentionOf(197, width);
      const problem: AttentionBackwardProblem = {
        ...operands,
        mask: { ...result, shape: [1, 2, 197, 197] },
        padding: { dtype: 'u32', shape: [1, 197], strides: [197, 1], offset: 0 },
        output: result,
        outputGradient: result,
        statistics: { dtype: 'f32', shape: [1, 2, 197, 2], strides: [788, 394, 2, 1], offset: 0 },
        queryGradient: result,
        keyValueGradient: { ...result, shape: [2, ...result.shape], strides: [0, ...result.strides] },
      };
      for (const step of attentionBackwardSteps) {
        const variant = chooseVariant(attentionBackwardFamily, problem, { traits: gpu });
        const launch = variant.launch(step.name, problem, gpu);
        expect(launch.access.length).toBeLessThanOrEqual(8);
        await expectFits(launch);
      }
    },
  );
});
