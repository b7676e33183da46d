import { setTimeout as sleep } from 'node:timers/promises';

/** Share of one processor's time below which a process is idle. */
const idleShare = 0.2;
const longestMs = 120_000;

/**
 * Waits until this process computes nothing in the background, so that what is timed next has the processors to itself:
 * V8 optimises WebAssembly that was loaded on all of them for half a minute, and threads that have computed go on
 * looking for work for a while. Goes on after two minutes in any case.
 * @param windowMs how long it must have been idle
 */
export async function processIdle(windowMs: number): Promise<void> {
  for (const start = performance.now(); performance.now() - start < longestMs;) {
    const [used, from] = [process.cpuUsage(), performance.now()];
    await sleep(windowMs);
    const { user, system } = process.cpuUsage(used);
    if ((user + system) / 1000 < idleShare * (performance.now() - from)) return;
  }
}
