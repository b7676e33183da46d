import { setTimeout as sleep } from 'node:timers/promises';

/** Share of one processor's time below which a process is idle. */
const idleShare = 0.2;

interface IdleOptions {
  /** How long it must have been idle. */
  readonly windowMs: number;
  /** After so long whoever waits goes on in any case. */
  readonly longestMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until this process computes nothing in the background, so that what is timed next has the processors to itself: V8
 * optimises WebAssembly that was loaded on all of them for half a minute, and threads that have computed go on looking
 * for work for a while. Of other processes it knows nothing.
 * @returns whether it is idle
 * @throws the signal's reason where that is given
 */
export async function processIdle({ windowMs, longestMs, signal }: IdleOptions): Promise<boolean> {
  const end = performance.now() + longestMs;
  while (performance.now() < end) {
    signal?.throwIfAborted();
    const [used, from] = [process.cpuUsage(), performance.now()];
    await sleep(windowMs);
    const { user, system } = process.cpuUsage(used);
    if ((user + system) / 1000 < idleShare * (performance.now() - from)) return true;
  }
  return false;
}

/** Before a sample, where the one before may have been somebody else's. Windows counts time in steps of 16 ms. */
export const betweenSamples: IdleOptions = {
  windowMs: process.platform === 'win32' ? 50 : 10,
  longestMs: 1000,
};

/** Work that takes longer needs no warming up. */
export const warmMs = 200;
