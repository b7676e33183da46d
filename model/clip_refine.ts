import { checkNumber, checkText, checkWhole } from './arguments.js';
import type { CharsetAdapter } from './charset.js';
import type { CharsetTokenizer } from './charset_tokenizer.js';
import { greedyIds, softmaxRows, type TextReading } from './reading_text.js';
import { sampleCandidates, type CandidateOptions, type DrawColumn } from './refine_candidates.js';

/** How CLIP refines a reading; the names in brackets are the original's. */
export interface ClipRefineOptions extends CandidateOptions {
  /** How much CLIP's opinion counts beside the model's (`alpha`). */
  readonly clipWeight: number;
  /** Put before each candidate, with a blank, when CLIP is asked; empty for none. */
  readonly prompt: string;
}

/** The original's own defaults (`test.py --clip_refine`). */
export const defaultClipRefineOptions: ClipRefineOptions = {
  candidates: 5,
  charactersPerPosition: 5,
  samples: 50,
  clipWeight: 0.1,
  prompt: '',
};

/** Samples are drawn on the host, and every candidate is a text that CLIP encodes. */
const mostCandidates = 1000;
const mostSamples = 100_000;

/** @throws Error in one line that names the option, its value and what was expected */
export function checkClipRefineOptions(options: Partial<ClipRefineOptions>): void {
  checkWhole('candidates', options.candidates, 1, mostCandidates);
  checkWhole('charactersPerPosition', options.charactersPerPosition, 0);
  checkWhole('samples', options.samples, 1, mostSamples);
  checkNumber('clipWeight', options.clipWeight, 0);
  checkText('prompt', options.prompt);
}

/** CLIP's similarity logits of the image with each caption: `[captions]`, scaled as CLIP scales them. */
export type CaptionSimilarity = (captions: readonly string[]) => Promise<Float32Array>;

/** What post-refinement works on. */
export interface RefinableReading {
  /** `[positions, classes]`, f32: the model's probabilities, untouched. */
  readonly probabilities: Float32Array;
  readonly tokenizer: CharsetTokenizer;
  /** Adapter of the test charset: candidates and the result are brought into it. */
  readonly adapter: CharsetAdapter;
}

/**
 * The rows that candidates are sampled from (`decode_for_refine`): those before the end token, whose own probability is
 * made zero there without scaling the others up.
 *
 * @param probabilities `[positions, classes]`, f32; left as they are.
 * @returns `[characters, classes]`, f32.
 */
export function refinableRows(probabilities: Float32Array, tokenizer: CharsetTokenizer): Float32Array {
  const { classes, endId } = tokenizer;
  const end = greedyIds(probabilities, classes).indexOf(endId);
  const rows = end < 0 ? probabilities.slice() : probabilities.slice(0, end * classes);
  for (let at = endId; at < rows.length; at += classes) rows[at] = 0;
  return rows;
}

/**
 * Score of each candidate: softmax of the products of their probabilities, plus CLIP's softmax in its weight.
 *
 * @param products one a candidate.
 * @param similarities CLIP's logits, one a candidate.
 */
export function combinedScores(
  products: Float32Array,
  similarities: Float32Array,
  clipWeight: number,
): Float32Array {
  const clip = softmaxRows(similarities, similarities.length);
  return softmaxRows(products, products.length).map((own, index) => own + clipWeight * clip[index]!);
}

/**
 * CLIP post-refinement as the original does it: texts sampled from the model's probabilities compete, and CLIP
 * is asked which fits the image. With a single candidate it is not asked.
 *
 * @param draw source of the samples: `proportionalDraw(seededUniform(seed))`, or recorded ones.
 * @returns the winner. Its text is in the test charset; its confidence is the product of its characters' probabilities, the
 *   end token not counted.
 * @throws Error if `similarity` gives another number of values than captions.
 */
export async function refineWithClip(
  { probabilities, tokenizer, adapter }: RefinableReading,
  similarity: CaptionSimilarity,
  options: ClipRefineOptions,
  draw: DrawColumn,
): Promise<TextReading> {
  const rows = refinableRows(probabilities, tokenizer);
  const candidates = sampleCandidates(rows, tokenizer.classes, options, draw);
  const texts = candidates.map(({ ids }) => adapter.adapt(tokenizer.tokens(ids).join('')));
  const winner = candidates.length === 1 ? 0 : await chooseWithClip(texts);
  const { ids, probabilities: own, product } = candidates[winner]!;
  const characters = tokenizer.tokens(ids).map((char, position) => ({ char, probability: own[position]! }));
  return { text: texts[winner]!, characters, endProbability: null, confidence: product };

  async function chooseWithClip(adapted: readonly string[]): Promise<number> {
    const captions = adapted.map((text) => (options.prompt === '' ? text : `${options.prompt} ${text}`));
    const similarities = await similarity(captions);
    if (similarities.length !== captions.length) {
      throw new Error(`CLIP gave ${similarities.length} similarities for ${captions.length} captions.`);
    }
    const products = Float32Array.from(candidates, (candidate) => candidate.product);
    const scores = combinedScores(products, similarities, options.clipWeight);
    return greedyIds(scores, scores.length)[0]!;
  }
}
