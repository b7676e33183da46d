/** Reading tensors, dense or strided, whose place in a file is known. Shared by every container format. */
import type { ByteSource } from './byte_source.js';
import type { Checkpoint, CheckpointFormat, F32Chunk, StoredTensor } from './checkpoint.js';
import {
  bytesPerElement,
  convertToF32,
  elementCount,
  storedArray,
  type StoredArray,
  type StoredDtype,
} from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';

/** Where one tensor lies. */
export interface TensorLocation {
  readonly source: ByteSource;
  /** Of the tensor's first element. */
  readonly byteOffset: number;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** In elements, one per dimension; absent when the elements lie dense and row-major. */
  readonly strides?: readonly number[];
}

const CHUNK_BYTES = 8 << 20;

/** A checkpoint whose tensors are read from their places on demand. */
export class LocatedCheckpoint implements Checkpoint {
  readonly tensors: ReadonlyMap<string, StoredTensor>;

  constructor(
    readonly name: string,
    readonly format: CheckpointFormat,
    readonly configuration: Readonly<Record<string, unknown>>,
    private readonly locations: ReadonlyMap<string, TensorLocation>,
    private readonly sources: readonly ByteSource[],
  ) {
    const tensors = new Map<string, StoredTensor>();
    for (const [tensorName, { dtype, shape }] of locations) {
      const byteLength = elementCount(shape) * bytesPerElement(dtype);
      tensors.set(tensorName, { name: tensorName, dtype, shape, byteLength });
    }
    this.tensors = tensors;
  }

  async read(name: string): Promise<StoredArray> {
    const location = this.#locate(name);
    const elements = await readElements(location, 0, elementCount(location.shape));
    // A source may hand out views of its own bytes; callers own what they are given.
    return location.strides ? elements : elements.slice();
  }

  async readF32(name: string): Promise<Float32Array> {
    const values = new Float32Array(elementCount(this.#locate(name).shape));
    for await (const [at, elements] of this.#pieces(name, CHUNK_BYTES)) {
      convertToF32(this.#locate(name).dtype, elements, values, at);
    }
    return values;
  }

  async *readChunks(name: string, maxBytes = CHUNK_BYTES): AsyncGenerator<F32Chunk> {
    for await (const [elementOffset, elements] of this.#pieces(name, maxBytes)) {
      const values = new Float32Array(elements.length);
      convertToF32(this.#locate(name).dtype, elements, values);
      yield { elementOffset, values };
    }
  }

  async close(): Promise<void> {
    for (const source of this.sources) await source.close();
  }

  /** Stored elements in order, each piece with its offset; at most as many at once as fit `maxBytes` in f32. */
  async *#pieces(name: string, maxBytes: number): AsyncGenerator<[number, StoredArray]> {
    const location = this.#locate(name);
    const total = elementCount(location.shape);
    const step = Math.max(1, Math.floor(maxBytes / Float32Array.BYTES_PER_ELEMENT));
    // A strided view is gathered once as a whole: its pieces would read the same bytes again and again.
    const gathered = location.strides && (await readElements(location, 0, total));
    for (let at = 0; at < total; at += step) {
      const count = Math.min(step, total - at);
      yield [at, gathered?.subarray(at, at + count) ?? (await readElements(location, at, count))];
    }
  }

  #locate(name: string): TensorLocation {
    const location = this.locations.get(name);
    if (!location) throw new CheckpointError(this.name, `has no tensor ${shownName(name)}`);
    return location;
  }
}

async function readElements(location: TensorLocation, first: number, count: number): Promise<StoredArray> {
  const { source, dtype, byteOffset, shape, strides } = location;
  const size = bytesPerElement(dtype);
  if (!strides) {
    return storedArray(dtype, await source.read(byteOffset + first * size, count * size));
  }
  const span = elementSpan(shape, strides);
  const bytes = await source.read(byteOffset, span * size);
  const dense = new Uint8Array(count * size);
  gather(storedArray(dtype, bytes), storedArray(dtype, dense), shape, strides);
  return storedArray(dtype, dense);
}

/** Number of elements from a strided view's first to its last, both included; 0 when it is empty. */
export function elementSpan(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, dimension, axis) => span + (dimension - 1) * strides[axis]!, 1);
}

/** True when the strides are those of a dense row-major tensor; axes of length 1 may have any stride. */
export function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

function gather(
  from: StoredArray,
  into: StoredArray,
  shape: readonly number[],
  strides: readonly number[],
): void {
  if (into.length === 0) return;
  const index = new Array<number>(shape.length).fill(0);
  let position = 0;
  for (let i = 0; i < into.length; i++) {
    into[i] = from[position]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      position -= index[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}
