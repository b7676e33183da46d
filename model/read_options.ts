import {
  checkChoice,
  checkFlag,
  checkFunction,
  checkMethods,
  checkOptions,
  checkWhole,
} from './arguments.js';
import { resolveCharset } from './charset.js';
import type { ClipRefiner } from './clip_refiner.js';
import { readingLimits } from './configuration.js';
import { type Normalization, normalizations } from './image.js';

export interface ReadOptions {
  /** Images computed together. Default 16; a smaller one takes less memory. Readings do not depend on it. */
  readonly batchSize?: number | undefined;
  /** Passes over the whole text after the first, at most 32. Default: the checkpoint's, usually 1. */
  readonly refineIterations?: number | undefined;
  /** Whether characters are read one after another. Default: the checkpoint's, usually true. */
  readonly autoregressive?: boolean | undefined;
  /**
   * Whether a batch stops together as in the original, which makes readings depend on batch mates; not with
   * `maxLabelLength`, with which the original computes all positions. Default false.
   */
  readonly originalStopping?: boolean | undefined;
  /**
   * Positions computed, less the one for the end of the text. Default and at most: the checkpoint's, usually 25. As in
   * the original, a text that has not ended by then fills that last position too.
   */
  readonly maxLabelLength?: number | undefined;
  /** Charset (name or characters) that texts and captions are brought into. Default: texts as read, captions as trained. */
  readonly charset?: string | undefined;
  /** Default: the checkpoint's. Of no effect on images that are normalised already. */
  readonly normalization?: Normalization | undefined;
  /** Whether readings carry their logits. */
  readonly logits?: boolean | undefined;
  /** Whether readings carry where each character looked. */
  readonly attention?: boolean | undefined;
  /**
   * A separate CLIP that chooses among likely texts (the original's post-refinement). As there, the text it chooses is in
   * the charset of the captions: `charset`, else the checkpoint's test charset, usually 36 (lower case and digits).
   * Images that are normalised already must have the CLIP's size; they are taken to be normalised as the checkpoint's are.
   */
  readonly clipRefiner?: ClipRefiner | undefined;
  /** Told after each batch how many images are done. */
  readonly onProgress?: ((doneImages: number) => void) | undefined;
}

/**
 * @param longestLabel characters that the model has positions for
 * @throws Error in one line that names the option, its value and what was expected
 */
export function checkReadOptions(options: ReadOptions, longestLabel: number): void {
  checkOptions(options, '{ batchSize: 8 }');
  checkWhole('batchSize', options.batchSize, 1);
  checkWhole('refineIterations', options.refineIterations, 0, readingLimits.refineIterations);
  checkWhole('maxLabelLength', options.maxLabelLength, 1, longestLabel);
  checkChoice('normalization', options.normalization, normalizations);
  for (const name of ['autoregressive', 'originalStopping', 'logits', 'attention'] as const) {
    checkFlag(name, options[name]);
  }
  if (options.charset !== undefined) resolveCharset(options.charset);
  if (options.clipRefiner !== undefined) {
    checkMethods('clipRefiner', options.clipRefiner, ['refine'], 'what ClipRefiner.load returns');
  }
  checkFunction('onProgress', options.onProgress);
}
