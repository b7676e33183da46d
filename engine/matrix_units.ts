/** Units that multiply small matrices: what an adapter offers, and whether it computes rightly. */
import {
  type AdapterTraits,
  type MatmulProblem,
  type MatmulVariant,
  type MatrixUnits,
  matmulFamily,
} from '../kernels/index.js';
import type { Device } from './device.js';
import { DeviceLostError } from './errors.js';
import { cast } from './operations/elementwise.js';
import type { Tensor } from './tensor.js';

/** A kind of matrices, as `GPUAdapterInfo.subgroupMatrixConfigs` of Dawn and Chrome lists them. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

const needed = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as const;

/** The units for f16 that add up in f32, with the most products at once. Only where subgroups have one size. */
export function offeredMatrixUnits(info: GPUAdapterInfo, gpu: GPUDevice): MatrixUnits | undefined {
  const { subgroupMinSize, subgroupMaxSize } = info;
  if (!needed.every((name) => gpu.features.has(name)) || subgroupMinSize !== subgroupMaxSize)
    return undefined;
  const configs = [
    ...((info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> }).subgroupMatrixConfigs ?? []),
  ];
  const [best] = configs
    .filter((config) => config.componentType === 'f16' && config.resultComponentType === 'f32')
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return best && { rows: best.M, columns: best.N, depth: best.K, lanes: subgroupMaxSize };
}

/** Neither is a multiple of a tile's. */
const [rows, depth, columns] = [70, 83, 149];
const tolerance = 5e-3;

/**
 * Multiplies by each way that the units allow, and by the plain way.
 * @returns whether all agree; false too where the driver refuses something
 * @throws DeviceLostError where the driver fails at it altogether
 */
export async function multipliesRightly(device: Device, matrixUnits: MatrixUnits): Promise<boolean> {
  const traits: AdapterTraits = { ...device.traits, matrixUnits };
  const plain = matmulFamily.variants.at(-1)!;
  try {
    return await device.scope(async () => {
      // The same in every run; their products are of all sizes up to 10.
      const values = (count: number): Float32Array<ArrayBuffer> =>
        Float32Array.from({ length: count }, (_, i) => Math.sin(i * (1 + i / 100)));
      const left = device.tensor(values(rows * depth), [1, 1, rows, depth]);
      const weights = device.tensor(values(columns * depth), [1, 1, columns, depth]);
      const half = cast(weights, 'f16');
      const byDepth = half.transpose();
      const byColumn = cast(weights.transpose(), 'f16');
      const multiplied = (variant: MatmulVariant, right: Tensor): Tensor => {
        const result = device.empty('f32', [1, 1, rows, columns]);
        device.dispatch(
          ([own, other, into]) => {
            const problem: MatmulProblem = {
              left: own!,
              right: other!,
              activation: 'none',
              scale: 1,
              result: into!,
            };
            return variant.launch(problem, traits);
          },
          [left, right, result],
          () => `self-test of ${variant.name}`,
        );
        return result;
      };
      const expected = (await multiplied(plain, byDepth).read()) as Float32Array;
      for (const right of [byDepth, byColumn]) {
        for (const variant of matrixVariants(traits)) {
          const found = (await multiplied(variant, right).read()) as Float32Array;
          // A NaN is no less.
          if (!found.every((value, i) => Math.abs(value - expected[i]!) < tolerance * 10)) return false;
        }
      }
      return true;
    });
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    return false;
  }
}

function matrixVariants(traits: AdapterTraits): MatmulVariant[] {
  const operand = { shape: [1, 1, 1, 1], strides: [1, 1, 1, 1], offset: 0 };
  const [float, half] = [
    { ...operand, dtype: 'f32' as const },
    { ...operand, dtype: 'f16' as const },
  ];
  const problem: MatmulProblem = { left: float, right: half, activation: 'none', scale: 1, result: float };
  return matmulFamily.variants.filter(
    (variant) => variant.name.startsWith('matmul_matrix') && variant.canApply(problem, traits),
  );
}
