/** Everything beside tensors that a run needs to go on as if it had never stopped. */
import { z } from 'zod';
import { CheckpointError } from '../weights/index.js';

const whole = z.int().min(0);
const words = z.tuple([whole, whole, whole, whole]);

const runStateSchema = z.strictObject({
  /** Optimizer steps done. */
  step: whole,
  /** Images trained on. */
  images: whole,
  /** Of the batch that comes next. */
  position: z.strictObject({ epoch: whole, sample: whole }),
  /** In the data set. */
  samples: whole,
  /** Of the generator that draws permutations. */
  permutations: words,
  /** Random streams that dropout has used up. */
  dropoutStreams: whole,
  /** Whether the cross branch trains, its decoder started from the visual one where the recipe says so. */
  crossStarted: z.boolean(),
  lossScale: z.strictObject({ scale: z.number().positive(), goodSteps: whole }),
  /** Steps that each optimizer has taken, by parameter. */
  optimizerSteps: z.record(z.string(), z.record(z.string(), whole)),
  /** The stochastic average: how many weights are in it, of which steps the first and the last; 0 where none are. */
  averaged: z.strictObject({ count: whole, first: whole, last: whole }),
  /** Step of the last validation, 0 before the first: that of a step to be validated may still be due. */
  validated: whole,
  /** Best validation accuracy, a percentage; null before the first. */
  best: z.number().nullable(),
});

export type RunState = Readonly<z.infer<typeof runStateSchema>>;

/** Name under which the state is stored as metadata. */
const key = 'clip4str_engine_run';

export function runStateMetadata(state: RunState): Record<string, string> {
  return { [key]: JSON.stringify(state) };
}

/**
 * @param file its name, for messages
 * @throws CheckpointError if the metadata holds no such state, or a damaged one
 */
export function parseRunState(metadata: Readonly<Record<string, unknown>>, file: string): RunState {
  const result = runStateSchema.safeParse(metadata[key]);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const where = [key, ...issue.path].join('.');
  throw new CheckpointError(file, `${where} is missing or damaged`);
}
