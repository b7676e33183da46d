/** Writing files whole or not at all, for Node. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileError } from './file_source.js';
import { outputTarget } from './output_target.js';

/**
 * What a process that was killed left of a file that it was to write whole.
 * @returns the name of that file; undefined for other names
 */
export function unfinishedFile(name: string): string | undefined {
  return /^(.+)\.[\da-f]+\.tmp$/.exec(name)?.[1];
}

/**
 * Writes a file whole or not at all: into a temporary file beside it, `<name>.<hexadecimal digits>.tmp`, that is renamed
 * at the end. Symbolic links are written through.
 * @throws CheckpointError when writing fails, or something other than a regular file is at the path; what `write` throws
 */
export async function writeWholeFile(
  path: string,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const target = await outputTarget(path);
  // Process ids repeat in containers: what a killed process left must not be in the way of another of its number.
  const temporary = `${target}.${randomBytes(8).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    // Whether or not it can be removed, the first error is the one to tell.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(basename(path), error);
  }
}
