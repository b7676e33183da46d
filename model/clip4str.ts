import { type Device, type Tensor, concat } from '../engine/index.js';
import { Branch, originalStepCount } from './branch.js';
import { type BranchReading, cutReading } from './branch_reading.js';
import { CharsetTokenizer } from './charset_tokenizer.js';
import type { Clip4StrConfiguration } from './configuration.js';
import { Decoder, type PreparedMemory, branchNames } from './decoder.js';
import { encodeClipImage, projectImage } from './image_encoder.js';
import { KeptWork, freshCopy } from './kept_work.js';
import type { Parameters } from './parameters.js';
import { patchAttention } from './patch_attention.js';
import { captionFromIds } from './reading_text.js';
import {
  type DecodingOptions,
  type Recognition,
  type Recognizer,
  positionCount,
  stopsWithBatch,
} from './recognizer.js';
import { encodeText, poolText, textTokens } from './text_encoder.js';

/** Image features for the two branches: they differ where the visual one works before the projection. */
interface ImageFeatures {
  /** `[batch, tokens, decoder width]`. */
  readonly visual: Tensor;
  /** `[batch, tokens, embed width]`. */
  readonly cross: Tensor;
}

/**
 * CLIP4STR (Zhao et al., 2023): CLIP's image encoder feeds a visual decoder; its reading, as a caption, goes through
 * CLIP's text encoder; a cross-modal decoder reads again from image and caption together. Refinement repeats both.
 */
export class Clip4StrModel implements Recognizer {
  readonly tokenizer: CharsetTokenizer;
  readonly visualDecoder: Decoder;
  readonly crossDecoder: Decoder;
  /** Whether gradients compute each transformer block again, which saves memory and costs a forward pass. */
  recomputeBlocks = false;
  private readonly visual: Branch;
  private readonly cross: Branch;
  private readonly imageWork: KeptWork;
  private readonly textWork: KeptWork;

  constructor(
    readonly device: Device,
    readonly parameters: Parameters,
    readonly configuration: Clip4StrConfiguration,
  ) {
    const { charset, visualDecoder, crossDecoder } = configuration;
    this.tokenizer = new CharsetTokenizer(charset);
    this.visualDecoder = new Decoder(device, parameters, branchNames('visual_decoder'), visualDecoder);
    this.crossDecoder = new Decoder(device, parameters, branchNames('cross_decoder'), crossDecoder);
    this.visual = new Branch(device, this.visualDecoder, this.tokenizer);
    this.cross = new Branch(device, this.crossDecoder, this.tokenizer);
    this.imageWork = new KeptWork(device);
    this.textWork = new KeptWork(device);
  }

  /** Features of images `[batch, 3, height, width]`. With `clipClsEotFeature` there is one token, the class token. */
  encodeImages(images: Tensor): ImageFeatures {
    const { image, useShareDim, clipClsEotFeature } = this.configuration;
    const prefix = 'clip_model.visual.';
    return this.device.scope(() => {
      const all = encodeClipImage(images, this.parameters, prefix, image, this.recomputeBlocks);
      const tokens = clipClsEotFeature ? all.slice(1, 0, 1) : all;
      const projected = projectImage(tokens, this.parameters, prefix);
      return { visual: useShareDim ? projected : tokens, cross: projected };
    });
  }

  /**
   * Features for the cross branch from which no gradient reaches the encoder. A projection that is this branch's alone
   * still has its own, as in the original, which projects what was detached.
   */
  detachedCrossFeatures({ visual, cross }: ImageFeatures): Tensor {
    return this.configuration.useShareDim
      ? cross.detach()
      : projectImage(visual.detach(), this.parameters, 'clip_model.visual.');
  }

  /** {@link encodeImages}, recorded the first time. */
  private repeatImages(images: Tensor): ImageFeatures {
    const [visual, cross] = this.imageWork.run([images], ([own]) => {
      const features = this.encodeImages(own!);
      return [features.visual, features.cross];
    });
    return { visual: visual!, cross: cross! };
  }

  /**
   * Projected features of captions: `[captions, context length, embed width]`, or the end token's alone.
   * @param repeats whether the work is recorded the first time
   */
  encodeCaptions(captions: readonly string[], repeats = false): Tensor {
    return this.device.scope(() => {
      const { tokens, ends } = textTokens(this.device, captions, this.configuration.text);
      return this.encodeTokens(tokens, ends, repeats);
    });
  }

  /** @param ends where the end token of each text stands */
  private encodeTokens(tokens: Tensor, ends: readonly number[], repeats: boolean): Tensor {
    const { text, clipClsEotFeature } = this.configuration;
    const encode = ([own]: readonly Tensor[]): Tensor[] => [
      encodeText(own!, this.parameters, 'clip_model.', text, this.recomputeBlocks),
    ];
    return this.device.scope(() => {
      const [features] = repeats ? this.textWork.run([tokens], encode) : encode([tokens]);
      return clipClsEotFeature ? poolText(features!, ends) : features!;
    });
  }

  recognize(images: Tensor, options: DecodingOptions): Promise<Recognition> {
    const { device, visual, cross } = this;
    const { onStage, endsEarly, keepsWork } = options;
    return device.scope(async () => {
      const batch = images.shape[0]!;
      const positions = positionCount(options, this.configuration.visualDecoder.maxLabelLength);
      const features = keepsWork ? this.repeatImages(images) : this.encodeImages(images);
      await onStage?.('memory', features.visual);
      const memory = visual.prepareMemory(features.visual);

      let seen = options.autoregressive
        ? await visual.readStepwise(memory, batch, positions, { endsEarly, keepsLoop: keepsWork })
        : visual.readAtOnce(memory, batch, positions);
      let ids = (await seen.ids.read()) as Uint32Array;
      let steps = positions;
      if (stopsWithBatch(options)) {
        steps = originalStepCount(ids, seen.logits.shape[1]!, this.tokenizer.endId);
        seen = cutReading(seen, steps);
        ids = cutIds(ids, batch, steps);
      }
      await onStage?.('visual_logits', seen.logits);

      const looked = options.attention ? this.attentionBuffer(features, batch, positions) : undefined;
      let read = await device.scope(async () => {
        const prepared = this.crossMemory(features.cross, ids, options);
        if (!endsEarly) {
          return cross.readStepwise(prepared, batch, steps, { keepsLoop: keepsWork, attentionInto: looked });
        }
        const drafted = { keepsWork, attentionInto: looked };
        return cutReading(await cross.readDrafted(ids, batch, positions, prepared, drafted), steps);
      });
      await onStage?.('cross_logits', read.logits);

      for (let pass = 1; pass <= options.refineIterations; pass++) {
        seen = visual.refine(seen, positions, memory, { keepsWork });
        await onStage?.(`visual_refined_logits_${pass}`, seen.logits);
        const refinedIds = (await seen.ids.read()) as Uint32Array;
        const previous = read;
        read = device.scope((): BranchReading => {
          const prepared = this.crossMemory(features.cross, refinedIds, options);
          return cross.refine(previous, positions, prepared, { keepsWork, attentionInto: looked });
        });
        await onStage?.(`cross_refined_logits_${pass}`, read.logits);
      }
      return {
        logits: read.logits,
        visualLogits: seen.logits,
        ...(looked
          ? { attention: patchAttention(looked, this.configuration.image, read.logits.shape[1]!) }
          : {}),
      };
    });
  }

  compile(): Promise<void> {
    const { device, visual, cross } = this;
    const { image, text, visualDecoder, refineIterations } = this.configuration;
    return device.compile(() => {
      const positions = 1 + visualDecoder.maxLabelLength;
      const images = freshCopy(device.empty('f32', [1, 3, ...image.imageSize]));
      const features = this.encodeImages(images);
      const refines = refineIterations > 0;
      const memory = visual.prepareMemory(freshCopy(features.visual));
      visual.rehearse(memory, positions, { steps: true, passes: refines });
      const tokens = freshCopy(device.empty('u32', [1, text.contextLength]));
      const captions = this.encodeTokens(tokens, [0], false);
      const both = cross.prepareMemory(concat([freshCopy(features.cross), captions], 1));
      cross.rehearse(both, positions, { steps: false, passes: true });
    });
  }

  forgetKeptWork(): void {
    for (const kept of [this.imageWork, this.textWork, this.visual, this.cross]) kept.dispose();
  }

  dispose(): void {
    this.forgetKeptWork();
    this.parameters.dispose();
  }

  /**
   * What the cross branch looks at: image features, then the features of the visual reading's caption.
   * @param ids `[batch, 1 + positions]` of the visual reading
   */
  private crossMemory(
    image: Tensor,
    ids: Uint32Array,
    { captionAdapter, keepsWork }: DecodingOptions,
  ): PreparedMemory {
    return this.device.scope(() => {
      const batch = image.shape[0]!;
      const length = ids.length / batch;
      const captions = Array.from({ length: batch }, (_, row) =>
        captionFromIds(ids.subarray(row * length + 1, (row + 1) * length), this.tokenizer, captionAdapter),
      );
      const memory = concat([image, this.encodeCaptions(captions, keepsWork)], 1);
      return this.cross.prepareMemory(memory);
    });
  }

  private attentionBuffer(features: ImageFeatures, batch: number, positions: number): Tensor {
    const { text, clipClsEotFeature } = this.configuration;
    const textTokens = clipClsEotFeature ? 1 : text.contextLength;
    return this.device.empty('f32', [batch, positions, features.cross.shape[1]! + textTokens]);
  }
}

/** The first `positions` ids of each row, with the begin token before them. */
function cutIds(ids: Uint32Array, batch: number, positions: number): Uint32Array {
  const length = ids.length / batch;
  const cut = new Uint32Array(batch * (1 + positions));
  for (let row = 0; row < batch; row++) {
    cut.set(ids.subarray(row * length, row * length + 1 + positions), row * (1 + positions));
  }
  return cut;
}
