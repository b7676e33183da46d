/** Units that multiply small matrices: what an adapter offers, and whether it computes rightly. */
import {
  type AdapterTraits,
  type AttentionProblem,
  type AttentionVariant,
  type Launch,
  type MatmulProblem,
  type MatmulVariant,
  type MatrixSizes,
  type MatrixUnits,
  type Operand,
  type Variant,
  attentionFamily,
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

/** Work whose operands are rounded alike, in the plain way and in each that the units allow. */
interface Trial {
  readonly plain: () => Tensor;
  readonly byUnits: readonly (() => Tensor)[];
  /** Of results up to 60, or up to 1 with rounded weights. */
  readonly tolerance: number;
}

/** All variants of work that units can do, the plain one last. */
export interface UnitVariants {
  readonly products: readonly MatmulVariant[];
  readonly attentions: readonly AttentionVariant[];
}

const allVariants: UnitVariants = {
  products: matmulFamily.variants,
  attentions: attentionFamily.variants,
};

/**
 * Multiplies by each variant that the units allow, in every layout that a shader of theirs is made for, and by the plain one;
 * then attends likewise, for heads of common widths.
 * @returns the units as far as they agree with the plain way. Undefined where products do not, the driver refuses them, or
 *   the units allow none
 * @throws DeviceLostError where the driver fails at it altogether
 */
export async function trustedUnits(
  device: Device,
  offered: MatrixSizes,
  { products, attentions }: UnitVariants = allVariants,
): Promise<MatrixUnits | undefined> {
  const units = { ...offered, attend: true };
  const traits: AdapterTraits = { ...device.traits, matrixUnits: units };
  if (!(await agree(device, () => productTrials(device, traits, products)))) return undefined;
  const attend = await agree(device, () =>
    // Heads may be of widths that the units cannot be used for.
    attentionTrials(device, traits, attentions).filter(({ byUnits }) => byUnits.length > 0),
  );
  return { ...units, attend };
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

/** A kind of work as its variants see it. */
interface Work<Problem> {
  readonly tensors: readonly Tensor[];
  readonly problemOf: (operands: readonly Operand[]) => Problem;
  /** One of the tensors, to be filled. */
  readonly result: () => Tensor;
  readonly tolerance: number;
}

type WorkVariant<Problem> = Variant<Problem> & { launch(problem: Problem, traits: AdapterTraits): Launch };

function trialOf<Problem>(
  device: Device,
  traits: AdapterTraits,
  variants: readonly WorkVariant<Problem>[],
  { tensors, problemOf, result, tolerance }: Work<Problem>,
): Trial {
  const by = (variant: WorkVariant<Problem>) => (): Tensor => {
    const filled = result();
    device.dispatch(
      (operands) => variant.launch(problemOf(operands), traits),
      [...tensors, filled],
      () => `self-test of ${variant.name}`,
    );
    return filled;
  };
  const problem = problemOf([...tensors, result()]);
  const allowed = variants.filter(
    (variant) => variant.byMatrixUnits === true && variant.canApply(problem, traits),
  );
  return { plain: by(variants.at(-1)!), byUnits: allowed.map(by), tolerance };
}

/**
 * Operands that lie in every way: by rows or by columns, at multiples of four elements or not, narrow or in blocks. Sizes are
 * no multiples of a tile's.
 */
function productTrials(device: Device, traits: AdapterTraits, variants: readonly MatmulVariant[]): Trial[] {
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
    for (const left of [byRows, byColumns]) {
      for (const right of rights) {
        const work: Work<MatmulProblem> = {
          tensors: [left, right],
          problemOf: ([own, other, result]) => ({
            left: own!,
            right: other!,
            activation: 'none',
            scale: 1,
            result: result!,
          }),
          result: () => device.empty('f32', [1, 1, rows, columns]),
          tolerance: 1e-3,
        };
        trials.push(trialOf(device, traits, variants, work));
      }
    }
  }
  return trials;
}

/** Heads of common widths at multiples of four elements, and anywhere with all that hides keys; many tokens and few. */
function attentionTrials(
  device: Device,
  traits: AdapterTraits,
  variants: readonly AttentionVariant[],
): Trial[] {
  return [70, 20].flatMap((tokens) => attentionTrialsOf(tokens, device, traits, variants));
}

function attentionTrialsOf(
  tokens: number,
  device: Device,
  traits: AdapterTraits,
  variants: readonly AttentionVariant[],
): Trial[] {
  const heads = 2;
  const mask = device
    .tensor(waves(tokens * tokens), [1, 1, tokens, tokens])
    .expand([1, heads, tokens, tokens]);
  const padding = device.tensor(
    Uint32Array.from({ length: tokens }, (_, key) => Number(key % 9 === 4)),
    [1, tokens],
  );
  return [32, 64, 128].flatMap((width) =>
    [false, true].map((hides): Trial => {
      const skipped = hides ? 1 : 0;
      const joined = heads * width + skipped;
      const operands = ['query', 'key', 'value'].map((_, i) => {
        const all = device.tensor(waves((tokens + i) * joined).subarray(i * joined), [1, tokens, joined]);
        return cast(all, 'f16').slice(2, skipped).splitHeads(heads);
      });
      const dtype = hides ? 'f32' : 'f16';
      const work: Work<AttentionProblem> = {
        tensors: hides ? [...operands, mask, padding] : operands,
        problemOf: (given) => ({
          query: given[0]!,
          key: given[1]!,
          value: given[2]!,
          mask: hides ? given[3] : undefined,
          padding: hides ? given[4] : undefined,
          causal: hides,
          scale: 0.5,
          result: given.at(-1)!,
        }),
        result: () => device.empty(dtype, [1, tokens, heads, width]).transpose(1, 2),
        tolerance: 2e-3,
      };
      return trialOf(device, traits, variants, work);
    }),
  );
}

/** The same in every run; sums of their products are of all sizes up to 60. */
function waves(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * (1 + i / 100)));
}
