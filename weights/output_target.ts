/** Where an output file is really written, for Node. */
import { lstat, mkdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { CheckpointError } from './errors.js';

/**
 * The path that a new file takes: through symbolic links to where they lead, so that a link stays a link.
 * @throws CheckpointError when something other than a regular file is there, which a rename would do away with.
 */
export async function outputTarget(path: string): Promise<string> {
  const name = basename(path);
  const target = await realpath(path).catch(() => undefined);
  if (target === undefined) {
    if (await lstat(path).catch(() => undefined)) {
      throw new CheckpointError(name, 'is a link that leads to no file; remove it or name another file');
    }
    return path;
  }
  const status = await stat(target);
  if (status.isDirectory()) throw new CheckpointError(name, 'is a folder; name a file');
  if (!status.isFile()) {
    throw new CheckpointError(name, 'is a device, pipe or socket; name a regular or a new file');
  }
  return target;
}

/**
 * Makes a folder and those above it, unless it exists. Node's own way of making several never ends where a file system
 * takes no folders, such as /proc.
 * @throws the file system's error; EEXIST where a file is in the way
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const above = dirname(path);
    if (code === 'ENOENT' && !(await stat(above).catch(() => undefined))) {
      await makeFolder(above);
      await mkdir(path);
    } else if (!(await stat(path).catch(() => undefined))?.isDirectory()) throw error;
  }
}
