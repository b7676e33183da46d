/** Kinds of stored numbers and their conversion. Multi-byte values are little-endian, as on every platform of Node's and browsers'. */
import { f32FromBrainFloat, f32FromHalf } from './half.js';

/** How a tensor's elements are stored in its file. */
export type StoredDtype =
  'f64' | 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'i16' | 'i8' | 'u64' | 'u32' | 'u16' | 'u8' | 'bool';

/** Elements as stored: f16 and bf16 as bit patterns in Uint16Array, bool as 0 and 1 in Uint8Array. */
export type StoredArray =
  | Float64Array
  | Float32Array
  | Uint16Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

const ARRAYS = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  i16: Int16Array,
  i8: Int8Array,
  u64: BigUint64Array,
  u32: Uint32Array,
  u16: Uint16Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Record<StoredDtype, unknown>;

export function bytesPerElement(dtype: StoredDtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** Product of the dimensions; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** Views the bytes as elements; copies them only where they are not aligned. */
export function storedArray(dtype: StoredDtype, bytes: Uint8Array): StoredArray {
  const kind = ARRAYS[dtype];
  const size = kind.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new kind(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size);
}

/** Converts stored elements to single precision, into `into` from element `at` on. */
export function convertToF32(dtype: StoredDtype, elements: StoredArray, into: Float32Array, at = 0): void {
  if (dtype === 'f16') f32FromHalf(elements as Uint16Array, into, at);
  else if (dtype === 'bf16') f32FromBrainFloat(elements as Uint16Array, into, at);
  else if (elements instanceof BigInt64Array || elements instanceof BigUint64Array) {
    for (let i = 0; i < elements.length; i++) into[at + i] = Number(elements[i]);
  } else into.set(elements, at);
}
