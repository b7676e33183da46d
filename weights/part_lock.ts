/** Keeps the part of a download to one process at a time, for Node. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { LockFile, type LockSighting } from './lock_file.js';

/** How often a holder shows that it is alive, how long a silent one is watched, and how often. */
const BEAT_MS = 1000;
const PATIENCE_MS = 5000;
const WATCH_MS = 200;

/**
 * Waits until no other download writes the part, and keeps others off until the lock is released.
 * @param finished whether nothing is left to do, asked while another download is at work
 * @returns undefined once finished
 * @throws the file system's error
 */
export async function takePart(
  part: string,
  finished: () => Promise<boolean>,
): Promise<LockFile | undefined> {
  const path = `${part}.lock`;
  const token = randomUUID();
  let last: LockSighting | undefined;
  let since = performance.now();
  for (;;) {
    const lock = await LockFile.create(path, token, BEAT_MS);
    if (lock) return lock;
    if (await finished()) return undefined;
    const seen = await LockFile.seen(path);
    if (seen?.text !== last?.text || seen?.touchedMs !== last?.touchedMs) since = performance.now();
    else if (seen && performance.now() - since >= PATIENCE_MS) await LockFile.removeStale(path, seen.text);
    last = seen;
    await delay(WATCH_MS);
  }
}
