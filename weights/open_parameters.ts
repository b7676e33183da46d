/** Opening a model's parameters by path, for Node. */
import type { ByteSource } from './byte_source.js';
import { openCheckpoint } from './open_path.js';
import { parametersOf, type ParameterSource } from './parameters.js';

/**
 * Opens a checkpoint of CLIP4STR, PARSeq or CLIP under canonical names.
 * @param pathOrSource as for `openCheckpoint`
 * @throws CheckpointError one line that starts with the file's name
 */
export async function openParameters(
  pathOrSource: string | Uint8Array | ByteSource,
): Promise<ParameterSource> {
  return parametersOf(await openCheckpoint(pathOrSource));
}
