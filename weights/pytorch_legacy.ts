/**
 * PyTorch's format before 1.6: five pickles (magic number, protocol, system, value, storage keys), then each storage
 * as its element count in 8 bytes and its elements.
 */
import { assertRange, type ByteSource } from './byte_source.js';
import type { Checkpoint } from './checkpoint.js';
import { bytesPerElement } from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';
import { LARGEST_PICKLE_BYTES, PickleStream } from './pickle.js';
import type { PickledStorage } from './pickle_values.js';
import { checkpointOfPickle } from './pytorch_state.js';

/** The pickle of 0x1950a86a20f9469cfc6c, with which every such file starts. */
const MAGIC = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const PROTOCOL = 1001;

/** @param start the file's first 16 bytes, or all of a shorter file */
export function startsLikeLegacyPyTorch(start: Uint8Array): boolean {
  return MAGIC.every((byte, i) => start[i] === byte);
}

export async function openLegacyPyTorch(source: ByteSource): Promise<Checkpoint> {
  const bytes = await source.read(0, Math.min(source.size, LARGEST_PICKLE_BYTES));
  const pickles = new PickleStream(source.name, bytes.subarray(MAGIC.length), MAGIC.length);
  const protocol = pickles.next();
  if (protocol !== PROTOCOL) {
    throw new CheckpointError(
      source.name,
      `is of PyTorch's protocol ${String(protocol)}, expected ${PROTOCOL}`,
    );
  }
  const system = pickles.next();
  if (system instanceof Map && system.get('little_endian') === false) {
    throw new CheckpointError(source.name, 'was written on a big-endian machine; save it again on another');
  }
  const root = pickles.next();
  const storages = pickles.storages;
  const keys = pickles.next();
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string'))
    throw new CheckpointError(source.name, 'has no list of storage keys');
  const places = await placeStorages(source, storages, keys, MAGIC.length + pickles.position);
  return checkpointOfPickle(source, 'pytorch-legacy', root, (storage) => {
    const place = places.get(storage.key);
    if (place === undefined)
      throw new CheckpointError(source.name, `has no storage ${shownName(storage.key)}`);
    return place;
  });
}

/** Walks along the storages: where each begins follows from the sizes of those before it. */
async function placeStorages(
  source: ByteSource,
  storages: ReadonlyMap<string, PickledStorage>,
  keys: readonly string[],
  start: number,
): Promise<Map<string, number>> {
  const places = new Map<string, number>();
  let position = start;
  for (const key of keys) {
    const storage = storages.get(key);
    if (!storage || places.has(storage.key)) {
      throw new CheckpointError(source.name, `lists the storage ${shownName(key)}, which no tensor uses`);
    }
    const header = await source.read(position, 8);
    const count = new DataView(header.buffer, header.byteOffset, 8).getBigInt64(0, true);
    if (count !== BigInt(storage.elements)) {
      throw new CheckpointError(
        source.name,
        `storage ${shownName(storage.key)} at byte ${position} has ${count} elements, expected ${storage.elements}`,
      );
    }
    position += 8;
    places.set(storage.key, position);
    position += storage.elements * bytesPerElement(storage.dtype);
  }
  assertRange(source, start, position - start);
  return places;
}
