/** Why paths that the user has given cannot be used. */
import { stat } from 'node:fs/promises';

const reasons: ReadonlyMap<unknown, string> = new Map([
  ['ENOENT', 'does not exist'],
  ['EACCES', 'may not be read: permission denied'],
  ['ENOTDIR', 'is below a file, not in a folder'],
]);

/** What is wrong with a folder that is to be read, as the end of a sentence; undefined if nothing is. */
export async function folderProblem(path: string): Promise<string | undefined> {
  return problem(path, (status) => (status.isDirectory() ? undefined : 'is a file, not a folder'));
}

/** The same of a file. */
export async function fileProblem(path: string): Promise<string | undefined> {
  return problem(path, (status) => {
    if (status.isDirectory()) return 'is a folder, not a file';
    return status.isFile() ? undefined : 'is a device, pipe or socket, not a file';
  });
}

async function problem(
  path: string,
  judge: (status: Awaited<ReturnType<typeof stat>>) => string | undefined,
): Promise<string | undefined> {
  try {
    return judge(await stat(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return reasons.get(code) ?? `cannot be read: ${message}`;
  }
}
