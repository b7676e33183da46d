/** How well labels were read: accuracy and normalised edit distance, as the original's test measures them. */
import { distance } from 'fastest-levenshtein';
import type { CharsetAdapter } from '../model/index.js';

/** A line of the results. Percentages are from 0 to 100. */
export interface SetResult {
  readonly name: string;
  readonly samples: number;
  /** Percentage of readings that equal their label. */
  readonly accuracy: number;
  /** 1 - NED of ICDAR 2019: 100 less the mean percentage of characters to be changed, of the longer text. */
  readonly ned: number;
  /** Mean percentage, the end token's probability included. */
  readonly confidence: number;
  /** Mean characters of a reading; the original calls it so, though it is not the label's. */
  readonly labelLength: number;
}

/** Adds up the readings of one data set. */
export class Accuracy {
  #samples = 0;
  #correct = 0;
  #distance = 0;
  #confidence = 0;
  #characters = 0;

  /** @param adapter of the test charset: readings are compared in it */
  constructor(
    readonly name: string,
    private readonly adapter: CharsetAdapter,
  ) {}

  /**
   * @param text as read, before the charset's adapter
   * @param label as the data set gives it: the label filter has brought it into the test charset
   * @returns whether they are equal
   */
  add(text: string, confidence: number, label: string): boolean {
    const read = this.adapter.adapt(text);
    const isCorrect = read === label;
    this.#samples++;
    if (isCorrect) this.#correct++;
    this.#distance += normalizedEditDistance(read, label);
    this.#confidence += confidence;
    this.#characters += Array.from(read).length;
    return isCorrect;
  }

  /** The means; all 0 where there are no samples. */
  result(): SetResult {
    const mean = (sum: number) => (this.#samples === 0 ? 0 : sum / this.#samples);
    return {
      name: this.name,
      samples: this.#samples,
      accuracy: 100 * mean(this.#correct),
      ned: 100 * mean(this.#samples - this.#distance),
      confidence: 100 * mean(this.#confidence),
      labelLength: mean(this.#characters),
    };
  }
}

/** All samples of several sets as one. */
export function combinedResult(results: readonly SetResult[]): SetResult {
  const samples = results.reduce((sum, result) => sum + result.samples, 0);
  const mean = (value: (result: SetResult) => number) =>
    results.reduce((sum, result) => sum + result.samples * value(result), 0) / Math.max(1, samples);
  return {
    name: 'Combined',
    samples,
    accuracy: mean(({ accuracy }) => accuracy),
    ned: mean(({ ned }) => ned),
    confidence: mean(({ confidence }) => confidence),
    labelLength: mean(({ labelLength }) => labelLength),
  };
}

/** Characters to insert, delete or replace, over those of the longer text; 0 for two empty ones. */
export function normalizedEditDistance(left: string, right: string): number {
  const [a, b] = asSingleUnits(left, right);
  return a === b ? 0 : distance(a!, b!) / Math.max(a!.length, b!.length);
}

/** The texts with one UTF-16 unit for each character, which is what distances are counted in. */
function asSingleUnits(...texts: readonly string[]): string[] {
  const units = new Map<string, string>();
  return texts.map((text) =>
    Array.from(text, (character) => {
      if (!units.has(character)) units.set(character, String.fromCharCode(units.size));
      return units.get(character)!;
    }).join(''),
  );
}
