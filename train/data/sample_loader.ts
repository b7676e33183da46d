import { decodeImage } from '../../model/decode_image.js';
import { type Normalization, preprocessImage } from '../../model/image.js';
import { resizeBicubic } from '../../model/resize.js';
import type { RgbImage } from '../../model/rgb_image.js';
import { oneLine } from '../../weights/errors.js';
import type { DataSet } from './data_source.js';
import { UnusableDataError } from './errors.js';
import { randAugment } from './rand_augment.js';
import { sampleRandom } from './sample_random.js';

/** What is done to every sample. */
export interface SampleTreatment {
  /** `[height, width]` of the model's input. */
  readonly imageSize: readonly [number, number];
  readonly normalization: Normalization;
  /** Whether images are augmented by {@link randAugment}. */
  readonly augment: boolean;
  /** Of the augmentation: a whole number from 0 to 2^53 - 1. */
  readonly seed: number;
}

/** A run of positions in an epoch's order. */
export interface SampleRun {
  readonly epoch: number;
  /** The epoch's order of the data set's indices: `[length]`. */
  readonly order: Uint32Array;
  readonly start: number;
  readonly count: number;
}

/** A sample that could not be read or decoded. */
export interface CorruptSample {
  /** In the data set. */
  readonly index: number;
  readonly source: string;
  readonly reason: string;
}

export interface LoadedSamples {
  /** `[count, 3, height, width]`, f32. */
  readonly pixels: Float32Array<ArrayBuffer>;
  readonly labels: string[];
  readonly sources: string[];
  /** Whether each stands in for a damaged one. */
  readonly standsIn: boolean[];
  /** Those met on the way, which others stand in for. */
  readonly corrupt: CorruptSample[];
}

/** So many damaged samples in a row mean that the data set is broken, not a few of its images. */
const mostCorruptInARow = 1000;

/** A rotated image needs room of the order of its longer side squared. No word needs so many pixels. */
const longestAugmentedSide = 4096;

interface DecodedSample {
  readonly image: RgbImage;
  readonly label: string;
  readonly source: string;
  readonly standsIn: boolean;
}

/**
 * Reads, decodes, augments and resizes samples. A sample depends on nothing but the data set, the seed, the epoch and the
 * position. In place of one that is damaged stands the next good one of the epoch's order.
 */
export class SampleLoader {
  constructor(
    private readonly dataSet: DataSet,
    private readonly treatment: SampleTreatment,
  ) {}

  /**
   * @param isCancelled asked between samples.
   * @returns undefined if it was cancelled.
   * @throws UnusableDataError if more samples in a row are damaged than can be an accident.
   */
  async load(run: SampleRun, isCancelled: () => boolean): Promise<LoadedSamples | undefined> {
    const { seed, imageSize, normalization, augment } = this.treatment;
    const values = 3 * imageSize[0] * imageSize[1];
    const loaded: LoadedSamples = {
      pixels: new Float32Array(run.count * values),
      labels: [],
      sources: [],
      standsIn: [],
      corrupt: [],
    };
    let decoding = this.decodeFrom(run, run.start, loaded.corrupt);
    for (let at = 0; at < run.count; at++) {
      const { image, label, source, standsIn } = await decoding;
      if (isCancelled()) return undefined;
      const position = run.start + at;
      // Decoding happens on threads of its own, meanwhile this one works on the image before.
      if (at + 1 < run.count) decoding = this.decodeFrom(run, position + 1, loaded.corrupt);
      const treated = augment
        ? randAugment(shrinkLong(image), sampleRandom(seed, run.epoch, position))
        : image;
      const pixels = loaded.pixels.subarray(at * values, (at + 1) * values);
      preprocessImage(treated, imageSize, normalization, pixels);
      loaded.labels.push(label);
      loaded.sources.push(source);
      loaded.standsIn.push(standsIn);
    }
    return loaded;
  }

  /** The first good sample from a position on. */
  private async decodeFrom(
    { order }: SampleRun,
    position: number,
    corrupt: CorruptSample[],
  ): Promise<DecodedSample> {
    const limit = Math.min(order.length, mostCorruptInARow);
    for (let skipped = 0; skipped < limit; skipped++) {
      const index = order[(position + skipped) % order.length]!;
      try {
        const { image, label, source } = await this.dataSet.sample(index);
        const decoded = image instanceof Uint8Array ? await decodeImage(image) : image;
        return { image: decoded, label, source, standsIn: skipped > 0 };
      } catch (error) {
        corrupt.push(this.describe(index, error));
      }
    }
    const last = corrupt.at(-1)!;
    throw new UnusableDataError(
      `${limit} samples in a row cannot be used, so that the data set itself seems damaged; the last is ${last.source}: ${last.reason}`,
    );
  }

  private describe(index: number, error: unknown): CorruptSample {
    const source = this.dataSet.source?.(index) ?? `sample ${index}`;
    const message = oneLine(error instanceof Error ? error.message : String(error));
    // Data sets say themselves where something is wrong.
    const reason = message.startsWith(`${source}: `) ? message.slice(source.length + 2) : message;
    return { index, source, reason };
  }
}

function shrinkLong(image: RgbImage): RgbImage {
  const scale = longestAugmentedSide / Math.max(image.width, image.height);
  if (scale >= 1) return image;
  const shrunk = (side: number) => Math.max(1, Math.round(side * scale));
  return resizeBicubic(image, shrunk(image.height), shrunk(image.width));
}
