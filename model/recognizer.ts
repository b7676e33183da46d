import type { Tensor } from '../engine/index.js';
import type { CharsetAdapter } from './charset.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import type { RecognizerConfiguration } from './configuration.js';
import type { Parameters } from './parameters.js';

/** How a reading is decoded. */
export interface DecodingOptions {
  /** Whether characters are read one after another, each seeing those before (`decode_ar`), or all at once. */
  readonly autoregressive: boolean;
  /** How often the reading is read again as a whole, each character seeing all others. */
  readonly refineIterations: number;
  /**
   * `independent`: no text depends on its batch mates, and without `endsEarly` every position is computed. `batch`: as
   * the original, the loop ends once every image of the batch has an end token, and the cross branch takes as many
   * steps; with `maxLabelLength` both take all steps.
   */
  readonly stopping: 'independent' | 'batch';
  /**
   * Whether what comes after the ends of texts does not matter: positions there may be left out or mean nothing, and
   * CLIP4STR's cross branch takes the visual reading for a draft. Probabilities stay the same within rounding, and so do
   * texts but where two characters are as probable within it.
   */
  readonly endsEarly?: boolean;
  /**
   * Whether what a batch takes is kept for the next of as many images, until the model is disposed: its dispatches are
   * repeated then. Weights may change in place between readings, and not be replaced.
   */
  readonly keepsWork?: boolean;
  /** Characters at most; the model's own limit unless given, and never more. */
  readonly maxLabelLength?: number;
  /** Brings captions into the test charset before CLIP reads them. */
  readonly captionAdapter: CharsetAdapter;
  /** Whether to compute where each character looked. */
  readonly attention?: boolean;
  /** Told of intermediate results, to compare them with a reference; the tensor is freed after the call. */
  readonly onStage?: (stage: string, value: Tensor) => Promise<void>;
}

/** What a model computed for a batch of images. The caller disposes the tensors. */
export interface Recognition {
  /** `[batch, positions, classes]`. */
  readonly logits: Tensor;
  /** The visual branch's, of CLIP4STR alone: `[batch, positions, classes]`. */
  readonly visualLogits?: Tensor;
  /** Attention of each position over the image's patches, row by row: `[batch, positions, patches]`. */
  readonly attention?: Tensor;
}

/** A model that reads text from images: CLIP4STR, PARSeq or CLIP with an adapter. */
export interface Recognizer {
  readonly configuration: RecognizerConfiguration;
  readonly tokenizer: CharsetTokenizer;
  readonly parameters: Parameters;
  /** @param images `[batch, 3, height, width]` f32, normalised */
  recognize(images: Tensor, options: DecodingOptions): Promise<Recognition>;
  /** Compiles, side by side, what reading an image takes, which is else compiled piece by piece when it is first read. */
  compile(): Promise<void>;
  /** Frees what is kept between readings, of which none may be under way; the next one keeps it again. */
  forgetKeptWork(): void;
  /** Frees the parameters, and what is kept between readings. */
  dispose(): void;
}

/** Whether the loop ends with the batch's texts; the original's does not where it is given a longest text. */
export function stopsWithBatch({ autoregressive, stopping, maxLabelLength }: DecodingOptions): boolean {
  return autoregressive && stopping === 'batch' && maxLabelLength === undefined;
}

/** Positions of a reading: one a character, and one for the end token. */
export function positionCount(options: DecodingOptions, maxLabelLength: number): number {
  return 1 + Math.min(options.maxLabelLength ?? maxLabelLength, maxLabelLength);
}
