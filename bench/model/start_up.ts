/** How long a command of this package takes from the start of its process to its first output, and where that goes. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { middle } from '../report/middle.js';
import { processEnd } from '../report/process_end.js';
import type { StartMark } from './start_marks.js';

/** One start. */
export interface StartTimes {
  /** Milliseconds from starting the process to its first text on the standard output. */
  readonly firstTextMs: number;
  /** Milliseconds of each stage, by what was reached at its end, in order; they add up to `firstTextMs`. */
  readonly stages: Readonly<Record<string, number>>;
}

/** Several starts: the first finds the caches as they are, the others what it left there. */
export interface StartUp {
  readonly first: StartTimes;
  /** The one of the middle time of those after the first. */
  readonly later: StartTimes;
  /** Milliseconds of those after the first, the least and the most. */
  readonly fastestMs: number;
  readonly slowestMs: number;
  /** Starts after the first. */
  readonly rounds: number;
}

/** Why no start is timed. */
export interface UnableStartUp {
  readonly unable: string;
}

const preload = new URL('./start_marks.js', import.meta.url).href;

/**
 * Runs a script in a process of its own, to its end.
 * @param script path of a Node script, which sets `performance.mark` where a stage ends
 * @param args its arguments
 * @throws Error with the last line of its standard error where it fails or prints nothing; the signal's reason where that is
 *   given, which ends the process
 */
export async function timeStart(
  script: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<StartTimes> {
  signal.throwIfAborted();
  const [start, startedAt] = [performance.now(), Date.now()];
  // It has nothing to save: what it reads is read again.
  const child = spawn(process.execPath, ['--import', preload, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    windowsHide: true,
    signal,
    killSignal: 'SIGKILL',
  });
  let firstTextMs: number | undefined;
  let [errors, marks] = ['', ''];
  child.stdout!.on('data', () => (firstTextMs ??= performance.now() - start));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  (child.stdio[3] as Readable).setEncoding('utf8').on('data', (text: string) => (marks += text));
  const [code, killedBy] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    let failure: Error | undefined;
    child.on('error', (error) => (failure = signal.aborted ? (signal.reason as Error) : error));
    // Also after an error: then the process is gone.
    child.on('close', (...end) => (failure ? reject(failure) : resolve(end)));
  });
  if (code !== 0) throw new Error(processEnd(args[0]!, code, killedBy, errors));
  if (firstTextMs === undefined) throw new Error(`${args[0]} printed nothing`);
  return { firstTextMs, stages: stagesOf(JSON.parse(marks) as StartMark[], startedAt, firstTextMs) };
}

function stagesOf(
  marks: readonly StartMark[],
  startedAt: number,
  firstTextMs: number,
): Readonly<Record<string, number>> {
  const reached = [
    ...marks.map(({ name, at }) => ({ name, ms: at - startedAt })),
    { name: 'first text', ms: firstTextMs },
  ];
  return Object.fromEntries(reached.map(({ name, ms }, i) => [name, ms - (reached[i - 1]?.ms ?? 0)]));
}

/** @param times of the starts in order, two or more */
export function startUpOf([first, ...others]: readonly StartTimes[]): StartUp {
  const times = others.map(({ firstTextMs }) => firstTextMs);
  return {
    first: first!,
    later: middle(others, ({ firstTextMs }) => firstTextMs),
    fastestMs: Math.min(...times),
    slowestMs: Math.max(...times),
    rounds: others.length,
  };
}
