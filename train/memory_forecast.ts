/** Foresees whether a training step fits into the device's memory, before the first one is taken. */
import { type Device, OutOfMemoryError, RandomGenerator, type Tensor } from '../engine/index.js';
import { finalDecoder } from '../model/index.js';
import { drawPermutations } from './permutations.js';
import type { RunPlan } from './run_plan.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import type { TrainableModel } from './trainable_model.js';
import type { GradientOptions, TrainingBatch, TrainingStep } from './training_step.js';

/** Large enough to be few, and no larger than a buffer can be anywhere. */
const pieceBytes = 64 << 20;

/**
 * Device memory that a step takes at most: that of one image, and a line over the images of a forward pass once their
 * activations are what takes most.
 */
export interface StepMemory {
  readonly firstImageBytes: number;
  readonly fixedBytes: number;
  readonly bytesPerImage: number;
}

export interface MemoryForecast extends StepMemory {
  /** What will be held from a later step on, as the average of the weights is. */
  readonly laterBytes: number;
  /** Images that a pass was seen to fit, and more of which were seen not to, or not tried. */
  readonly fittingImages?: number;
}

/** Images of the largest pass that the line is drawn through; with fewer, weights and their gradients hide what images take. */
const mostMeasured = 8;

/** What a pass takes. */
interface Measured {
  readonly images: number;
  readonly peakBytes: number;
  /** Held between the forward and the backward pass. */
  readonly heldBytes: number;
}

/** Images with the longest labels, and all permutations. */
export function largestBatch(
  { configuration }: TrainableModel,
  plan: RunPlan,
  images: number,
  visualOnly: boolean,
): TrainingBatch {
  const { maxLabelLength } = finalDecoder(configuration);
  const [height, width] = configuration.image.imageSize;
  const label = Array.from(configuration.charset)[0]!.repeat(maxLabelLength);
  return {
    pixels: new Float32Array(images * 3 * height * width),
    labels: Array.from({ length: images }, () => label),
    permutations: drawPermutations(maxLabelLength, plan.permutations(visualOnly), new RandomGenerator(0)),
  };
}

/**
 * Rehearses forward and backward passes of a few images with the longest labels and all permutations, without doing them:
 * what tensors take is known before anything is computed. Leaves the state of the optimizers allocated, as it will be.
 * Where the device does not tell how much memory it has, as GPUs do not, one pass of the whole batch is done in each phase,
 * and smaller ones until they fit; parameters stay as they are.
 * @throws OutOfMemoryError if not even one image fits
 */
export async function forecastMemory(
  device: Device,
  model: TrainableModel,
  training: TrainingStep,
  plan: RunPlan,
  options: GradientOptions & {
    readonly batchSize: number;
    readonly laterBytes: number;
    /** Whether the visual branch trains alone, for each way in which steps will train. */
    readonly phases: readonly boolean[];
  },
): Promise<StepMemory & Pick<MemoryForecast, 'fittingImages'>> {
  training.allocateStates();
  const { phases } = options;
  const measure = async (images: number): Promise<Measured> => {
    let heldBytes = 0;
    const onForward = (): void => {
      heldBytes = Math.max(heldBytes, device.memory.liveBytes);
    };
    device.resetStatistics();
    for (const visualOnly of phases) {
      const batch = largestBatch(model, plan, images, visualOnly);
      device.rehearse(() => training.rehearseGradientsOf(batch, { ...options, visualOnly, onForward }));
      // A driver that has no memory for a buffer says so later.
      await device.finish();
    }
    return { images, peakBytes: device.memory.peakBytes, heldBytes };
  };
  /** Does a pass over gradients that earlier passes of a step leave behind. */
  const tryPass = async (images: number): Promise<void> => {
    for (const visualOnly of phases) {
      await training.compile([largestBatch(model, plan, images, visualOnly)], { ...options, visualOnly });
    }
    // Their memory counts: what they hold is thrown away.
    await measure(1);
    for (const visualOnly of phases) {
      const batch = largestBatch(model, plan, images, visualOnly);
      await device.scope(
        async () => void (await training.addGradientsOf([batch], { ...options, visualOnly })),
      );
      await device.finish();
    }
  };
  const { memoryBudgetBytes } = device;
  const measured: Measured[] = [];
  try {
    // The first pass leaves gradients behind for the others to find.
    await measure(1);
    const most = Math.min(mostMeasured, options.batchSize);
    let possible = options.batchSize;
    for (const images of new Set([1, Math.ceil(most / 2), most])) {
      try {
        measured.push(await measure(images));
      } catch (error) {
        if (!(error instanceof OutOfMemoryError) || measured.length === 0) throw error;
        device.trim();
        possible = measured.at(-1)!.images;
        break;
      }
    }
    if (memoryBudgetBytes < Infinity) {
      return { ...memoryOf(measured), ...(possible < options.batchSize ? { fittingImages: possible } : {}) };
    }
    const fittingImages = await largestFitting(possible, async (images) => {
      const later: Tensor[] = [];
      try {
        // What will be held later takes its place already.
        for (let rest = options.laterBytes; rest > 0; rest -= pieceBytes) {
          later.push(device.keep(device.empty('f32', [Math.ceil(Math.min(rest, pieceBytes) / 4)])));
        }
        await tryPass(images);
        return true;
      } catch (error) {
        if (!(error instanceof OutOfMemoryError)) throw error;
        return false;
      } finally {
        for (const tensor of later) tensor.dispose();
        device.trim();
      }
    });
    return { ...memoryOf(measured), fittingImages };
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    const had = memoryBudgetBytes < Infinity ? `${gigabytes(memoryBudgetBytes)} for tensors,` : 'memory';
    throw new OutOfMemoryError(
      `${device.adapter.name} has ${had} too little to train this model with even one image at a time. ` +
        `${model.recomputeBlocks ? 'Train' : 'Set trainer.gradient_checkpointing=true, or train'} a smaller model.`,
    );
  } finally {
    training.clearGradients();
    device.trim();
    device.resetStatistics();
  }
}

/** The line through the two largest passes, which is no flatter than that of what is held between forward and backward. */
function memoryOf(measured: readonly Measured[]): StepMemory {
  if (measured.length === 1) {
    const { peakBytes } = measured[0]!;
    return { firstImageBytes: peakBytes, fixedBytes: 0, bytesPerImage: peakBytes };
  }
  const [first, before, last] = [measured[0]!, measured.at(-2)!, measured.at(-1)!];
  const images = last.images - before.images;
  const slopes = (['peakBytes', 'heldBytes'] as const).map((bytes) => (last[bytes] - before[bytes]) / images);
  const bytesPerImage = Math.max(0, ...slopes);
  const fixedBytes = last.peakBytes - last.images * bytesPerImage;
  return { firstImageBytes: first.peakBytes, fixedBytes, bytesPerImage };
}

/**
 * Halves a number of images until it fits.
 * @returns 0 where not even one does
 */
export async function largestFitting(
  images: number,
  fits: (images: number) => Promise<boolean>,
): Promise<number> {
  for (let tried = images; ; tried = Math.ceil(tried / 2)) {
    if (await fits(tried)) return tried;
    if (tried === 1) return 0;
  }
}

/**
 * @throws OutOfMemoryError that proposes a batch size which fits, with the accumulation that keeps the images of a step or
 *   comes nearest to them
 */
export function checkMemory(
  forecast: MemoryForecast,
  { model, trainer }: Pick<TrainingConfiguration, 'model' | 'trainer'>,
  { adapter, memoryBudgetBytes }: Pick<Device, 'adapter' | 'memoryBudgetBytes'>,
): void {
  const needed = (images: number): number =>
    Math.max(forecast.firstImageBytes, forecast.fixedBytes + images * forecast.bytesPerImage) +
    forecast.laterBytes;
  const { batch_size: batchSize } = model;
  const { fittingImages = Infinity } = forecast;
  const fits = (images: number): boolean => images <= fittingImages && needed(images) <= memoryBudgetBytes;
  if (fits(batchSize)) return;
  const savings = [
    ...(trainer.gradient_checkpointing ? [] : ['trainer.gradient_checkpointing=true']),
    ...(forecast.laterBytes > 0 ? ['swa=false'] : []),
  ].join(' or ');
  const had =
    memoryBudgetBytes < Infinity
      ? `${adapter.name} has ${gigabytes(memoryBudgetBytes)} for tensors`
      : `${adapter.name} ran out of memory with it`;
  if (!fits(1)) {
    throw new OutOfMemoryError(
      `a step needs about ${gigabytes(needed(1))} even with model.batch_size=1; ${had}. ` +
        (savings === ''
          ? 'Train a smaller model.'
          : `Set ${savings} to need less, or train a smaller model.`),
    );
  }
  let fitting = Math.min(fittingImages, batchSize - 1);
  while (!fits(fitting)) fitting--;
  const all = batchSize * trainer.accumulate_grad_batches;
  const proposal = nearestSplit(all, fitting);
  const images = proposal.batchSize * proposal.accumulation;
  const rate =
    model.lr_scaling === 'none'
      ? ''
      : `; by model.lr_scaling=${model.lr_scaling} the learning rate changes alike`;
  const kept =
    images === all
      ? `for the same ${all} images a step`
      : `for ${images} images a step, as near to the ${all} of now as it gets${rate}`;
  throw new OutOfMemoryError(
    `a step with model.batch_size=${batchSize} needs about ${gigabytes(needed(batchSize))}; ${had}. ` +
      `Set model.batch_size=${proposal.batchSize} trainer.accumulate_grad_batches=${proposal.accumulation} ${kept}` +
      `${savings === '' ? '' : `, or ${savings} to need less`}.`,
  );
}

/** Forward passes that a step can have at most. */
const mostAccumulated = 2 ** 16;

/**
 * Splits the images of a step into forward passes: as nearly all of them as passes can that are at least half as large as
 * fits, since smaller ones leave the device idle; of equal splits the one with the largest passes.
 */
function nearestSplit(images: number, fitting: number): { batchSize: number; accumulation: number } {
  let best = { batchSize: fitting, accumulation: 1, off: Infinity };
  for (let batchSize = fitting; batchSize >= Math.max(1, fitting / 2); batchSize--) {
    const accumulation = Math.min(mostAccumulated, Math.max(1, Math.round(images / batchSize)));
    const off = Math.abs(batchSize * accumulation - images);
    if (off < best.off) best = { batchSize, accumulation, off };
  }
  return best;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB`;
}
