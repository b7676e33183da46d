/**
 * The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes without gaps.
 * Specification: https://github.com/huggingface/safetensors
 */
import safetensors from 'safetensors';
import type { ByteSource } from './byte_source.js';
import type { Checkpoint } from './checkpoint.js';
import { bytesPerElement, elementCount, type StoredDtype } from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';
import { LocatedCheckpoint, type TensorLocation } from './stored_tensors.js';

/** Names of the kinds of numbers in the header. */
export const SAFETENSORS_DTYPES = new Map<string, StoredDtype>([
  ['F64', 'f64'],
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
  ['I64', 'i64'],
  ['I32', 'i32'],
  ['I16', 'i16'],
  ['I8', 'i8'],
  ['U64', 'u64'],
  ['U32', 'u32'],
  ['U16', 'u16'],
  ['U8', 'u8'],
  ['BOOL', 'bool'],
]);

/** Headers of real models take a few hundred kilobytes; the bound keeps a hostile one from filling memory. */
const LARGEST_HEADER_BYTES = 32 << 20;
const MOST_DIMENSIONS = 64;
/** Deepest nesting of a value in the metadata. */
const DEEPEST_METADATA = 64;

/** Reads the header of a safetensors file; tensors are read later, one by one. */
export async function openSafetensors(source: ByteSource): Promise<Checkpoint> {
  const { locations, configuration } = await readSafetensorsHeader(source);
  return new LocatedCheckpoint(source.name, 'safetensors', configuration, locations, [source]);
}

export async function readSafetensorsHeader(source: ByteSource): Promise<{
  locations: Map<string, TensorLocation>;
  configuration: Record<string, unknown>;
}> {
  const fail = (problem: string): never => {
    throw new CheckpointError(source.name, problem);
  };
  if (source.size < 8) fail(`has ${source.size} bytes, too few for a safetensors file`);
  const lengthBytes = await source.read(0, 8);
  const claimed = new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8).getBigUint64(0, true);
  if (claimed > BigInt(Math.min(LARGEST_HEADER_BYTES, source.size - 8))) {
    fail(
      `claims a header of ${claimed} bytes; the file has ${source.size} bytes and at most ${LARGEST_HEADER_BYTES} are accepted`,
    );
  }
  const headerBytes = Number(claimed);
  const dataStart = 8 + headerBytes;
  const { tensors, metadata } = parseHeader(await source.read(8, headerBytes), fail);

  const locations = new Map<string, TensorLocation>();
  const ranges: { name: string; begin: number; end: number }[] = [];
  for (const [name, entry] of tensors) {
    const shown = shownName(name);
    const { shape, range } = entry;
    const dtype = SAFETENSORS_DTYPES.get(entry.dtype);
    if (!dtype) return fail(`${shown} has dtype ${shownName(entry.dtype)}, which is not supported`);
    const [begin, end] = range;
    const needed = elementCount(shape) * bytesPerElement(dtype);
    if (end - begin !== needed) {
      fail(`${shown} is ${dtype} [${shape.join(',')}] and needs ${needed} bytes, but has ${end - begin}`);
    }
    ranges.push({ name: shown, begin, end });
    locations.set(name, { source, byteOffset: dataStart + begin, dtype, shape });
  }

  ranges.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  let previous = 'the header';
  for (const { name, begin, end } of ranges) {
    if (begin < position)
      fail(`${name} overlaps ${previous}: it begins at data byte ${begin}, not ${position}`);
    if (begin > position) fail(`leaves a gap of ${begin - position} bytes between ${previous} and ${name}`);
    position = end;
    previous = name;
  }
  if (dataStart + position !== source.size) {
    const cause =
      dataStart + position > source.size ? 'it is truncated' : 'it has bytes that belong to no tensor';
    fail(`has ${source.size} bytes, but its header describes ${dataStart + position}: ${cause}`);
  }
  return { locations, configuration: parseMetadata(metadata, fail) };
}

interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte and the one after the last, counted from the end of the header. */
  readonly range: readonly [number, number];
}

function parseHeader(
  bytes: Uint8Array,
  fail: (problem: string) => never,
): { tensors: Map<string, HeaderEntry>; metadata: unknown } {
  let header: unknown;
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    fail('has a header that is no valid JSON; the file is damaged');
  }
  if (!isRecord(header)) return fail('has a header that is no JSON object');
  const keys = Object.keys(header);
  if (countTopLevelKeys(text) !== keys.length) fail('names the same tensor twice in its header');
  const { __metadata__: metadata, ...entries } = header;
  const checked: [string, object][] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: offsets } = isRecord(entry) ? entry : {};
    if (typeof dtype !== 'string') fail(`${shownName(name)} has no valid dtype: ${shortJson(dtype)}`);
    if (!isShape(shape)) fail(`${shownName(name)} has no valid shape: ${shortJson(shape)}`);
    if (shape.length > MOST_DIMENSIONS) {
      fail(`${shownName(name)} has ${shape.length} dimensions; at most ${MOST_DIMENSIONS} are read`);
    }
    if (!(Array.isArray(offsets) && offsets.length === 2 && offsets.every(isCount))) {
      fail(`${shownName(name)} has no valid data_offsets: ${shortJson(offsets)}`);
    }
    checked.push([name, { dtype, shape, data_offsets: offsets }]);
  }
  // The package knows neither `__metadata__` nor bounds, so it is given what has been checked, and only the header.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(checked)));
  const file = new Uint8Array(8 + json.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  const tensors = new Map<string, HeaderEntry>();
  for (const [name, { dtype, shape, data_offsets: positions }] of new safetensors.SafeTensor(file).metadata) {
    const [begin, end] = positions.map((position) => position - file.length) as [number, number];
    tensors.set(name, { dtype, shape, range: [begin, end] });
  }
  return { tensors, metadata };
}

/** Counts the keys of a valid JSON object as written; JSON.parse keeps only the last of equal ones. */
function countTopLevelKeys(json: string): number {
  let depth = 0;
  let keys = 0;
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === '"') {
      for (i++; json[i] !== '"'; i++) if (json[i] === '\\') i++;
    } else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    else if (character === ':' && depth === 1) keys++;
  }
  return keys;
}

function parseMetadata(metadata: unknown, fail: (problem: string) => never): Record<string, unknown> {
  if (metadata === undefined) return {};
  if (!isRecord(metadata)) return fail('has a __metadata__ that is no JSON object');
  const parsed = Object.entries(metadata).map(([key, value]): [string, unknown] => {
    if (typeof value !== 'string') return fail(`has metadata ${shownName(key)} that is no string`);
    let plain: unknown = value;
    try {
      plain = JSON.parse(value);
    } catch {
      // Text, as other programs write it.
    }
    if (!isNestedWithin(plain, DEEPEST_METADATA)) {
      fail(`has metadata ${shownName(key)} nested more than ${DEEPEST_METADATA} deep`);
    }
    return [key, plain];
  });
  return Object.fromEntries(parsed);
}

function isNestedWithin(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((part) => isNestedWithin(part, depth - 1));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount) && Number.isSafeInteger(elementCount(value) * 8);
}

function shortJson(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? 'none').slice(0, 80);
  } catch {
    return 'nested too deeply';
  }
}
