/**
 * Draws a column of a distribution.
 *
 * @param weights one weight a column, not necessarily summing to 1.
 * @param sample which sample is being drawn, from 0.
 * @param position which character of it, from 0.
 */
export type DrawColumn = (weights: Float32Array, sample: number, position: number) => number;

/** How candidates are sampled; the names in brackets are the original's. */
export interface CandidateOptions {
  /** How many of the best samples are kept (`K`). */
  readonly candidates: number;
  /** Only so many of the most probable characters of a position are drawn from; 0 for all (`K2`). */
  readonly charactersPerPosition: number;
  /** How often the whole text is sampled (`num_samples`). */
  readonly samples: number;
}

/** A text that the model's probabilities allow. */
export interface Candidate {
  /** Character ids, one a position. */
  readonly ids: readonly number[];
  /** Probability of each of them, f32. */
  readonly probabilities: readonly number[];
  /** Product of the probabilities, f32. */
  readonly product: number;
}

/** Draws in proportion to the weights, from uniform numbers in [0, 1). */
export function proportionalDraw(uniform: () => number): DrawColumn {
  return (weights) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let left = uniform() * total;
    let last = 0;
    for (const [column, weight] of weights.entries()) {
      if (weight <= 0) continue;
      if (left < weight) return column;
      left -= weight;
      last = column;
    }
    return last;
  };
}

/** Uniform numbers in [0, 1), always the same for the same seed (a Weyl sequence with a mixed output). */
export function seededUniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/**
 * Samples texts from the probabilities of their characters, each position on its own. As in the original, a sample whose
 * product of probabilities was met before counts as the same text and is dropped; the best of the others are kept, best
 * first, and the most probable text is put at the end if no kept one is as probable.
 *
 * @param distribution `[positions, classes]`, f32.
 */
export function sampleCandidates(
  distribution: Float32Array,
  classes: number,
  options: CandidateOptions,
  draw: DrawColumn,
): Candidate[] {
  const rows = Array.from({ length: distribution.length / classes }, (_, position) =>
    drawnRow(
      distribution.subarray(position * classes, (position + 1) * classes),
      options.charactersPerPosition,
    ),
  );
  const byProduct = new Map<number, Candidate>();
  for (let sample = 0; sample < options.samples; sample++) {
    const candidate = candidateOf(rows, (row, position) => draw(row.weights, sample, position));
    if (!byProduct.has(candidate.product)) byProduct.set(candidate.product, candidate);
  }
  const kept = [...byProduct.values()]
    .sort((left, right) => right.product - left.product)
    .slice(0, options.candidates);
  const greedy = candidateOf(rows, ({ weights }) => weights.indexOf(Math.max(...weights)));
  const best = kept[0]?.product ?? -Infinity;
  return best < greedy.product ? [...kept, greedy] : kept;
}

/** What is drawn from at a position. */
interface DrawnRow {
  readonly weights: Float32Array;
  /** Character id of each column. */
  readonly ids: readonly number[];
}

function drawnRow(probabilities: Float32Array, limit: number): DrawnRow {
  const ids = Array.from(probabilities, (_, id) => id);
  if (limit <= 0 || limit >= ids.length) return { weights: probabilities, ids };
  const likeliest = ids.sort((left, right) => probabilities[right]! - probabilities[left]!).slice(0, limit);
  return { weights: Float32Array.from(likeliest, (id) => probabilities[id]!), ids: likeliest };
}

function candidateOf(
  rows: readonly DrawnRow[],
  choose: (row: DrawnRow, position: number) => number,
): Candidate {
  const columns = rows.map(choose);
  const probabilities = rows.map(({ weights }, position) => weights[columns[position]!]!);
  return {
    ids: rows.map(({ ids }, position) => ids[columns[position]!]!),
    probabilities,
    product: probabilities.reduce((product, probability) => Math.fround(product * probability), 1),
  };
}
