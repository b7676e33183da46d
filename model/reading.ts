import type { CharacterReading } from './reading_text.js';

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
