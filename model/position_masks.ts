/** Masks of what positions see of a context that begins with the begin token: 0, or minus infinity where hidden. */

/** Hides from each position its own character and those after it: `[positions, positions]`. */
export function causalMaskValues(positions: number): Float32Array<ArrayBuffer> {
  const mask = new Float32Array(positions * positions);
  for (let row = 0; row < positions; row++)
    mask.fill(-Infinity, row * positions + row + 1, (row + 1) * positions);
  return mask;
}

/** Hides from each position its own character alone, which lies one further in the context: `[positions, positions]`. */
export function clozeMaskValues(positions: number): Float32Array<ArrayBuffer> {
  const mask = new Float32Array(positions * positions);
  for (let row = 0; row + 1 < positions; row++) mask[row * positions + row + 1] = -Infinity;
  return mask;
}
