/** Recognition of a checkpoint's format by its content. */
import type { ByteSource } from './byte_source.js';
import type { Checkpoint } from './checkpoint.js';
import { CheckpointError } from './errors.js';
import { openLegacyPyTorch, startsLikeLegacyPyTorch } from './pytorch_legacy.js';
import { openSafetensors } from './safetensors.js';

const ZIP_SIGNATURES = ['504b0304', '504b0506'];

/**
 * Opens a checkpoint of any supported format, recognised by its content, never by its name.
 * The checkpoint owns the source and closes it, also when opening fails.
 * @throws CheckpointError when it is no checkpoint, or a damaged or hostile one.
 */
export async function openCheckpointSource(source: ByteSource): Promise<Checkpoint> {
  try {
    if (source.size === 0) throw new CheckpointError(source.name, 'is empty');
    const start = await source.read(0, Math.min(source.size, 16));
    if (ZIP_SIGNATURES.includes(hex(start.subarray(0, 4)))) {
      // Loaded on demand: the zip reader needs Node, and browsers that read safetensors do without it.
      const { openPyTorchZip } = await import('./pytorch_zip.js');
      return await openPyTorchZip(source);
    }
    if (startsLikeLegacyPyTorch(start)) return await openLegacyPyTorch(source);
    if (start.length >= 9 && start[8] === 0x7b) return await openSafetensors(source);
    throw new CheckpointError(
      source.name,
      `is no checkpoint: it starts with ${hex(start)}, expected a safetensors file, a PyTorch file or a TorchScript archive`,
    );
  } catch (error) {
    await source.close();
    throw error;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
