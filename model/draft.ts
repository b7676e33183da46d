/** Ids of drafts on the host: the context that they make, and which rows must be read again. */

/**
 * A draft as context: the begin token and its ids but those past the last position, filled up with end tokens.
 * @param draft `[batch, 1 + known positions]`, the begin token first
 * @returns `[batch, positions]`
 */
export function draftContext(
  draft: Uint32Array,
  batch: number,
  positions: number,
  endId: number,
): Uint32Array<ArrayBuffer> {
  const length = draft.length / batch;
  const context = new Uint32Array(batch * positions).fill(endId);
  for (let row = 0; row < batch; row++) {
    const known = draft.subarray(row * length, row * length + Math.min(length, positions));
    context.set(known, row * positions);
  }
  return context;
}

/**
 * The rows whose reading differs from their context before its end: what comes after that was read from another text.
 * @param context `[rows, positions]`
 * @param read `[rows, 1 + positions]`, read from it
 */
export function rowsToReadAgain(
  context: Uint32Array,
  read: Uint32Array,
  positions: number,
  endId: number,
): number[] {
  const differs = (row: number): boolean => {
    for (let position = 1; position < positions; position++) {
      const id = read[row * (1 + positions) + position];
      if (id === endId) return false;
      if (id !== context[row * positions + position]) return true;
    }
    return false;
  };
  return Array.from({ length: context.length / positions }, (_, row) => row).filter(differs);
}

/** Some rows of a context `[rows, positions]`. */
export function contextRows(
  context: Uint32Array,
  rows: readonly number[],
  positions: number,
): Uint32Array<ArrayBuffer> {
  const some = new Uint32Array(rows.length * positions);
  rows.forEach((row, place) =>
    some.set(context.subarray(row * positions, (row + 1) * positions), place * positions),
  );
  return some;
}
