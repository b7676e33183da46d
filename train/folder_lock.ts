/** Keeps a folder to one process, for Node. */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { fileError } from '../weights/file_source.js';
import { isRunning, ownIdentity, processIdentitySchema } from './process_identity.js';

export const lockFile = 'run.lock';

const holderSchema = processIdentitySchema.extend({ since: z.string(), token: z.string() });

/** Who holds a lock. */
type Holder = z.infer<typeof holderSchema>;

/** How often a holder shows that it is alive, and how long a silent one is watched. */
const beatMs = 3_000;
const patienceMs = 30_000;

export interface LockOptions {
  /** Told once if whether the holder is alive can only be seen by watching it: it is on another machine or in a container. */
  readonly onWait?: ((holder: string, seconds: number) => void) | undefined;
  /** How long it is watched then. */
  readonly patienceMs?: number;
}

/** The folder is in use; the message names the process. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError';
}

/**
 * A file in the folder that names the process. The lock of a process that died without removing it does not bind: where
 * the process can be looked up, it is known to be dead by its id and the time of its start; elsewhere by the lock's file,
 * which a living one touches every few seconds.
 */
export class FolderLock {
  private readonly beat: NodeJS.Timeout;

  private constructor(
    private readonly path: string,
    private readonly folder: string,
    private readonly text: string,
  ) {
    const touch = async (): Promise<void> => {
      // A process that was stopped for long must not keep the lock of another alive.
      if ((await textOf(path)) !== text) return;
      const now = new Date();
      await utimes(path, now, now);
    };
    // Whoever removed the file is met when the lock is checked.
    this.beat = setInterval(() => void touch().catch(() => undefined), beatMs).unref();
  }

  /**
   * @throws FolderInUseError where another process, or this one, holds the folder; CheckpointError where the lock's file
   *   cannot be read or written
   */
  static async take(folder: string, options: LockOptions = {}): Promise<FolderLock> {
    const path = join(folder, lockFile);
    const holder: Holder = {
      ...(await ownIdentity()),
      since: new Date().toISOString(),
      token: randomUUID(),
    };
    const text = `${JSON.stringify(holder)}\n`;
    while (!(await created(path, text))) {
      const held = await textOf(path);
      if (held === undefined) continue;
      if (await isAlive(path, held, options)) throw inUse(folder, held);
      await removeStale(path, held);
    }
    return new FolderLock(path, folder, text);
  }

  /**
   * Makes sure that the folder is still this process's own.
   * @throws FolderInUseError where another has taken it, as it may from one that was stopped for long
   */
  async check(): Promise<void> {
    const held = await textOf(this.path);
    if (held === this.text || (held === undefined && (await created(this.path, this.text)))) return;
    throw inUse(this.folder, held ?? (await textOf(this.path)) ?? '');
  }

  /** A lock that cannot be removed stops binding when the process ends. */
  async release(): Promise<void> {
    clearInterval(this.beat);
    const held = await textOf(this.path).catch(() => undefined);
    if (held === this.text) await rm(this.path, { force: true }).catch(() => undefined);
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
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError(basename(path), error);
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(basename(path), error);
  }
}

function holderOf(text: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // Killed or still at work between making the file and writing it.
    return undefined;
  }
}

async function isAlive(path: string, held: string, options: LockOptions): Promise<boolean> {
  const holder = holderOf(held);
  const known = holder && (await isRunning(holder));
  if (known !== undefined) return known;
  const patience = options.patienceMs ?? patienceMs;
  options.onWait?.(described(held), Math.ceil(patience / 1000));
  const touched = async (): Promise<number | undefined> => (await stat(path).catch(() => undefined))?.mtimeMs;
  const before = await touched();
  for (const endMs = performance.now() + patience; performance.now() < endMs;) {
    await pause(Math.min(500, patience));
    const now = await touched();
    if (now === undefined) return false;
    if (now !== before) return true;
  }
  return false;
}

/** Removes a lock unless another process has replaced it meanwhile. */
async function removeStale(path: string, held: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    // Only one of several that find the same stale lock gets it; the others may get the new lock of the first.
    if ((await textOf(aside)) !== held) await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(basename(path), error);
  }
}

function described(text: string): string {
  const holder = holderOf(text);
  if (!holder) return 'another process';
  const own = holder.pid === process.pid ? ' (this one)' : '';
  return `process ${holder.pid}${own} on ${holder.host}`;
}

function inUse(folder: string, text: string): FolderInUseError {
  const since = holderOf(text)?.since.replace(/\.\d+Z$/, 'Z');
  return new FolderInUseError(
    `${folder}: in use by ${described(text)}${since === undefined ? '' : ` since ${since}`}. ` +
      'Wait for it to end or stop it, or train in another folder.',
  );
}
