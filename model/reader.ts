import type { Device } from '../engine/index.js';
import {
  type ByteSource,
  type ParameterSource,
  defaultCheckpoint,
  openParameters,
} from '../weights/index.js';
import { checkChoice, checkWhole } from './arguments.js';
import { CharsetAdapter } from './charset.js';
import { Clip } from './clip.js';
import { readingLimits } from './configuration.js';
import type { ClipRefiner } from './clip_refiner.js';
import { type Normalization, normalizations, preprocessImage } from './image.js';
import { type ImageInput, resolveImage } from './image_input.js';
import { type LoadOptions, loadModel } from './load_model.js';
import { type CharacterReading, readingFromLogits } from './reading_text.js';
import type { Recognition, Recognizer } from './recognizer.js';

export interface ReadOptions {
  /** Images computed together. Default 16; a smaller one takes less memory. Readings do not depend on it. */
  readonly batchSize?: number | undefined;
  /** Passes over the whole text after the first, at most 32. Default: the checkpoint's, usually 1. */
  readonly refineIterations?: number | undefined;
  /** Whether characters are read one after another. Default: the checkpoint's, usually true. */
  readonly autoregressive?: boolean | undefined;
  /** Whether a batch stops together as in the original, which makes readings depend on batch mates. Default false. */
  readonly originalStopping?: boolean | undefined;
  /**
   * Positions computed, less the one for the end of the text. Default: the checkpoint's, usually 25. As in the original,
   * a text that has not ended by then fills that last position too.
   */
  readonly maxLabelLength?: number | undefined;
  /** Charset (name or characters) that texts and captions are brought into. Default: texts as read, captions as trained. */
  readonly charset?: string | undefined;
  /** Default: the checkpoint's. */
  readonly normalization?: Normalization | undefined;
  /** Whether readings carry their logits. */
  readonly logits?: boolean | undefined;
  /** Whether readings carry where each character looked. */
  readonly attention?: boolean | undefined;
  /**
   * A separate CLIP that chooses among likely texts (the original's post-refinement). As there, the text it chooses is in
   * the charset of the captions: `charset`, else the checkpoint's test charset, usually 36 (lower case and digits).
   */
  readonly clipRefiner?: ClipRefiner | undefined;
  /** Told after each batch how many images are done. */
  readonly onProgress?: ((doneImages: number) => void) | undefined;
}

/** Rows of numbers, one a position. */
export interface PositionRows {
  /** `[positions, columns]`. */
  readonly values: Float32Array;
  readonly positions: number;
  readonly columns: number;
}

/** What was read from one image. */
export interface Reading {
  readonly text: string;
  /** Product of the probabilities of all characters and of the end of the text. */
  readonly confidence: number;
  readonly characters: readonly CharacterReading[];
  /** Probability that the text ends where it does; null where it fills every position or a `clipRefiner` chose it. */
  readonly endProbability: number | null;
  /** The visual branch's last reading; null for models with one branch. */
  readonly visualText: string | null;
  /** Time of the image's batch divided by its images; a first batch also compiles kernels. */
  readonly milliseconds: number;
  readonly logits?: PositionRows;
  readonly visualLogits?: PositionRows;
  /** Attention of each position over the image's patches, and their grid. */
  readonly attention?: PositionRows & { readonly grid: readonly [rows: number, columns: number] };
}

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
    const parameters =
      typeof source === 'object' && 'family' in source ? source : await openParameters(source);
    try {
      const model = await device.exclusively(() => loadModel(device, parameters, options));
      if (model instanceof Clip) {
        model.parameters.dispose();
        throw new Error(
          `${parameters.name}: is a plain CLIP model, which compares images with texts and reads none; ` +
            'give a CLIP4STR or PARSeq checkpoint.',
        );
      }
      return new Clip4Str(device, model, parameters.name);
    } finally {
      await parameters.close();
    }
  }

  /** `[height, width]` that images are brought to. */
  get imageSize(): readonly [number, number] {
    return this.model.configuration.image.imageSize;
  }

  /**
   * Reads images, in order. Calls on one device run one after another.
   * @throws Error for bytes that are no image, or a normalised image of another size
   */
  async read(images: readonly ImageInput[], options: ReadOptions = {}): Promise<Reading[]> {
    const batchSize = options.batchSize ?? defaultBatchSize;
    checkWhole('batchSize', batchSize, 1);
    checkWhole('refineIterations', options.refineIterations, 0, readingLimits.refineIterations);
    checkWhole('maxLabelLength', options.maxLabelLength, 1);
    checkChoice('normalization', options.normalization, normalizations);
    const readings: Reading[] = [];
    for (let start = 0; start < images.length; start += batchSize) {
      const batch = images.slice(start, start + batchSize);
      readings.push(...(await this.readBatch(batch, start, options)));
      options.onProgress?.(readings.length);
    }
    return readings;
  }

  /** Frees the model's memory. */
  dispose(): void {
    this.model.parameters.dispose();
  }

  /** @param start index of the first image, for messages */
  private async readBatch(
    images: readonly ImageInput[],
    start: number,
    options: ReadOptions,
  ): Promise<Reading[]> {
    const startedAt = performance.now();
    const { configuration, tokenizer } = this.model;
    const decoded = await Promise.all(
      images.map((image, index) => resolveImage(image, `image ${start + index + 1}`, this.imageSize)),
    );
    const [height, width] = this.imageSize;
    const pixels = new Float32Array(images.length * 3 * height * width);
    const normalization = options.normalization ?? configuration.normalization;
    decoded.forEach((image, index) => {
      const normalized =
        'normalized' in image ? image.normalized : preprocessImage(image, this.imageSize, normalization);
      pixels.set(normalized, index * normalized.length);
    });
    const captionAdapter = new CharsetAdapter(options.charset ?? configuration.testCharset);
    const rows = await this.device.exclusively(() =>
      this.device.scope(async () => {
        const recognition = await this.model.recognize(
          this.device.tensor(pixels, [images.length, 3, height, width]),
          {
            autoregressive: options.autoregressive ?? configuration.decodeAutoregressive,
            refineIterations: options.refineIterations ?? configuration.refineIterations,
            stopping: options.originalStopping ? 'batch' : 'independent',
            captionAdapter,
            ...(options.maxLabelLength === undefined ? {} : { maxLabelLength: options.maxLabelLength }),
            ...(options.attention ? { attention: true } : {}),
          },
        );
        return this.readBack(recognition, images.length);
      }),
    );
    const textAdapter = options.charset === undefined ? undefined : new CharsetAdapter(options.charset);
    const readings = rows.map(({ logits, visualLogits, attention }, index): Omit<Reading, 'milliseconds'> => {
      const where = `${this.checkpointName}, image ${start + index + 1}`;
      const read = readingFromLogits(logits.values, tokenizer, where);
      const visual = visualLogits && readingFromLogits(visualLogits.values, tokenizer, where).text;
      return {
        ...read,
        text: textAdapter?.adapt(read.text) ?? read.text,
        visualText: visual === undefined ? null : (textAdapter?.adapt(visual) ?? visual),
        ...(options.logits ? { logits, ...(visualLogits ? { visualLogits } : {}) } : {}),
        ...(attention ? { attention: { ...attention, grid: this.patchGrid() } } : {}),
      };
    });
    const refiner = options.clipRefiner;
    const refined = refiner
      ? await Promise.all(
          readings.map(async (reading, index) => ({
            ...reading,
            ...(await refiner.refine(decoded[index]!, rows[index]!.logits.values, tokenizer, captionAdapter)),
          })),
        )
      : readings;
    const milliseconds = (performance.now() - startedAt) / images.length;
    return refined.map((reading) => ({ ...reading, milliseconds }));
  }

  /** Reads everything back at once and cuts it into images. */
  private async readBack(recognition: Recognition, batch: number): Promise<ImageRows[]> {
    const { logits, visualLogits, attention } = recognition;
    const tensors = [logits, ...(visualLogits ? [visualLogits] : []), ...(attention ? [attention] : [])];
    const values = (await this.device.readAll(tensors)) as Float32Array[];
    const rowsOf = (tensor: typeof logits | undefined, index: number): PositionRows | undefined => {
      if (!tensor) return undefined;
      const [, positions, columns] = tensor.shape as [number, number, number];
      const size = positions * columns;
      const own = values[tensors.indexOf(tensor)]!.slice(index * size, (index + 1) * size);
      return { values: own, positions, columns };
    };
    return Array.from({ length: batch }, (_, index) => ({
      logits: rowsOf(logits, index)!,
      visualLogits: rowsOf(visualLogits, index),
      attention: rowsOf(attention, index),
    }));
  }

  private patchGrid(): readonly [number, number] {
    const { imageSize, patchSize } = this.model.configuration.image;
    return [imageSize[0] / patchSize[0], imageSize[1] / patchSize[1]];
  }
}

interface ImageRows {
  readonly logits: PositionRows;
  readonly visualLogits: PositionRows | undefined;
  readonly attention: PositionRows | undefined;
}
