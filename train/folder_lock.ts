/** Keeps a folder to one process, for Node. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { fileError } from '../weights/file_source.js';
import { LockFile, type LockSighting } from '../weights/lock_file.js';
import { isRunning, ownIdentity, processIdentitySchema } from './process_identity.js';

export const lockFile = 'run.lock';

const holderSchema = processIdentitySchema.extend({ since: z.string(), token: z.string() });

/** Who holds a lock. */
type Holder = z.infer<typeof holderSchema>;

/** How often a holder shows that it is alive, and how long a silent one is watched. */
const beatMs = 3_000;
/** Longer than a process stands still while it compiles kernels. */
const patienceMs = 60_000;

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
  private constructor(
    private readonly folder: string,
    private readonly lock: LockFile,
  ) {}

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
    for (;;) {
      const lock = await LockFile.create(path, `${JSON.stringify(holder)}\n`, beatMs).catch(failed);
      if (lock) return new FolderLock(folder, lock);
      const seen = await LockFile.seen(path).catch(failed);
      if (!seen) continue;
      if (await isAlive(path, seen, options)) throw inUse(folder, seen.text);
      await LockFile.removeStale(path, seen.text).catch(failed);
    }
  }

  /**
   * Makes sure that the folder is still this process's own.
   * @throws FolderInUseError where another has taken it, as it may from one that was stopped for long
   */
  async check(): Promise<void> {
    if (await this.lock.renew().catch(failed)) return;
    const seen = await LockFile.seen(join(this.folder, lockFile)).catch(failed);
    throw inUse(this.folder, seen?.text ?? '');
  }

  /** A lock that cannot be removed stops binding when the process ends. */
  async release(): Promise<void> {
    await this.lock.release();
  }
}

function failed(error: unknown): never {
  throw fileError(lockFile, error);
}

function holderOf(text: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // Killed or still at work between making the file and writing it.
    return undefined;
  }
}

async function isAlive(path: string, seen: LockSighting, options: LockOptions): Promise<boolean> {
  const holder = holderOf(seen.text);
  const known = holder && (await isRunning(holder));
  if (known !== undefined) return known;
  const patience = options.patienceMs ?? patienceMs;
  options.onWait?.(described(seen.text), Math.ceil(patience / 1000));
  for (const endMs = performance.now() + patience; performance.now() < endMs;) {
    await pause(Math.min(500, patience));
    const now = await LockFile.seen(path).catch(failed);
    if (!now) return false;
    if (now.touchedMs !== seen.touchedMs) return true;
  }
  return false;
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
