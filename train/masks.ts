/** What each position may see in permuted sequence modelling (PARSeq, section 3.2). */
import { clozeMaskValues } from '../model/index.js';

/** Masks `[positions, positions]` to be added to scores: 0, or minus infinity where hidden. */
export interface DecoderMasks {
  /** What a context token (row) sees of the context: the begin token, then the characters. */
  readonly content: Float32Array<ArrayBuffer>;
  /** What a query (row) sees of the context; row 0 asks for the first character, the last row for the end token. */
  readonly query: Float32Array<ArrayBuffer>;
  /** The longest label and one. */
  readonly positions: number;
}

/**
 * Each token sees those before it in the permutation; a context token sees itself as well, a query never what it asks
 * for. The end token is in no context. No row is hidden altogether: all see the begin token.
 *
 * @param permutation of the positions 0 (begin token) to `positions` (end token), as {@link drawPermutations} makes it
 */
export function permutationMasks(permutation: readonly number[]): DecoderMasks {
  const positions = permutation.length - 1;
  const content = new Float32Array(positions * positions);
  const query = new Float32Array(positions * positions);
  const rank = new Uint32Array(permutation.length);
  permutation.forEach((position, place) => (rank[position] = place));
  for (let row = 0; row < positions; row++) {
    for (let column = 0; column < positions; column++) {
      if (rank[column]! > rank[row]!) content[row * positions + column] = -Infinity;
      if (rank[column]! >= rank[row + 1]!) query[row * positions + column] = -Infinity;
    }
  }
  return { content, query, positions };
}

/** Every position sees all others, for queries and context alike: the cross branch's with `cross_cloze_mask`. */
export function clozeMasks(positions: number): DecoderMasks {
  const mask = clozeMaskValues(positions);
  return { content: mask, query: mask, positions };
}
