/** Units that multiply small matrices: what an adapter offers, and whether it computes rightly. */
import {
  type AdapterTraits,
  type AttentionBackwardVariant,
  type AttentionVariant,
  type MatmulVariant,
  type MatrixSizes,
  type MatrixUnits,
  attentionBackwardFamily,
  attentionFamily,
  matmulFamily,
} from '../kernels/index.js';
import type { Device } from './device.js';
import { DeviceLostError } from './errors.js';
import type { TensorData } from './tensor.js';
import { type Trial, attentionTrials, gradientTrials, productTrials } from './unit_trials.js';

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
export function offeredMatrixUnits(info: GPUAdapterInfo, gpu: GPUDevice): MatrixSizes | undefined {
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

/** All variants of work that units can do, the plain one last. */
export interface UnitVariants {
  readonly products: readonly MatmulVariant[];
  readonly attentions: readonly AttentionVariant[];
  readonly gradients: readonly AttentionBackwardVariant[];
}

const allVariants: UnitVariants = {
  products: matmulFamily.variants,
  attentions: attentionFamily.variants,
  gradients: attentionBackwardFamily.variants,
};

/**
 * Multiplies by each variant that the units allow, in every layout that a shader of theirs is made for, and by the plain one;
 * then attends likewise, for heads of common widths, and takes the gradients of that.
 * @param use what they are tried for: `forward` leaves out the gradients of attention, which are trusted to the plain way then
 * @returns the units as far as they agree with the plain way. Undefined where products do not, the driver refuses them, or
 *   the units allow none
 * @throws DeviceLostError where the driver fails at it altogether
 */
export async function trustedUnits(
  device: Device,
  offered: MatrixSizes,
  use: 'forward' | 'all',
  { products, attentions, gradients }: UnitVariants = allVariants,
): Promise<MatrixUnits | undefined> {
  const traits: AdapterTraits = {
    ...device.traits,
    matrixUnits: { ...offered, attend: true, attendBackward: true },
  };
  // Heads may be of widths that the units cannot be used for.
  const possible = (trials: readonly Trial[]): readonly Trial[] =>
    trials.filter(({ byUnits }) => byUnits.length > 0);
  if (!(await agree(device, () => productTrials(device, traits, products)))) return undefined;
  return {
    ...offered,
    attend: await agree(device, () => possible(attentionTrials(device, traits, attentions))),
    attendBackward:
      use === 'all' && (await agree(device, () => possible(gradientTrials(device, traits, gradients)))),
  };
}

/** Whether there are trials, each has results by units, and all are as the plain one. */
async function agree(device: Device, prepare: () => readonly Trial[]): Promise<boolean> {
  try {
    return await device.scope(async () => {
      const trials = prepare();
      if (trials.length === 0 || trials.some(({ byUnits }) => byUnits.length === 0)) return false;
      // Side by side first: openDevice waits for it.
      await device.compile(() => {
        for (const { plain, byUnits } of trials) for (const way of [plain, ...byUnits]) way();
      });
      for (const { plain, byUnits, tolerance } of trials) {
        const [expected, ...found] = await device.readAll([plain, ...byUnits].map((way) => way()));
        // A NaN is no less.
        const agrees = (values: TensorData): boolean =>
          values.every((value, i) => Math.abs(value - expected![i]!) < tolerance);
        if (!found.every(agrees)) return false;
      }
      return true;
    });
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    return false;
  }
}
