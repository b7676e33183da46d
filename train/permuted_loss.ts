/** The loss of permuted sequence modelling (PARSeq, section 3.2), over both branches of CLIP4STR. */
import { type Device, type Tensor, add, argmax, concat, crossEntropy, scale, sum } from '../engine/index.js';
import {
  CharsetAdapter,
  Clip4StrModel,
  type Decoder,
  type Parseq,
  type PreparedMemory,
  captionFromIds,
} from '../model/index.js';
import { type DecoderMasks, clozeMasks, permutationMasks } from './masks.js';
import { type TargetIds, type TrainingTargets, targetsOfPermutation } from './targets.js';

/** The original's options of the cross branch, and dropout. */
export interface PermutedLossOptions {
  /** Trains the visual branch alone. PARSeq has no other. */
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

/** What one branch computed for one permutation. */
interface BranchLoss {
  /** `[batch, positions, classes]`. */
  readonly logits: Tensor;
  /** Cross entropy summed over the targets, `[]`. */
  readonly total: Tensor;
}

/**
 * @param images `[batch, 3, height, width]` f32, normalised
 * @param permutations as `drawPermutations` makes them
 * @param options default to the original's recipe
 */
export async function permutedLoss(
  model: Clip4StrModel | Parseq,
  images: Tensor,
  targets: TrainingTargets,
  permutations: readonly (readonly number[])[],
  options: PermutedLossOptions = {},
): Promise<PermutedLoss> {
  const { device } = model;
  const wanted = permutations.map((_, i) => targetsOfPermutation(targets, i));
  const count = wanted.reduce((total, target) => total + target.count, 0);
  const masks = permutations.map(permutationMasks);
  const batch = new Batch(device, targets, model.tokenizer.padId, options.dropout);

  if (!(model instanceof Clip4StrModel)) {
    const memory = model.decoder.prepareMemory(model.encode(images));
    const losses = masks.map((mask, i) => batch.lossOf(model.decoder, memory, mask, wanted[i]!));
    return { loss: weighted(losses, 1 / count), visual: means(losses, wanted), captions: [] };
  }

  const features = model.encodeImages(images);
  const memory = model.visualDecoder.prepareMemory(features.visual);
  const visual = masks.map((mask, i) => batch.lossOf(model.visualDecoder, memory, mask, wanted[i]!));
  const visualLoss = weighted(visual, 1 / count);
  if (options.visualOnly) return { loss: visualLoss, visual: means(visual, wanted), captions: [] };

  const { imageDetach = true, crossGtContext = true, crossClozeMask = false, crossLossWeight = 1 } = options;
  const read = visual.map(({ logits }) => argmax(logits.detach()));
  const ids = (await device.readAll(read)) as Uint32Array[];
  const captions = ids.map((rows) => batch.captions(rows, model));
  const text = model.encodeCaptions(captions.flat());
  const image = imageDetach ? features.cross.detach() : features.cross;
  const cross = masks.map((mask, i) =>
    device.scope(() => {
      const own = text.slice(0, i * targets.labels, (i + 1) * targets.labels);
      const crossMemory = model.crossDecoder.prepareMemory(concat([image, own], 1));
      const seen = crossClozeMask ? clozeMasks(targets.positions) : mask;
      const context = crossGtContext ? undefined : read[i];
      return batch.lossOf(model.crossDecoder, crossMemory, seen, wanted[i]!, context);
    }),
  );
  const crossLoss = weighted(cross, crossLossWeight / count);
  return {
    loss: add(visualLoss, crossLoss),
    visual: means(visual, wanted),
    cross: means(cross, wanted),
    captions,
  };
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

  /** @param context ids `[batch, positions]` that a decoder read, in place of the label's */
  lossOf(
    decoder: Decoder,
    memory: PreparedMemory,
    masks: DecoderMasks,
    wanted: TargetIds,
    context?: Tensor,
  ): BranchLoss {
    const { device, targets } = this;
    const { labels, positions } = targets;
    return device.scope(() => {
      const [mask, contentMask] = [masks.query, masks.content].map((values) =>
        add(this.padding, device.tensor(values, [positions, positions])),
      );
      const begin = this.inputs.slice(1, 0, 1);
      const ids = context ? concat([begin, context.slice(1, 0, positions - 1)], 1) : this.inputs;
      const logits = decoder.readAll(ids, positions, memory, { mask, contentMask, dropout: this.dropout });
      const rows = logits.reshape([labels * positions, -1]);
      const losses = crossEntropy(rows, device.tensor(wanted.ids, [labels * positions]), this.padId);
      return { logits, total: sum(losses, [0]) };
    });
  }

  /** @param ids `[batch, positions]` that the visual branch read */
  captions(ids: Uint32Array, model: Clip4StrModel): string[] {
    const { labels, positions } = this.targets;
    const adapter = new CharsetAdapter(model.configuration.testCharset);
    return Array.from({ length: labels }, (_, row) =>
      captionFromIds(ids.subarray(row * positions, (row + 1) * positions), model.tokenizer, adapter),
    );
  }
}

function weighted(losses: readonly BranchLoss[], factor: number): Tensor {
  return scale(
    losses.map(({ total }) => total).reduce((all, next) => add(all, next)),
    factor,
  );
}

/** Mean cross entropies, for whoever watches. */
function means(losses: readonly BranchLoss[], wanted: readonly TargetIds[]): Tensor {
  const each = losses.map(({ total }, i) => scale(total.detach(), 1 / wanted[i]!.count).reshape([1]));
  return concat(each, 0);
}
