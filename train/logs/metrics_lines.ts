/** Reading `metrics.jsonl`, for Node. */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import { CheckpointError } from '../../weights/errors.js';
import { fileError } from '../../weights/file_source.js';
import type { StepEvent, ValidationEvent } from '../events.js';

/** A step, or a validation without its samples. Values that are not finite are NaN. */
export type MetricsLine =
  | ({ readonly kind: 'step' } & StepEvent)
  | ({ readonly kind: 'validation' } & Omit<ValidationEvent, 'samples'>);

const longestLineBytes = 1 << 20;

/** JSON has no NaN: it writes null. */
const number = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);

const whole = z.int().min(0);

const setResult = z.object({
  name: z.string(),
  samples: whole,
  accuracy: number,
  ned: number,
  confidence: number,
  labelLength: number,
});

const metricsLine = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('step'),
    step: whole,
    totalSteps: number,
    epoch: number,
    images: number,
    loss: number,
    visualLoss: number,
    crossLoss: z.union([number, z.undefined()]).optional(),
    gradientNorm: number,
    learningRates: z.array(number),
    stepMs: number,
    waitMs: number,
    imagesOfStep: number,
    flops: number,
    peakFlopsPerSecond: number,
    liveBytes: number,
    peakBytes: number,
    skipped: z.boolean(),
    lossScale: number,
  }),
  z.object({
    kind: z.literal('validation'),
    step: whole,
    images: number,
    visualOnly: z.boolean().default(false),
    sets: z.array(setResult),
    combined: setResult,
    unreadable: whole.default(0),
  }),
]);

/** What {@link readMetrics} gives: a line as it stands in the file, and what it says. */
export interface StoredMetrics {
  readonly text: string;
  readonly metrics: MetricsLine;
}

/**
 * The lines of a metrics file, in order; none where there is no such file. A last line without its end is what a killed
 * run left, and is passed over.
 * @throws CheckpointError if another line is no metrics, naming it
 */
export async function* readMetrics(path: string): AsyncGenerator<StoredMetrics> {
  const name = basename(path);
  let number = 0;
  for await (const text of wholeLines(path)) {
    number++;
    yield { text, metrics: parseLine(text, name, number) };
  }
}

function parseLine(text: string, name: string, line: number): MetricsLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CheckpointError(name, `line ${line} is no JSON; move the file away to begin a new one`, {
      cause: error,
    });
  }
  const { success, data, error } = metricsLine.safeParse(value);
  if (success) {
    return data.kind === 'step' ? { ...data, crossLoss: data.crossLoss } : data;
  }
  const [issue] = error.issues;
  throw new CheckpointError(
    name,
    `line ${line} is no step or validation (${issue!.path.join('.')}: ${issue!.message}); ` +
      'move the file away to begin a new one',
  );
}

async function* wholeLines(path: string): AsyncGenerator<string> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        yield Buffer.concat([...pending, chunk.subarray(start, end)]).toString();
        pending = [];
        pendingBytes = 0;
        start = end + 1;
      }
      pending.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > longestLineBytes) {
        throw new CheckpointError(
          basename(path),
          `has a line longer than ${longestLineBytes} bytes; move the file away to begin a new one`,
        );
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw fileError(basename(path), error);
  }
}
