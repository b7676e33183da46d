/** Units that multiply small matrices: what an adapter offers, and whether it computes rightly. */
import {
  type AdapterTraits,
  type MatmulProblem,
  type MatmulVariant,
  type MatrixUnits,
  matmulFamily,
  quantizedBlock,
} from '../kernels/index.js';
import type { Device } from './device.js';
import { DeviceLostError } from './errors.js';
import { cast, contiguous } from './operations/elementwise.js';
import { quantize } from './operations/quantize.js';
import type { Tensor, TensorData } from './tensor.js';

/** A kind of matrices, as `GPUAdapterInfo.subgroupMatrixConfigs` of Dawn and Chrome lists them. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Feature of adapters that have such units. */
export const matrixFeature = 'chromium-experimental-subgroup-matrix';

const needed = ['shader-f16', 'subgroups', matrixFeature] as const;

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

/** A left operand and weights in some layout and type, in sizes that are no multiples of a tile's. */
interface Trial {
  readonly left: Tensor;
  readonly right: Tensor;
}

/** Of results up to 60, whose operands are rounded alike. */
const tolerance = 1e-3;

/**
 * Multiplies by each way that the units allow, in every layout that a shader of theirs is made for, and by the plain way.
 * @param variants all ways to multiply, the plain one last
 * @returns whether all agree; false too where the driver refuses something
 * @throws DeviceLostError where the driver fails at it altogether
 */
export async function multipliesRightly(
  device: Device,
  matrixUnits: MatrixUnits,
  variants: readonly MatmulVariant[] = matmulFamily.variants,
): Promise<boolean> {
  const traits: AdapterTraits = { ...device.traits, matrixUnits };
  const plain = variants.at(-1)!;
  try {
    return await device.scope(async () => {
      const trials = trialsOn(device);
      const all = (): Tensor[][] =>
        trials.map((trial) => {
          const allowed = variants.filter(
            (variant) =>
              variant.name.startsWith('matmul_matrix') && variant.canApply(problemOf(trial), traits),
          );
          return [plain, ...allowed].map((variant) => multiplied(device, variant, trial, traits));
        });
      // Side by side first: openDevice waits for it.
      await device.compile(() => void all());
      for (const results of all()) {
        const [expected, ...found] = await device.readAll(results);
        // A NaN is no less.
        const agrees = (values: TensorData): boolean =>
          values.every((value, i) => Math.abs(value - expected![i]!) < tolerance);
        if (found.length === 0 || !found.every(agrees)) return false;
      }
      return true;
    });
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    return false;
  }
}

/** Every way that operands can lie: by rows or by columns, at multiples of four elements or not, narrow or in blocks. */
function trialsOn(device: Device): Trial[] {
  const trials: Trial[] = [];
  for (const [rows, depth, columns] of [
    [70, 83, 149],
    [68, 96, 148],
  ] as const) {
    const byRows = device.tensor(waves(rows * depth), [1, 1, rows, depth]);
    const byColumns = contiguous(byRows.transpose()).transpose();
    const weights = device.tensor(waves(columns * depth), [1, 1, columns, depth]);
    const rights = [cast(weights, 'f16').transpose(), cast(contiguous(weights.transpose()), 'f16')];
    if (depth % quantizedBlock === 0) {
      const blocks = device.empty('q8', weights.shape);
      quantize(weights, blocks);
      rights.push(blocks.transpose());
    }
    for (const left of [byRows, byColumns]) for (const right of rights) trials.push({ left, right });
  }
  return trials;
}

/** The same in every run; sums of their products are of all sizes up to 60. */
function waves(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * (1 + i / 100)));
}

function multiplied(
  device: Device,
  variant: MatmulVariant,
  { left, right }: Trial,
  traits: AdapterTraits,
): Tensor {
  const result = device.empty('f32', [1, 1, left.shape[2]!, right.shape[3]!]);
  device.dispatch(
    ([own, other, into]) =>
      variant.launch({ left: own!, right: other!, activation: 'none', scale: 1, result: into! }, traits),
    [left, right, result],
    () => `self-test of ${variant.name}`,
  );
  return result;
}

function problemOf({ left, right }: Trial): MatmulProblem {
  const result = {
    dtype: 'f32',
    shape: [1, 1, left.shape[2]!, right.shape[3]!],
    strides: [],
    offset: 0,
  } as const;
  return { left, right, activation: 'none', scale: 1, result };
}
