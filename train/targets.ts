/** Character ids of a batch as training wants them. */
import type { CharsetTokenizer } from '../model/index.js';

/** Ids that a decoder is to predict, and what the mean over them is weighted with. */
export interface TargetIds {
  /** `[labels, positions]`; padding ids are no targets. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** How many ids are targets. */
  readonly count: number;
}

/** A batch of labels; all arrays are `[labels, positions]`, row by row. */
export interface TrainingTargets {
  readonly labels: number;
  /** Characters of the longest label and one. */
  readonly positions: number;
  /** What the decoder sees: the begin token, then the characters; shorter labels end in their end token and padding. */
  readonly inputs: Uint32Array<ArrayBuffer>;
  /** What no position may see of the inputs, to be added to scores: minus infinity at end tokens and padding, else 0. */
  readonly padding: Float32Array<ArrayBuffer>;
  /** The characters and the end token: what the first two permutations are to predict. */
  readonly withEnd: TargetIds;
  /** The characters alone: what the others are to predict, since the end was learnt from all and from no characters. */
  readonly withoutEnd: TargetIds;
}

/**
 * @param labels of the characters of the tokenizer's charset
 * @param maxLabelLength characters that the model has positions for
 * @throws Error if there is no character to learn, a label is too long or has a character outside the charset
 */
export function trainingTargets(
  labels: readonly string[],
  tokenizer: CharsetTokenizer,
  maxLabelLength: number,
): TrainingTargets {
  const { ids, length } = tokenizer.encode(labels);
  const positions = length - 1;
  if (positions < 2) {
    throw new Error(
      `batch of ${labels.length} labels: none has a character to learn from. Leave empty labels out of the data.`,
    );
  }
  if (positions - 1 > maxLabelLength) {
    const longest = labels.reduce((a, b) => (characters(b) > characters(a) ? b : a));
    throw new Error(
      `label ${JSON.stringify(longest)}: ${characters(longest)} characters; the model has positions for ` +
        `${maxLabelLength}. Leave longer labels out of the data.`,
    );
  }
  const inputs = new Uint32Array(labels.length * positions);
  const outputs = new Uint32Array(labels.length * positions);
  for (let row = 0; row < labels.length; row++) {
    inputs.set(ids.subarray(row * length, (row + 1) * length - 1), row * positions);
    outputs.set(ids.subarray(row * length + 1, (row + 1) * length), row * positions);
  }
  const { endId, padId } = tokenizer;
  return {
    labels: labels.length,
    positions,
    inputs,
    padding: Float32Array.from(inputs, (id) => (id === endId || id === padId ? -Infinity : 0)),
    withEnd: counted(outputs, padId),
    withoutEnd: counted(
      outputs.map((id) => (id === endId ? padId : id)),
      padId,
    ),
  };
}

/** What the permutation of that number is to predict, and its weight in the loss. */
export function targetsOfPermutation(targets: TrainingTargets, index: number): TargetIds {
  return index < 2 ? targets.withEnd : targets.withoutEnd;
}

function counted(ids: Uint32Array<ArrayBuffer>, padId: number): TargetIds {
  return { ids, count: ids.reduce((count, id) => (id === padId ? count : count + 1), 0) };
}

function characters(label: string): number {
  return Array.from(label).length;
}
