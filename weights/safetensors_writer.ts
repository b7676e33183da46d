/** Writing safetensors files, for Node. */
import { basename } from 'node:path';
import { bytesPerElement, elementCount } from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';
import { halfFromF32 } from './half.js';
import { writeWholeFile } from './whole_file.js';

/** A tensor to be written; dense and row-major. */
export type WritableTensor = {
  readonly name: string;
  readonly shape: readonly number[];
} & (
  | { readonly dtype: 'f32' | 'f16'; read(): Float32Array | Promise<Float32Array> }
  | { readonly dtype: 'i32'; read(): Int32Array | Promise<Int32Array> }
  | { readonly dtype: 'i64'; read(): BigInt64Array | Promise<BigInt64Array> }
  | { readonly dtype: 'u8'; read(): Uint8Array | Promise<Uint8Array> }
);

const HEADER_DTYPES = { f32: 'F32', f16: 'F16', i32: 'I32', i64: 'I64', u8: 'U8' } as const;
const HALF_CHUNK_ELEMENTS = 1 << 20;

/**
 * Writes a safetensors file, whole or not at all. Symbolic links are written through. Tensors are read one after the
 * other, so that only one need be in memory. The bytes depend on the content alone: tensors are ordered by falling element size, so that each is aligned, then by name; metadata by key.
 * Values of `f16` tensors are rounded to the nearest half, ties to even.
 * @param metadata strings; by convention each is the JSON of a value
 * @throws CheckpointError when a name occurs twice, a tensor's data does not fit its shape, writing fails, or something
 *   other than a regular file is at the path.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<WritableTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const name = basename(path);
  const ordered = [...tensors].sort(
    (a, b) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype) || (a.name < b.name ? -1 : 1),
  );
  const header = encodeHeader(name, ordered, metadata);
  await writeWholeFile(path, async (file) => {
    await file.writeFile(header);
    for (const tensor of ordered) {
      for await (const bytes of tensorBytes(name, tensor)) await file.writeFile(bytes);
    }
  });
}

function encodeHeader(
  fileName: string,
  tensors: readonly WritableTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = new Map<string, unknown>();
  const sorted = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (sorted.length > 0) entries.set('__metadata__', Object.fromEntries(sorted));
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    if (entries.has(name))
      throw new CheckpointError(fileName, `would have two tensors named ${shownName(name)}`);
    const end = begin + elementCount(shape) * bytesPerElement(dtype);
    entries.set(name, { dtype: HEADER_DTYPES[dtype], shape, data_offsets: [begin, end] });
    begin = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

async function* tensorBytes(fileName: string, tensor: WritableTensor): AsyncGenerator<Uint8Array> {
  const values = await tensor.read();
  const expected = elementCount(tensor.shape);
  if (values.length !== expected) {
    throw new CheckpointError(
      fileName,
      `${shownName(tensor.name)} has ${values.length} elements; [${tensor.shape.join(',')}] needs ${expected}`,
    );
  }
  if (tensor.dtype !== 'f16') {
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return;
  }
  for (let start = 0; start < values.length; start += HALF_CHUNK_ELEMENTS) {
    const half = halfFromF32((values as Float32Array).subarray(start, start + HALF_CHUNK_ELEMENTS));
    yield new Uint8Array(half.buffer);
  }
}
