/** Comparing readings with the original's, and with what is written on the images. */
import type { CharsetAdapter } from '../model/charset.js';
import type { Reading } from '../model/reading.js';

/** `original`: the visual loop stops where the text ends; `independent`: it runs over all positions. */
export type StoppingRule = 'original' | 'independent';

/** What the original read from an image; `*_max25` belongs to the independent rule. */
export interface Prediction {
  /** Record of the LMDB, from 1. */
  readonly index?: number;
  readonly file?: string;
  readonly label: string | null;
  readonly text: string;
  readonly confidence: number;
  readonly visual_refined_text: string;
  /** Smallest gap between the two highest logits over the positions read. */
  readonly min_margin: number;
  readonly text_max25: string;
  readonly confidence_max25: number;
  readonly visual_refined_text_max25: string;
  readonly min_margin_max25: number;
}

interface Read {
  readonly text: string;
  readonly visualText: string | null;
  readonly confidence: number;
}

export interface Difference {
  readonly set: string;
  readonly image: string;
  readonly rule: StoppingRule;
  readonly expected: Read;
  readonly read: Read;
  readonly margin: number;
  /** null where there is none. */
  readonly explanation: string | null;
}

const confidenceTolerance = 1e-3;
/** Leading logits closer than this may change places by rounding. */
const marginOfRounding = 1e-3;

/** Readings whose texts differ from the original's, or whose confidence does by more than a thousandth. */
export function differencesOf(
  set: string,
  rule: StoppingRule,
  readings: readonly Reading[],
  predictions: readonly Prediction[],
): { found: Difference[]; largestConfidenceError: number } {
  const found: Difference[] = [];
  let largestConfidenceError = 0;
  for (const [at, prediction] of predictions.entries()) {
    const { text, visualText, confidence } = readings[at]!;
    const { margin, ...expected } = expectedOf(prediction, rule);
    const sameText = text === expected.text && visualText === expected.visualText;
    const confidenceError = Math.abs(confidence - expected.confidence);
    if (sameText) largestConfidenceError = Math.max(largestConfidenceError, confidenceError);
    if (sameText && confidenceError <= confidenceTolerance) continue;
    found.push({
      set,
      image: prediction.file ?? String(prediction.index),
      rule,
      expected,
      read: { text, visualText, confidence },
      margin,
      explanation: margin < marginOfRounding ? 'the two leading logits are closer than 1e-3' : null,
    });
  }
  return { found, largestConfidenceError };
}

function expectedOf(prediction: Prediction, rule: StoppingRule): Read & { margin: number } {
  return rule === 'original'
    ? {
        text: prediction.text,
        visualText: prediction.visual_refined_text,
        confidence: prediction.confidence,
        margin: prediction.min_margin,
      }
    : {
        text: prediction.text_max25,
        visualText: prediction.visual_refined_text_max25,
        confidence: prediction.confidence_max25,
        margin: prediction.min_margin_max25,
      };
}

/** Percentages of exact readings. */
export interface Outcome {
  /** Lower-cased letters and digits, among words that keep any. */
  readonly accuracy36: number;
  /** As written, among words with a label. */
  readonly accuracy94: number;
}

/** @param labels what is written; null where the data set's rules leave nothing */
export function accuracyOf(
  texts: readonly string[],
  labels: readonly (string | null)[],
  adapter36: CharsetAdapter,
): Outcome {
  const percent = (adapt: (text: string) => string): number => {
    const kept = labels
      .map((label, at) => ({ label: label === null ? '' : adapt(label), text: adapt(texts[at]!) }))
      .filter(({ label }) => label !== '');
    return (100 * kept.filter(({ label, text }) => label === text).length) / kept.length;
  };
  return {
    accuracy36: percent((text) => adapter36.adapt(text)),
    accuracy94: percent((text) => text),
  };
}
