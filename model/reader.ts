import type { Device } from '../engine/index.js';
import {
  type ByteSource,
  type ParameterSource,
  defaultCheckpoint,
  openParameters,
} from '../weights/index.js';
import { checkMethods, checkOptions, kindOf } from './arguments.js';
import { CharsetAdapter } from './charset.js';
import { checkVocabulary } from './clip_tokenizer.js';
import { finalDecoder } from './configuration.js';
import { preprocessImage } from './image.js';
import { ImageError } from './image_error.js';
import { type ImageRows, readImageRows } from './image_rows.js';
import { type ImageInput, type NormalizedImage, resolveImage } from './image_input.js';
import { type LoadOptions, loadModel } from './load_model.js';
import { overflowAdvice } from './overflow_advice.js';
import type { Precision } from './parameters.js';
import { type ReadOptions, checkReadOptions } from './read_options.js';
import type { Reading } from './reading.js';
import { invalidLogit, readingFromLogits } from './reading_text.js';
import type { Recognizer } from './recognizer.js';
import type { RgbImage } from './rgb_image.js';

const defaultBatchSize = 16;

/**
 * Reads text from images with a checkpoint of CLIP4STR, PARSeq or CLIP with an adapter.
 *
 *     const device = await openDevice();
 *     const reader = await Clip4Str.load(device, 'clip4str_base.ckpt');
 *     const [reading] = await reader.read([await readFile('word.png')]);
 */
export class Clip4Str {
  private constructor(
    private readonly device: Device,
    readonly model: Recognizer,
    /** Name of the checkpoint's file. */
    readonly checkpointName: string,
    private readonly precision: Precision,
  ) {}

  /**
   * Loads a checkpoint.
   * @param source path of a checkpoint in any supported format, its bytes, or opened parameters; default: the model
   *   that ships with this package
   * @throws CheckpointError or Error in one line that starts with the file's name
   */
  static async load(
    device: Device,
    source: string | Uint8Array | ByteSource | ParameterSource = defaultCheckpoint(),
    options: LoadOptions = {},
  ): Promise<Clip4Str> {
    checkMethods('device', device, ['exclusively', 'scope'], 'what `await openDevice()` returns');
    checkOptions(options, "{ precision: 'f16' }");
    const parameters = isOpened(source) ? source : await openParameters(source);
    try {
      if (parameters.family === 'clip') {
        throw new Error(
          `${parameters.name}: is a plain CLIP model, which compares images with texts and reads none; ` +
            'give a CLIP4STR or PARSeq checkpoint.',
        );
      }
      const model = await device.exclusively(() => loadModel(device, parameters, options, true));
      try {
        const { configuration } = model;
        if (configuration.family === 'clip4str') checkVocabulary(parameters.name, configuration.text);
      } catch (error) {
        model.parameters.dispose();
        throw error;
      }
      return new Clip4Str(device, model as Recognizer, parameters.name, options.precision ?? 'f32');
    } finally {
      await parameters.close();
    }
  }

  /** `[height, width]` that images are brought to. */
  get imageSize(): readonly [number, number] {
    return this.model.configuration.image.imageSize;
  }

  /** Characters of a text that the model has positions for. */
  get maxLabelLength(): number {
    return finalDecoder(this.model.configuration).maxLabelLength;
  }

  /**
   * Reads images, in order. Calls on one device run one after another.
   * @throws ImageError for the first image that gives no reading: bytes that are no image, a normalised image of another
   *   size, values that the model computes no numbers of. {@link readEach} reads the others.
   * @throws Error for options that are none
   */
  async read(images: readonly ImageInput[], options: ReadOptions = {}): Promise<Reading[]> {
    return this.readAll(images, options, (error) => {
      throw error;
    });
  }

  /**
   * As {@link read}, with an ImageError in the place of each image that gives no reading; the others are read as if they
   * were alone.
   * @throws Error for options that are none, and where the device fails
   */
  async readEach(
    images: readonly ImageInput[],
    options: ReadOptions = {},
  ): Promise<(Reading | ImageError)[]> {
    return this.readAll(images, options, (error) => error);
  }

  /**
   * Frees what is kept of a batch to read the next of as many images sooner, between two batches where images are being read.
   * The next one keeps it again. With `device.trim()` after it the memory is the driver's again.
   */
  forgetKeptWork(): Promise<void> {
    return this.device.exclusively(async () => this.model.forgetKeptWork());
  }

  /** Frees the model's memory. */
  dispose(): void {
    this.model.dispose();
  }

  /** @param unread what stands for an image without a reading; it may throw, which ends the reading */
  private async readAll<T>(
    images: readonly ImageInput[],
    options: ReadOptions,
    unread: (error: ImageError) => T,
  ): Promise<(Reading | T)[]> {
    if (!Array.isArray(images)) {
      throw new Error(`images are ${kindOf(images)}; give an array, as read([bytes]), of a single one too.`);
    }
    checkReadOptions(options, this.maxLabelLength);
    const { configuration } = this.model;
    if (options.attention && configuration.family === 'clip4str' && configuration.clipClsEotFeature) {
      throw new Error(
        'attention: this model sees one feature of the whole image and no patches; leave it out.',
      );
    }
    const misfit = this.refinerMisfit(options);
    if (misfit !== undefined && images.length > 0 && images.every(isNormalized)) {
      throw new Error(`clipRefiner: its ${misfit}`);
    }
    const { batchSize = defaultBatchSize } = options;
    const outcomes: (Reading | T)[] = [];
    for (let start = 0; start < images.length; start += batchSize) {
      const startedAt = performance.now();
      const batch = await this.decode(images.slice(start, start + batchSize), start, misfit);
      // Where it throws, nothing is computed in vain.
      for (const image of batch) if (image instanceof ImageError) unread(image);
      const readings = await this.readBatch(batch, options);
      const milliseconds = (performance.now() - startedAt) / batch.length;
      for (const reading of readings) {
        outcomes.push(reading instanceof ImageError ? unread(reading) : { ...reading, milliseconds });
      }
      options.onProgress?.(outcomes.length);
    }
    return outcomes;
  }

  /** Why normalised images, which have this model's size, cannot be refined; undefined where they can. */
  private refinerMisfit({ clipRefiner }: ReadOptions): string | undefined {
    if (clipRefiner === undefined || clipRefiner.imageSize.join() === this.imageSize.join()) return undefined;
    return (
      `CLIP takes ${clipRefiner.imageSize.join('x')}, and normalised images have the model's ` +
      `${this.imageSize.join('x')}; give image files or decoded pixels, or leave the refiner out.`
    );
  }

  /**
   * @param start index of the first image
   * @param misfit why normalised images give no reading
   */
  private decode(
    images: readonly ImageInput[],
    start: number,
    misfit: string | undefined,
  ): Promise<(IndexedImage | ImageError)[]> {
    // Made from the array as a list, in which places left empty are images that were not given.
    return Promise.all(
      Array.from(images, async (given, place): Promise<IndexedImage | ImageError> => {
        const index = start + place;
        try {
          const image = await resolveImage(given, index, this.imageSize);
          if (misfit !== undefined && isNormalized(image)) {
            return new ImageError(index, `is normalised: the refiner's ${misfit}`);
          }
          return { index, image };
        } catch (error) {
          if (error instanceof ImageError) return error;
          throw error;
        }
      }),
    );
  }

  /** Reads the images of a batch that could be decoded; the others keep their place. */
  private async readBatch(
    batch: readonly (IndexedImage | ImageError)[],
    options: ReadOptions,
  ): Promise<(UntimedReading | ImageError)[]> {
    const images = batch.flatMap((image) => (image instanceof ImageError ? [] : [image]));
    const rows = images.length === 0 ? [] : await this.computeLogits(images, options);
    let next = 0;
    return Promise.all(
      batch.map(async (image) =>
        image instanceof ImageError ? image : this.reading(image, rows[next++]!, options),
      ),
    );
  }

  private computeLogits(images: readonly IndexedImage[], options: ReadOptions): Promise<ImageRows[]> {
    const { configuration } = this.model;
    const [height, width] = this.imageSize;
    const pixels = new Float32Array(images.length * 3 * height * width);
    const normalization = options.normalization ?? configuration.normalization;
    images.forEach(({ image }, place) => {
      const normalized =
        'normalized' in image ? image.normalized : preprocessImage(image, this.imageSize, normalization);
      pixels.set(normalized, place * normalized.length);
    });
    return this.device.exclusively(() =>
      this.device.scope(async () => {
        const recognition = await this.model.recognize(
          this.device.tensor(pixels, [images.length, 3, height, width]),
          {
            autoregressive: options.autoregressive ?? configuration.decodeAutoregressive,
            refineIterations: options.refineIterations ?? configuration.refineIterations,
            stopping: options.originalStopping ? 'batch' : 'independent',
            captionAdapter: this.captionAdapter(options),
            // Those two look at what comes after the ends of texts.
            endsEarly: !options.logits && options.clipRefiner === undefined,
            keepsWork: true,
            ...(options.maxLabelLength === undefined ? {} : { maxLabelLength: options.maxLabelLength }),
            ...(options.attention ? { attention: true } : {}),
          },
        );
        return readImageRows(this.device, recognition, images.length);
      }),
    );
  }

  /** The reading that an image's logits make, or why they make none. */
  private async reading(
    { index, image }: IndexedImage,
    { logits, visualLogits, attention }: ImageRows,
    options: ReadOptions,
  ): Promise<UntimedReading | ImageError> {
    const { tokenizer } = this.model;
    const { charset, clipRefiner } = options;
    for (const { values } of visualLogits ? [visualLogits, logits] : [logits]) {
      const invalid = invalidLogit(values, tokenizer.classes);
      if (invalid === undefined) continue;
      return new ImageError(
        index,
        `${invalid}, by ${this.checkpointName}. ${overflowAdvice(image, this.precision)}`,
      );
    }
    const textAdapter = charset === undefined ? undefined : new CharsetAdapter(charset);
    const read = readingFromLogits(logits.values, tokenizer);
    const visual = visualLogits && readingFromLogits(visualLogits.values, tokenizer).text;
    const refined = await clipRefiner?.refine(
      image,
      logits.values,
      tokenizer,
      this.captionAdapter(options),
      // Whoever normalises for this model does it as the model was trained.
      this.model.configuration.normalization,
    );
    return {
      ...read,
      text: textAdapter?.adapt(read.text) ?? read.text,
      visualText: visual === undefined ? null : (textAdapter?.adapt(visual) ?? visual),
      ...(options.logits ? { logits, ...(visualLogits ? { visualLogits } : {}) } : {}),
      ...(attention ? { attention: { ...attention, grid: this.patchGrid() } } : {}),
      ...refined,
    };
  }

  private captionAdapter({ charset }: ReadOptions): CharsetAdapter {
    return new CharsetAdapter(charset ?? this.model.configuration.testCharset);
  }

  private patchGrid(): readonly [number, number] {
    const { imageSize, patchSize } = this.model.configuration.image;
    return [imageSize[0] / patchSize[0], imageSize[1] / patchSize[1]];
  }
}

function isNormalized(image: unknown): image is NormalizedImage {
  return kindOf(image) === 'Object' && 'normalized' in (image as object);
}

function isOpened(source: unknown): source is ParameterSource {
  return kindOf(source) === 'Object' && 'family' in (source as object);
}

/** An image and its place among those given. */
interface IndexedImage {
  readonly index: number;
  readonly image: RgbImage | NormalizedImage;
}

type UntimedReading = Omit<Reading, 'milliseconds'>;
