/**
 * Preloaded into a command whose start is timed (`node --import`): when the command ends, it writes to file descriptor 3
 * what it had reached when, as JSON.
 */
import { writeSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** What a process reached, in milliseconds since the epoch. */
export interface StartMark {
  readonly name: string;
  readonly at: number;
}

process.once('exit', () => {
  const { timeOrigin, nodeTiming } = performance;
  const marks = performance.getEntriesByType('mark').map(({ name, startTime }) => ({ name, startTime }));
  const all = [{ name: 'Node started', startTime: nodeTiming.bootstrapComplete }, ...marks];
  const reached: readonly StartMark[] = all.map(({ name, startTime }) => ({
    name,
    at: timeOrigin + startTime,
  }));
  writeSync(3, JSON.stringify(reached));
});
