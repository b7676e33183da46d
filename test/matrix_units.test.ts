/** Units for small matrices are taken only where the adapter has such as are needed, and they compute rightly. */
import { expect, test } from '@jest/globals';
import { multipliesRightly, offeredMatrixUnits } from '../engine/matrix_units.js';
import type { MatrixUnits } from '../kernels/index.js';
import { useDevice } from './support/device.js';

const device = useDevice({ device: 'software' });

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
