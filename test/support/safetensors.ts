import { readFileSync } from 'node:fs';

/** A tensor as a test reads it; half precision is widened to f32. */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
}

interface Header {
  readonly [name: string]: { dtype: string; shape: number[]; data_offsets: [number, number] };
}

/** Whole content of a trusted safetensors file: F32, F16, I32, I64 and U8 tensors. */
export function readSafetensors(path: string): Map<string, StoredTensor> {
  const { header, bytes, start } = open(path);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    const data = decode(dtype, bytes.slice(start + offsets[0], start + offsets[1]).buffer);
    tensors.set(name, { dtype, shape, data });
  }
  return tensors;
}

/** Names and shapes alone. */
export function readSafetensorsShapes(path: string): Map<string, { shape: readonly number[] }> {
  return new Map(Object.entries(open(path).header).map(([name, { shape }]) => [name, { shape }]));
}

/** The text metadata of a file. */
export function readSafetensorsMetadata(path: string): Record<string, string> {
  return open(path).metadata;
}

function open(path: string): {
  header: Header;
  metadata: Record<string, string>;
  bytes: Uint8Array;
  start: number;
} {
  const bytes = Uint8Array.from(readFileSync(path));
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes));
  const { __metadata__: metadata, ...header } = JSON.parse(text) as Header & {
    __metadata__?: Record<string, string>;
  };
  return { header: header, metadata: metadata ?? {}, bytes, start: 8 + headerBytes };
}

function decode(dtype: string, buffer: ArrayBuffer): StoredTensor['data'] {
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer), halfToFloat);
    case 'I32':
      return new Int32Array(buffer);
    case 'I64':
      return new BigInt64Array(buffer);
    case 'U8':
      return new Uint8Array(buffer);
    default:
      throw new Error(`tests read no tensors of dtype ${dtype}.`);
  }
}

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
