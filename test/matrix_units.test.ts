/** Units for small matrices are taken only where the adapter has such as are needed, and they compute rightly. */
import { describe, expect, test } from '@jest/globals';
import { multipliesRightly, offeredMatrixUnits } from '../engine/matrix_units.js';
import { type MatmulProblem, type MatmulVariant, type MatrixUnits, matmulFamily } from '../kernels/index.js';
import { useDevice } from './support/device.js';
import { useEmulatedMatrices } from './support/emulated_matrices.js';

const device = useDevice({ device: 'software' });
const emulated = useEmulatedMatrices();

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
const gpuWith = (names: readonly string[]): GPUDevice =>
  ({ features: new Set(names) }) as unknown as GPUDevice;
const config = (size: number, from = 'f16', to = 'f32'): object => ({
  componentType: from,
  resultComponentType: to,
  M: size,
  N: size,
  K: size,
});
const infoWith = (configs: readonly object[], [least, most] = [32, 32]): GPUAdapterInfo =>
  ({
    subgroupMatrixConfigs: configs,
    subgroupMinSize: least,
    subgroupMaxSize: most,
  }) as unknown as GPUAdapterInfo;

test('the largest of f16 that add up in f32 are offered, where subgroups have one size', () => {
  const configs = [config(32, 'f16', 'f16'), config(8), config(16), config(64, 'u8', 'u32')];
  const units: MatrixUnits = { rows: 16, columns: 16, depth: 16, lanes: 32 };
  expect(offeredMatrixUnits(infoWith(configs), gpuWith(features))).toEqual(units);
  expect(offeredMatrixUnits(infoWith(configs, [8, 32]), gpuWith(features))).toBeUndefined();
  expect(offeredMatrixUnits(infoWith(configs.slice(0, 1)), gpuWith(features))).toBeUndefined();
  expect(offeredMatrixUnits({} as GPUAdapterInfo, gpuWith(features))).toBeUndefined();
  for (const missing of features) {
    const others = features.filter((name) => name !== missing);
    expect(offeredMatrixUnits(infoWith(configs), gpuWith(others))).toBeUndefined();
  }
});

describe('multiplying is tried', () => {
  const units: MatrixUnits = { rows: 16, columns: 16, depth: 16, lanes: 8 };
  const plain = matmulFamily.variants.at(-1)!;
  const layouts = new Set<string>();
  /** A way that goes by the name of the real ones, and computes as the plain one. */
  const pretending = (change: (problem: MatmulProblem) => MatmulProblem): MatmulVariant => {
    const [real] = matmulFamily.variants.filter(({ name }) => name.startsWith('matmul_matrix'));
    return {
      name: 'matmul_matrix_of_a_test',
      canApply: () => true,
      launch(problem, traits) {
        const { defines } = real!.launch(problem, traits);
        const { LEFT_VECTOR, RIGHT_VECTOR, LEFT_ORDER, RIGHT_ORDER, RIGHT } = defines;
        layouts.add([LEFT_VECTOR, LEFT_ORDER, RIGHT_VECTOR, RIGHT_ORDER, RIGHT].join(' '));
        return plain.launch(change(problem), traits);
      },
    };
  };

  test('in every layout that a shader is made for', async () => {
    const live = device().memory.liveBytes;
    const right = pretending((problem) => problem);
    expect(await multipliesRightly(device(), units, [right, plain])).toBe(true);
    expect([...layouts].sort()).toEqual([
      'depth row_major columns row_major f16',
      'depth row_major depth col_major f16',
      'depth row_major depth col_major q8',
      'none row_major none col_major f16',
      'rows col_major columns row_major f16',
      'rows col_major depth col_major f16',
      'rows col_major depth col_major q8',
    ]);
    expect(device().memory.liveBytes).toBe(live);
  });

  test('and done where the shaders compute as they should', async () => {
    // A tile that is one matrix compiles the fastest.
    const large: MatrixUnits = { rows: 32, columns: 32, depth: 32, lanes: 8 };
    const smallest = matmulFamily.variants.find(({ name }) => name === 'matmul_matrix_32')!;
    expect(await multipliesRightly(device(), large, [emulated(smallest), plain])).toBe(true);
  }, 120_000);

  test.each<[string, (problem: MatmulProblem) => MatmulProblem]>([
    ['a little wrong', (problem) => ({ ...problem, scale: 1.01 })],
    ['no number', (problem) => ({ ...problem, scale: NaN })],
    [
      'wrong in one layout alone',
      (problem) => (problem.right.dtype === 'q8' ? { ...problem, scale: 0.9 } : problem),
    ],
  ])('and not done where results are %s', async (_, change) => {
    expect(await multipliesRightly(device(), units, [pretending(change), plain])).toBe(false);
  });

  test('and not done where no tile fits', async () => {
    expect(await multipliesRightly(device(), units, [plain])).toBe(false);
  });
});

test('a driver that refuses their shaders has none; the device works on', async () => {
  const { matrixUnits } = device().traits;
  expect(matrixUnits).toBeUndefined();
  const live = device().memory.liveBytes;
  expect(await multipliesRightly(device(), { rows: 16, columns: 16, depth: 16, lanes: 8 })).toBe(false);
  expect(device().memory.liveBytes).toBe(live);
  await device().scope(async () => {
    expect([...(await device().tensor(Float32Array.of(1, 2), [2]).read())]).toEqual([1, 2]);
  });
});
