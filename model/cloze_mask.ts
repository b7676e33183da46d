/**
 * Hides from each position its own character, which lies one further in the context behind the begin token.
 *
 * @returns `[positions, positions]` to be added to scores: 0, or minus infinity where hidden.
 */
export function clozeMaskValues(positions: number): Float32Array<ArrayBuffer> {
  const mask = new Float32Array(positions * positions);
  for (let row = 0; row + 1 < positions; row++) mask[row * positions + row + 1] = -Infinity;
  return mask;
}
