/** Foresees whether a training step fits into the device's memory, before the first one is taken. */
import { type Device, OutOfMemoryError, type Tensor } from '../engine/index.js';
import type { RunPlan } from './run_plan.js';
import type { TrainingConfiguration } from './configuration_schema.js';
import { largestBatch } from './rehearsal.js';
import type { TrainableModel } from './trainable_model.js';
import type { GradientOptions, TrainingStep } from './training_step.js';

/** Large enough to be few, and no larger than a buffer can be anywhere. */
const pieceBytes = 64 << 20;

/**
 * Device memory that a step takes at most: that of one image, or of the optimizers where they take more, and a line over the images of a forward pass once their
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
  /** What the optimizers take, beside gradients that are all there. */
  const measureStep = async (): Promise<number> => {
    await measure(1);
    device.resetStatistics();
    device.rehearse(() => training.rehearseStep(options));
    return device.memory.peakBytes;
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
    const memory = memoryOf(measured, await measureStep());
    if (memoryBudgetBytes < Infinity) {
      return { ...memory, ...(possible < options.batchSize ? { fittingImages: possible } : {}) };
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
    return { ...memory, fittingImages };
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

/**
 * The line through the two largest passes, which is no flatter than that of what is held between forward and backward.
 * @param optimizerBytes what the step after the passes takes, however many images they have
 */
function memoryOf(measured: readonly Measured[], optimizerBytes: number): StepMemory {
  const firstImageBytes = Math.max(measured[0]!.peakBytes, optimizerBytes);
  if (measured.length === 1) {
    const { peakBytes } = measured[0]!;
    return { firstImageBytes, fixedBytes: 0, bytesPerImage: peakBytes };
  }
  const [before, last] = [measured.at(-2)!, measured.at(-1)!];
  const images = last.images - before.images;
  const slopes = (['peakBytes', 'heldBytes'] as const).map((bytes) => (last[bytes] - before[bytes]) / images);
  const bytesPerImage = Math.max(0, ...slopes);
  const fixedBytes = last.peakBytes - last.images * bytesPerImage;
  return { firstImageBytes, fixedBytes, bytesPerImage };
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

type RunOptions = Pick<TrainingConfiguration, 'model' | 'trainer'>;
type DeviceMemory = Pick<Device, 'adapter' | 'memoryBudgetBytes'>;

/**
 * @throws OutOfMemoryError that proposes a batch size which fits, with the accumulation that keeps the images of a step or
 *   comes nearest to them
 */
export function checkMemory(forecast: MemoryForecast, run: RunOptions, device: DeviceMemory): void {
  const { batch_size: batchSize } = run.model;
  const { fittingImages = Infinity } = forecast;
  const fits = (images: number): boolean =>
    images <= fittingImages && neededBytes(forecast, images) <= device.memoryBudgetBytes;
  if (fits(batchSize)) return;
  const images = fits(1) ? batchSize : 1;
  const needed = `needs about ${gigabytes(neededBytes(forecast, images))}`;
  const fault = fits(1)
    ? `a step with model.batch_size=${batchSize} ${needed}`
    : `a step ${needed} even with model.batch_size=1`;
  throw new OutOfMemoryError(`${fault}; ${memoryOfDevice(device)}. ${smallerStep(forecast, run, fits)}`);
}

/**
 * A step was let through and did not fit after all: so much of what was foreseen must a smaller one leave, or it may not fit
 * either. The tests hold forecasts to be at most so much too low.
 */
const tolerance = 0.03;

/**
 * Does work that was foreseen to fit.
 * @throws OutOfMemoryError as {@link checkMemory} does where it does not fit after all
 */
export async function withinMemory<T>(
  forecast: MemoryForecast,
  run: RunOptions,
  device: DeviceMemory,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof OutOfMemoryError)) throw cause;
    const { batch_size: batchSize } = run.model;
    const foreseen = neededBytes(forecast, batchSize);
    const leavesRoom = (images: number): boolean =>
      images < batchSize && neededBytes(forecast, images) <= (1 - tolerance) * foreseen;
    // Where weights take nearly all of it, half of the images are the most that can be spared.
    const fits = leavesRoom(1) ? leavesRoom : (images: number): boolean => images <= batchSize / 2;
    throw new OutOfMemoryError(
      `a step with model.batch_size=${batchSize} needs more than the ${gigabytes(foreseen)} that were foreseen; ` +
        `${memoryOfDevice(device)}. ${smallerStep(forecast, run, fits)}`,
      { cause },
    );
  }
}

function neededBytes(forecast: MemoryForecast, images: number): number {
  const { firstImageBytes, fixedBytes, bytesPerImage, laterBytes } = forecast;
  return Math.max(firstImageBytes, fixedBytes + images * bytesPerImage) + laterBytes;
}

function memoryOfDevice({ adapter, memoryBudgetBytes }: DeviceMemory): string {
  return memoryBudgetBytes < Infinity
    ? `${adapter.name} has ${gigabytes(memoryBudgetBytes)} for tensors`
    : `${adapter.name} ran out of memory with it`;
}

/** What to set for a step that takes less. @param fits whether so many images do in a pass */
function smallerStep(
  { laterBytes }: MemoryForecast,
  { model, trainer }: RunOptions,
  fits: (images: number) => boolean,
): string {
  const savings = [
    ...(trainer.gradient_checkpointing ? [] : ['trainer.gradient_checkpointing=true']),
    ...(laterBytes > 0 ? ['swa=false'] : []),
  ].join(' or ');
  if (!fits(1)) {
    return savings === ''
      ? 'Train a smaller model.'
      : `Set ${savings} to need less, or train a smaller model.`;
  }
  const { batch_size: batchSize } = model;
  let fitting = batchSize - 1;
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
  return (
    `Set model.batch_size=${proposal.batchSize} trainer.accumulate_grad_batches=${proposal.accumulation} ${kept}` +
    `${savings === '' ? '' : `, or ${savings} to need less`}.`
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
