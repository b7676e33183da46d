import type { Device } from '../engine/index.js';
import { type ByteSource, openParameters, withClipRounding } from '../weights/index.js';
import { checkMethods, checkOptions } from './arguments.js';
import type { CharsetAdapter } from './charset.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import type { Clip } from './clip.js';
import {
  type ClipRefineOptions,
  checkClipRefineOptions,
  defaultClipRefineOptions,
  refineWithClip,
} from './clip_refine.js';
import { checkVocabulary } from './clip_tokenizer.js';
import {
  type Normalization,
  normalizeImage,
  preprocessImage,
  renormalizeImage,
  resizeAndCrop,
} from './image.js';
import { loadModel } from './load_model.js';
import type { Precision } from './parameters.js';
import { type TextReading, softmaxRows } from './reading_text.js';
import { proportionalDraw, seededUniform } from './refine_candidates.js';
import type { RgbImage } from './rgb_image.js';

/** The original's draws are random; ours repeat. */
const seed = 1;

/** A separate CLIP that chooses among the likely texts of a reading, the one that fits the image best. */
export class ClipRefiner {
  private constructor(
    private readonly device: Device,
    private readonly clip: Clip,
    private readonly options: ClipRefineOptions,
  ) {}

  /**
   * @param source path or bytes of a CLIP checkpoint (OpenAI, OpenCLIP, Hugging Face)
   * @throws Error when it is another model, and for options that are none
   */
  static async load(
    device: Device,
    source: string | Uint8Array | ByteSource,
    options: Partial<ClipRefineOptions> & { precision?: Precision | undefined } = {},
  ): Promise<ClipRefiner> {
    checkMethods('device', device, ['exclusively', 'scope'], 'what `await openDevice()` returns');
    checkOptions(options, '{ candidates: 5 }');
    checkClipRefineOptions(options);
    const { precision } = options;
    const parameters = await openParameters(source);
    try {
      if (parameters.family !== 'clip') {
        throw new Error(
          `${parameters.name}: is a ${parameters.family} model; post-refinement needs a plain CLIP.`,
        );
      }
      const model = (await device.exclusively(() =>
        loadModel(device, withClipRounding(parameters), { precision }, true),
      )) as Clip;
      try {
        checkVocabulary(parameters.name, model.configuration.text);
      } catch (error) {
        model.parameters.dispose();
        throw error;
      }
      const { candidates, charactersPerPosition, samples, clipWeight, prompt } = defaultClipRefineOptions;
      return new ClipRefiner(device, model, {
        candidates: options.candidates ?? candidates,
        charactersPerPosition: options.charactersPerPosition ?? charactersPerPosition,
        samples: options.samples ?? samples,
        clipWeight: options.clipWeight ?? clipWeight,
        prompt: options.prompt ?? prompt,
      });
    } finally {
      await parameters.close();
    }
  }

  /** `[height, width]` that CLIP sees; a normalised image must have it. */
  get imageSize(): readonly [number, number] {
    return this.clip.configuration.image.imageSize;
  }

  /**
   * Chooses a text for one image.
   * @param image pixels; a normalised image must have CLIP's own size
   * @param logits `[positions, classes]` of the reading
   * @param normalization of a normalised image; CLIP is given its own
   */
  async refine(
    image: RgbImage | { readonly normalized: Float32Array },
    logits: Float32Array,
    tokenizer: CharsetTokenizer,
    adapter: CharsetAdapter,
    normalization: Normalization = 'clip',
  ): Promise<TextReading> {
    const { device, clip } = this;
    const [height, width] = this.imageSize;
    const pixels =
      'normalized' in image
        ? renormalizeImage(image.normalized, normalization, 'clip')
        : this.pixelsFor(image);
    if (pixels.length !== 3 * height * width) {
      throw new Error(
        `post-refinement: ${pixels.length} normalised values; this CLIP takes [3,${height},${width}].`,
      );
    }
    const similarity = (captions: readonly string[]): Promise<Float32Array> =>
      device.exclusively(() =>
        device.scope(async () => {
          const images = device.tensor(Float32Array.from(pixels), [1, 3, height, width]);
          return (await clip.similarity(images, captions).read()) as Float32Array;
        }),
      );
    const probabilities = softmaxRows(logits, tokenizer.classes);
    const draw = proportionalDraw(seededUniform(seed));
    return refineWithClip({ probabilities, tokenizer, adapter }, similarity, this.options, draw);
  }

  /** CLIP's own preprocessing for square models; one that takes rectangles sees the whole image, as our readers do. */
  private pixelsFor(image: RgbImage): Float32Array {
    const { imageSize } = this;
    const [height, width] = imageSize;
    return height === width
      ? normalizeImage(resizeAndCrop(image, height), 'clip')
      : preprocessImage(image, imageSize, 'clip');
  }

  dispose(): void {
    this.clip.parameters.dispose();
  }
}
