/** Opening checkpoints by path: single files, sharded safetensors, folders. For Node. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ByteSource, MemorySource } from './byte_source.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointError, shownName } from './errors.js';
import { fileError, FileSource } from './file_source.js';
import { openCheckpointSource } from './open_source.js';
import { readSafetensorsHeader } from './safetensors.js';
import { LocatedCheckpoint, type TensorLocation } from './stored_tensors.js';

const LARGEST_INDEX_BYTES = 32 << 20;
const MOST_SHARDS = 1000;

/** What a training run keeps beside each of its checkpoints, to go on from. */
export const runStateEnding = '.state.safetensors';

/**
 * Opens a checkpoint: safetensors, a PyTorch file (zip or legacy, Lightning's too), a TorchScript archive, the index of
 * a sharded safetensors checkpoint, or a folder with one of the last two. The format is recognised by content.
 * @param pathOrSource a path, the bytes of one file, or a source of them, which the checkpoint then owns and closes
 * @throws CheckpointError one line that starts with the file's name
 */
export async function openCheckpoint(pathOrSource: string | Uint8Array | ByteSource): Promise<Checkpoint> {
  if (typeof pathOrSource !== 'string') return openCheckpointSource(sourceOf(pathOrSource));
  const path = await fileOf(pathOrSource);
  const source = await FileSource.open(path);
  return (await isIndex(source)) ? openShards(source, dirname(path)) : openCheckpointSource(source);
}

/**
 * The paths of all files that `openCheckpoint` reads for a path: one, or an index with its shards.
 * @throws CheckpointError as `openCheckpoint` does, where the files are not found
 */
export async function checkpointFiles(path: string): Promise<string[]> {
  const file = await fileOf(path);
  const source = await FileSource.open(file);
  try {
    if (!(await isIndex(source))) return [file];
    const shards = new Set((await readWeightMap(source)).values());
    return [file, ...Array.from(shards, (shard) => join(dirname(file), shard))];
  } finally {
    await source.close();
  }
}

function sourceOf(given: Uint8Array | ByteSource): ByteSource {
  // By its tag, which arrays of other realms have too.
  const kind = Object.prototype.toString.call(given).slice(8, -1);
  if (kind === 'Uint8Array') return new MemorySource(given as Uint8Array, 'checkpoint in memory');
  const source = Object(given) as Partial<ByteSource>;
  if (typeof source.read === 'function' && typeof source.close === 'function') return given as ByteSource;
  throw new CheckpointError('checkpoint', `is ${kind}; give a path, a Uint8Array or a ByteSource`);
}

/** The file meant by a path: itself, or a folder's index, or its only safetensors file. */
async function fileOf(path: string): Promise<string> {
  const name = basename(path) || path;
  try {
    if (!(await stat(path)).isDirectory()) return path;
    const files = await readdir(path);
    for (const ending of ['.safetensors.index.json', '.safetensors']) {
      const models = files.filter((file) => file.endsWith(ending) && !file.endsWith(runStateEnding));
      const [file, ...others] = models.sort();
      if (!file) continue;
      if (others.length === 0) return join(path, file);
      throw new CheckpointError(
        name,
        `is a folder with ${others.length + 1} files *${ending}; name one: ${[file, ...others].slice(0, 5).join(', ')}`,
      );
    }
  } catch (error) {
    throw fileError(name, error);
  }
  throw new CheckpointError(name, 'is a folder without a safetensors file; name the checkpoint itself');
}

/** Whether a file begins as a JSON object does. A safetensors file can have those bytes, but then zeros follow. */
async function isIndex(source: ByteSource): Promise<boolean> {
  if (source.size > LARGEST_INDEX_BYTES) return false;
  const start = await source.read(0, Math.min(source.size, 64));
  return /^\{\s*"[^\0]/.test(new TextDecoder('latin1').decode(start));
}

/** Opens all shards that an index (`{"weight_map": {tensor: file}}`) names, as one checkpoint. */
async function openShards(index: FileSource, folder: string): Promise<Checkpoint> {
  const sources: ByteSource[] = [index];
  try {
    const weightMap = await readWeightMap(index);
    const files = [...new Set(weightMap.values())];
    const locations = new Map<string, TensorLocation>();
    let configuration: Record<string, unknown> = {};
    for (const file of files) {
      const shard = await FileSource.open(join(folder, file));
      sources.push(shard);
      const header = await readSafetensorsHeader(shard);
      configuration = { ...configuration, ...header.configuration };
      for (const [name, location] of header.locations) {
        if (weightMap.get(name) !== file) {
          throw new CheckpointError(
            index.name,
            `does not say that ${shownName(name)} is in ${shownName(file)}`,
          );
        }
        locations.set(name, location);
      }
    }
    const missing = [...weightMap.keys()].filter((name) => !locations.has(name));
    if (missing.length > 0) {
      throw new CheckpointError(
        index.name,
        `names ${missing.length} tensors that their shards do not have: ${missing.slice(0, 5).map(shownName).join(', ')}`,
      );
    }
    return new LocatedCheckpoint(index.name, 'safetensors', configuration, locations, sources);
  } catch (error) {
    for (const source of sources) await source.close();
    throw error;
  }
}

async function readWeightMap(index: FileSource): Promise<Map<string, string>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await index.read(0, index.size)));
  } catch (error) {
    throw new CheckpointError(index.name, 'is no valid JSON, so no safetensors index', { cause: error });
  }
  const weightMap = (parsed as { weight_map?: unknown } | null)?.weight_map;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw new CheckpointError(index.name, 'has no weight_map, so it is no safetensors index');
  }
  const entries = Object.entries(weightMap).map(([name, file]: [string, unknown]): [string, string] => {
    // Only a plain file name beside the index: a path could lead anywhere.
    if (typeof file !== 'string' || !/^[^/\\]+$/.test(file) || file.includes('\0') || /^\.\.?$/.test(file)) {
      throw new CheckpointError(index.name, `has no valid file name for ${shownName(name)}`);
    }
    return [name, file];
  });
  if (new Set(entries.map(([, file]) => file)).size > MOST_SHARDS) {
    throw new CheckpointError(index.name, `names more than ${MOST_SHARDS} shards`);
  }
  return new Map(entries);
}
