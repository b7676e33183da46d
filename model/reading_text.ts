import type { CharsetAdapter } from './charset.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';

/** One character of a reading and the probability the model gave it. */
export interface CharacterReading {
  readonly char: string;
  readonly probability: number;
}

/** What a model read from one image. */
export interface TextReading {
  readonly text: string;
  readonly characters: readonly CharacterReading[];
  /** Probability of the end token after the last character; null if the model never ended the text. */
  readonly endProbability: number | null;
  /** Product of the probabilities of all characters and of the end token, as the original reports it. */
  readonly confidence: number;
}

/**
 * Softmax of each row, in f32.
 *
 * @param logits `[rows, classes]`, f32.
 * @returns `[rows, classes]`, f32.
 */
export function softmaxRows(logits: Float32Array, classes: number): Float32Array {
  const probabilities = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes);
    let maximum = -Infinity;
    for (const logit of row) maximum = Math.max(maximum, logit);
    let sum = 0;
    for (const [index, logit] of row.entries()) {
      const exponential = Math.exp(logit - maximum);
      probabilities[start + index] = exponential;
      sum += exponential;
    }
    for (let index = start; index < start + classes; index++) probabilities[index]! /= sum;
  }
  return probabilities;
}

/**
 * The most probable id of each row; the first of equals.
 *
 * @param scores `[rows, classes]`, logits or probabilities.
 */
export function greedyIds(scores: Float32Array, classes: number): Int32Array {
  const ids = new Int32Array(scores.length / classes);
  for (let row = 0; row < ids.length; row++) {
    let best = 0;
    for (let id = 1; id < classes; id++) {
      if (scores[row * classes + id]! > scores[row * classes + best]!) best = id;
    }
    ids[row] = best;
  }
  return ids;
}

/** The first logit that no probabilities follow from, in words; undefined where there is none. */
export function invalidLogit(logits: Float32Array, classes: number): string | undefined {
  // A class may be ruled out by -Infinity.
  const at = logits.findIndex((logit) => Number.isNaN(logit) || logit === Infinity);
  if (at < 0) return undefined;
  return `the logit of position ${Math.floor(at / classes)}, class ${at % classes} is ${logits[at]}`;
}

/**
 * The text before the first end token, with probabilities.
 *
 * @param logits `[positions, classes]`, f32; classes are the tokenizer's.
 * @param label what messages call them
 * @throws Error if the logits do not fill whole rows or are not numbers.
 */
export function readingFromLogits(
  logits: Float32Array,
  tokenizer: CharsetTokenizer,
  label = 'logits',
): TextReading {
  const { classes } = tokenizer;
  if (logits.length % classes !== 0) {
    throw new Error(`${label}: ${logits.length} values are no whole number of rows of ${classes} classes.`);
  }
  const invalid = invalidLogit(logits, classes);
  if (invalid !== undefined) throw new Error(`${label}: ${invalid}; no probabilities follow from it.`);
  return readingFromProbabilities(softmaxRows(logits, classes), tokenizer);
}

/**
 * As {@link readingFromLogits}, from probabilities.
 *
 * @param probabilities `[positions, classes]`, f32.
 */
export function readingFromProbabilities(
  probabilities: Float32Array,
  tokenizer: CharsetTokenizer,
): TextReading {
  const { classes, endId } = tokenizer;
  const ids = greedyIds(probabilities, classes);
  const characters: CharacterReading[] = [];
  let endProbability: number | null = null;
  let confidence = 1;
  for (const [position, id] of ids.entries()) {
    const probability = probabilities[position * classes + id]!;
    confidence *= probability;
    if (id === endId) {
      endProbability = probability;
      break;
    }
    characters.push({ char: tokenizer.tokens([id]).join(''), probability });
  }
  return { text: characters.map(({ char }) => char).join(''), characters, endProbability, confidence };
}

/**
 * The caption that CLIP's text encoder is given for a reading: cut at the written end token, brought into the test charset.
 *
 * @param ids most probable id of each position, at all computed positions.
 */
export function captionFromIds(
  ids: ArrayLike<number>,
  tokenizer: CharsetTokenizer,
  adapter: CharsetAdapter,
): string {
  return adapter.adapt(tokenizer.decodeToWrittenEnd(ids));
}
