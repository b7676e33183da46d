import type { TensorFixture } from './fixtures.js';

/** What a fixture holds of the values of a parameter. */
export interface StoredValues {
  readonly expected: Float32Array;
  /** Where each lies in the parameter. */
  readonly places: readonly number[];
}

/**
 * Stored gradients or changes of a parameter: all of them, or, of the token embedding, those of some rows.
 * @param prefix of the run or batch, which may be empty
 * @param kind as `grad`
 * @returns undefined where none are stored
 */
export function storedValues(
  tensors: TensorFixture,
  prefix: string,
  kind: string,
  parameter: string,
): StoredValues | undefined {
  const name = `${prefix}${kind}.${parameter}`;
  if (tensors.names.includes(name)) {
    const expected = tensors.floats(name);
    return { expected, places: [...expected.keys()] };
  }
  const some = `${name}[rows]`;
  if (!tensors.names.includes(some)) return undefined;
  const width = tensors.get(some).shape[1]!;
  const places = tensors
    .integers(`${prefix}token_embedding_rows`)
    .flatMap((row) => Array.from({ length: width }, (_, column) => row * width + column));
  const expected = tensors.floats(some);
  if (places.length !== expected.length)
    throw new Error(`${some}: ${expected.length} values for ${places.length} places.`);
  return { expected, places };
}

/** For how many parameters a fixture holds values. */
export function storedCount(tensors: TensorFixture, prefix: string, kind: string): number {
  return tensors.names.filter((name) => name.startsWith(`${prefix}${kind}.`)).length;
}
