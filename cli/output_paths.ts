/** Checks of output paths before the work begins, so that nothing is computed in vain. */
import { access, constants, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder, outputTarget } from '../weights/index.js';
import { UsageError, describeError, fileReason } from './errors.js';

/**
 * Makes sure that a file can be written at a path and that it is none of the command's inputs.
 * @throws UsageError otherwise
 */
export async function checkOutputFile(
  option: string,
  path: string,
  inputs: readonly string[] = [],
): Promise<void> {
  const folder = dirname(path);
  const status = await statusOf(folder);
  if (!status) throw new UsageError(`${option}: the folder ${folder} does not exist. Make it first.`);
  if (!status.isDirectory()) throw new UsageError(`${option}: ${folder} is a file, not a folder.`);
  const written = await outputTarget(path).catch((error: unknown) => {
    throw new UsageError(`${option}: ${describeError(error)}.`);
  });
  await access(dirname(written), constants.W_OK).catch((error: unknown) => {
    throw new UsageError(`${option}: the folder ${dirname(written)}: ${fileReason(error)}.`);
  });
  const target = await resolved(written);
  for (const input of inputs) {
    if ((await resolved(input)) === target) {
      throw new UsageError(`${option}: ${path} is the input ${input}; give another path.`);
    }
  }
}

/**
 * Makes sure that a folder exists, making it where it does not, and that none of the command's inputs lies in it: an
 * output could bear an input's name.
 * @throws UsageError otherwise
 */
export async function checkOutputFolder(
  option: string,
  path: string,
  inputs: readonly string[] = [],
): Promise<void> {
  try {
    await makeFolder(path);
  } catch (error) {
    const isFile = (error as NodeJS.ErrnoException).code === 'EEXIST';
    throw new UsageError(`${option}: ${path} ${isFile ? 'is a file, not a folder' : fileReason(error)}.`);
  }
  const folder = await realpath(path);
  for (const input of inputs) {
    // A link counts where it lies and where it leads to.
    const holders = [await resolved(dirname(input)), dirname(await resolved(input))];
    if (holders.includes(folder)) {
      throw new UsageError(`${option}: ${path} holds ${input}, which is read; give another folder.`);
    }
  }
}

async function statusOf(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  return stat(path).catch(() => undefined);
}

/** The path without links; of a file that does not exist yet, its folder's. */
async function resolved(path: string): Promise<string> {
  return realpath(path).catch(async () =>
    join(await realpath(dirname(path)).catch(() => dirname(path)), basename(path)),
  );
}
