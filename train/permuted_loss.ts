/** The loss of permuted sequence modelling (PARSeq, section 3.2), over both branches of CLIP4STR. */
import {
  type Device,
  type Tensor,
  add,
  argmax,
  concat,
  contiguous,
  crossEntropy,
  divide,
  scale,
  sum,
} from '../engine/index.js';
import {
  CharsetAdapter,
  type Clip4StrModel,
  type Decoder,
  type PreparedMemory,
  SingleBranchModel,
  captionFromIds,
} from '../model/index.js';
import { type DecoderMasks, clozeMasks, permutationMasks } from './masks.js';
import { type TargetIds, type TrainingTargets, targetsOfPermutation } from './targets.js';
import type { TrainableModel } from './trainable_model.js';

/** The original's options of the cross branch, and dropout. */
export interface PermutedLossOptions {
  /** Trains the visual branch alone. Only CLIP4STR has another. */
  readonly visualOnly?: boolean;
  /** Keeps the cross branch's gradients out of the image encoder (`image_detach`). */
  readonly imageDetach?: boolean;
  /** Gives the cross branch the label as context, not what the visual branch read (`cross_gt_context`). */
  readonly crossGtContext?: boolean;
  /** Lets the cross branch see all characters but the one asked for (`cross_cloze_mask`). */
  readonly crossClozeMask?: boolean;
  /** Weight of the cross branch's loss (`cross_loss_w`). */
  readonly crossLossWeight?: number;
  /** Drops elements of the decoders at random. */
  readonly dropout?: ((x: Tensor) => Tensor) | undefined;
}

export interface PermutedLoss {
  /** What is to be minimised: a mean over all targets of all permutations, `[]` f32. */
  readonly loss: Tensor;
  /** Mean cross entropy of each permutation, `[permutations]` f32. */
  readonly visual: Tensor;
  readonly cross?: Tensor;
  /** What the visual branch read for each permutation, as the text encoder saw it. */
  readonly captions: readonly (readonly string[])[];
}

/** A loss of which the cross branch waits for what the visual one has read. */
interface UnfinishedLoss {
  /** `[batch, permutations, positions]` u32: what the visual branch has read. Nothing where no other branch looks at it. */
  readonly read?: Tensor;
  /** Goes on with the values of `read`. */
  readonly finish: (ids: Uint32Array) => PermutedLoss;
}

/** What one branch computed for the permutations. */
interface BranchLoss {
  /** `[batch, permutations, positions, classes]`. */
  readonly logits: Tensor;
  /** Cross entropy summed over the targets of each permutation, `[permutations]`. */
  readonly totals: Tensor;
}

/**
 * @param images `[batch, 3, height, width]` f32, normalised
 * @param permutations as `drawPermutations` makes them
 * @param options default to the original's recipe
 */
export async function permutedLoss(
  model: TrainableModel,
  images: Tensor,
  targets: TrainingTargets,
  permutations: readonly (readonly number[])[],
  options: PermutedLossOptions = {},
): Promise<PermutedLoss> {
  const { read, finish } = beginLoss(model, images, targets, permutations, options);
  return finish(read ? ((await read.read()) as Uint32Array) : new Uint32Array());
}

/**
 * Dispatches what `permutedLoss` does without waiting for what the visual branch has read, which is taken to be empty: for
 * work that is only rehearsed.
 */
export function rehearsePermutedLoss(
  model: TrainableModel,
  images: Tensor,
  targets: TrainingTargets,
  permutations: readonly (readonly number[])[],
  options: PermutedLossOptions,
): PermutedLoss {
  const { read, finish } = beginLoss(model, images, targets, permutations, options);
  return finish(new Uint32Array(read?.size ?? 0).fill(model.tokenizer.endId));
}

function beginLoss(
  model: TrainableModel,
  images: Tensor,
  targets: TrainingTargets,
  permutations: readonly (readonly number[])[],
  options: PermutedLossOptions,
): UnfinishedLoss {
  const { device } = model;
  const wanted = permutations.map((_, i) => targetsOfPermutation(targets, i));
  const counts = wanted.map(({ count }) => count);
  const factor = 1 / counts.reduce((total, count) => total + count, 0);
  const masks = permutations.map(permutationMasks);
  const batch = new Batch(device, targets, model.tokenizer.padId, options.dropout);

  if (model instanceof SingleBranchModel) {
    const memory = model.decoder.prepareMemory(model.encode(images));
    const { totals } = batch.lossOf(model.decoder, memory, masks, wanted);
    const loss = { loss: scale(sum(totals, [0]), factor), visual: means(totals, counts), captions: [] };
    return { finish: () => loss };
  }

  const features = model.encodeImages(images);
  const memory = model.visualDecoder.prepareMemory(features.visual);
  const visual = batch.lossOf(model.visualDecoder, memory, masks, wanted);
  const visualLoss = scale(sum(visual.totals, [0]), factor);
  const visualMeans = means(visual.totals, counts);
  if (options.visualOnly) {
    return { finish: () => ({ loss: visualLoss, visual: visualMeans, captions: [] }) };
  }

  const { imageDetach = true, crossGtContext = true, crossClozeMask = false, crossLossWeight = 1 } = options;
  const read = argmax(visual.logits.detach());
  const finish = (ids: Uint32Array): PermutedLoss => {
    const captions = batch.captions(ids, permutations.length, model);
    // Those of one image after another, as decoders want their memories.
    const text = model.encodeCaptions(captions.flat());
    const image = imageDetach ? model.detachedCrossFeatures(features) : features.cross;
    const both = model.crossDecoder.prepareMemories(image, text);
    const crossMasks = crossClozeMask ? masks.map(() => clozeMasks(targets.positions)) : masks;
    const context = crossGtContext ? undefined : read;
    const cross = batch.lossOf(model.crossDecoder, both, crossMasks, wanted, context);
    return {
      loss: add(visualLoss, scale(sum(cross.totals, [0]), crossLossWeight * factor)),
      visual: visualMeans,
      cross: means(cross.totals, counts),
      captions: permutations.map((_, i) => captions.map((own) => own[i]!)),
    };
  };
  return { read, finish };
}

/** A batch of labels on the device. */
class Batch {
  private readonly inputs: Tensor;
  private readonly padding: Tensor;

  constructor(
    private readonly device: Device,
    private readonly targets: TrainingTargets,
    private readonly padId: number,
    private readonly dropout: ((x: Tensor) => Tensor) | undefined,
  ) {
    const { labels, positions } = targets;
    this.inputs = device.tensor(targets.inputs, [labels, positions]);
    this.padding = device.tensor(targets.padding, [labels, 1, 1, positions]);
  }

  /**
   * @param memory of each image, or of each image's permutations
   * @param context ids `[batch, permutations, positions]` that a decoder read, in place of the label's
   */
  lossOf(
    decoder: Decoder,
    memory: PreparedMemory,
    masks: readonly DecoderMasks[],
    wanted: readonly TargetIds[],
    context?: Tensor,
  ): BranchLoss {
    const { device, targets, dropout } = this;
    const { labels, positions } = targets;
    const count = masks.length;
    return device.scope(() => {
      const queryMasks = masks.map(({ query }) => query);
      // Dropout differs between permutations in the original, also in what they could share.
      const shared = decoder.sharesContent && !context && !dropout;
      const read = shared
        ? decoder.readRepeatedly(this.inputs, positions, count, memory, this.maskOf(queryMasks))
        : decoder.readAll(this.idsOf(count, context), positions, memory, {
            mask: this.masksOf(queryMasks),
            contentMask: this.masksOf(masks.map(({ content }) => content)),
            dropout,
          });
      const rows = read.reshape([labels * count * positions, -1]);
      const losses = crossEntropy(rows, this.targetRows(wanted), this.padId);
      return {
        logits: read.reshape([labels, count, positions, -1]),
        totals: sum(losses.reshape([labels, count, positions]), [0, 2]),
      };
    });
  }

  /** @param ids `[batch, permutations, positions]` that the visual branch read */
  captions(ids: Uint32Array, permutations: number, model: Clip4StrModel): string[][] {
    const { labels, positions } = this.targets;
    const adapter = new CharsetAdapter(model.configuration.testCharset);
    const captionAt = (start: number): string =>
      captionFromIds(ids.subarray(start, start + positions), model.tokenizer, adapter);
    return Array.from({ length: labels }, (_, row) =>
      Array.from({ length: permutations }, (_, i) => captionAt((row * permutations + i) * positions)),
    );
  }

  /** What the permutations of each image have as context: `[batch * permutations, positions]`. */
  private idsOf(count: number, context?: Tensor): Tensor {
    const { labels, positions } = this.targets;
    const own = this.inputs.reshape([labels, 1, positions]).expand([labels, count, positions]);
    const ids = context
      ? concat([own.slice(2, 0, 1), context.slice(2, 0, positions - 1)], 2)
      : contiguous(own);
    return ids.reshape([labels * count, positions]);
  }

  /** Masks `[positions, positions]` one below the other, with the labels' padding: `[batch, 1, rows, positions]`. */
  private maskOf(masks: readonly Float32Array[]): Tensor {
    const { positions } = this.targets;
    const values = new Float32Array(masks.length * positions * positions);
    masks.forEach((mask, i) => values.set(mask, i * positions * positions));
    return add(this.padding, this.device.tensor(values, [masks.length * positions, positions]));
  }

  /** Masks of the permutations of each image, with its label's padding: `[batch * permutations, 1, positions, positions]`. */
  private masksOf(masks: readonly Float32Array[]): Tensor {
    const { labels, positions } = this.targets;
    return this.maskOf(masks).reshape([labels * masks.length, 1, positions, positions]);
  }

  /** Targets of every image, permutation and position. */
  private targetRows(wanted: readonly TargetIds[]): Tensor {
    const { labels, positions } = this.targets;
    const ids = new Uint32Array(labels * wanted.length * positions);
    for (let row = 0; row < labels; row++) {
      wanted.forEach((target, i) => {
        const own = target.ids.subarray(row * positions, (row + 1) * positions);
        ids.set(own, (row * wanted.length + i) * positions);
      });
    }
    return this.device.tensor(ids, [ids.length]);
  }
}

/** Mean cross entropies, for whoever watches. */
function means(totals: Tensor, counts: readonly number[]): Tensor {
  const divisors = totals.device.tensor(Float32Array.from(counts), [counts.length]);
  return divide(totals.detach(), divisors);
}
