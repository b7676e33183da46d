/** A file that shows others that a process has something to itself, for Node. */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';

/** What is seen of a lock. */
export interface LockSighting {
  /** Different for each holder. */
  readonly text: string;
  /** When its holder last showed that it is alive, by the clock of the file system. */
  readonly touchedMs: number;
}

/**
 * A lock of this process's own, touched again and again for as long as the process is alive: process ids say nothing
 * between containers that share a folder, and clocks of file servers differ. Functions throw the file system's errors.
 */
export class LockFile {
  private readonly beat: NodeJS.Timeout;

  private constructor(
    private readonly path: string,
    private readonly text: string,
    beatMs: number,
  ) {
    // Whoever removed the file is met when the lock is checked.
    this.beat = setInterval(() => void this.touch().catch(() => undefined), beatMs).unref();
  }

  /**
   * @param text by which the lock is known from those of others
   * @param beatMs how often the holder shows that it is alive
   * @returns undefined where the file is there already
   */
  static async create(path: string, text: string, beatMs: number): Promise<LockFile | undefined> {
    return (await created(path, text)) ? new LockFile(path, text, beatMs) : undefined;
  }

  /** @returns undefined where there is none */
  static async seen(path: string): Promise<LockSighting | undefined> {
    try {
      return { text: await readFile(path, 'utf8'), touchedMs: (await stat(path)).mtimeMs };
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Removes the lock of a dead process, unless another has replaced it meanwhile. */
  static async removeStale(path: string, text: string): Promise<void> {
    const aside = `${path}.${randomUUID()}`;
    try {
      await rename(path, aside);
      // Of several that find the same stale lock, the slower may get the new lock of the first: it is put back.
      if ((await readFile(aside, 'utf8')) !== text) await link(aside, path).catch(() => undefined);
      await rm(aside, { force: true });
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }

  /** @returns whether it is still this process's own; one that was removed is made again */
  async renew(): Promise<boolean> {
    const seen = await LockFile.seen(this.path);
    return seen ? seen.text === this.text : created(this.path, this.text);
  }

  /** One that cannot be removed stops binding, as nobody touches it any more. */
  async release(): Promise<void> {
    clearInterval(this.beat);
    const held = await LockFile.seen(this.path).catch(() => undefined);
    if (held?.text === this.text) await rm(this.path, { force: true }).catch(() => undefined);
  }

  private async touch(): Promise<void> {
    // A process that was stopped for long must not keep the lock of another alive.
    if ((await LockFile.seen(this.path))?.text !== this.text) return;
    const now = new Date();
    await utimes(this.path, now, now);
  }
}

/** @returns false where the file is there already */
async function created(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(text);
    } catch (error) {
      await rm(path, { force: true }).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
