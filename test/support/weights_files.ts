/** Checkpoint files built or read byte by byte, independently of the code under test. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateRawSync } from 'node:zlib';

export function formatFixture(name: string): string {
  return fileURLToPath(new URL(`../../../test/fixtures/formats/${name}`, import.meta.url));
}

export function parseqFixture(name: string): string {
  return fileURLToPath(new URL(`../../../test/fixtures/parseq/${name}`, import.meta.url));
}

/** Runs `use` with a folder that is gone afterwards. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'clip4str-weights-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export interface PlainTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Reads a safetensors file by the letter of its specification. */
export function plainSafetensors(path: string): Map<string, PlainTensor> {
  const file = new Uint8Array(readFileSync(path));
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, PlainTensor>();
  for (const [name, { dtype, shape, data_offsets: range }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const bytes = file.slice(8 + headerBytes + range[0], 8 + headerBytes + range[1]);
    tensors.set(name, { dtype, shape, bytes });
  }
  return tensors;
}

/** A half's value by the definition of IEEE 754. */
export function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits >> 15 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/** Values of a tensor of F32, F16 or I64. */
export function plainValues({ dtype, bytes }: PlainTensor): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'F32')
    return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  if (dtype === 'F16')
    return Array.from({ length: bytes.length / 2 }, (_, i) => halfValue(view.getUint16(2 * i, true)));
  return Array.from({ length: bytes.length / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
}

/** A safetensors file of any header, right or wrong. */
export function safetensorsBytes(header: unknown, dataBytes: number, headerBytes?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, headerBytes ?? BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

/** Concatenates bytes, numbers (one byte each) and text (UTF-8). */
export function bytesOf(...parts: (Uint8Array | number | string)[]): Uint8Array {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : Buffer.from(part))),
  );
}

export function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

export function uint64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

/** Pickles a value as far as checkpoints need it: text, small integers, null, arrays as tuples, and raw opcodes. */
export function pickled(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (value === null) return bytesOf('N');
  if (typeof value === 'number') return bytesOf('J', uint32(value));
  if (typeof value === 'string') return bytesOf('X', uint32(Buffer.byteLength(value)), value);
  if (Array.isArray(value)) return bytesOf('(', ...value.map(pickled), 't');
  throw new Error(`cannot pickle a ${typeof value}`);
}

/** Opcodes of a dictionary. */
export function pickledDictionary(entries: Readonly<Record<string, unknown>>): Uint8Array {
  const items = Object.entries(entries).flatMap(([key, value]) => [pickled(key), pickled(value)]);
  return bytesOf('}(', ...items, 'u');
}

/** Opcodes of a call of a named Python callable. */
export function pickledCall(module: string, name: string, ...args: unknown[]): Uint8Array {
  return bytesOf(`c${module}\n${name}\n`, pickled(args), 'R');
}

/** Opcodes of a single-precision tensor that views the storage `key` of `elements` elements. */
export function pickledTensor(
  key: string,
  elements: number,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
  storage = 'FloatStorage',
): Uint8Array {
  const id = pickled(['storage', bytesOf(`ctorch\n${storage}\n`), key, 'cpu', elements]);
  const args = [bytesOf(id, 'Q'), offset, [...shape], [...strides], bytesOf(0x89), null];
  return pickledCall('torch._utils', '_rebuild_tensor_v2', ...args);
}

/** A whole pickle of protocol 2. */
export function pickleOf(...opcodes: (Uint8Array | number | string)[]): Uint8Array {
  return bytesOf(0x80, 2, ...opcodes, '.');
}

export interface ZipMemberToWrite {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
}

export function zipOf(members: readonly ZipMemberToWrite[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const { name, data, deflate = false } of members) {
    const stored = deflate ? deflateRawSync(data) : data;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(deflate ? 8 : 0, 4);
    common.writeUInt32LE(crc(data), 10);
    common.writeUInt32LE(stored.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = bytesOf('PK', 3, 4, common, name, stored);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    directory.push(bytesOf('PK', 1, 2, 20, 0, common, place, name));
    parts.push(local);
    offset += local.length;
  }
  const central = bytesOf(...directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(members.length, 4);
  end.writeUInt16LE(members.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return bytesOf(...parts, central, 'PK', 5, 6, end);
}

function crc(data: Uint8Array): number {
  return typeof crc32 === 'function' ? crc32(data) : 0;
}

/** A PyTorch zip file of a pickle and its storages. */
export function torchZip(
  pickle: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
): Uint8Array {
  return zipOf([
    { name: 'model/data.pkl', data: pickle },
    ...Object.entries(storages).map(([key, data]) => ({ name: `model/data/${key}`, data })),
  ]);
}

/** The message of the error that `action` must end with. */
export async function messageOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('expected an error');
}
