import { fileURLToPath } from 'node:url';

/** Path of the checkpoint that ships with this package, beside this file. For Node. */
export function defaultCheckpoint(): string {
  return fileURLToPath(new URL('./clip4str_tiny.safetensors', import.meta.url));
}
