/** `bench --model`: how long a whole `read` takes to its first text. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type StartTimes,
  type StartUp,
  type UnableStartUp,
  startUpOf,
  timeStart,
} from '../bench/model/start_up.js';
import type { BenchOptions } from './bench_options.js';
import { describeError } from './errors.js';
import { formatTable } from './output.js';
import { showProgress } from './progress.js';

const main = fileURLToPath(new URL('./main.js', import.meta.url));
/** The first, and those that find what it left in the caches. */
const starts = 4;

/**
 * Starts `read` again and again on one image, as a user does. To be called before this process compiles anything, which would
 * fill the driver's cache.
 * @param image content of an image file
 * @param checkpoint file of the model
 * @returns why there are no times where a start fails
 * @throws the signal's reason where that is given
 */
export async function measureStartUp(
  image: Uint8Array,
  checkpoint: string,
  { preset, precision, device, quiet }: BenchOptions,
  signal: AbortSignal,
): Promise<StartUp | UnableStartUp> {
  const folder = await mkdtemp(join(tmpdir(), 'clip4str-start-'));
  const progress = showProgress('Starting', 'rows', !quiet);
  try {
    const file = join(folder, 'word.png');
    await writeFile(file, image);
    const options = Object.entries({ checkpoint, preset, precision, device });
    const given = options.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
    const args = ['read', file, '--quiet', ...given];
    const done: StartTimes[] = [];
    while (done.length < starts) {
      progress.update(done.length, starts);
      done.push(await timeStart(main, args, signal));
    }
    return startUpOf(done);
  } catch (error) {
    signal.throwIfAborted();
    return { unable: describeError(error) };
  } finally {
    progress.stop();
    await rm(folder, { recursive: true });
  }
}

export function startUpText(startUp: StartUp | UnableStartUp): string {
  if ('unable' in startUp) return `\nNo start of read was timed: ${startUp.unable}\n`;
  const { first, later, fastestMs, slowestMs, rounds } = startUp;
  const whole = (ms: number): string => ms.toFixed(0);
  const rows = Object.keys(later.stages).map((stage) => [
    stage,
    ...[first, later].map(({ stages }) => whole(stages[stage]!)),
  ]);
  return (
    `\nA whole read of one image, from the start of its process to the first text: ${whole(first.firstTextMs)} ms with the caches ` +
    `as they were, later ${whole(later.firstTextMs)} ms (${whole(fastestMs)} to ${whole(slowestMs)}, ${rounds} starts).\n` +
    formatTable([['ms until', 'first', 'later'], ...rows], [1, 2])
  );
}
