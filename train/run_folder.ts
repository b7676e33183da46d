/** The folder of a run, held by one process at a time, for Node. */
import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../weights/output_target.js';
import { unfinishedFile } from '../weights/whole_file.js';
import { Checkpoints } from './checkpoints.js';
import { FolderLock, type LockOptions } from './folder_lock.js';

/** Whether a run writes a file of that name into its folder, whole or as its metrics. */
export function isRunFile(name: string): boolean {
  return /^(?:(?:step-\d+(?:\.state)?|best|averaged)\.safetensors|config\.yaml|metrics\.jsonl|report\.html|step-\d+\.samples\.txt)$/.test(
    name,
  );
}

export class RunFolder {
  readonly checkpoints: Checkpoints;

  private constructor(
    readonly path: string,
    private readonly lock: FolderLock,
    private readonly isNew: boolean,
  ) {
    this.checkpoints = new Checkpoints(path);
  }

  /**
   * Makes the folder where it is missing, takes it for this process, and removes what a killed one left half written.
   * @throws FolderInUseError where another process holds it: nothing in it is touched then; Error where it cannot be made
   */
  static async open(path: string, options: LockOptions = {}): Promise<RunFolder> {
    const isNew = !(await stat(path).catch(() => undefined));
    await makeFolder(path);
    const lock = await FolderLock.take(path, options);
    try {
      for (const name of await readdir(path)) {
        if (isRunFile(unfinishedFile(name) ?? '')) await rm(join(path, name), { force: true });
      }
    } catch (error) {
      await lock.release();
      throw error;
    }
    return new RunFolder(path, lock, isNew);
  }

  /** @throws FolderInUseError where another process has taken the folder meanwhile */
  async check(): Promise<void> {
    await this.lock.check();
  }

  /** Gives the folder free; one that was made for a run that came to nothing goes. */
  async close(): Promise<void> {
    await this.lock.release();
    if (this.isNew) await rmdir(this.path).catch(() => undefined);
  }
}
