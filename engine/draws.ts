/** Draws that a checkpoint repeats: what was chosen at random the first time is chosen again for the gradients. */
import { AsyncContext } from './async_context.js';

/** Choices of a checkpoint's first run, in their order. */
export type Draws = number[];

interface Run {
  readonly draws: Draws;
  /** How many were repeated; undefined in a first run. */
  repeated: number | undefined;
  readonly outer: Run | undefined;
}

const current = new AsyncContext<Run>();

/** A number from `choose`, or within a repeated run the one that was chosen at this point of the first. */
export const drawOnce = (choose: () => number): number => drawIn(current.get(), choose);

function drawIn(run: Run | undefined, choose: () => number): number {
  if (!run) return choose();
  if (run.repeated !== undefined && run.repeated < run.draws.length) return run.draws[run.repeated++]!;
  const draw = drawIn(run.outer, choose);
  if (run.repeated === undefined) run.draws.push(draw);
  return draw;
}

/** Runs work and writes its draws down. */
export const noteDraws = <T>(draws: Draws, work: () => T): T =>
  current.run({ draws, repeated: undefined, outer: current.get() }, work);

/** Runs work with the draws of its first run. */
export const repeatDraws = <T>(draws: Draws, work: () => T): T =>
  current.run({ draws, repeated: 0, outer: current.get() }, work);
