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

/** What one branch computed for some of the permutations. */
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
    const { totals } = batch.lossOf(model.decoder, () => memory, masks, wanted);
    const loss = { loss: scale(sum(totals, [0]), factor), visual: means(totals, counts), captions: [] };
    return { finish: () => loss };
  }

  const features = model.encodeImages(images);
  const memory = model.visualDecoder.prepareMemory(features.visual);
  const visual = batch.lossOf(model.visualDecoder, () => memory, masks, wanted);
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
    const memoriesOf = (first: number, end: number): PreparedMemory => {
      const all = text.reshape([targets.labels, permutations.length, ...text.shape.slice(1)]);
      const own = contiguous(all.slice(1, first, end)).reshape([-1, ...text.shape.slice(1)]);
      return model.crossDecoder.prepareMemories(image, own);
    };
    const crossMasks = crossClozeMask ? masks.map(() => clozeMasks(targets.positions)) : masks;
    const context = crossGtContext ? undefined : read;
    const cross = batch.lossOf(model.crossDecoder, memoriesOf, crossMasks, wanted, context);
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
   * @param memoriesOf the memory for some of the permutations: one for all, or one for each of them and every image
   * @param context ids `[batch, permutations, positions]` that a decoder read, in place of the label's
   */
  lossOf(
    decoder: Decoder,
    memoriesOf: (first: number, end: number) => PreparedMemory,
    masks: readonly DecoderMasks[],
    wanted: readonly TargetIds[],
    context?: Tensor,
  ): BranchLoss {
    // Dropout differs between permutations in the original, also in what they could share.
    const together = decoder.sharesContent && !context && !this.dropout;
    const size = together ? masks.length : 1;
    return this.device.scope(() => {
      const parts = Array.from({ length: masks.length / size }, (_, i) => {
        const [first, end] = [i * size, (i + 1) * size];
        const given = context?.select(1, i);
        const memory = memoriesOf(first, end);
        return this.partOf(decoder, memory, masks.slice(first, end), wanted.slice(first, end), given);
      });
      const [only] = parts;
      if (parts.length === 1) return only!;
      return {
        logits: concat(
          parts.map(({ logits }) => logits.detach()),
          1,
        ),
        totals: concat(
          parts.map(({ totals }) => totals),
          0,
        ),
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

  private partOf(
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
      const mask = this.maskOf(masks.map(({ query }) => query));
      const contentMask = this.maskOf(masks.slice(0, 1).map(({ content }) => content));
      const begin = this.inputs.slice(1, 0, 1);
      const ids = context ? concat([begin, context.slice(1, 0, positions - 1)], 1) : this.inputs;
      const read = decoder.readRepeatedly(ids, positions, count, memory, { mask, contentMask, dropout });
      const rows = read.reshape([labels * count * positions, -1]);
      const losses = crossEntropy(rows, this.targetRows(wanted), this.padId).reshape([
        labels,
        count,
        positions,
      ]);
      return { logits: read.reshape([labels, count, positions, -1]), totals: sum(losses, [0, 2]) };
    });
  }

  /** Masks `[positions, positions]` one below the other, with the labels' padding: `[batch, 1, rows, positions]`. */
  private maskOf(masks: readonly Float32Array[]): Tensor {
    const { positions } = this.targets;
    const values = new Float32Array(masks.length * positions * positions);
    masks.forEach((mask, i) => values.set(mask, i * positions * positions));
    return add(this.padding, this.device.tensor(values, [masks.length * positions, positions]));
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
