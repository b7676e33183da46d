/** Keeps the part of a download to one process at a time, for Node. */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** How often a holder shows that it is alive, how long a silent one is watched, and how often. */
const BEAT_MS = 1000;
const PATIENCE_MS = 5000;
const WATCH_MS = 200;

/**
 * Waits until no other download writes the part, and keeps others off until the function that it returns is called.
 * Whether a holder is alive is seen by its touching the lock: process ids say nothing between containers that share a
 * cache, and clocks of file servers differ.
 * @param finished whether nothing is left to do, asked while another download is at work
 * @returns undefined once finished
 * @throws the file system's error
 */
export async function takePart(
  part: string,
  finished: () => Promise<boolean>,
): Promise<(() => Promise<void>) | undefined> {
  const path = `${part}.lock`;
  const token = randomUUID();
  let last: Sighting | undefined;
  let since = performance.now();
  while (!(await created(path, token))) {
    if (await finished()) return undefined;
    const seen = await sighting(path);
    if (seen?.token !== last?.token || seen?.touchedMs !== last?.touchedMs) since = performance.now();
    else if (seen && performance.now() - since >= PATIENCE_MS) await removeStale(path, seen.token);
    last = seen;
    await delay(WATCH_MS);
  }
  const beat = setInterval(() => {
    const now = new Date();
    // A lock that others took for stale is met when the part is renamed.
    utimes(path, now, now).catch(() => undefined);
  }, BEAT_MS).unref();
  return async () => {
    clearInterval(beat);
    // One that cannot be removed stops binding as soon as nobody touches it.
    const held = await readFile(path, 'utf8').catch(() => undefined);
    if (held === token) await rm(path, { force: true }).catch(() => undefined);
  };
}

/** What is seen of a lock. */
interface Sighting {
  readonly token: string;
  readonly touchedMs: number;
}

/** @returns false where the file is there already */
async function created(path: string, token: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(token).finally(() => file.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function sighting(path: string): Promise<Sighting | undefined> {
  try {
    return { token: await readFile(path, 'utf8'), touchedMs: (await stat(path)).mtimeMs };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes a lock unless another process has replaced it meanwhile. */
async function removeStale(path: string, token: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    // Of several that find the same stale lock, the slower may get the new lock of the first: it is put back.
    if ((await readFile(aside, 'utf8')) !== token) await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
