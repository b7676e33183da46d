/** What a comparison with a reference tells. Everything in it can be written as JSON, in which Infinity becomes null. */
import type { StageKind } from './format.js';

/** A place in a stage's tensor, and what stands there. */
export interface Place {
  readonly image: number;
  readonly file?: string;
  /** Of the other axes, see {@link axesOf}. */
  readonly index: readonly number[];
  /** What the class of that index stands for, of logits alone: a character, or `[E]`. */
  readonly character?: string;
  /** Computed here; null where this position was not, or is not a number. */
  readonly actual: number | null;
  /** The reference's, likewise. */
  readonly expected: number | null;
}

/** A stage against the reference's tensor of its name. */
export interface StageReport {
  readonly stage: string;
  readonly kind: StageKind;
  /** Why the tensor cannot be compared: its shape or its kind of numbers does not fit the model. */
  readonly misfit?: string;
  readonly comparedValues: number;
  /** Absolute; Infinity where something is not a number, or was computed on one side only. */
  readonly largestError: number;
  /** Where the largest error is; missing where nothing was compared. */
  readonly at?: Place;
  /** Images that were not compared, in whole or from some position on, since they follow from a parting within tolerance. */
  readonly imagesLeftOut: number;
}

/** Where an image's reading first took another way than the reference: another class leads. */
export interface PartedImage {
  readonly image: number;
  readonly file?: string;
  readonly stage: string;
  readonly position: number;
  /** How far the reference's leading logit is from the next there. */
  readonly margin: number;
  /** Whether errors within the tolerance can do that: the margin is at most twice the tolerance. */
  readonly withinTolerance: boolean;
}

/** A text that is not the reference's. */
export interface TextDifference {
  readonly image: number;
  readonly file?: string;
  /** The model's result, or what CLIP4STR's visual branch read at last. */
  readonly branch: 'result' | 'visual';
  readonly expected: string;
  /** null where logits are not numbers. */
  readonly actual: string | null;
  /** The first position at which another class leads, and the reference's margin there; null where its logits are not told. */
  readonly position: number | null;
  readonly margin: number | null;
  /** Whether it follows from a parting that is within the tolerance. */
  readonly withinTolerance: boolean;
}

export interface ReferenceReport {
  readonly reference: string;
  readonly images: number;
  readonly tolerance: number;
  readonly decoding: {
    readonly autoregressive: boolean;
    readonly refineIterations: number;
    readonly stopping: 'independent' | 'batch';
    readonly batchSize: number;
    readonly maxLabelLength: number;
  };
  /** What the reference was computed with, as far as it tells. */
  readonly versions: Readonly<Record<string, string>>;
  readonly stages: readonly StageReport[];
  readonly textsCompared: number;
  readonly textDifferences: readonly TextDifference[];
  readonly parted: readonly PartedImage[];
  /** Stages that the reference has no tensor of. */
  readonly missing: readonly string[];
  /** Tensors of the reference that are no stage of this model's reading. */
  readonly unknown: readonly string[];
  /** What the reference does not tell, and what was taken instead. */
  readonly assumed: readonly string[];
  /** Whether every error is within the tolerance, and every difference of a text follows from one that is. */
  readonly agrees: boolean;
}

/** How the axes after that of the images are called. */
export function axesOf(kind: StageKind): readonly string[] {
  if (kind === 'features') return ['token', 'channel'];
  return kind === 'tokens' ? ['position'] : ['position', 'class'];
}
